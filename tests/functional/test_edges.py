# SPDX-License-Identifier: GPL-2.0-or-later
"""Unusual guests: more than 255 CPUs, and CPUs in user mode."""

import re
import struct

import pytest

import ram
from firmware import USER, Firmware
from gdbstub import GdbStub
from guest import Guest
from readers import run
from test_targets import qemu_major
from vm import VM
from vmcore import open_dump
from wait import wait_until

MiB = 1 << 20
FORMATS = ['elf', 'kdump-zlib', 'kdump-raw-lzo']

# struct user_regs_struct, which NT_PRSTATUS has at 112; and that of a CPU
# that is not in long mode, at 72.
REGS = ('r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax '
        'rip cs eflags rsp ss fs_base gs_base ds es fs gs').split()
REGS_32 = ('rbx rcx rdx rsi rdi rbp rax ds es fs gs orig_rax rip cs eflags '
           'rsp ss').split()
# QEMUCPUState of QEMU's own note: registers, then ten segments of 24 bytes
# (selector, limit, flags, padding, base), then these.
QEMU_REGS = ('rax rbx rcx rdx rsi rdi rsp rbp r8 r9 r10 r11 r12 r13 r14 r15 '
             'rip eflags').split()
SEGMENTS = 'cs ds es fs gs ss ldt tr gdt idt'.split()
CONTROL = 'cr0 cr1 cr2 cr3 cr4 k_gs_base'.split()


def prstatus(desc):
    if len(desc) == 144:
        regs = dict(zip(REGS_32, struct.unpack_from('<17I', desc, 72)))
        regs['pid'], = struct.unpack_from('<I', desc, 24)
    else:
        regs = dict(zip(REGS, struct.unpack_from('<27Q', desc, 112)))
        regs['pid'], = struct.unpack_from('<I', desc, 32)
    return regs


def qemu_state(desc):
    version, size = struct.unpack_from('<II', desc)
    assert (version, size) == (1, len(desc))
    regs = dict(zip(QEMU_REGS, struct.unpack_from('<18Q', desc, 8)))
    for i, name in enumerate(SEGMENTS):
        regs[name], = struct.unpack_from('<I', desc, 152 + 24 * i)
    regs.update(zip(CONTROL, struct.unpack_from('<6Q', desc, 392)))
    return regs


def cpu_notes(dump):
    """(NT_PRSTATUS, QEMU's note) of each CPU, in their order."""
    return list(zip((prstatus(d) for n, _, d in dump.notes if n == 'CORE'),
                    (qemu_state(d) for n, _, d in dump.notes
                     if n == 'QEMU')))


# -- many CPUs --------------------------------------------------------------

# Before QEMU 9.0 TCG had no x2APIC, and so no APIC ID above 254.
MANY = [255] if qemu_major() < 9 else [255, 288]


def many_registers(cpu):
    return {'rip': 0x8000 + 16 * cpu, 'rbx': 0xb0000000 + cpu,
            'rsp': 0xe000 - cpu}


@pytest.fixture(scope='module', params=MANY)
def many(request, ram_file):
    """A machine that was never started, with distinguishable CPUs."""
    arguments = ram.backend(ram_file, 32 * MiB, machine='q35')
    with VM(*arguments, '-cpu', 'max', '-smp', str(request.param),
            '-chardev', 'socket,id=gdb,path=gdb,server=on,wait=off',
            '-gdb', 'chardev:gdb', machine=None) as vm:
        gdb = GdbStub(vm.path('gdb'))
        for cpu in range(request.param):
            for name, value in many_registers(cpu).items():
                gdb.write(cpu, name, value)
        vm.cpus = request.param
        yield vm
        gdb.close()


@pytest.mark.parametrize('detach', [False, True])
@pytest.mark.parametrize('name', FORMATS)
def test_many_cpus(many, out, name, detach):
    many.dump(out, format=name, detach=detach)
    event = many.qmp.wait_event('DUMP_COMPLETED')
    assert event['data']['result']['status'] == 'completed'
    dump = open_dump(out)
    notes = cpu_notes(dump)
    assert len(notes) == dump.nr_prstatus == many.cpus
    for cpu, (core, qemu) in enumerate(notes):
        expected = many_registers(cpu)
        assert core['pid'] == cpu + 1
        assert {n: core[n] for n in expected} == expected
        assert {n: qemu[n] for n in expected} == expected
    if name != 'elf':
        assert dump.nr_cpus == many.cpus
    assert dump.read(2 * MiB, MiB) != bytes(MiB)


def test_many_cpus_readelf(many, out):
    many.dump(out)
    text = run('readelf', '-n', '-W', out)
    assert text.count('NT_PRSTATUS') == many.cpus
    assert 'arning' not in text


# -- CPUs in user code --------------------------------------------------------

# The firmware's final code is at 0x7800; the rest goes after it.
GDT_AT, TEXT_AT = 0x7900, 0x7a00
TEXT = 0x400000000a00
STACK = 0x400000001000
MARK = 0x1122334455667700
# Registers in the loop below; r14 is incremented, r15 identifies the CPU.
USER_REGS = {'rax': MARK, 'rcx': 0xc0ffee, 'rdx': MARK ^ 0xffff, 'rsi': 0x51,
             'rbp': 0xbbbb, 'r8': 0x88, 'r13': 0x1313, 'rsp': STACK + 0x800,
             'cs': 0x23, 'ss': 0x1b, 'ds': 0, 'es': 0}


def mov(opcode, value):
    return opcode + struct.pack('<Q', value)


def user_code():
    """The code, and the possible values of rip in its loop."""
    before = (
        b'\xb8\x01\x00\x00\x00'             # mov $1, %eax
        b'\x0f\xa2'                         # cpuid
        b'\xc1\xeb\x18' +                   # shr $24, %ebx (APIC ID)
        mov(b'\x48\xb8', USER_REGS['rax']) +
        b'\x4c\x8d\x3c\x18' +               # lea (%rax, %rbx), %r15
        mov(b'\x48\xb9', USER_REGS['rcx']) +
        mov(b'\x48\xba', USER_REGS['rdx']) +
        mov(b'\x48\xbe', USER_REGS['rsi']) +
        mov(b'\x48\xbd', USER_REGS['rbp']) +
        mov(b'\x49\xb8', USER_REGS['r8']) +
        mov(b'\x49\xbd', USER_REGS['r13']))
    loop = (b'\x49\xff\xc6'                 # inc %r14
            b'\xeb\xfb')                    # jmp
    at = TEXT + len(before)
    return before + loop, (at, at + 3)


def to_user_mode(user):
    """Final code of the firmware: enters user mode, with a GDT and that
    code."""
    code = (
        b'\x0f\x01\x14\x25' + struct.pack('<I', GDT_AT) +   # lgdt
        b'\x48\xc7\xc4\x00\x7f\x00\x00'     # mov $0x7f00, %rsp
        b'\x6a\x1b' +                       # push $0x1b (ss)
        mov(b'\x48\xb8', USER_REGS['rsp']) + b'\x50'
        b'\x6a\x02'                         # push $2 (rflags)
        b'\x6a\x23' +                       # push $0x23 (cs)
        mov(b'\x48\xb8', TEXT) + b'\x50'
        b'\x48\xcf')                        # iretq
    gdt = struct.pack('<QQQQQ', 0, 0x00cf92000000ffff, 0x00af9a000000ffff,
                      0x00cff2000000ffff, 0x00affa000000ffff)
    table = struct.pack('<HQ6x', len(gdt) - 1, GDT_AT + 16) + gdt
    return code.ljust(0x100, b'\0') + table.ljust(0x100, b'\0') + user


@pytest.fixture(scope='module')
def in_user_mode(tmp_path_factory):
    """Two CPUs that loop in ring 3, with separate page tables."""
    code, rips = user_code()
    folder = str(tmp_path_factory.mktemp('user'))
    with Firmware(folder, 'long', cpus=2, then=to_user_mode(code),
                  mappings=[(TEXT & ~0xfff, TEXT_AT & ~0xfff, 4096, USER),
                            (STACK, 9 * MiB, 4096, USER)]) as vm:
        vm.code, vm.rips = code, rips
        wait_until(lambda: vm.qmp.hmp('info registers -a').count('CPL=3') >= 2,
                   vm.stderr)
        yield vm


@pytest.mark.parametrize('arguments', [
    {'format': 'elf'}, {'format': 'elf', 'paging': True},
    {'format': 'kdump-zlib'}, {'format': 'kdump-raw-lzo', 'detach': True}])
def test_user_mode(in_user_mode, out, arguments):
    """The registers are those of the user code, not of the entry code."""
    vm = in_user_mode
    vm.dump(out, **arguments)
    vm.qmp.wait_event('DUMP_COMPLETED')
    dump = open_dump(out)
    notes = cpu_notes(dump)
    assert len(notes) == 2
    for cpu, (core, qemu) in enumerate(notes):
        for regs in (core, qemu):
            assert {n: regs[n] for n in USER_REGS} == USER_REGS
            assert regs['r15'] == MARK + cpu
            assert regs['rip'] in vm.rips
        assert core['r14'] == qemu['r14'] > 0
        assert qemu['cr3'] == vm.root
    if arguments.get('paging'):
        assert dump.read_virtual(TEXT, len(vm.code)) == vm.code
    else:
        assert dump.read(TEXT_AT, len(vm.code)) == vm.code
    assert vm.status() == 'running'


BUSY = ('b=/bin/busybox; $b mount -t devtmpfs dev /dev; '
        '$b mount -t proc proc /proc; $b mount -t sysfs sys /sys; '
        '$b insmod /lib/qemu_fw_cfg.ko; '
        'echo guest: release `uname -r`; echo guest: ready; '
        'while :; do :; done & while :; do :; done')


@pytest.fixture(scope='module')
def busy_guest():
    """A stopped Linux guest, both CPUs of which run loops of a shell."""
    with Guest('-append', 'console=ttyS0 quiet panic=-1 '
               f'rdinit=/bin/busybox -- sh -c "{BUSY}"') as g:
        def stopped():
            g.qmp.cmd('stop')
            text = g.qmp.hmp('info registers -a')
            if re.findall(r'CPL=(\d)', text) == ['3', '3']:
                return text
            g.qmp.cmd('cont')

        text = wait_until(stopped, lambda: g.qmp.hmp('info registers -a'), 0.05)
        g.registers = [
            {n.lower(): int(v, 16) for n, v in
             re.findall(r'\b([A-Z][A-Z0-9]{1,2}) ?=([0-9a-f]+)', part)}
            for part in text.split('CPU#')[1:]]
        yield g


@pytest.mark.guest
@pytest.mark.once
@pytest.mark.parametrize('name', FORMATS)
def test_busy_guest(busy_guest, out, name):
    busy_guest.dump(out, format=name)
    dump = open_dump(out)
    for (core, qemu), shown in zip(cpu_notes(dump), busy_guest.registers,
                                   strict=True):
        names = [n for n in QEMU_REGS if n != 'eflags'] + ['cs', 'ss']
        for regs in (core, qemu):
            assert {n: regs[n] for n in names} == {n: shown[n] for n in names}
        assert qemu['cr3'] == shown['cr3']
        assert core['cs'] & 3 == 3
        assert core['rip'] < 1 << 47
    assert dump.vmcoreinfo['OSRELEASE'] == busy_guest.release()


@pytest.mark.guest
@pytest.mark.once
@pytest.mark.parametrize('name', FORMATS)
def test_busy_guest_crash(busy_guest, out, name):
    busy_guest.dump(out, format=name)
    assert run('crash', '--osrelease', out).strip() == busy_guest.release()
