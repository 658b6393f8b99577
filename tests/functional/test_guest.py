# SPDX-License-Identifier: GPL-2.0-or-later
"""Dumps of a booted Linux guest, opened by the common tools."""

import os
import subprocess
import time

import pytest

from gdbstub import GdbStub
from guest import Guest
from readers import kept, rearranged, run
from vmcore import open_dump

pytestmark = pytest.mark.guest

FORMATS = ['elf', 'kdump-zlib', 'kdump-lzo', 'kdump-snappy',
           'kdump-raw-zlib', 'kdump-raw-lzo', 'kdump-raw-snappy',
           'kdump-zstd', 'kdump-raw-zstd']
# Debian's makedumpfile is built without snappy and zstd.
MAKEDUMPFILE = [f for f in FORMATS if 'snappy' not in f and 'zstd' not in f]


@pytest.fixture(scope='module')
def guest():
    with Guest() as g:
        yield g


class Dumps(dict):
    """One dump of each format, by name, made on first use."""

    def __init__(self, guest, folder):
        super().__init__()
        self.guest = guest
        self.folder = folder

    def __missing__(self, name):
        path = str(self.folder / name)
        self.guest.dump(path, format=name)
        self[name] = path
        return path


@pytest.fixture(scope='module')
def dumps(guest, tmp_path_factory):
    return Dumps(guest, tmp_path_factory.mktemp('dumps'))


@pytest.mark.parametrize('name', FORMATS)
def test_crash_osrelease(guest, dumps, name):
    assert run('crash', '--osrelease', dumps[name]).strip() == guest.release()


@pytest.mark.parametrize('name', MAKEDUMPFILE)
def test_makedumpfile_dmesg(guest, dumps, name, tmp_path):
    """makedumpfile finds phys_base of a KASLR guest, and the segments by
    e_phoff."""
    out = str(tmp_path / 'dmesg')
    run('makedumpfile', '--dump-dmesg', rearranged(dumps[name], tmp_path),
        out)
    with open(out) as f:
        assert f'Linux version {guest.release()}' in f.read()


@pytest.mark.once
def test_makedumpfile_filter_elf(guest, dumps, tmp_path):
    out = str(tmp_path / 'filtered')
    run('makedumpfile', '-d', '31', '-l', dumps['elf'], out)
    assert run('crash', '--osrelease', out).strip() == guest.release()
    assert os.path.getsize(out) < os.path.getsize(dumps['elf']) / 2


def check_filtered(guest, tmp_path, name, levels):
    """makedumpfile looks for bitmap 2 at the end of the kernel's memory; it
    must keep the same pages of a kdump file and of an ELF core."""
    elf, path = str(tmp_path / 'elf'), str(tmp_path / 'dump')
    guest.qmp.cmd('stop')
    try:
        guest.dump(elf)
        above = sum(open_dump(elf).ranges()[-1])
        guest.dump(path, format=name)
        result = guest.qmp.cmd('query-dump')
    finally:
        guest.qmp.cmd('cont')
    assert result['left-out'] > 0 and 'warnings' not in result
    for level in levels:
        pfns = kept(path, level, tmp_path)
        assert pfns == kept(elf, level, tmp_path)
        assert 5000 < len(pfns) and pfns[-1] < above >> 12
    out = str(tmp_path / 'filtered')
    run('makedumpfile', '-d', '31', '-l', rearranged(path, tmp_path), out)
    assert run('crash', '--osrelease', out).strip() == guest.release()


@pytest.mark.once
@pytest.mark.parametrize('name', ['kdump-raw-zlib', 'kdump-lzo'])
def test_makedumpfile_filter_kdump(guest, tmp_path, name):
    check_filtered(guest, tmp_path, name, (0, 1, 31))


FILTERED = [
    # Regression: the lower 1.5 GiB were silently lost here, as the firmware is
    # above RAM.
    ('q35', '2560M', (), 'kdump-lzo'),
    # Memory above 4 GiB, and device memory above that.
    ('pc,max-ram-below-4g=1G', '1280M', ('-object', 'memory-backend-ram,id=shared,size=2G',
                  '-device', 'ivshmem-plain,memdev=shared'),
     'kdump-raw-zlib'),
]


@pytest.mark.once
@pytest.mark.parametrize('machine,memory,args,name', FILTERED)
def test_makedumpfile_filter_large(tmp_path, machine, memory, args, name):
    with Guest(*args, machine=machine, memory=memory) as guest:
        check_filtered(guest, tmp_path, name, (31,))


def test_gdb_paging(guest, tmp_path):
    """gdb reads a kernel string at its virtual address, and registers."""
    path = str(tmp_path / 'paging')
    guest.dump(path, paging=True)
    out = run('gdb', '-batch', '-nx', '-ex', f'core-file {path}', '-ex',
              f'x/s {guest.linux_banner():#x}', '-ex', 'info threads')
    assert f'Linux version {guest.release()}' in out
    assert 'LWP 2' in out
    dump = open_dump(path)
    text = dump.read_virtual(guest.linux_banner(), 64)
    assert text.startswith(b'Linux version ' + guest.release().encode())


@pytest.fixture(scope='module')
def isolated():
    """A stopped guest with page-table isolation, whose CPUs are in user mode:
    their tables map hardly any of the kernel."""
    with Guest('-chardev', 'socket,id=gdb,path=gdb,server=on,wait=off',
               '-gdb', 'chardev:gdb', append='pti=on') as g:
        gdb = GdbStub(g.path('gdb'))
        for cpu in range(2):
            gdb.write(cpu, 'cr3', gdb.read(cpu, 'cr3') | 0x1000)
        yield g
        gdb.close()


def test_paging_isolated(isolated, tmp_path):
    """The kernel's own tables are walked as well; unmapped memory has a
    program header too; numerous aliases of single pages have none."""
    path, plain = str(tmp_path / 'paging'), str(tmp_path / 'plain')
    isolated.dump(path, paging=True)
    isolated.dump(plain)
    dump = open_dump(path)
    text = f'Linux version {isolated.release()}'
    assert dump.read_virtual(isolated.linux_banner(), 64).startswith(
        text.encode())
    assert len(dump.segments) < 5000
    missing = {p for start, size in open_dump(plain).ranges()
               for p in range(start, start + size, 4096)}
    for start, size in dump.ranges():
        missing -= set(range(start, start + size, 4096))
    assert not missing
    out = run('gdb', '-batch', '-nx', '-ex', f'core-file {path}', '-ex',
              f'x/s {isolated.linux_banner():#x}')
    assert text in out
    assert run('crash', '--osrelease', path).strip() == isolated.release()


def test_readelf(dumps):
    out = run('readelf', '-h', '-l', '-n', dumps['elf'])
    assert 'arning' not in out
    assert 'VMCOREINFO' in out
    assert out.count('NT_PRSTATUS') == 2
    # readelf does not know QEMU's note types or VMCOREINFO.
    assert out.count('Unknown note type') == 3


@pytest.mark.parametrize('name', FORMATS)
def test_strict_reader(guest, dumps, name):
    """The reader checks e_ehsize and utsname, among others."""
    dump = open_dump(dumps[name])
    assert dump.vmcoreinfo['OSRELEASE'] == guest.release()
    assert [n[0] for n in dump.notes] == \
        ['CORE'] * 2 + ['QEMU'] * 2 + ['VMCOREINFO']
    if name == 'elf':
        return
    assert (dump.sysname, dump.release, dump.machine) == \
        ('Linux', guest.release(), 'x86_64')
    assert dump.version.startswith('#1 SMP')
    assert dump.nr_cpus == 2
    assert dump.phys_base == int(dump.vmcoreinfo['NUMBER(phys_base)'])
    assert dump.block_size == 4096
    assert abs(dump.time - time.time()) < 3600


KDUMPFILE = '''
import sys, kdumpfile
ctx = kdumpfile.kdumpfile(sys.argv[1])
a = ctx.attr
print(a['arch.name'], a['cpu.number'], a['linux.uts.release'])
data = ctx.read(kdumpfile.KDUMP_MACHPHYSADDR, int(sys.argv[2]), 4096)
sys.stdout.flush()
sys.stdout.buffer.write(data)
'''


@pytest.mark.parametrize('name', [f for f in FORMATS if 'raw' in f])
def test_libkdumpfile(guest, dumps, name):
    """With utsname, it knows the architecture and the number of CPUs."""
    dump = open_dump(dumps[name])
    pfn = next(p for p in dump.pfns if dump.descs[p][2])
    r = subprocess.run(['/usr/bin/python3', '-c', KDUMPFILE, dumps[name],
                        str(pfn * 4096)], capture_output=True)
    assert r.returncode == 0, r.stderr.decode()
    line, data = r.stdout.split(b'\n', 1)
    assert line.decode().split() == ['x86_64', '2', guest.release()]
    assert data == dump.page(pfn)


DRGN = '''
import sys, drgn
prog = drgn.Program()
prog.set_core_dump(sys.argv[1])
print(prog.platform.arch.name, prog['UTS_RELEASE'].string_().decode())
sys.stdout.flush()
sys.stdout.buffer.write(prog.read(int(sys.argv[2]), 4096, True))
'''


@pytest.mark.parametrize('name', ['elf', *(f for f in FORMATS
                                           if 'raw' in f)])
def test_drgn(guest, dumps, name):
    """drgn detects the architecture by utsname."""
    dump = open_dump(dumps[name])
    pfn = next(p for p in open_dump(dumps['kdump-raw-zlib']).pfns
               if p > 0x1000 and any(dump.read(p * 4096, 4096)))
    r = subprocess.run(['/usr/bin/python3', '-c', DRGN, dumps[name],
                        str(pfn * 4096)], capture_output=True)
    assert r.returncode == 0, r.stderr.decode()
    line, data = r.stdout.split(b'\n', 1)
    assert line.decode().split() == ['X86_64', guest.release()]
    assert data == dump.read(pfn * 4096, 4096)


@pytest.mark.parametrize('name', ['elf', 'kdump-zlib', 'kdump-raw-lzo'])
def test_every_page(guest, tmp_path, name):
    """Compare every byte with pmemsave of the stopped guest."""
    path = str(tmp_path / 'dump')
    guest.qmp.cmd('stop')
    try:
        guest.dump(path, format=name)
        dump = open_dump(path)
        total = 0
        for start, size in dump.ranges():
            saved = str(tmp_path / 'saved')
            guest.qmp.cmd('pmemsave', val=start, size=size, filename=saved)
            with open(saved, 'rb') as f:
                for at in range(0, size, 1 << 20):
                    n = min(1 << 20, size - at)
                    assert dump.read(start + at, n) == f.read(n), \
                        f'{start + at:#x}'
            total += size
        assert total >= 256 << 20
    finally:
        guest.qmp.cmd('cont')


def test_guest_lives_on(guest, dumps):
    guest.check_runs()
