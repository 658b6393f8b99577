# SPDX-License-Identifier: GPL-2.0-or-later
"""virsh dump --memory-only on a domain whose emulator is ours."""

import os
import re
import subprocess
import time

import pytest

from libvirt import NAME, Libvirt
from vmcore import open_dump


@pytest.fixture(scope='module')
def domain():
    d = Libvirt()
    yield d
    d.close()


def release(domain):
    return re.search(r'guest: release (\S+)', domain.console())[1]


@pytest.mark.parametrize('name', ['elf', 'kdump-zlib', 'kdump-lzo',
                                  'kdump-snappy'])
def test_memory_only(domain, name):
    path = domain.path('dump-' + name)
    r = domain.virsh('dump', NAME, path, '--memory-only', '--format', name,
                     '--verbose')
    assert '[100 %]' in r.stdout + r.stderr
    assert domain.state() == 'running'
    dump = open_dump(path)
    assert dump.vmcoreinfo['OSRELEASE'] == release(domain)
    assert dump.nr_prstatus == 2
    r = subprocess.run(['crash', '--osrelease', path], capture_output=True,
                       text=True)
    assert r.stdout.strip() == release(domain), r.stdout + r.stderr
    os.unlink(path)


def test_domain_lives_on(domain):
    def ticks():
        return int(re.findall(r'tick (\d+)', domain.console())[-1])
    before = ticks()
    deadline = time.monotonic() + 60
    while ticks() < before + 2:
        assert time.monotonic() < deadline, 'the guest does not go on'
        time.sleep(0.2)


def test_failure_is_told(domain):
    """Nobody reads libvirt's pipe to the end: the command fails, the
    domain goes on, and the next dump works."""
    r = domain.virsh('dump', NAME, '/dev/full', '--memory-only', check=False)
    assert r.returncode != 0
    assert 'No space left on device' in r.stderr
    assert domain.state() == 'running'
    domain.virsh('dump', NAME, domain.path('again'), '--memory-only')
