# SPDX-License-Identifier: GPL-2.0-or-later
"""virsh dump --memory-only on a domain whose emulator is ours."""

import os
import re
import subprocess
import time

import pytest

from libvirt import Libvirt
from vmcore import open_dump


@pytest.fixture(scope='module')
def domain(tmp_path_factory):
    # libvirt's helpers run as other users: the path must be open to them.
    folder = tmp_path_factory.mktemp('libvirt')
    for path in (folder, *folder.parents):
        if str(path).startswith('/tmp/'):
            os.chmod(path, 0o755)
    d = Libvirt(str(folder))
    yield d
    d.close()


@pytest.mark.parametrize('name', ['elf', 'kdump-zlib', 'kdump-lzo',
                                  'kdump-snappy'])
def test_memory_only(domain, tmp_path, name):
    path = str(tmp_path / 'dump')
    r = domain.virsh('dump', 'dump-test', path, '--memory-only', '--format',
                     name, '--verbose')
    assert '100 %' in r.stdout + r.stderr
    assert domain.virsh('domstate', 'dump-test').stdout.strip() == 'running'
    release = re.search(r'guest: release (\S+)', domain.console())[1]
    dump = open_dump(path)
    assert dump.vmcoreinfo['OSRELEASE'] == release
    assert dump.nr_prstatus == 2
    out = subprocess.run(['crash', '--osrelease', path], capture_output=True,
                         text=True).stdout
    assert out.strip() == release


def test_domain_lives_on(domain):
    def ticks():
        return int(re.findall(r'tick (\d+)', domain.console())[-1])
    before = ticks()
    deadline = time.monotonic() + 60
    while ticks() < before + 2:
        assert time.monotonic() < deadline, 'the guest does not go on'
        time.sleep(0.2)


def test_failure_is_told(domain, tmp_path):
    """A format that needs to seek cannot go down libvirt's pipe; a dump
    that fails leaves the domain running."""
    r = domain.virsh('dump', 'dump-test', '/dev/full', '--memory-only',
                     check=False)
    assert r.returncode != 0
    assert domain.virsh('domstate', 'dump-test').stdout.strip() == 'running'
