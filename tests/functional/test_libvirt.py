# SPDX-License-Identifier: GPL-2.0-or-later
"""virsh dump --memory-only on a domain whose emulator is ours.

The domain's QEMU runs as an unprivileged user, in libvirt's sandbox. AppArmor
is not tested.
"""

import contextlib
import glob
import os
import re
import subprocess

import pytest

from libvirt import NAME, Libvirt
from readers import rearranged, run
from vmcore import open_dump
from wait import HANGS, wait_until

FORMATS = ['elf', 'kdump-zlib', 'kdump-lzo', 'kdump-snappy']
LEVEL_31 = ['zero', 'cache', 'cache-private', 'user', 'free']
pytestmark = pytest.mark.guest


@pytest.fixture(scope='module')
def domain():
    d = Libvirt()
    yield d
    d.close()


@pytest.fixture
def live(domain):
    """Live dumps are the default."""
    domain.pass_userfaultfd()
    domain.set_defaults(live='on', live_fd='uffd')
    yield domain
    domain.set_defaults()


def release(domain):
    return re.search(r'guest: release (\S+)', domain.console())[1]


@pytest.mark.parametrize('name', FORMATS)
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
    wait_until(lambda: ticks() >= before + 2, 'the guest does not run')


def test_failure_is_told(domain):
    """libvirt's pipe is not read to the end: the command fails, the domain
    continues, and the next dump works."""
    r = domain.virsh('dump', NAME, '/dev/full', '--memory-only', check=False)
    assert r.returncode != 0
    assert 'No space left on device' in r.stderr
    assert domain.state() == 'running'
    domain.virsh('dump', NAME, domain.path('again'), '--memory-only')


# -- options that libvirt does not pass ---------------------------------------


@pytest.mark.parametrize('name', FORMATS)
def test_live(live, name):
    """QEMU is not permitted to use userfaultfd, and libvirt does not pass 'live'."""
    path = live.path('live-' + name)
    live.watch()
    r = live.virsh('dump', NAME, path, '--memory-only', '--live', '--format',
                   name, '--verbose')
    assert '[100 %]' in r.stdout + r.stderr
    assert live.is_free()
    events = [e for e in live.seen() if "'lifecycle'" in e]
    # The moment of the dump; later events are from is_free().
    assert [e.split()[-2] for e in events] == ['Suspended', 'Resumed'] * 2
    result = live.qmp('query-dump')
    assert result['status'] == 'completed' and 'warnings' not in result
    assert result['live']['standstill-us'] > 0
    dump = open_dump(path)
    assert dump.vmcoreinfo['OSRELEASE'] == release(live)
    assert dump.nr_prstatus == 2
    os.unlink(path)


@contextlib.contextmanager
def stalled(domain):
    """virsh dumps a running domain to a named pipe without a reader."""
    path = domain.make_fifo('fifo')
    r = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(r, True)
    virsh = domain.start_virsh('dump', NAME, path, '--memory-only', '--live')
    try:
        def status():
            return domain.qmp('query-dump')

        wait_until(lambda: (q := status()).get('written', 0) >= 1 << 20 and
                   q['status'] == 'active', status)
        yield virsh, r
    finally:
        os.close(r)
        virsh.kill()
        virsh.communicate()
        os.unlink(path)


def test_meanwhile(live):
    with stalled(live) as (virsh, r):
        assert live.state() == 'running'
        info = live.virsh('domjobinfo', NAME).stdout
        assert re.search(r'Operation: *Dump', info)
        assert re.search(r'Memory total: *256\.', info)
        assert live.qmp('query-status')['running'] is True
        test_domain_lives_on(live)
        assert virsh.poll() is None
        with subprocess.Popen(['cat'], stdin=r, stdout=subprocess.DEVNULL):
            assert virsh.wait(HANGS) == 0
        assert live.is_free()
    assert live.qmp('query-dump')['status'] == 'completed'


def test_cancel(live):
    """libvirt cannot cancel the dump, QEMU can."""
    with stalled(live) as (virsh, r):
        refused = live.virsh('domjobabort', NAME, check=False)
        assert 'cannot abort memory-only dump' in refused.stderr
        live.qmp('dump-cancel')
        with subprocess.Popen(['cat'], stdin=r, stdout=subprocess.DEVNULL):
            assert virsh.wait(HANGS) == 1
        assert 'dump: cancelled' in virsh.communicate()[1]
        assert live.is_free()
    assert live.qmp('query-dump')['status'] == 'failed'


def test_live_failure(live):
    test_failure_is_told(live)
    r = live.virsh('dump', NAME, '/dev/full', '--memory-only', '--live',
                   check=False)
    assert r.returncode != 0 and 'No space left on device' in r.stderr
    assert live.is_free()


def test_filtered(domain, tmp_path):
    """Pages are excluded, and readers accept the dump."""
    path = domain.path('filtered')
    domain.set_defaults(exclude=LEVEL_31)
    domain.virsh('dump', NAME, path, '--memory-only', '--format',
                 'kdump-zlib')
    domain.set_defaults()
    assert domain.state() == 'running'
    dump = open_dump(path)
    assert dump.flat and dump.dump_level == 31
    assert len(dump.pfns) < (128 << 20) >> 12
    r = subprocess.run(['crash', '--osrelease', path], capture_output=True,
                       text=True)
    assert r.stdout.strip() == release(domain), r.stdout + r.stderr
    log = tmp_path / 'log'
    run('makedumpfile', '--dump-dmesg', rearranged(path, tmp_path), str(log))
    assert f'Linux version {release(domain)}' in log.read_text()
    os.unlink(path)


def test_panic(live):
    """libvirt makes an ELF dump after a guest panic, and restarts the guest.
    QEMU keeps its defaults."""
    live.qmp('dump-set-parameters', exclude=LEVEL_31)
    defaults = live.qmp('query-dump-parameters')
    live.watch()
    # Write to pvpanic's port, as a guest's driver does.
    live.virsh('qemu-monitor-command', NAME, '--hmp', 'o /1 0x505 1')
    wait_until(lambda: live.qmp('query-dump')['status'] == 'completed' and
               live.state() == 'running', live.state)
    found = glob.glob(live.path('**/dump/*'), recursive=True)
    assert len(found) == 1, found
    # The guest was stopped already.
    result = live.qmp('query-dump')
    assert 'live' not in result and 'warnings' not in result
    assert {e['class'] for e in result['excluded']} >= {'free'}
    assert live.is_free()
    assert live.qmp('query-dump-parameters') == defaults
    dump = open_dump(found[0])
    assert dump.vmcoreinfo['OSRELEASE'] == release(live)
    assert any('Crashed Panicked' in e for e in live.seen())
