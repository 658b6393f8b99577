# SPDX-License-Identifier: GPL-2.0-or-later
"""What faults.c, preloaded, does to a QEMU; see there."""

import os
import time


def environment(library, path, fault):
    """For a QEMU in which writing the file @path goes wrong."""
    return {'LD_PRELOAD': library, 'DUMP_FAULT_PATH': path,
            'DUMP_FAULT': fault}


def pause(library, path, size):
    """... stands still after so many bytes."""
    return environment(library, path, f'pause:{size}')


def hold(library, path):
    """... and in which a search of a running guest's memory stands still."""
    return environment(library, path, 'hold')


def let_go(path):
    with open(path + '.go', 'w'):
        pass


def wait_for_pause(path, size):
    """The write that was the last may not be counted by QEMU yet."""
    while os.stat(path).st_blocks * 512 < size:
        time.sleep(0.01)
