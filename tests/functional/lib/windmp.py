# SPDX-License-Identifier: GPL-2.0-or-later
"""An independent, strict reader of Windows crash dumps.

It works like a debugger: header, runs, page tables, KDBG by its virtual
address, processors, their contexts. Based on format specifications only.
"""

import struct

from vmcore import Bad, map_file, need

PAGE = 4096
LIVE_SYSTEM_DUMP = 0x161

# name: offset and struct format, 32-bit and 64-bit
HEADER = {
    'major_version': ((0x08, 'I'), (0x08, 'I')),
    'minor_version': ((0x0c, 'I'), (0x0c, 'I')),
    'directory_table_base': ((0x10, 'I'), (0x10, 'Q')),
    'pfn_database': ((0x14, 'I'), (0x18, 'Q')),
    'loaded_module_list': ((0x18, 'I'), (0x20, 'Q')),
    'active_process_head': ((0x1c, 'I'), (0x28, 'Q')),
    'machine': ((0x20, 'I'), (0x30, 'I')),
    'processors': ((0x24, 'I'), (0x34, 'I')),
    'bugcheck_code': ((0x28, 'I'), (0x38, 'I')),
    'bugcheck_parameters': ((0x2c, '4I'), (0x40, '4Q')),
    'kdbg': ((0x60, 'I'), (0x80, 'Q')),
    'nr_runs': ((0x64, 'I'), (0x88, 'I')),
    'nr_pages': ((0x68, 'I'), (0x90, 'Q')),
    'exception_code': ((0x7d0, 'I'), (0xf00, 'I')),
    'exception_address': ((0x7dc, 'I'), (0xf10, 'Q')),
    'dump_type': ((0xf88, 'I'), (0xf98, 'I')),
    'required_space': ((0xfa0, 'Q'), (0xfa0, 'Q')),
}

# CONTEXT: name to offset, 64-bit and 32-bit; sizes by the format
CONTEXT64 = {
    'flags': (0x30, 'I'), 'mxcsr': (0x34, 'I'),
    'cs': (0x38, 'H'), 'ds': (0x3a, 'H'), 'es': (0x3c, 'H'),
    'fs': (0x3e, 'H'), 'gs': (0x40, 'H'), 'ss': (0x42, 'H'),
    'eflags': (0x44, 'I'),
    **{f'dr{n}': (0x48 + 8 * i, 'Q')
       for i, n in enumerate((0, 1, 2, 3, 6, 7))},
    **{name: (0x78 + 8 * i, 'Q') for i, name in enumerate(
        'rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15 rip'
        .split())},
    'fcw': (0x100, 'H'), 'fsw': (0x102, 'H'), 'ftw': (0x104, 'B'),
    **{f'st{i}': (0x120 + 16 * i, '10s') for i in range(8)},
    **{f'xmm{i}': (0x1a0 + 16 * i, '16s') for i in range(16)},
}
CONTEXT32 = {
    'flags': (0x00, 'I'),
    **{f'dr{n}': (0x04 + 4 * i, 'I')
       for i, n in enumerate((0, 1, 2, 3, 6, 7))},
    'fcw': (0x1c, 'I'), 'fsw': (0x20, 'I'), 'ftw': (0x24, 'I'),
    **{f'st{i}': (0x38 + 10 * i, '10s') for i in range(8)},
    **{name: (0x8c + 4 * i, 'I') for i, name in enumerate(
        'gs fs es ds rdi rsi rbx rdx rcx rax rbp rip cs eflags rsp ss'
        .split())},
    'mxcsr': (0xcc + 24, 'I'),
    **{f'xmm{i}': (0xcc + 160 + 16 * i, '16s') for i in range(8)},
}

# Index bits by level, bytes of an entry, and levels with large pages.
PAGING = {
    '32-bit': ((10, 10), 4, {22}),
    'pae': ((2, 9, 9), 8, {21}),
    'long': ((9, 9, 9, 9), 8, {21, 30}),
    'la57': ((9, 9, 9, 9, 9), 8, {21, 30}),
}


class WinDump:
    """A full memory dump. 'paging' is the name of the guest's mode."""

    def __init__(self, path, paging):
        self.data = map_file(path)
        self.paging = paging
        signature = self.data[:8]
        need(signature in (b'PAGEDU64', b'PAGEDUMP'), 'signature')
        self.is64 = signature == b'PAGEDU64'
        self.header_size = 0x2000 if self.is64 else 0x1000
        need(len(self.data) > self.header_size, 'file ends in the header')
        for name, places in HEADER.items():
            offset, form = places[self.is64]
            value = struct.unpack_from('<' + form, self.data, offset)
            setattr(self, name, value if len(value) > 1 else value[0])
        self.check_header()
        self.read_runs()

    def check_header(self):
        need(self.machine == (0x8664 if self.is64 else 0x14c), 'machine type')
        need(self.dump_type == 1, 'not a full memory dump')
        need(self.nr_runs <= (42 if self.is64 else 86), 'number of runs')
        need(self.nr_runs > 0, 'no memory')
        need(0 < self.processors <= 256, 'number of processors')
        need(self.exception_code == 0x80000003, 'exception')
        need(self.required_space == len(self.data), 'size of the file')
        need(self.required_space ==
             self.header_size + self.nr_pages * PAGE, 'number of pages')

    def read_runs(self):
        start, form, size = (0x98, '<QQ', 16) if self.is64 else \
            (0x6c, '<II', 8)
        self.runs = [struct.unpack_from(form, self.data, start + i * size)
                     for i in range(self.nr_runs)]
        need(sum(n for _, n in self.runs) == self.nr_pages,
             'runs and number of pages differ')
        end = -1
        for first, count in self.runs:
            need(first > end and count > 0, 'order of the runs')
            end = first + count

    # -- memory ------------------------------------------------------------

    def page(self, pfn):
        at = self.header_size
        for first, count in self.runs:
            if first <= pfn < first + count:
                at += (pfn - first) * PAGE
                return self.data[at:at + PAGE]
            at += count * PAGE
        raise Bad(f'page {pfn:#x} is not in the dump')

    def physical(self, paddr, size):
        first, last = paddr // PAGE, (paddr + size - 1) // PAGE
        data = b''.join(self.page(n) for n in range(first, last + 1))
        return data[paddr % PAGE:paddr % PAGE + size]

    def translate(self, vaddr):
        levels, entry_size, large = PAGING[self.paging]
        shift = 12 + sum(levels)
        table = self.directory_table_base & ~(0x1f if self.paging == 'pae'
                                              else 0xfff)
        for bits in levels:
            shift -= bits
            at = table + (vaddr >> shift & (1 << bits) - 1) * entry_size
            entry = int.from_bytes(self.physical(at, entry_size), 'little')
            need(entry & 1, f'{vaddr:#x} is not mapped')
            table = entry & 0xffffffffff000
            if shift == 12 or entry & 0x80 and shift in large:
                return (table & ~((1 << shift) - 1)) | \
                    vaddr & (1 << shift) - 1
        raise Bad('page tables')

    def virtual(self, vaddr, size):
        data = b''
        while size:
            n = min(size, PAGE - vaddr % PAGE)
            data += self.physical(self.translate(vaddr), n)
            vaddr += n
            size -= n
        return data

    def pointer(self, vaddr):
        size = 8 if self.is64 else 4
        return int.from_bytes(self.virtual(vaddr, size), 'little')

    # -- the kernel's structures --------------------------------------------

    def kdbg_field(self, offset, form):
        value, = struct.unpack('<' + form, self.virtual(
            self.kdbg + offset, struct.calcsize(form)))
        return value

    def kdbg_pointer(self, offset):
        value = self.kdbg_field(offset, 'Q')
        if not self.is64:
            need(value >> 32 in (0, 0xffffffff), 'pointer in the KDBG')
            value &= 0xffffffff
        return value

    def context_address(self, i):
        """Location of a processor's context frame."""
        need(self.kdbg_field(0x10, '4s') == b'KDBG', 'tag of the KDBG')
        prcb = self.pointer(self.kdbg_pointer(0x218) +
                            i * (8 if self.is64 else 4))
        return self.pointer(prcb + self.kdbg_field(0x338, 'H'))

    def context_size(self):
        return 0x4d0 if self.is64 else 0x2cc

    def context(self, i):
        return self.parse_context(self.virtual(self.context_address(i),
                                               self.context_size()))

    def header_context(self):
        at = 0x348 if self.is64 else 0x320
        return self.parse_context(self.data[at:at + self.context_size()])

    def parse_context(self, data):
        context = {}
        for name, (offset, form) in (CONTEXT64 if self.is64 else
                                     CONTEXT32).items():
            value, = struct.unpack_from('<' + form, data, offset)
            context[name] = int.from_bytes(value, 'little') if \
                isinstance(value, bytes) else value
        need(context['flags'] == (0x10001f if self.is64 else 0x1003f),
             'ContextFlags')
        return context
