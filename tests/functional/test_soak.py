# SPDX-License-Identifier: GPL-2.0-or-later
"""A short run of soak.py."""

import pytest

from soak import Soak

pytestmark = pytest.mark.slow


def test_soak():
    soak = Soak(1)
    try:
        print(soak.run(15))
        assert sum(soak.done.values()) > 10
    finally:
        soak.close()
