# SPDX-License-Identifier: GPL-2.0-or-later
"""Linux guests of other architectures, opened by readers on this machine.

crash and makedumpfile read only dumps of the architecture that they run on:
those for arm64 run in QEMU's user emulation.
"""

import os
import subprocess

import pytest

from guest import KINDS, Guest
# Fixtures used with the guests of this file.
from test_guest import test_every_page, test_guest_lives_on  # noqa: F401
from test_guest import DRGN, Dumps, run
from qmp import QMPError
from test_targets import built_programs
from vm import REPO, VM, qemu_program
from vmcore import KdumpDump, Raw, open_dump


class Expected:
    def __init__(self, elf_machine, order, uname, page_size):
        self.elf_machine = elf_machine
        self.order = order
        self.uname = uname
        self.page_size = page_size


EXPECTED = {
    'arm64': Expected(183, '<', 'aarch64', 4096),
    'arm64-16k': Expected(183, '<', 'aarch64', 16384),
    's390x': Expected(22, '>', 's390x', 4096),
    'ppc64el': Expected(21, '<', 'ppc64le', 65536),
}


@pytest.fixture(scope='module', params=[
    kind for kind in EXPECTED if built_programs([KINDS[kind][0]])])
def guest(request):
    with Guest(kind=request.param) as g:
        g.expected = EXPECTED[request.param]
        g.has_note = 'vmcoreinfo' in KINDS[request.param][3]
        yield g


@pytest.fixture(scope='module')
def dumps(guest, tmp_path_factory):
    return Dumps(guest, tmp_path_factory.mktemp('dumps'))


KDUMP = ['kdump-zlib', 'kdump-raw-zlib', 'kdump-raw-lzo']


def check_note(guest, dump):
    """The kernel's note, if the platform allows passing it to QEMU."""
    if guest.has_note:
        assert dump.vmcoreinfo['OSRELEASE'] == guest.release()
        assert int(dump.vmcoreinfo['PAGESIZE']) == guest.expected.page_size
    else:
        assert dump.vmcoreinfo is None


def test_elf(guest, dumps):
    dump = open_dump(dumps['elf'])
    assert dump.is64 and dump.order == guest.expected.order
    assert dump.machine == guest.expected.elf_machine
    assert dump.nr_prstatus == 2
    check_note(guest, dump)


@pytest.mark.parametrize('name', KDUMP)
def test_kdump(guest, dumps, name):
    dump = open_dump(dumps[name])
    assert dump.is64 and dump.order == guest.expected.order
    assert dump.machine == guest.expected.uname
    assert dump.block_size == guest.expected.page_size
    assert dump.nr_cpus == 2
    check_note(guest, dump)
    if guest.has_note:
        assert (dump.sysname, dump.release) == ('Linux', guest.release())
        assert dump.version.startswith('#1 SMP')
        # With KASLR it may be negative.
        assert dump.phys_base % (1 << 64) == int(
            dump.vmcoreinfo['NUMBER(PHYS_OFFSET)'], 0)


def test_readelf(guest, dumps):
    out = run('readelf', '-h', '-l', '-n', dumps['elf'])
    assert 'arning' not in out
    assert out.count('NT_PRSTATUS') == 2
    assert ('VMCOREINFO' in out) == guest.has_note


@pytest.fixture(scope='module')
def reader():
    """A function that runs an arm64 program."""
    emulator, root, programs = subprocess.run(
        [os.path.join(REPO, 'scripts/foreign-readers'), 'arm64'], check=True,
        capture_output=True, text=True).stdout.split()
    return lambda name, *args: run(emulator, '-L', root,
                                   os.path.join(programs, name), *args)


@pytest.mark.parametrize('name', ['elf', 'kdump-zlib', 'kdump-raw-lzo'])
def test_crash(guest, dumps, reader, name):
    if not guest.has_note:
        pytest.skip('crash reads the release from the note')
    assert reader('crash', '--osrelease', dumps[name]).strip() == \
        guest.release()


@pytest.mark.parametrize('name', ['elf', 'kdump-raw-lzo'])
def test_makedumpfile(guest, dumps, reader, name, tmp_path):
    """It walks the kernel's page tables to find the log."""
    if not guest.has_note:
        pytest.skip('makedumpfile requires the note')
    if guest.expected.page_size == 16384:
        pytest.skip('makedumpfile 1.7.2 does not support 16 KiB pages with '
                    '52-bit addresses')
    log = str(tmp_path / 'dmesg')
    reader('makedumpfile', '--dump-dmesg', dumps[name], log)
    with open(log, errors='replace') as f:
        assert f'Linux version {guest.release()}' in f.read()


KDUMPFILE = '''
import sys, kdumpfile
ctx = kdumpfile.kdumpfile(sys.argv[1])
a = ctx.attr
print(a['arch.page_size'], *(a.get(name, '-') for name in (
    'arch.name', 'cpu.number', 'linux.uts.release')))
data = ctx.read(kdumpfile.KDUMP_MACHPHYSADDR, int(sys.argv[2]), 4096)
sys.stdout.flush()
sys.stdout.buffer.write(data)
'''


@pytest.mark.parametrize('name', [n for n in KDUMP if 'raw' in n])
def test_libkdumpfile(guest, dumps, name):
    """It reads all dumps, and detects more in dumps with the kernel's release
    and version (a condition of libkdumpfile)."""
    dump = open_dump(dumps[name])
    at = next(p for p in dump.pfns if dump.descs[p][2]) * dump.block_size
    r = subprocess.run(['/usr/bin/python3', '-c', KDUMPFILE, dumps[name],
                        str(at)], capture_output=True)
    assert r.returncode == 0, r.stderr.decode()
    line, data = r.stdout.split(b'\n', 1)
    found = line.decode().split()
    assert found[0] == str(guest.expected.page_size)
    assert found[1:] == (['aarch64', '2', guest.release()] if guest.has_note
                         else ['-', '-', '-'])
    assert data == dump.read(at, 4096)


@pytest.mark.parametrize('name', ['elf', 'kdump-raw-zlib'])
def test_drgn(guest, dumps, name):
    if not guest.has_note:
        pytest.skip('drgn requires VMCOREINFO')
    dump = open_dump(dumps[name])
    at = next(a for a in range(dump.ranges()[0][0], 1 << 32, 1 << 20)
              if any(dump.read(a, 4096)))
    r = subprocess.run(['/usr/bin/python3', '-c', DRGN, dumps[name],
                        str(at)], capture_output=True)
    assert r.returncode == 0, r.stderr.decode()
    line, data = r.stdout.split(b'\n', 1)
    assert line.decode().split() == ['AARCH64', guest.release()]
    assert data == dump.read(at, 4096)


# -- excluded pages ------------------------------------------------------------

CLASSES = ['zero', 'cache', 'cache-private', 'user', 'free']


@pytest.mark.skipif(not built_programs([KINDS['arm64'][0]]),
                    reason='this target is not built')
@pytest.mark.parametrize('kind', ['arm64', 'arm64-16k'])
def test_classes(reader, tmp_path, kind):
    """The same page frames as makedumpfile keeps; where makedumpfile does not
    support the addresses, pages that the guest created for the test."""
    whole, path, kept = (str(tmp_path / n) for n in ('w', 'dump', 'kept'))
    with Guest(kind=kind, memory='512M', append='guest.busy') as g:
        g.wait_for('guest: busy')
        g.qmp.cmd('stop')
        g.dump(whole, format='kdump-raw-lzo')
        for level in (2, 4, 8, 16, 31):
            wanted = [c for i, c in enumerate(CLASSES) if level >> i & 1]
            g.dump(path, format='kdump-raw-lzo', exclude=wanted)
            result = g.qmp.cmd('query-dump')
            assert 'warnings' not in result
            if kind == 'arm64':
                reader('makedumpfile', '-l', '-d', str(level), whole, kept)
                assert open_dump(path).pfns == \
                    KdumpDump(Raw(kept), False).pfns
                os.unlink(kept)
        left_out = {e['class']: e['bytes'] for e in result['excluded']}
        assert set(left_out) == set(CLASSES[1:])
        # 8 huge pages and 32 MiB; two files; and a device without other pages
        # in its cache.
        huge = EXPECTED[kind].page_size ** 2 // 8 * 8
        assert huge + (32 << 20) <= left_out['user'] < huge + (48 << 20)
        assert 16 << 20 <= left_out['cache'] < 48 << 20
        assert left_out['cache-private'] == 8 << 20
        assert reader('crash', '--osrelease', path).strip() == g.release()


@pytest.mark.skipif(not built_programs([KINDS['s390x'][0]]),
                    reason='this target is not built')
def test_no_classes(tmp_path):
    """Refused on other targets without side effects."""
    path = str(tmp_path / 'dump')
    with VM('-S', binary=qemu_program('s390x'),
            machine='s390-ccw-virtio') as vm:
        with pytest.raises(QMPError, match='only be excluded for aarch64'):
            vm.dump(path, exclude=['free'])
    assert not os.path.exists(path)


# -- VMCOREINFO without the device ----------------------------------------------


@pytest.mark.skipif(not built_programs([KINDS['arm64'][0]]),
                    reason='this target is not built')
def test_searched_note(reader, tmp_path):
    """The note found in memory works like the driver's."""
    path = str(tmp_path / 'dump')
    with Guest(kind='arm64', memory='512M', device=False) as g:
        answer = g.qmp.cmd('query-vmcoreinfo')
        assert answer['source'] == 'search'
        assert f'OSRELEASE={g.release()}\n' in answer['text']
        g.dump(path, format='kdump-raw-zlib')
        assert g.qmp.cmd('query-dump')['vmcoreinfo'] == 'search'
        dump = open_dump(path)
        assert (dump.release, dump.machine) == (g.release(), 'aarch64')
        assert reader('crash', '--osrelease', path).strip() == g.release()
        g.dump(path)
        log = str(tmp_path / 'dmesg')
        reader('makedumpfile', '--dump-dmesg', path, log)
        with open(log, errors='replace') as f:
            assert f'Linux version {g.release()}' in f.read()
