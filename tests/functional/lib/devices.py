# SPDX-License-Identifier: GPL-2.0-or-later
"""Devices of the host, which a container or an older kernel may not have."""

import os

import pytest

LOOP, USERFAULTFD = '/dev/loop-control', '/dev/userfaultfd'


def require(path):
    """Skip the test if the host does not have this device."""
    if not os.path.exists(path):
        pytest.skip(f'no {path}')
