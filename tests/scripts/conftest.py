# SPDX-License-Identifier: GPL-2.0-or-later
"""Source trees for tests of the scripts."""

import os
import shutil
import subprocess
import sys

import pytest

REPO = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
SCRIPT = os.path.join(REPO, 'scripts', 'qemu-tree')
sys.path.insert(0, os.path.join(REPO, 'scripts', 'lib'))
import tree_apply  # noqa: E402


@pytest.fixture(scope='session', params=['7.2', '10.0'])
def source(request):
    """A pristine source tree."""
    r = subprocess.run([SCRIPT, 'fetch', request.param],
                       capture_output=True, text=True)
    assert r.returncode == 0, r.stderr
    return r.stdout.strip()


@pytest.fixture
def tree(source, tmp_path):
    """A modifiable copy of the files that apply needs."""
    copy = str(tmp_path / 'tree')
    spliced = tree_apply.paths_of(tree_apply.splices(source))
    for path in [*tree_apply.MARKS, *spliced, 'dump', 'include/system',
                 'include/sysemu', 'include/exec',
                 'scripts/qapi', 'scripts/qapi-gen.py', 'qapi']:
        full, to = os.path.join(source, path), os.path.join(copy, path)
        os.makedirs(os.path.dirname(to), exist_ok=True)
        if os.path.isdir(full):
            shutil.copytree(full, to, dirs_exist_ok=True)
        elif os.path.exists(full):
            shutil.copy2(full, to)
    return copy
