# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest's note: used if it is valid, omitted if not.

The test acts as the guest: it stores the note in memory and passes its address
to QEMU's vmcoreinfo device through fw_cfg.
"""

import pytest

import qtest
from firmware import Firmware
from qtest import note
from vm import VM
from vmcore import open_dump

pytestmark = pytest.mark.once

MiB = 1 << 20
SIZE = 16 * MiB
AT = 8 * MiB
RELEASE = '6.1.0-test'
GOOD = (f'OSRELEASE={RELEASE}\nPAGESIZE=4096\n'
        'NUMBER(phys_base)=18874368\n')


class Guest:
    """A machine whose guest is the test."""

    def __init__(self, vm):
        self.vm = vm
        self.qtest = qtest.QTest(vm.path('qtest'))
        self.fw_cfg = qtest.FwCfg(self.qtest)

    def publish(self, data, size=None, at=AT, kind=1):
        if at < SIZE:
            self.qtest.write(at, data[:SIZE - at])
        self.fw_cfg.publish_note(at, len(data) if size is None else size,
                                 kind)

    def dump(self, path, name):
        self.vm.dump(path, format=name)
        return open_dump(path)


@pytest.fixture(scope='module', params=['long', '32-bit'])
def guest(request, tmp_path_factory):
    folder = str(tmp_path_factory.mktemp('firmware'))
    with Firmware(folder, request.param, size=SIZE, args=(
            '-device', 'vmcoreinfo', '-qtest',
            'unix:qtest,server=on,wait=off', '-qtest-log', 'none')) as vm:
        yield Guest(vm)


def vmcoreinfo_text(dump):
    """The text; for a kdump, also as located by the sub header."""
    texts = [n[2] for n in dump.notes if n[0] == 'VMCOREINFO']
    if hasattr(dump, 'size_vmci'):
        texts.append(bytes(dump.source.read(dump.off_vmci, dump.size_vmci)))
    assert len(set(texts)) == 1
    return texts[0]


FORMATS = ['elf', 'kdump-zlib', 'kdump-raw-lzo']


@pytest.mark.parametrize('name', FORMATS)
def test_good_note(guest, out, name):
    guest.publish(note(GOOD))
    dump = guest.dump(out, name)
    assert vmcoreinfo_text(dump) == GOOD.encode()
    assert dump.vmcoreinfo['OSRELEASE'] == RELEASE
    # The guest's notes follow the CPUs' notes, unchanged.
    assert [n[0] for n in dump.notes] == ['CORE', 'QEMU', 'VMCOREINFO']
    if name != 'elf':
        # Decimal, as the kernel prints it.
        assert dump.phys_base == 18874368
        # All of utsname that readers look at.
        assert (dump.sysname, dump.release) == ('Linux', RELEASE)
        assert dump.machine == \
            ('x86_64' if guest.vm.mode.long else 'i686')


@pytest.mark.parametrize('text,value', [
    ('0', 0), ('-4096', -4096), ('-16777216', -16777216), ('4096', 4096),
    ('0x1000', 0x1000), ('9223372036854775807', (1 << 63) - 1),
    ('-9223372036854775808', -(1 << 63)),
    # Garbage is ignored.
    ('', 0), ('-', 0), ('--1', 0), ('12abc', 0), ('0x', 0), (' 4096', 0),
    ('4096 ', 0), ('99999999999999999999999999', 0), ('nan', 0),
    ('-0x99999999999999999', 0), ('\0', 0), ('\xff', 0),
])
def test_phys_base(guest, out, text, value):
    """The last line has no newline."""
    text = f'OSRELEASE={RELEASE}\nNUMBER(phys_base)={text}'
    guest.publish(note(text))
    dump = guest.dump(out, 'kdump-raw-zlib')
    assert dump.phys_base == value
    assert dump.release == RELEASE
    assert vmcoreinfo_text(dump) == text.encode()


@pytest.mark.parametrize('text,size', [
    ('4096', 4096), ('16384', 16384), ('65536', 65536),
    ('0', 4096), ('-4096', 4096), ('4095', 4096), ('12288', 4096),
    ('1024', 4096), ('1073741824', 4096), ('18446744073709551616', 4096),
    ('four', 4096), ('', 4096),
])
def test_page_size(guest, out, text, size):
    """Blocks have the guest kernel's page size, if it is valid."""
    guest.publish(note(f'PAGESIZE={text}\nOSRELEASE={RELEASE}\n'))
    dump = guest.dump(out, 'kdump-zlib')
    assert dump.block_size == size
    assert dump.release == RELEASE
    assert dump.max_mapnr == SIZE // size
    # The PC's hole begins and ends within one block of at most 64 KiB.
    for at in (0, 0x90000, MiB, AT, SIZE - size):
        data = guest.qtest.read(at, size)
        assert dump.read(at, size) == data


@pytest.mark.parametrize('text', [
    '', '\n', '=', '=\n=', '\n\n\n', 'OSRELEASE', 'OSRELEASE=', 'x' * 5000,
    'OSRELEASE=' + 'y' * 300, '\0' * 64, 'OSRELEASE=a\0b\nPAGESIZE=\0',
    'SYMBOL(init_uts_ns)=ffffffffffffffff\nOFFSET(uts_namespace.name)=-1\n'
    'OSRELEASE=6.1\n',
    'SYMBOL(init_uts_ns)=0\nOFFSET(uts_namespace.name)='
    '9223372036854775807\nOSRELEASE=6.1\n',
])
@pytest.mark.parametrize('name', FORMATS)
def test_odd_text(guest, out, name, text):
    """The guest's text is kept as it is, but not interpreted further."""
    guest.publish(note(text))
    dump = guest.dump(out, name)
    if text:
        assert vmcoreinfo_text(dump) == text.encode()
    if name != 'elf':
        assert len(dump.release) < 65
        assert dump.block_size == 4096


def test_long_release_is_cut(guest, out):
    guest.publish(note('OSRELEASE=' + 'y' * 300))
    assert guest.dump(out, 'kdump-zlib').release == 'y' * 64


def uts(release, **kwargs):
    """A kernel's struct new_utsname."""
    fields = dict(sysname='Linux', nodename='box', release=release,
                  version='#1 SMP', machine='other', domainname='(none)')
    fields.update(kwargs)
    return b''.join(f.encode().ljust(65, b'\0') for f in fields.values())


def with_symbol(guest, paddr, base=0):
    """VMCOREINFO with init_uts_ns at a guest-physical address."""
    at = 0xffffffff80000000 if guest.vm.mode.long else 0xc0000000
    at += paddr - base - 4
    return (f'OSRELEASE={RELEASE}\nSYMBOL(init_uts_ns)={at:x}\n'
            f'OFFSET(uts_namespace.name)=4\nNUMBER(phys_base)={base}\n')


def test_uts_of_the_kernel(guest, out):
    """Version and node name are read from the kernel's memory."""
    guest.qtest.write(AT + MiB, uts(RELEASE))
    guest.publish(note(with_symbol(guest, AT + MiB)))
    dump = guest.dump(out, 'kdump-raw-zlib')
    assert 'warnings' not in guest.vm.qmp.cmd('query-dump')
    assert (dump.sysname, dump.nodename, dump.release, dump.version) == \
        ('Linux', 'box', RELEASE, '#1 SMP')
    # Readers recognize the machine by this name.
    assert dump.machine == ('x86_64' if guest.vm.mode.long else 'i686')


@pytest.mark.parametrize('data', [
    uts('5.4.0'), uts(RELEASE, sysname='Unix'), b'\xff' * 390, bytes(390)],
    ids=['release', 'sysname', 'ones', 'zeroes'])
def test_uts_that_is_none(guest, out, data):
    """A utsname that is invalid, or that of another kernel, is ignored; so is
    the note's kernel location, if that must be wrong (it need not be on
    i386)."""
    before = len(guest.vm.stderr())
    guest.qtest.write(AT + MiB, data)
    guest.publish(note(with_symbol(guest, AT + MiB, 4096)))
    dump = guest.dump(out, 'kdump-raw-zlib')
    warnings = guest.vm.qmp.cmd('query-dump').get('warnings', [])
    found = (dump.sysname, dump.nodename, dump.release, dump.phys_base)
    if guest.vm.mode.long:
        assert found == ('', '', '', 0)
        assert 'does not match it' in warnings[0]
        assert 'does not match it' in guest.vm.stderr()[before:]
    else:
        assert found == ('Linux', '', RELEASE, 4096)
        assert not warnings
    # The note itself is kept for readers.
    assert dump.vmcoreinfo['OSRELEASE'] == RELEASE


@pytest.mark.parametrize('paddr', [SIZE - 100, SIZE, 0xfee00000])
def test_uts_outside_memory(guest, out, paddr):
    guest.publish(note(with_symbol(guest, paddr)))
    dump = guest.dump(out, 'kdump-raw-zlib')
    assert (dump.sysname, dump.nodename, dump.release) == \
        ('Linux', '', RELEASE)


HUGE = 0xffffffff

LIES = {
    'name size': dict(data=note(GOOD, namesz=HUGE)),
    'name size to the end': dict(data=note(GOOD, namesz=HUGE - 11)),
    'name size one too many': dict(data=note(GOOD, namesz=2000)),
    'text size': dict(data=note(GOOD, descsz=HUGE)),
    'text size that wraps': dict(data=note(GOOD, descsz=HUGE - 23)),
    'text size a bit too large': dict(data=note(GOOD,
                                                descsz=len(GOOD) + 100)),
    'both': dict(data=note(GOOD, namesz=HUGE, descsz=HUGE)),
    'both halves': dict(data=note(GOOD, namesz=1 << 31, descsz=1 << 31)),
    'header cut off': dict(data=note(GOOD), size=11),
    'one byte': dict(data=note(GOOD), size=1),
    'nothing': dict(data=note(GOOD), size=0),
    'text cut off': dict(data=note(GOOD), size=30),
    'size of all': dict(data=note(GOOD), size=HUGE),
    'size beyond RAM': dict(data=note(GOOD), size=SIZE - AT + 1),
    'beyond RAM': dict(data=note(GOOD), at=SIZE),
    'half beyond RAM': dict(data=note(GOOD), at=SIZE - 20),
    'in a device': dict(data=note(GOOD), at=0xfee00000),
    'in no memory': dict(data=note(GOOD), at=(1 << 52) - 4096),
    'wrapping': dict(data=note(GOOD), at=(1 << 64) - 8),
    'last byte': dict(data=note(GOOD), at=(1 << 64) - 1),
    'another kind': dict(data=note(GOOD), kind=2),
    'no kind': dict(data=note(GOOD), kind=0),
    'garbage': dict(data=b'\xa5' * 512),
    'zeroes': dict(data=bytes(12)),
}


@pytest.mark.parametrize('name', FORMATS)
@pytest.mark.parametrize('lie', LIES)
def test_lies_lose_the_note_only(guest, out, name, lie):
    guest.publish(**LIES[lie])
    dump = guest.dump(out, name)
    assert dump.vmcoreinfo is None
    assert dump.nr_prstatus == 1
    assert dump.read(MiB, MiB) == guest.vm.memory[MiB:2 * MiB]
    if name != 'elf':
        assert (dump.size_vmci, dump.release) == (0, '')
    # The next dump is not affected.
    guest.publish(note(GOOD))
    assert vmcoreinfo_text(guest.dump(out, name)) == GOOD.encode()


def test_warning_says_why(guest, out):
    before = len(guest.vm.stderr())
    guest.publish(note(GOOD, descsz=HUGE))
    guest.dump(out, 'elf')
    assert 'guest note' in guest.vm.stderr()[before:]


@pytest.mark.parametrize('name', FORMATS)
def test_several_notes(guest, out, name):
    """All complete ones are kept; the rest is omitted."""
    guest.publish(note('first', b'XEN\0') + note(GOOD) +
                  note('third', b'MINE\0', kind=7) +
                  note('bad', b'BAD\0', descsz=HUGE))
    dump = guest.dump(out, name)
    kept = [n for n in dump.notes if n[0] not in ('CORE', 'QEMU')]
    assert kept == [('XEN', 0, b'first'), ('VMCOREINFO', 0, GOOD.encode()),
                    ('MINE', 7, b'third')]
    assert vmcoreinfo_text(dump) == GOOD.encode()


@pytest.mark.parametrize('name', FORMATS)
@pytest.mark.parametrize('room', [1, 11, 12, 13, 24, 4096])
def test_padding(guest, out, name, room):
    """Linux reserves 4 KiB, and the note is followed by zeroes."""
    before = len(guest.vm.stderr())
    guest.publish(note(GOOD) + bytes(room))
    dump = guest.dump(out, name)
    assert [n[0] for n in dump.notes] == ['CORE', 'QEMU', 'VMCOREINFO']
    assert vmcoreinfo_text(dump) == GOOD.encode()
    assert guest.vm.stderr()[before:] == ''


def test_name_without_terminator(guest, out):
    guest.publish(note(GOOD, b'VMCOREINFO'))
    assert vmcoreinfo_text(guest.dump(out, 'elf')) == GOOD.encode()


@pytest.mark.parametrize('name', FORMATS)
def test_text_at_the_very_end(guest, out, name):
    """The size may omit the padding, and memory may end before it."""
    text = GOOD.rstrip('\n')
    text += 'x' * (3 - len(text) % 4) if len(text) % 4 != 3 else ''
    data = note(text)[:24 + len(text)]
    guest.publish(data, at=SIZE - len(data))
    assert vmcoreinfo_text(guest.dump(out, name)) == text.encode()


def test_note_is_read_whatever_the_range(guest, out):
    guest.publish(note(GOOD))
    guest.vm.dump(out, begin=MiB, length=4096)
    dump = open_dump(out)
    assert vmcoreinfo_text(dump) == GOOD.encode()
    assert dump.ranges() == [(MiB, 4096)]


def test_machine_without_device(running, out):
    running.dump(out, format='kdump-zlib')
    dump = open_dump(out)
    assert dump.vmcoreinfo is None
    # Not "Unknown".
    assert dump.machine == 'i686'


def test_device_without_note(out):
    with VM('-m', '16M', '-device', 'vmcoreinfo') as vm:
        vm.dump(out)
        assert open_dump(out).vmcoreinfo is None
        # The warning of the unmodified QEMU, also in the dump's result.
        assert vm.stderr().endswith('guest note is not present\n')
        assert vm.qmp.cmd('query-dump')['warnings'] == \
            ['guest note is not present']
