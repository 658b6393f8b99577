# SPDX-License-Identifier: GPL-2.0-or-later
"""Waiting, with a limit that only ends tests that hang."""

import time

# In seconds; many times what a busy machine needs.
HANGS = 120


def wait_until(condition, what='', interval=0.01):
    """Wait until condition() is true, and return its value; after HANGS
    seconds, raise an error with @what, or what it returns."""
    end = time.monotonic() + HANGS
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError('waited for too long: ' +
                                 str(what() if callable(what) else what))
        time.sleep(interval)
    return value
