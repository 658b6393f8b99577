# SPDX-License-Identifier: GPL-2.0-or-later
"""A synthetic Windows kernel in the memory of a guest.

No real Windows is available for the tests. This contains what debuggers and
QEMU use: page tables, KDBG, KiProcessorBlock, KPRCBs with context frames, and
the crash dump header that the guest's driver passes to QEMU in a note through
fw_cfg. Adjacent virtual pages are not adjacent in physical memory, and
structures cross pages.
"""

import struct

import qtest
from firmware import Firmware
from windmp import HEADER

MiB = 1 << 20
SIZE = 8 * MiB
PAGE = 4096

KERNEL_PAGES = 64
KERNEL_AT = 4 * MiB             # guest-physical, of its pages
NOTE_AT = 6 * MiB

BASE = {'32-bit': 0x80400000, 'pae': 0xe0800000,
        'long': 0xfffff80123400000, 'la57': 0xff00000123400000}

# Offsets from the base.
KDBG = 0xf00                    # crosses a page
KDBG_COPY = 0x2010
KDBG_SIZE = 0x380
BUGCHECK = 0x3ff0               # crosses a page
BLOCK = 0x5ffc                  # crosses a page, between pointers or in one
PRCB = 0x8000
PRCB_STEP = 0x2920
CONTEXT = 0x20d80               # crosses a page
CONTEXT_STEP = 0x2000

PCR_PRCB = {True: 0x180, False: 0x120}          # offset of KPRCB in KPCR
PRCB_CONTEXT = 0x16dc           # offset in the KPRCB


def note(desc, name=b'VMCOREINFO\0', kind=0, descsz=None):
    return struct.pack('<III', len(name),
                       len(desc) if descsz is None else descsz, kind) + \
        name + bytes(-len(name) % 4) + desc


class Windows(Firmware):
    """A running machine whose guest looks like Windows."""

    def __init__(self, folder, paging, cpus=3, args=(), **kwargs):
        self.paging = paging
        self.base = BASE[paging]
        # A permutation: 37 has no factor in common with 64.
        self.pages = [KERNEL_AT + i * 37 % KERNEL_PAGES * PAGE
                      for i in range(KERNEL_PAGES)]
        super().__init__(
            folder, paging, [(self.base + i * PAGE, at, PAGE)
                             for i, at in enumerate(self.pages)],
            size=SIZE, cpus=cpus, args=(
                '-device', 'vmcoreinfo', '-qtest',
                'unix:qtest,server=on,wait=off', '-qtest-log', 'none',
                '-gdb', 'unix:gdb,server=on,wait=off', *args), **kwargs)
        self.is64 = self.mode.long
        self.qtest = qtest.QTest(self.path('qtest'))
        self.fw_cfg = qtest.FwCfg(self.qtest)
        self.make()

    # -- guest memory --------------------------------------------------------

    def physical(self, offset):
        return self.pages[offset // PAGE] + offset % PAGE

    def pieces(self, offset, size):
        """(paddr, bytes) of the data at an offset from the base."""
        while size:
            n = min(size, PAGE - offset % PAGE)
            yield self.physical(offset), n
            offset += n
            size -= n

    def write(self, offset, data):
        """At an offset from the base, in virtual memory."""
        for at, n in self.pieces(offset, len(data)):
            self.memory[at:at + n] = data[:n]
            data = data[n:]

    def put(self, offset, value, size):
        self.write(offset, (value & (1 << 8 * size) - 1).to_bytes(
            size, 'little'))

    def put_pointer(self, offset, value):
        self.put(offset, value, 8 if self.is64 else 4)

    # -- page tables ---------------------------------------------------------

    def walk(self, vaddr):
        """Guest-physical addresses of the entries that map an address."""
        mode = self.mode
        table, shift, entries = self.root, 12 + sum(mode.levels), []
        for bits in mode.levels:
            shift -= bits
            at = table + (vaddr >> shift & (1 << bits) - 1) * mode.entry
            entries.append(at)
            table = int.from_bytes(self.memory[at:at + mode.entry],
                                   'little') & 0xffffffffff000
        return entries

    # -- the kernel ----------------------------------------------------------

    def put_kdbg(self, at, tag=b'KDBG'):
        def pointer(value):
            """32-bit addresses are sign-extended."""
            return value if self.is64 else value | 0xffffffff00000000
        self.write(at, bytes(KDBG_SIZE))
        self.write(at + 0x10, tag + struct.pack('<I', KDBG_SIZE))
        self.put(at + 0x88, pointer(self.base + BUGCHECK), 8)
        self.put(at + 0x218, pointer(self.base + BLOCK), 8)
        self.put(at + 0x2e6, PCR_PRCB[self.is64], 2)
        self.put(at + 0x338, PRCB_CONTEXT, 2)

    def prcb(self, i):
        return PRCB + i * PRCB_STEP

    def frame(self, i):
        return CONTEXT + i * CONTEXT_STEP

    def pcr(self, i):
        """Base address of GS (32-bit: FS) on processor i."""
        return self.base + self.prcb(i) - PCR_PRCB[self.is64]

    def make(self):
        """Write all structures, as in a running system."""
        word = 8 if self.is64 else 4
        self.put_kdbg(KDBG)
        self.write(BUGCHECK, bytes(5 * word))
        for i in range(self.cpus):
            self.put_pointer(BLOCK + i * word, self.base + self.prcb(i))
            self.put_pointer(self.prcb(i) + PRCB_CONTEXT,
                             self.base + self.frame(i))
            self.write(self.frame(i), b'\xcc' * 0x4d0)

    def header(self, **changes):
        """The header written by KeInitializeCrashDumpHeader, as far as known;
        the runs are those that Windows considers its memory."""
        fields = {
            'directory_table_base': self.root,
            'pfn_database': self.base + 0x1000000,
            'loaded_module_list': self.base + 0x1234,
            'active_process_head': self.base + 0x2345,
            'machine': 0x8664 if self.is64 else 0x14c,
            'major_version': 15, 'minor_version': 19041,
            'processors': self.cpus,
            'kdbg': self.base + KDBG,
            'nr_runs': 2, 'nr_pages': 0x123, 'dump_type': 1,
            'required_space': 0x125000,
        }
        fields.update(changes)
        return pack_header(self.is64, fields)

    def publish(self, desc=None, at=NOTE_AT, **changes):
        """Publish a header (or 'desc' instead) as the driver does."""
        data = note(self.header(**changes) if desc is None else desc)
        self.publish_raw(data, at)

    def publish_raw(self, data, at=NOTE_AT, size=None, kind=1):
        if at < SIZE:
            self.memory[at:at + len(data[:SIZE - at])] = data[:SIZE - at]
        self.fw_cfg.publish_note(at, len(data) if size is None else size,
                                 kind)


def pack_header(is64, fields):
    data = bytearray(b'PAGE' * ((0x2000 if is64 else 0x1000) // 4))
    data[4:8] = b'DU64' if is64 else b'DUMP'
    for name, value in fields.items():
        offset, form = HEADER[name][is64]
        values = value if isinstance(value, tuple) else (value,)
        struct.pack_into('<' + form, data, offset, *values)
    return bytes(data)
