# SPDX-License-Identifier: GPL-2.0-or-later
"""VMCOREINFO found in guest memory: whether tools can use the dump, and how a
guest could disturb the search."""

import os
import subprocess

import pytest

import qtest
from firmware import Firmware
from guest import Guest
from qmp import QMPError
from qtest import note
from readers import rearranged, run
from test_guest import DRGN, KDUMPFILE
from vmcore import open_dump

pytestmark = [pytest.mark.guest, pytest.mark.once]

MiB = 1 << 20
FORMATS = ['elf', 'kdump-zlib', 'kdump-raw-lzo']


def source(vm):
    return vm.qmp.cmd('query-dump').get('vmcoreinfo')


def text_of(dump):
    texts = [n[2] for n in dump.notes if n[0] == 'VMCOREINFO']
    assert len(texts) == 1
    return texts[0].rstrip(b'\0')


@pytest.fixture(scope='module')
def guest():
    """A guest without the device; the kernel uses KASLR."""
    with Guest(memory='512M', device=False) as g:
        yield g


class Dumps(dict):
    def __init__(self, guest, folder):
        super().__init__()
        self.guest = guest
        self.folder = folder

    def __missing__(self, name):
        path = str(self.folder / name)
        self.guest.dump(path, format=name)
        assert source(self.guest) == 'search'
        assert 'warnings' not in self.guest.qmp.cmd('query-dump')
        self[name] = path
        return path


@pytest.fixture(scope='module')
def dumps(guest, tmp_path_factory):
    return Dumps(guest, tmp_path_factory.mktemp('dumps'))


# -- real guests, real tools ------------------------------------------------

@pytest.mark.parametrize('name', FORMATS)
def test_crash(guest, dumps, name):
    assert run('crash', '--osrelease', dumps[name]).strip() == \
        guest.release()


@pytest.mark.parametrize('name', FORMATS)
def test_makedumpfile(guest, dumps, name, tmp_path):
    out = str(tmp_path / 'dmesg')
    run('makedumpfile', '--dump-dmesg', rearranged(dumps[name], tmp_path),
        out)
    with open(out) as f:
        assert f'Linux version {guest.release()}' in f.read()


@pytest.mark.parametrize('name', ['elf', 'kdump-raw-lzo'])
def test_drgn(guest, dumps, name):
    pfn = next(p for p in open_dump(dumps['kdump-raw-lzo']).pfns
               if p > 0x1000)
    out = subprocess.run(['/usr/bin/python3', '-c', DRGN, dumps[name],
                          str(pfn * 4096)], capture_output=True)
    assert out.returncode == 0, out.stderr.decode()
    line, data = out.stdout.split(b'\n', 1)
    assert line.decode().split() == ['X86_64', guest.release()]
    assert data == open_dump(dumps[name]).read(pfn * 4096, 4096)


def test_libkdumpfile(guest, dumps):
    path = dumps['kdump-raw-lzo']
    out = subprocess.run(['/usr/bin/python3', '-c', KDUMPFILE, path, '4096'],
                         capture_output=True)
    assert out.returncode == 0, out.stderr.decode()
    assert out.stdout.split(b'\n')[0].decode().split() == \
        ['x86_64', '2', guest.release()]


@pytest.mark.parametrize('name', FORMATS)
def test_strict_reader(guest, dumps, name):
    dump = open_dump(dumps[name])
    assert [n[0] for n in dump.notes] == \
        ['CORE'] * 2 + ['QEMU'] * 2 + ['VMCOREINFO']
    assert dump.vmcoreinfo['OSRELEASE'] == guest.release()
    if name != 'elf':
        assert dump.phys_base == int(dump.vmcoreinfo['NUMBER(phys_base)'])
        assert dump.version.startswith('#1 SMP')


@pytest.mark.parametrize('threads', [1, 4])
@pytest.mark.parametrize('wish,want', [
    ('auto', 'search'), ('search', 'search'), ('device', 'none'),
    ('off', 'none')])
def test_wishes(guest, tmp_path, wish, want, threads):
    path = str(tmp_path / 'dump')
    guest.dump(path, format='kdump-raw-zlib', vmcoreinfo=wish,
               threads=threads)
    assert source(guest) == want
    assert [n[0] for n in open_dump(path).notes].count('VMCOREINFO') == \
        (want == 'search')


def test_event(guest, tmp_path):
    guest.qmp.event_names()
    guest.dump(str(tmp_path / 'dump'), detach=True)
    event = guest.qmp.wait_event('DUMP_COMPLETED')
    assert event['data']['result']['vmcoreinfo'] == 'search'


def test_range(guest, tmp_path):
    """As drgn does: no search, unless requested."""
    path = str(tmp_path / 'byte')
    guest.dump(path, begin=MiB, length=1)
    assert source(guest) == 'none'
    guest.dump(path, begin=MiB, length=1, vmcoreinfo='search')
    assert source(guest) == 'search'
    assert open_dump(path).vmcoreinfo['OSRELEASE'] == guest.release()


def test_driver_missing(tmp_path):
    """The device is present, but the module is not loaded. The note found is
    the same as the driver's would be."""
    path = str(tmp_path / 'dump')
    with Guest(append='module_blacklist=qemu_fw_cfg') as g:
        assert 'no fw_cfg' in g.console()
        g.dump(path, format='kdump-raw-zlib')
        assert source(g) == 'search'
        assert 'warnings' not in g.qmp.cmd('query-dump')
        assert open_dump(path).release == g.release()
        g.dump(path, vmcoreinfo='device')
        assert g.qmp.cmd('query-dump')['warnings'] == \
            ['guest note is not present']


def test_same_as_device(tmp_path):
    """The driver's note is the only one that a search can find."""
    path, saved = str(tmp_path / 'dump'), str(tmp_path / 'saved')
    with Guest() as g:
        g.dump(path)
        assert source(g) == 'device'
        want = text_of(open_dump(path))
        g.qmp.cmd('pmemsave', val=0, size=256 * MiB, filename=saved)
    with open(saved, 'rb') as f:
        memory = f.read()
    places = [at for at in range(0, len(memory), 4096)
              if memory[at:at + 24] == note(want)[:24]]
    assert [memory[at + 24:at + 24 + len(want)] for at in places] == [want]


def test_pti_user_code(tmp_path):
    with Guest(device=False, append='pti=on') as g:
        for _ in range(3):
            g.dump(str(tmp_path / 'dump'))
            assert source(g) == 'search'
            assert 'warnings' not in g.qmp.cmd('query-dump')


def test_after_reset(tmp_path):
    """Memory of the previous kernel is not cleared."""
    with Guest(device=False, memory='512M') as g:
        for boot in range(2, 4):
            g.qmp.cmd('system_reset')
            g.wait_for('(?s)' + 'guest: ready.*' * boot)
            g.dump(str(tmp_path / 'dump'), format='kdump-raw-zlib')
            assert source(g) == 'search'
            assert open_dump(tmp_path / 'dump').release == g.release()


# -- synthetic guests --------------------------------------------------------

KERNEL_MAP = 0xffffffff80000000
SIZE = 16 * MiB


def uts(release):
    """init_uts_ns."""
    return bytes(4) + b''.join(s.encode().ljust(65, b'\0') for s in (
        'Linux', 'node', release, '#1', 'x86_64', 'domain'))


def text(symbol, paddr, release='6.1.0'):
    """Text of a kernel whose init_uts_ns is at that address."""
    return (f'OSRELEASE={release}\nPAGESIZE=4096\n'
            f'SYMBOL(init_uts_ns)={symbol:x}\n'
            'OFFSET(uts_namespace.name)=4\n'
            f'NUMBER(phys_base)={paddr - (symbol - KERNEL_MAP)}\n')


def put(memory, at, data):
    memory[at:at + len(data)] = data


@pytest.fixture
def made_up(tmp_path):
    """A CPU that maps the kernel at 5 MiB; all kernels have the same virtual
    address."""
    with Firmware(str(tmp_path), 'long', [(KERNEL_MAP, 5 * MiB, 4096)],
                  size=SIZE, args=('-device', 'vmcoreinfo', '-qtest',
                                   'unix:qtest,server=on,wait=off',
                                   '-qtest-log', 'none')) as vm:
        yield vm


def dump_of(vm, tmp_path, name='elf', **arguments):
    path = str(tmp_path / 'dump')
    vm.dump(path, format=name, **arguments)
    return open_dump(path)


def warnings(vm):
    return vm.qmp.cmd('query-dump').get('warnings', [])


def test_not_linux(made_up, tmp_path):
    put(made_up.memory, 4 * MiB, os.urandom(2 * MiB))
    dump = dump_of(made_up, tmp_path)
    assert source(made_up) == 'none'
    assert warnings(made_up) == ['guest note is not present']
    assert not [n for n in dump.notes if n[0] == 'VMCOREINFO']


@pytest.mark.parametrize('name', FORMATS)
def test_false_notes(made_up, tmp_path, name):
    """Many false notes of a missing kernel, and of one that is present."""
    memory = made_up.memory
    lie = note(text(KERNEL_MAP, 6 * MiB, 'lie')).ljust(4096, b'\0')
    put(memory, 7 * MiB, lie * (8 * MiB // 4096))
    put(memory, 5 * MiB, uts('6.1.0'))
    true = text(KERNEL_MAP, 5 * MiB)
    put(memory, SIZE - 4096, note(true))
    dump = dump_of(made_up, tmp_path, name)
    assert source(made_up) == 'search'
    assert text_of(dump).decode() == true
    assert not warnings(made_up)


def test_two_kernels(made_up, tmp_path):
    """The second one's note comes first; the first one's kernel is mapped."""
    memory = made_up.memory
    for at in (5 * MiB, 6 * MiB):
        put(memory, at, uts('6.1.0'))
        put(memory, 12 * MiB - at, note(text(KERNEL_MAP, at)))
    dump = dump_of(made_up, tmp_path, 'kdump-raw-zlib')
    assert dump.phys_base == 5 * MiB
    assert source(made_up) == 'search'
    assert not warnings(made_up)


def test_nobody_tells(made_up, tmp_path):
    """No CPU maps anything at either kernel's addresses."""
    memory = made_up.memory
    for at in (5 * MiB, 6 * MiB):
        put(memory, at, uts('6.1.0'))
        put(memory, at + MiB // 2,
            note(text(KERNEL_MAP + 0x1000000, at)))
    dump = dump_of(made_up, tmp_path)
    assert source(made_up) == 'none'
    assert warnings(made_up) == [
        'VMCOREINFO in guest memory is left out: there are notes of 2 '
        'kernels, and it is not known which one runs',
        'guest note is not present']
    assert not [n for n in dump.notes if n[0] == 'VMCOREINFO']


def test_kernel_that_ended(made_up, tmp_path):
    memory = made_up.memory
    put(memory, 6 * MiB, uts('6.1.0'))
    put(memory, 7 * MiB, note(text(KERNEL_MAP, 6 * MiB)))
    dump_of(made_up, tmp_path)
    assert source(made_up) == 'none'
    assert 'no CPU runs its kernel' in warnings(made_up)[0]


def test_drivers_kernel_gone(made_up, tmp_path):
    """kexec: the device's note is of the previous kernel."""
    fw_cfg = qtest.FwCfg(qtest.QTest(made_up.path('qtest')))
    memory = made_up.memory
    old, new = text(KERNEL_MAP, 6 * MiB, '5.10.0'), text(KERNEL_MAP, 5 * MiB)
    put(memory, 8 * MiB, note(old))
    put(memory, 9 * MiB, note(new))
    put(memory, 5 * MiB, uts('6.1.0'))
    fw_cfg.publish_note(8 * MiB, len(note(old)))
    dump = dump_of(made_up, tmp_path, 'kdump-raw-zlib')
    assert source(made_up) == 'search'
    assert (dump.release, dump.phys_base) == ('6.1.0', 5 * MiB)
    assert text_of(dump).decode() == new
    assert len(warnings(made_up)) == 1
    assert 'is used instead' in warnings(made_up)[0]
    # Not if only the device is used.
    dump = dump_of(made_up, tmp_path, 'kdump-raw-zlib', vmcoreinfo='device')
    assert (source(made_up), dump.release) == ('device', '')


def test_drivers_kernel_idle(made_up, tmp_path):
    """kexec: the previous kernel is still in memory, but no CPU runs it. One
    that has crashed is the relevant one: a crash kernel runs."""
    fw_cfg = qtest.FwCfg(qtest.QTest(made_up.path('qtest')))
    memory = made_up.memory
    old, new = text(KERNEL_MAP, 6 * MiB, '5.10.0'), text(KERNEL_MAP, 5 * MiB)
    crashed = old + 'CRASHTIME=1764072000\n'
    put(memory, 6 * MiB, uts('5.10.0'))
    for data, found in ((note(old), ('search', '6.1.0')),
                        (note(crashed), ('device', '5.10.0'))):
        put(memory, 5 * MiB, uts('6.1.0'))
        put(memory, 8 * MiB, data)
        put(memory, 9 * MiB, note(new))
        fw_cfg.publish_note(8 * MiB, len(data))
        dump = dump_of(made_up, tmp_path, 'kdump-raw-zlib')
        assert (source(made_up), dump.release) == found
        if found[0] == 'search':
            assert 'no CPU runs its kernel' in warnings(made_up)[0]
        else:
            assert not warnings(made_up)
    # It does run, or no other kernel is known.
    put(memory, 5 * MiB, bytes(4096))
    put(memory, 8 * MiB, note(old))
    fw_cfg.publish_note(8 * MiB, len(note(old)))
    dump = dump_of(made_up, tmp_path, 'kdump-raw-zlib')
    assert (source(made_up), dump.release) == ('device', '5.10.0')
    assert not warnings(made_up)


def test_wrong_wish(made_up, tmp_path):
    with pytest.raises(QMPError, match='vmcoreinfo|always'):
        dump_of(made_up, tmp_path, vmcoreinfo='always')
