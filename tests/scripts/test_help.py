# SPDX-License-Identifier: GPL-2.0-or-later
"""The scripts that users run explain themselves, and do nothing else then."""

import os
import subprocess

import pytest

from conftest import REPO


@pytest.mark.parametrize('name', ['check', 'demo', 'fuzz', 'other-host',
                                  'qemu-tree'])
def test_help(name, tmp_path):
    r = subprocess.run([os.path.join(REPO, 'scripts', name), '--help'],
                       capture_output=True, text=True, timeout=60,
                       env={**os.environ, 'XDG_CACHE_HOME': str(tmp_path)})
    assert (r.returncode, r.stderr) == (0, '')
    assert name in r.stdout and 'SPDX' not in r.stdout
    assert r.stdout[0].strip() and not list(tmp_path.iterdir())
