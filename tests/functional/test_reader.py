# SPDX-License-Identifier: GPL-2.0-or-later
"""The reader itself: it accepts correct files only.

The files are made here, by hand, so that a rule missing in the reader is
noticed even if the writers obey it.
"""

import ctypes
import re
import struct
import zlib

import pytest

from vmcore import Bad, decompress, open_dump

pytestmark = pytest.mark.once

PAGE = 4096


def note(name, kind, desc, order):
    name += b'\0'
    return struct.pack(order + 'III', len(name), len(desc), kind) + \
        name + bytes(-len(name) % 4) + desc + bytes(-len(desc) % 4)


def cpu_notes(order, cpus=2):
    return b''.join([note(b'CORE', 1, b'r' * 18, order)] * cpus +
                    [note(b'QEMU', 0, b'q' * 7, order)] * cpus)


VMCI = b'OSRELEASE=6.1\nPAGESIZE=4096\n'


def page(pfn):
    """Distinguishable contents of pages; some are zero."""
    return bytes(PAGE) if pfn % 5 == 2 else bytes([pfn % 251]) * PAGE


# -- ELF -----------------------------------------------------------------------


class Elf:
    """An ELF core; change an attribute and build() a bad one."""

    def __init__(self, is64=True, order='<'):
        self.is64, self.order = is64, order
        self.kind = 4
        self.version = 1
        self.ehsize, self.phentsize, self.shentsize = \
            (64, 56, 64) if is64 else (52, 32, 40)
        self.phoff = self.ehsize
        self.loads = [(0, 2), (0x100, 3)]           # pfn, pages
        self.align = 0
        self.xnum = False
        self.notes = cpu_notes(order) + note(b'VMCOREINFO', 0, VMCI, order)
        self.note_type = 4
        self.change = lambda phdrs: phdrs
        self.cut = 0

    def phdr(self, kind, offset, vaddr, paddr, size):
        if self.is64:
            return struct.pack(self.order + 'IIQQQQQQ', kind, 0, offset,
                               vaddr, paddr, size, size, self.align)
        return struct.pack(self.order + 'IIIIIIII', kind, offset, vaddr,
                           paddr, size, size, 0, self.align)

    def phdrs(self, at, notes_at):
        headers = [[self.note_type, notes_at, 0, 0, len(self.notes)]]
        for pfn, pages in self.loads:
            headers.append([1, at, pfn * PAGE, pfn * PAGE, pages * PAGE])
            at += pages * PAGE
        return self.change(headers)

    def build(self, path):
        n = 1 + len(self.loads)
        shoff = self.phoff + n * self.phentsize
        shnum = 2 if self.xnum else 0
        notes_at = shoff + shnum * self.shentsize
        at = (notes_at + len(self.notes) + PAGE - 1) // PAGE * PAGE
        memory = b''.join(page(pfn + i) for pfn, pages in self.loads
                          for i in range(pages))
        word = 'Q' if self.is64 else 'I'
        ident = b'\x7fELF' + bytes([1 + self.is64, 1 + (self.order == '>'),
                                    1]) + bytes(9)
        data = ident + struct.pack(
            self.order + 'HHI' + 3 * word + 'IHHHHHH', self.kind, 62,
            self.version, 0, self.phoff, shoff if shnum else 0, 0,
            self.ehsize, self.phentsize, 0xffff if self.xnum else n,
            self.shentsize if shnum else 0, shnum, 1 if shnum else 0)
        data = data.ljust(self.phoff, b'\0')
        for header in self.phdrs(at, notes_at):
            data += self.phdr(*header)
        if shnum:
            end = at + len(memory)
            data += self.shdr(0, 0, 0, 0, n)
            data += self.shdr(1, 3, end, 11, 0)
            memory += b'\0.shstrtab\0'
        data = data.ljust(notes_at, b'\0') + self.notes
        data = data.ljust(at, b'\0') + memory
        with open(path, 'wb') as f:
            f.write(data[:len(data) - self.cut])

    def shdr(self, name, kind, offset, size, info):
        word = 'Q' if self.is64 else 'I'
        return struct.pack(self.order + 'II' + 4 * word + 'II' + 2 * word,
                           name, kind, 0, 0, offset, size, 0, info, 0, 0)


CLASSES = [(True, '<'), (True, '>'), (False, '<'), (False, '>')]


@pytest.mark.parametrize('xnum', [False, True])
@pytest.mark.parametrize('is64,order', CLASSES)
def test_good_elf(out, is64, order, xnum):
    elf = Elf(is64, order)
    elf.xnum = xnum
    elf.build(out)
    dump = open_dump(out)
    assert (dump.is64, dump.order) == (is64, order)
    assert dump.phnum == 3
    assert dump.ranges() == [(0, 2 * PAGE), (0x100 * PAGE, 3 * PAGE)]
    assert dump.read(0x101 * PAGE, PAGE) == page(0x101)
    assert dump.read_virtual(PAGE, 10) == page(1)[:10]
    assert dump.nr_prstatus == 2
    assert dump.vmcoreinfo == {'OSRELEASE': '6.1', 'PAGESIZE': '4096'}
    for paddr in (2 * PAGE, 0x103 * PAGE, PAGE + 1):
        with pytest.raises(Bad):
            dump.read(paddr, PAGE)


def swapped(i, j):
    def change(headers):
        headers[i], headers[j] = headers[j], headers[i]
        return headers
    return change


def moved(i, field, by):
    def change(headers):
        headers[i][field] += by
        return headers
    return change


BAD_ELF = {
    # As written by earlier versions of QEMU.
    'e_phoff': dict(text='e_phoff is 192', phoff=192),
    'e_ehsize': dict(text='e_ehsize is 8', ehsize=8, phoff=64),
    'phentsize': dict(text='e_phentsize is 64', phentsize=64),
    'not a core': dict(text='not an ET_CORE', kind=2),
    'version': dict(text='not an ET_CORE', version=0),
    'p_align': dict(text='p_align with page-aligned data', align=4096),
    'no note first': dict(
        text='first segment is no PT_NOTE', change=swapped(0, 1)),
    'no PT_NOTE': dict(text='first segment is no PT_NOTE', note_type=1),
    'file cut off': dict(text='segment beyond the end of the file', cut=1),
    'segments that overlap': dict(
        text='segments overlap', change=moved(2, 1, -PAGE)),
    'notes over memory': dict(
        text='segments overlap', change=moved(0, 1, PAGE)),
    'notes over headers': dict(
        text='segment over the headers', change=moved(0, 1, -40)),
    'notes cut off': dict(
        text='note runs past the end of the notes', change=moved(0, 4, -4)),
    'notes too long': dict(text='note header cut off', change=moved(0, 4, 4)),
    'no CPU': dict(
        text='no NT_PRSTATUS', notes=note(b'VMCOREINFO', 0, VMCI, '<')),
    'guest first': dict(
        text='first note is of no CPU',
        notes=note(b'VMCOREINFO', 0, VMCI, '<') +
                        cpu_notes('<')),
    'CPUs mixed': dict(text='order of the notes', notes=2 * cpu_notes('<', 1)),
    'a QEMU note missing': dict(text='QEMU notes and CPUs differ',
        notes=cpu_notes('<') + note(b'CORE', 1, b'', '<')),
    'byte order of notes': dict(
        text='note runs past the end of the notes', notes=cpu_notes('>')),
}


@pytest.mark.parametrize('what', BAD_ELF)
def test_bad_elf(out, what):
    elf = Elf()
    for name, value in BAD_ELF[what].items():
        setattr(elf, name, value)
    elf.build(out)
    with pytest.raises(Bad, match=elf.text):
        open_dump(out)


@pytest.mark.parametrize('data', [b'', b'\x7fELF', b'KDUMP', b'x' * 5000,
                                  b'makedumpfile'])
def test_no_dump(out, data):
    with open(out, 'wb') as f:
        f.write(data)
    with pytest.raises((Bad, ValueError, IndexError, struct.error)):
        open_dump(out)


# -- kdump ---------------------------------------------------------------------


def lzo(data):
    lib = ctypes.CDLL('liblzo2.so.2')
    out = ctypes.create_string_buffer(2 * PAGE)
    size = ctypes.c_size_t(len(out))
    work = ctypes.create_string_buffer(1 << 20)
    assert lib.lzo1x_1_compress(data, ctypes.c_size_t(len(data)), out,
                                ctypes.byref(size), work) == 0
    return out.raw[:size.value]


def snappy(data):
    lib = ctypes.CDLL('libsnappy.so.1')
    out = ctypes.create_string_buffer(2 * PAGE)
    size = ctypes.c_size_t(len(out))
    assert lib.snappy_compress(data, ctypes.c_size_t(len(data)), out,
                               ctypes.byref(size)) == 0
    return out.raw[:size.value]


def zstd(data):
    lib = ctypes.CDLL('libzstd.so.1')
    lib.ZSTD_compress.restype = ctypes.c_size_t
    out = ctypes.create_string_buffer(2 * PAGE)
    size = lib.ZSTD_compress(out, ctypes.c_size_t(len(out)), data,
                             ctypes.c_size_t(len(data)), 3)
    return out.raw[:size]


COMPRESS = {1: zlib.compress, 2: lzo, 4: snappy, 0x20: zstd}


class Kdump:
    """A kdump-compressed file; change an attribute for a bad one."""

    def __init__(self, kind='64', order='<', flag=1):
        self.kind, self.order, self.flag = kind, order, flag
        self.signature = b'KDUMP   '
        self.version = 6
        self.status = flag
        self.ram = [0, 1, 2, 3, 9, 12]
        self.pages = list(self.ram)
        self.max_mapnr = 13
        self.max_mapnr32 = None
        self.phys_base = -4096 if kind == '64' else 0x1000
        self.split = 0
        self.nr_cpus = 2
        self.machine = {'64': b'x86_64', '32': b'i686',
                        'arm': b'armv7l'}[kind]
        self.notes = cpu_notes(order)
        self.vmci = VMCI
        self.vmci_shift = 0
        self.note_shift = 0
        self.bitmap_blocks = 2
        self.change = lambda descs: descs
        self.cut = 0

    def header(self):
        uts = b''.join(f.ljust(65, b'\0') for f in
                       (b'Linux', b'box', b'6.1', b'#1', self.machine, b''))
        stamp = 'qq' if self.kind == '64' else 'ii'
        at = 408 if self.kind == '64' else 404
        head = struct.pack(self.order + '8si', self.signature, self.version)
        head = (head + uts).ljust(at, b'\0')
        mapnr = self.max_mapnr if self.max_mapnr32 is None else \
            self.max_mapnr32
        head += struct.pack(self.order + stamp, 1700000000, 5)
        head += struct.pack(self.order + 'IiiIIIIIii', self.status, PAGE, 1,
                            self.bitmap_blocks, mapnr, 6, 0, 0, 0,
                            self.nr_cpus)
        return head.ljust(PAGE, b'\0')

    def sub_header(self):
        notes = self.notes
        size = {'64': 104, '32': 80, 'arm': 96}[self.kind]
        size += self.note_shift
        off_note = PAGE + size
        off_vmci = size_vmci = 0
        if self.vmci is not None:
            off_vmci = off_note + len(notes) + 12 + 12 + self.vmci_shift
            size_vmci = len(self.vmci)
            notes = notes + note(b'VMCOREINFO', 0, self.vmci, self.order)
        fields = (self.phys_base, 0, self.split, 0, 0, off_vmci, size_vmci,
                  off_note, len(notes), 0, 0, 0, 0, self.max_mapnr)
        fmt = {'64': 'qiiQQQQQQQQQQQ', '32': 'iiiIIQIQIQIQQQ',
               'arm': 'iiiII4xQI4xQI4xQI4xQQQ'}[self.kind]
        sub = struct.pack(self.order + fmt, *fields)
        return (sub.ljust(size, b'\0') + notes).ljust(PAGE, b'\0')

    def bitmap(self, pfns):
        bits = bytearray(self.bitmap_blocks // 2 * PAGE)
        for pfn in pfns:
            bits[pfn >> 3] |= 1 << (pfn & 7)
        return bytes(bits)

    def data(self):
        front = self.header() + self.sub_header() + \
            self.bitmap(self.ram) + self.bitmap(self.pages)
        at = len(front) + 24 * len(self.pages)
        descs, pages = [], b''
        for pfn in self.pages:
            raw = page(pfn) if pfn != 9 else bytes(range(256)) * 16
            packed = COMPRESS[self.flag](raw)
            flag = self.flag if pfn != 3 else 0
            body = packed if flag else raw
            descs.append([at + len(pages), len(body), flag, 0])
            pages += body
        descs = self.change(descs)
        front += b''.join(struct.pack(self.order + 'QIIQ', *d)
                          for d in descs)
        data = front + pages
        return data[:len(data) - self.cut]

    def build(self, path):
        with open(path, 'wb') as f:
            f.write(self.data())


def flattened(data, records=None, end=struct.pack('>qq', -1, -1)):
    """Three records, the header last."""
    if records is None:
        records = [(PAGE, 3 * PAGE), (4 * PAGE, len(data) - 4 * PAGE),
                   (0, PAGE)]
    out = (b'makedumpfile\0\0\0\0' + struct.pack('>QQ', 1, 1)).ljust(
        4096, b'\0')
    for offset, size in records:
        out += struct.pack('>qq', offset, size) + data[offset:offset + size]
    return out + end


@pytest.mark.parametrize('flat', [False, True])
@pytest.mark.parametrize('flag', COMPRESS)
@pytest.mark.parametrize('kind,order', [
    ('64', '<'), ('64', '>'), ('32', '<'), ('32', '>'), ('arm', '<')])
def test_good_kdump(out, kind, order, flag, flat):
    kdump = Kdump(kind, order, flag)
    data = kdump.data()
    with open(out, 'wb') as f:
        f.write(flattened(data) if flat else data)
    dump = open_dump(out)
    assert (dump.flat, dump.order, dump.is64) == (flat, order, kind == '64')
    assert dump.ram == dump.pfns == [0, 1, 2, 3, 9, 12]
    assert dump.ranges() == [(0, 4 * PAGE), (9 * PAGE, PAGE),
                             (12 * PAGE, PAGE)]
    for pfn in (0, 1, 2, 3, 12):
        assert dump.page(pfn) == page(pfn)
    assert dump.read(9 * PAGE + 300, 3) == bytes([44, 45, 46])
    assert dump.read(PAGE - 2, 4) == b'\0\0\1\1'
    assert dump.phys_base == kdump.phys_base
    assert (dump.sysname, dump.release) == ('Linux', '6.1')
    assert (dump.nr_cpus, dump.max_mapnr) == (2, 13)
    assert dump.vmcoreinfo['OSRELEASE'] == '6.1'


def desc(i, field, value):
    def change(descs):
        descs[i][field] = value(descs[i][field])
        return descs
    return change


BAD_KDUMP = {
    'signature': dict(text='no dump', signature=b'DISKDUMP'),
    'header version': dict(
        text='invalid header version or block size', version=5),
    'split': dict(text='split', split=1),
    'nr_cpus': dict(text='nr_cpus', nr_cpus=1),
    # Without the last page, part of which is RAM, as in unmodified QEMU.
    'max_mapnr rounded down': dict(text='page beyond max_mapnr', max_mapnr=12),
    'max_mapnr of 32 bits': dict(text='max_mapnr', max_mapnr32=12),
    'odd bitmaps': dict(text='odd number of bitmap blocks', bitmap_blocks=3),
    'no bitmaps': dict(
        text='invalid header version or block size',
        bitmap_blocks=0, ram=[], pages=[]),
    'page that is no RAM': dict(
        text='page in the file that is no RAM', ram=[0, 1, 2, 3, 9]),
    'notes over the sub header': dict(
        text='notes are not behind the sub header', note_shift=-8),
    'VMCOREINFO beside its note': dict(
        text='VMCOREINFO and its note differ', vmci_shift=4),
    'page beyond the end': dict(text='page 0xc outside the page data', cut=1),
    'page over the descriptors': dict(
        text='page 0x0 outside the page data',
        change=desc(0, 0, lambda v: v - 1)),
    'pages that overlap': dict(
        text='pages overlap in the file',
        change=desc(1, 0, lambda v: v - 1)),
    'page of no size': dict(
        text='page size 0', change=desc(1, 1, lambda v: 0)),
    'page too large': dict(
        text='page size 4097', change=desc(1, 1, lambda v: PAGE + 1)),
    'short raw page': dict(
        text='short raw page', change=desc(3, 1, lambda v: PAGE - 1)),
    'another codec': dict(
        text='page flag 0x2', change=desc(1, 2, lambda v: 2)),
    'two codecs': dict(
        text='page flag 0x3', status=3, change=desc(1, 2, lambda v: 3)),
    'page_flags': dict(text='page_flags', change=desc(1, 3, lambda v: 1)),
}


@pytest.mark.parametrize('what', BAD_KDUMP)
def test_bad_kdump(out, what):
    kdump = Kdump()
    for name, value in BAD_KDUMP[what].items():
        setattr(kdump, name, value)
    kdump.build(out)
    with pytest.raises(Bad, match=kdump.text):
        open_dump(out)


def test_damaged_page(out):
    kdump = Kdump()
    kdump.change = desc(1, 1, lambda v: v - 1)
    kdump.build(out)
    dump = open_dump(out)
    assert dump.page(0) == page(0)
    with pytest.raises(Bad):
        dump.page(1)


@pytest.mark.parametrize('flag', COMPRESS)
def test_damage_is_seen(flag):
    good = COMPRESS[flag](b'abc' * 1365 + b'x')
    assert decompress(flag, good, PAGE) == b'abc' * 1365 + b'x'
    with pytest.raises((Bad, zlib.error)):
        decompress(flag, good[:-2], PAGE)


def bad_flattened():
    data = Kdump().data()
    n = len(data)
    yield 'no end', 'no end record', flattened(data, end=b'')
    yield ('half an end', 'half an end record',
           flattened(data, end=struct.pack('>qq', -1, 0)))
    yield 'end cut off', 'no end record', flattened(data)[:-1]
    yield 'tail', 'data behind the end record', flattened(data) + b'\0'
    yield ('twice', 'offset 4096 is written twice',
           flattened(data, [(0, n), (PAGE, 1)]))
    yield ('overlap', 'offset 4096 is written twice',
           flattened(data, [(0, PAGE + 1), (PAGE, n - PAGE)]))
    yield ('empty record', 'record offset or size',
           flattened(data, [(0, n), (n, 0)]))
    yield ('gap', '12288+4096 is beyond the end',
           flattened(data, [(0, 3 * PAGE)]))
    yield 'no header', 'signature', flattened(data, [(PAGE, n - PAGE)])
    good = flattened(data)
    yield ('form version', 'flattened type or version',
           good[:24] + struct.pack('>Q', 2) + good[32:])
    yield ('form type', 'flattened type or version',
           good[:16] + struct.pack('>Q', 2) + good[24:])
    yield ('padding', 'flattened header is not padded with zero',
           good[:100] + b'x' + good[101:])


@pytest.mark.parametrize('what,text,data', list(bad_flattened()),
                         ids=[w for w, _, _ in bad_flattened()])
def test_bad_flattened(out, what, text, data):
    with open(out, 'wb') as f:
        f.write(data)
    with pytest.raises(Bad, match=re.escape(text)):
        open_dump(out)
