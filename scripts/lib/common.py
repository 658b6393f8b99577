# SPDX-License-Identifier: GPL-2.0-or-later
#
# What the scripts in Python share.

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
