# SPDX-License-Identifier: GPL-2.0-or-later
"""Environments for a QEMU with faults.c preloaded; see there."""

import os

from wait import wait_until


def environment(library, path, fault):
    """Environment for a QEMU in which writing to the file @path fails."""
    return {'LD_PRELOAD': library, 'DUMP_FAULT_PATH': path,
            'DUMP_FAULT': fault}


def pause(library, path, size):
    """Environment for a QEMU that pauses after writing so many bytes."""
    return environment(library, path, f'pause:{size}')


def processors(library, n):
    """Environment for a QEMU that sees @n host CPUs."""
    return environment(library, '/', f'cpus:{n}')


def hold(library, path):
    """Environment for a QEMU in which a search of guest memory is paused."""
    return environment(library, path, 'hold')


def let_go(path):
    with open(path + '.go', 'w'):
        pass


def wait_for_pause(path, size):
    """QEMU may not have counted the last write yet."""
    wait_until(lambda: os.stat(path).st_blocks * 512 >= size)
