# SPDX-License-Identifier: GPL-2.0-or-later
"""Every target: stopped machines with known memory and registers.

The programs are those in the same folder as the one under test. $DUMP_TARGETS
lists those that must exist, separated by commas, or "all"; without it, all
existing ones are tested.
"""

import os
import re
import subprocess

import pytest

import qtest
import ram
from firmware import Firmware
from gdbstub import TargetStub
from qmp import QMPError
from vm import VM, qemu_binary, qemu_program
from vmcore import open_dump

MiB = 1 << 20


def slots(start, size, names):
    """Name -> (offset, bytes) of consecutive registers; '-' is skipped."""
    return {name: (start + i * size, size)
            for i, name in enumerate(names.split()) if name != '-'}


def numbered(prefix, count, first=0):
    return ' '.join(f'{prefix}{i}' for i in range(first, first + count))


class Target:
    """A target that has CPU note writers, with a small machine.

    regs: gdb's name -> (offset, bytes) in NT_PRSTATUS, as in struct user_regs
          of the kernel's <asm/ptrace.h>
    state: those of them whose value is the machine's, not the test's
    order: byte order of the dump; gdb: that of the program, if different
    """

    def __init__(self, machine, elf_machine, word, uname, regs, state=(),
                 order='little', gdb=None, program=None, base=0,
                 size=16 * MiB, block=4096, cpus=2, args=(), fw_cfg=None):
        self.machine = machine
        self.elf_machine = elf_machine
        self.is64 = word == 8
        self.order = order
        self.struct_order = {'little': '<', 'big': '>'}[order]
        self.gdb = gdb or order
        self.program = program          # None: that of the same name
        self.uname = uname
        self.regs = regs
        self.state = state
        self.base = base                # guest-physical address of memory
        self.size = size
        self.block = block              # without the guest's note
        self.cpus = cpus                # at most
        self.args = args
        self.fw_cfg = fw_cfg            # DMA register; None if there is none


# elf_prstatus: 112 bytes before the registers, 72 with 4-byte words.
I386_REGS = slots(72, 4, 'ebx ecx edx esi edi ebp eax ds es fs gs - eip cs '
                  'eflags esp ss')
X86_64_REGS = slots(112, 8, 'r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx '
                    'rsi rdi - rip - - rsp')
RISCV = 'pc ra sp gp tp t0 t1 t2 fp s1 ' + numbered('a', 8) + ' ' + \
    numbered('s', 10, 2) + ' ' + numbered('t', 4, 3)
# The writer uses the offsets of the 64-bit structure for both classes.
PPC = 'pc msr - ctr lr xer cr'


def ppc_regs(word):
    return slots(112, word, numbered('r', 32) + ' ' + PPC)




def aarch64(cpu, uname, **kwargs):
    return Target('virt', 183, 8, uname,
                  slots(112, 8, numbered('x', 31) + ' sp pc cpsr'), ('cpsr',),
                  base=1 << 30, block=65536, args=('-cpu', cpu),
                  fw_cfg=0x9020010, **kwargs)


def arm(cpu, uname, **kwargs):
    return Target('virt', 40, 4, uname,
                  slots(72, 4, numbered('r', 13) + ' sp lr pc cpsr'),
                  ('cpsr',), base=1 << 30, args=('-cpu', cpu),
                  fw_cfg=0x9020010, **kwargs)


# With cfgend=on a CPU starts in big-endian mode.
TARGETS = {
    # The target treats the ROM that ends at 4 GiB as above: ELF64.
    'i386': Target('pc', 3, 8, 'i686', I386_REGS,
                   ('ds', 'es', 'fs', 'gs', 'cs', 'ss', 'eflags')),
    'aarch64': aarch64('max', 'aarch64'),
    'aarch64_be': aarch64('cortex-a57,cfgend=on', 'aarch64_be', order='big',
                          gdb='little', program='aarch64'),
    'arm': arm('cortex-a15', 'armv7l'),
    'armeb': arm('cortex-a15,cfgend=on', 'armv7b', order='big', gdb='little',
                 program='arm'),
    # A 32-bit CPU of the 64-bit program.
    'arm-64': arm('cortex-a15', 'armv7l', program='aarch64'),
    'ppc64': Target(
        'pseries', 21, 8, 'ppc64', ppc_regs(8), ('msr', 'xer', 'cr'), 'big',
        size=256 * MiB, block=65536),
    'ppc': Target('bamboo', 20, 4, 'ppc', ppc_regs(4), ('msr', 'xer', 'cr'),
                  'big', cpus=1),
    's390x': Target(
        's390-ccw-virtio', 22, 8, 's390x',
        {**slots(112, 8, 'pswm pswa ' + numbered('r', 16)),
         **slots(112 + 18 * 8, 4, numbered('acr', 16))}, ('pswm',), 'big'),
    'riscv64': Target('virt', 243, 8, 'riscv64', slots(112, 8, RISCV),
                      base=1 << 31, args=('-bios', 'none'),
                      fw_cfg=0x10100010),
    'riscv32': Target('virt', 243, 4, 'riscv32', slots(72, 4, RISCV),
                      base=1 << 31, args=('-bios', 'none'),
                      fw_cfg=0x10100010),
    # The writer stores CSR.ERA instead of the program counter.
    'loongarch64': Target(
        'virt', 258, 8, 'loongarch64',
        slots(112, 8, '- ' + numbered('r', 31, 1)),
        fw_cfg=0x1e020010),
}
# Targets without note writers: target -> machine.
OTHERS = {'m68k': 'virt', 'or1k': 'or1k-sim'}


def qemu_major():
    out = subprocess.run([qemu_binary(), '--version'], check=True,
                         capture_output=True, text=True).stdout
    return int(re.search(r'version (\d+)', out)[1])


if qemu_major() < 8:
    del TARGETS['loongarch64']
    OTHERS['loongarch64'] = 'virt'
    # Its fw_cfg has no DMA, which the vmcoreinfo device needs.
    TARGETS['riscv64'].fw_cfg = TARGETS['riscv32'].fw_cfg = None


def built_programs(names):
    """Programs of the targets to be tested."""
    wanted = os.environ.get('DUMP_TARGETS')
    if wanted:
        return [n for n in names if wanted == 'all' or n in wanted.split(',')]
    return [n for n in names if os.path.exists(qemu_program(n))]


def built(targets):
    """Names of the targets whose program is built."""
    return [name for name, target in targets.items() if built_programs(
        [getattr(target, 'program', None) or name])]


GDB = ('-chardev', 'socket,id=gdb,path=gdb,server=on,wait=off', '-gdb',
       'chardev:gdb')


def write_registers(gdb, sizes, cpu=0):
    """Write different values to all registers; returns name -> value."""
    values = {}
    for n, (name, size) in enumerate(sizes.items()):
        # No two bytes are equal; a multiple of 8.
        value = 0x0123456789000058 | n << 8 | (cpu + 1) << 16
        values[name] = value & (1 << size * 8) - 1
        gdb.write(cpu, name, values[name])
    return values


class Machine(VM):
    """A stopped machine of a target, with known memory and registers."""

    def __init__(self, name, folder, *args, cpus=1):
        self.name = name
        self.target = target = TARGETS[name]
        self.nr_cpus = cpus
        self.memory = os.path.join(folder, 'memory')
        ram.fill(self.memory, 4 * MiB)
        os.truncate(self.memory, target.size)
        super().__init__(
            *target.args, *args, '-smp', str(cpus),
            *ram.backend(self.memory, target.size, target.machine),
            *GDB, '-qtest', 'unix:qtest,server=on,wait=off', '-qtest-log',
            'none', binary=qemu_program(target.program or name), machine=None)
        try:
            self.gdb = TargetStub(self.path('gdb'), target.gdb)
            self.expected = [self.set_registers(cpu) for cpu in range(cpus)]
        except BaseException:
            self.close()
            raise

    def set_registers(self, cpu):
        """Set each register to a different value; returns name -> value."""
        values = write_registers(self.gdb, {
            name: size for name, (_, size) in self.target.regs.items()
            if name not in self.target.state}, cpu)
        for name in self.target.state:
            values[name] = self.gdb.read(cpu, name)
        return values

    def ram_bytes(self, at, size):
        with open(self.memory, 'rb') as f:
            f.seek(at)
            return f.read(size)

    def saved(self, start, size):
        """Output of pmemsave for guest-physical memory."""
        path = self.path('saved')
        self.qmp.cmd('pmemsave', val=start, size=size, filename=path)
        with open(path, 'rb') as f:
            return f.read()


@pytest.fixture(scope='module', params=[
    pytest.param((name, cpus), id=f'{name}-{cpus}') for name in built(TARGETS)
    for cpus in range(1, TARGETS[name].cpus + 1)])
def machine(request, tmp_path_factory):
    name, cpus = request.param
    with Machine(name, str(tmp_path_factory.mktemp(name)), cpus=cpus) as vm:
        yield vm


def registers(regs, desc, order):
    """Name -> value of the registers in NT_PRSTATUS."""
    return {name: int.from_bytes(desc[at:at + size], order)
            for name, (at, size) in regs.items()}


def check_notes(machine, dump):
    assert (dump.is64, dump.order) == (machine.target.is64,
                                       machine.target.struct_order)
    notes = [d for name, kind, d in dump.notes
             if (name, kind) == ('CORE', 1)]
    assert len(notes) == machine.nr_cpus
    for desc, expected in zip(notes, machine.expected):
        assert registers(machine.target.regs, desc,
                         machine.target.order) == expected


def check_memory(machine, dump):
    """Compare every byte with QEMU's view and with the RAM's backing file."""
    base, size = machine.target.base, machine.target.size
    total = 0
    for start, length in dump.ranges():
        for at in range(start, start + length, MiB):
            n = min(MiB, start + length - at)
            data = dump.read(at, n)
            assert data == machine.saved(at, n), f'{at:#x}'
            # ROMs overlap the end of a PC's first megabyte.
            if base + MiB <= at and at + n <= base + size:
                assert data == machine.ram_bytes(at - base, n), f'{at:#x}'
                total += n
    assert total == size - MiB


def test_capability(machine):
    formats = machine.qmp.cmd('query-dump-guest-memory-capability')['formats']
    assert 'elf' in formats and 'kdump-zlib' in formats


def test_elf(machine, out):
    machine.dump(out)
    dump = open_dump(out)
    assert dump.machine == machine.target.elf_machine
    check_notes(machine, dump)
    check_memory(machine, dump)


@pytest.mark.parametrize('name', ['kdump-zlib', 'kdump-raw-zlib',
                                  'kdump-raw-lzo'])
def test_kdump(machine, out, name):
    machine.dump(out, format=name)
    dump = open_dump(out)
    assert dump.machine == machine.target.uname
    assert dump.block_size == machine.target.block
    assert dump.nr_cpus == machine.nr_cpus
    check_notes(machine, dump)
    check_memory(machine, dump)
    # Bitmaps: every page of RAM is set, up to the last.
    end = max(start + size for start, size in dump.ranges())
    assert dump.max_mapnr == end // dump.block_size
    assert dump.pfns == dump.ram


def test_same_ranges(machine, out):
    """Both formats have the same memory, in whole blocks, up to the end of
    RAM. Device memory above that is only in an ELF core."""
    end = machine.target.base + machine.target.size
    machine.dump(out)
    ranges = open_dump(out).ranges()
    machine.dump(out, format='kdump-zlib')
    dump = open_dump(out)
    assert dump.max_mapnr == end // dump.block_size
    assert set(dump.ram) == {
        pfn for start, size in ranges if start < end
        for pfn in range(start // dump.block_size,
                         -(-(start + size) // dump.block_size))}


@pytest.mark.parametrize('name', ['elf', 'kdump-raw-zlib'])
def test_x86_64_registers(tmp_path, out, name):
    """In long mode, which the CPU's code has to enter. Other tests of x86_64
    are in the other files."""
    with Firmware(str(tmp_path), 'long', args=GDB) as vm:
        vm.qmp.cmd('stop')
        expected = write_registers(TargetStub(vm.path('gdb'), 'little'),
                                   {n: s for n, (_, s) in X86_64_REGS.items()})
        vm.dump(out, format=name)
        dump = open_dump(out)
        desc = next(d for n, kind, d in dump.notes if n == 'CORE')
        assert registers(X86_64_REGS, desc, 'little') == expected


# -- the guest's own note ------------------------------------------------------


@pytest.fixture(scope='module', params=[
    name for name in built(TARGETS) if TARGETS[name].fw_cfg])
def guest(request, tmp_path_factory):
    """A machine whose guest is the test; publish(text) acts as its driver."""
    with Machine(request.param, str(tmp_path_factory.mktemp('guest')),
                 '-device', 'vmcoreinfo') as vm:
        target = vm.target
        q = qtest.QTest(vm.path('qtest'))
        fw_cfg = qtest.FwCfg(q, target.base + MiB, target.fw_cfg)

        def publish(text):
            data = qtest.note(text, order=target.struct_order)
            q.write(target.base + 2 * MiB, data)
            fw_cfg.publish_note(target.base + 2 * MiB, len(data))
        vm.publish = publish
        yield vm


def notes_of(dump, name):
    return [desc for n, _, desc in dump.notes if n == name]


@pytest.mark.parametrize('name', ['elf', 'kdump-zlib', 'kdump-raw-zlib'])
def test_guest_note(guest, out, name):
    """Also found if the byte order is not the host's."""
    text = 'OSRELEASE=6.1.0-test\nPAGESIZE=4096\nNUMBER(phys_base)=4096\n'
    guest.publish(text)
    guest.dump(out, format=name)
    dump = open_dump(out)
    assert notes_of(dump, 'VMCOREINFO') == [text.encode()]
    check_notes(guest, dump)
    if name != 'elf':
        assert dump.source.read(dump.off_vmci, dump.size_vmci) == \
            text.encode()
        assert (dump.sysname, dump.release, dump.phys_base) == \
            ('Linux', '6.1.0-test', 4096)
        assert dump.machine == guest.target.uname


@pytest.mark.parametrize('size', [4096, 16384, 65536])
def test_page_size(guest, out, size):
    """Blocks have the guest's page size, not the largest of the CPU."""
    guest.publish(f'OSRELEASE=6.1.0-test\nPAGESIZE={size}\n')
    guest.dump(out, format='kdump-zlib')
    dump = open_dump(out)
    assert dump.block_size == size
    assert dump.release == '6.1.0-test'
    check_memory(guest, dump)


def test_physical_offset(guest, out):
    """On architectures that print it as a hexadecimal number."""
    guest.publish('OSRELEASE=6.1.0-test\nNUMBER(PHYS_OFFSET)=0x40200000\n')
    guest.dump(out, format='kdump-zlib')
    assert open_dump(out).phys_base == 0x40200000


# -- machines without support --------------------------------------------------


def refused(vm, out):
    """Refused with the reason, without side effects; not listed as
    supported."""
    assert vm.qmp.cmd('query-dump-guest-memory-capability')['formats'] == []
    for arguments in ({}, {'format': 'kdump-zlib'}, {'detach': True}):
        with pytest.raises(QMPError, match='not supported for this target'):
            vm.dump(out, **arguments)
    assert not os.path.exists(out)
    assert 'not supported for this target' in \
        vm.qmp.hmp(f'dump-guest-memory {out}')
    assert not os.path.exists(out)
    assert vm.status() == 'prelaunch'
    assert vm.qmp.event_names() == []


@pytest.mark.parametrize('name', built(OTHERS))
def test_target_without_notes(name, out):
    with VM('-S', binary=qemu_program(name), machine=OTHERS[name]) as vm:
        refused(vm, out)


@pytest.mark.skipif('aarch64' not in built(TARGETS), reason='not built')
def test_machine_without_cpu(out):
    """The CPU determines the dump's format."""
    with VM('-S', binary=qemu_program('aarch64'), machine='none') as vm:
        refused(vm, out)
