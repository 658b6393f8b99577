# SPDX-License-Identifier: GPL-2.0-or-later
#
# What the scripts in Python share.

import contextlib
import fcntl
import os
import subprocess
import sys
import time


class Failure(Exception):
    """Something the user can read and act on."""


def say(text):
    print('== ' + text, file=sys.stderr, flush=True)


def cache_dir():
    base = os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
    return os.path.join(base, 'qemu-guest-memory-dump')


@contextlib.contextmanager
def locked(folder):
    """Hold the lock on a folder, which is made if it is not there; wait for
    whoever has it."""
    os.makedirs(folder, exist_ok=True)
    fd = os.open(folder, os.O_RDONLY)
    # Who kills us does not kill the ninja that we started: the lock is held
    # until that has ended, too.
    os.set_inheritable(fd, True)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f'waiting for another run to finish with {folder}')
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def run(step, argv, log, **kwargs):
    """Run a long step with its output in a log file."""
    say(step)
    start = time.monotonic()
    with open(log, 'w') as f:
        code = subprocess.run(argv, stdout=f, stderr=subprocess.STDOUT,
                              stdin=subprocess.DEVNULL, close_fds=False,
                              **kwargs).returncode
    if code:
        with open(log, errors='replace') as f:
            tail = ''.join(f.readlines()[-25:])
        raise Failure(f'{step}: failed with exit code {code}; the end of '
                      f'{log}:\n{tail}')
    say(f'{step}: done in {time.monotonic() - start:.0f} s')
