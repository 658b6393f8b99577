# SPDX-License-Identifier: GPL-2.0-or-later
#
# Shared by the Python scripts.

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time


class Failure(Exception):
    """An error to report to the user without a traceback."""


def say(text):
    print('== ' + text, file=sys.stderr, flush=True)


def catch_signals():
    """Turn signals that end this process into an exception, which also ends
    child processes and removes temporary files."""
    def stop(number, _):
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGHUP, stop)


def cache_dir():
    base = os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
    return os.path.join(base, 'qemu-guest-memory-dump')


@contextlib.contextmanager
def complete(folder):
    """A new folder, which replaces @folder when it is complete."""
    part = folder + '.new'
    shutil.rmtree(part, ignore_errors=True)
    os.makedirs(part)
    yield part
    shutil.rmtree(folder, ignore_errors=True)
    os.rename(part, folder)


@contextlib.contextmanager
def locked(folder):
    """Hold the lock on a folder, which is created if missing; waits while
    another process holds it."""
    os.makedirs(folder, exist_ok=True)
    fd = os.open(folder, os.O_RDONLY)
    # If this process is killed, ninja may take a while to end: the lock is
    # inherited, and held until then.
    os.set_inheritable(fd, True)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f'waiting for another process to unlock {folder}')
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def run(step, argv, log, **kwargs):
    """Run a long step with its output in a log file. It is ended, too, when
    this process ends."""
    say(step)
    start = time.monotonic()
    with open(log, 'w+', errors='replace') as f:
        code = subprocess.run(['setpriv', '--pdeathsig', 'TERM', *argv],
                              stdout=f, stderr=subprocess.STDOUT,
                              stdin=subprocess.DEVNULL, close_fds=False,
                              **kwargs).returncode
        f.seek(0)
        if code:
            raise Failure(f'{step}: failed with exit code {code}; the end of '
                          f'{log}:\n{"".join(f.readlines()[-25:])}')
    say(f'{step}: done in {time.monotonic() - start:.0f} s')
