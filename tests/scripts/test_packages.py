# SPDX-License-Identifier: GPL-2.0-or-later
"""install_packages installs only missing packages."""

import os
import re
import subprocess

from conftest import REPO

COMMON = os.path.join(REPO, 'scripts', 'lib', 'common.sh')
LIST = os.path.join(REPO, 'scripts', 'packages')


def install(tmp_path, packages, uid):
    """Run it with a list of these packages and a stub of apt-get."""
    lib = tmp_path / 'lib'
    lib.mkdir()
    (lib / 'common.sh').symlink_to(COMMON)
    (tmp_path / 'packages').write_text(f'some: {packages}\n')
    script = '''set -euo pipefail
. "$1"
uid=$2
id() { echo "$uid"; }
apt-get() { :; }
install_packages some'''
    return subprocess.run(['bash', '-c', script, 'bash',
                           str(lib / 'common.sh'), str(uid)],
                          capture_output=True, text=True)


def test_nothing_missing(tmp_path):
    r = install(tmp_path, 'bash coreutils', 0)
    assert (r.returncode, r.stderr) == (0, '')


def test_one_missing(tmp_path):
    """A package unknown to dpkg, as on a new machine, that is listed for two
    purposes."""
    r = install(tmp_path, 'bash no-such-package\nsome: no-such-package', 0)
    assert (r.returncode, r.stderr) == \
        (0, '== installing no-such-package\n')


def test_not_root(tmp_path):
    r = install(tmp_path, 'bash no-such-package', 1000)
    assert r.returncode == 1
    assert r.stderr == 'error: run as root, or install: no-such-package\n'


def test_compilers_of_every_release():
    """Debian 12 and 13 have different versions of compilers: the packages
    are those whose names have no version."""
    with open(LIST) as f:
        names = re.sub(r'(?m)^#.*|^[\w-]+:', '', f.read()).split()
    assert 'libclang-rt-dev' in names
    assert [n for n in names if re.search(
        r'^(clang|gcc|llvm)-\d|-\d\d+-dev$', n)] == []
