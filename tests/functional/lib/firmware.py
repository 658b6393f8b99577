# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest of a few dozen instructions: all its CPUs enable paging and halt.

The firmware image contains only code. The page tables that it loads are in
guest memory already: the test writes them to the file that backs it.
"""

import mmap
import struct

import ram
from vm import VM
from wait import wait_until

BASE = 0xf0000                  # the image also appears below 1 MiB
READY_AT, READY = 0x7000, 0x600d600d
THEN_AT = 0x7800

PRESENT, WRITE, USER, LARGE = 0x1, 0x2, 0x4, 0x80
CR4_PSE, CR4_PAE, CR4_LA57 = 0x10, 0x20, 0x1000


class Mode:
    """A paging mode: index bits of each level, and sizes of its pages."""

    def __init__(self, cr4, long, entry, levels, large, machine):
        self.cr4 = cr4
        self.long = long
        self.entry = entry              # bytes of a table entry
        self.levels = levels            # index bits, highest level first
        self.large = large              # sizes of large pages
        self.machine = machine          # of the ELF header


EM_386, EM_X86_64 = 3, 62

MODES = {
    '32-bit': Mode(CR4_PSE, False, 4, (10, 10), (4 << 20,), EM_386),
    'pae': Mode(CR4_PAE, False, 8, (2, 9, 9), (2 << 20,), EM_386),
    'long': Mode(CR4_PAE, True, 8, (9, 9, 9, 9), (2 << 20, 1 << 30),
                 EM_X86_64),
    'la57': Mode(CR4_PAE | CR4_LA57, True, 8, (9, 9, 9, 9, 9),
                 (2 << 20, 1 << 30), EM_X86_64),
}


class PageTables:
    """Page tables in 'memory' (bytes by guest-physical address) from 'at'."""

    def __init__(self, mode, memory, at):
        self.mode = mode
        self.memory = memory
        self.next = at
        self.root = self.new_table()

    def new_table(self):
        at = self.next
        self.memory[at:at + 4096] = bytes(4096)
        self.next += 4096
        return at

    def get(self, at):
        return int.from_bytes(self.memory[at:at + self.mode.entry], 'little')

    def put(self, at, value):
        self.memory[at:at + self.mode.entry] = value.to_bytes(
            self.mode.entry, 'little')

    def map(self, vaddr, paddr, size=4096, flags=0):
        """Map one page; flags: additional bits of its entry and its tables'."""
        mode = self.mode
        table = self.root
        shift = 12 + sum(mode.levels)
        for level, bits in enumerate(mode.levels):
            shift -= bits
            at = table + (vaddr >> shift & (1 << bits) - 1) * mode.entry
            if size == 1 << shift:
                large = LARGE if shift > 12 else 0
                self.put(at, paddr | PRESENT | WRITE | large | flags)
                return
            if not self.get(at):
                # PAE's top entries have no bit for writing.
                top = mode is MODES['pae'] and level == 0
                self.put(at, self.new_table() | PRESENT |
                         (0 if top else WRITE | flags))
            table = self.get(at) & ~0xfff
        raise ValueError(f'no page of {size:#x} bytes in this mode')


word = struct.Struct('<I').pack


def protected_mode(first=b''):
    """Startup code that enters protected mode on all CPUs; the first CPU also
    runs 'first'."""
    code = bytearray(
        b'\xfa'                         # cli
        b'\x2e\x66\x0f\x01\x16\x00\x01'  # lgdtl %cs:0x100
        b'\x0f\x20\xc0'                 # mov %cr0, %eax
        b'\x0c\x01'                     # or $1, %al
        b'\x0f\x22\xc0')                # mov %eax, %cr0
    code += b'\x66\xea' + word(BASE + len(code) + 8) + b'\x08\x00'  # ljmpl
    first += (
        b'\xb8\xf0\x46\x0c\x00'         # mov $0xc46f0, %eax
        b'\xa3\x00\x03\xe0\xfe')        # the others start at 0xf0000
    code += (
        b'\x66\xb8\x10\x00'             # mov $0x10, %ax
        b'\x8e\xd8\x8e\xc0\x8e\xd0'     # mov %ax, %ds, %es and %ss
        b'\xb9\x1b\x00\x00\x00'         # mov $0x1b, %ecx (APIC base)
        b'\x0f\x32'                     # rdmsr
        b'\xf6\xc4\x01')                # test $1, %ah
    # jz, unless this is the first CPU:
    return code + b'\x74' + bytes([len(first)]) + first


def rom_of(code, segments=()):
    """A ROM of 64 KiB, in the last 16 bytes of which the CPU starts; two flat
    segments, and additional ones for protected_mode()."""
    assert len(code) <= 0x100
    rom = bytearray(64 << 10)
    rom[:len(code)] = code
    gdt = struct.pack(f'<{3 + len(segments)}Q', 0, 0x00cf9b000000ffff,
                      0x00cf93000000ffff, *segments)
    rom[0x100:0x106] = struct.pack('<HI', len(gdt) - 1, BASE + 0x108)
    rom[0x108:0x108 + len(gdt)] = gdt
    rom[0xfff0:0xfff3] = b'\xe9\x0d\x00'        # jmp to the start
    return rom


def image(mode, cr3):
    """A ROM that enables paging and reports that it has done so."""
    code = protected_mode()
    code += b'\xb8' + word(mode.cr4) + b'\x0f\x22\xe0'      # to %cr4
    code += b'\xb8' + word(cr3) + b'\x0f\x22\xd8'           # to %cr3
    if mode.long:
        code += (
            b'\xb9\x80\x00\x00\xc0'     # mov $0xc0000080, %ecx (EFER)
            b'\x0f\x32'                 # rdmsr
            b'\x0d\x00\x01\x00\x00'     # or $0x100, %eax (LME)
            b'\x0f\x30')                # wrmsr
    code += (
        b'\x0f\x20\xc0'                 # mov %cr0, %eax
        b'\x0d\x00\x00\x01\x80'         # or $0x80010000, %eax (PG, WP)
        b'\x0f\x22\xc0')                # mov %eax, %cr0
    if mode.long:
        code += b'\xea' + word(BASE + len(code) + 7) + b'\x18\x00'  # ljmp
    code += b'\xb8' + word(READY)       # mov $READY, %eax
    code += b'\xbf' + word(READY_AT)    # mov $READY_AT, %edi
    code += b'\x89\x07'                 # mov %eax, (%edi)
    code += b'\xf0\xff\x47\x04'         # lock incl 4(%edi)
    code += (
        b'\x8b\x47\x08'                 # mov 8(%edi), %eax
        b'\x85\xc0\x74\x02'             # test %eax, %eax; jz
        b'\xff\xe0')                    # jmp *%eax
    code += b'\xf4\xeb\xfd'             # hlt, and again
    return bytes(rom_of(code, [0x00af9a000000ffff]))


class Firmware(VM):
    """A machine that has run the firmware; .memory maps its memory.

    'mappings' are (vaddr, paddr, size[, flags]) pages. The low megabyte is
    identity-mapped with pages of 4 KiB. 'then' is code that each CPU runs at
    the end, with READY_AT in %edi.
    """

    def __init__(self, folder, mode, mappings=(), size=16 << 20, args=(),
                 cpus=1, then=b''):
        self.mode = MODES[mode]
        self.size = size
        self.cpus = cpus
        path = folder + '/ram'
        ram.fill(path, size)
        with open(path, 'r+b') as f:
            self.memory = mmap.mmap(f.fileno(), size)
        self.memory[READY_AT:READY_AT + 12] = bytes(12)
        if then:
            self.memory[READY_AT + 8:READY_AT + 12] = struct.pack('<I',
                                                                  THEN_AT)
            self.memory[THEN_AT:THEN_AT + len(then)] = then
        tables = PageTables(self.mode, self.memory, 0x10000)
        self.root = tables.root
        self.mappings = [(a, a, 4096) for a in range(0, 1 << 20, 4096)]
        self.mappings += mappings
        for mapping in self.mappings:
            tables.map(*mapping)
        assert tables.next <= 0x80000
        with open(folder + '/firmware', 'wb') as f:
            f.write(image(self.mode, tables.root))
        arguments = ram.backend(path, size)
        arguments.remove('-S')
        cpu = 'qemu64,+pdpe1gb' + (',+la57' if mode == 'la57' else '')
        super().__init__(*arguments, '-bios', folder + '/firmware', '-cpu',
                         cpu, '-smp', str(cpus), *args, machine=None)
        try:
            self.wait_ready()
        except BaseException:
            self.close()
            raise

    def wait_ready(self):
        ready = struct.pack('<II', READY, self.cpus)
        wait_until(lambda: self.memory[READY_AT:READY_AT + 8] == ready,
                   lambda: self.qmp.hmp('info registers'))
