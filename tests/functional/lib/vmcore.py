# SPDX-License-Identifier: GPL-2.0-or-later
"""An independent, strict reader of guest memory dumps.

Based on the format specifications only; it shares no code with the writers. It
raises Bad on anything that the formats do not allow or that a known reader
cannot handle, so opening a dump is itself a test.
"""

import ctypes
import functools
import mmap
import os
import struct
import zlib


class Bad(Exception):
    """The file violates a rule of its format."""


def need(condition, text):
    if not condition:
        raise Bad(text)


def open_any(path):
    with open(path, 'rb') as f:
        head = f.read(16)
    if head[:4] == b'\x7fELF':
        return ElfDump(path)
    if head.startswith(b'makedumpfile'):
        return KdumpDump(Flat(path), flat=True)
    if head[:8] == b'KDUMP   ':
        return KdumpDump(Raw(path), flat=False)
    raise Bad(f'{path}: no dump: {head!r}')


def open_dump(path, incomplete=False):
    """A reader for any kind of dump: a complete one, or one that is marked as
    incomplete."""
    dump = open_any(path)
    need(dump.incomplete == incomplete, f'{path}: incomplete: '
         f'{dump.incomplete}')
    dump.check_complete()
    return dump


def map_file(path):
    """The file's bytes. Reading a hole through a mapping takes memory of a
    tmpfs, which may be full: small files are read instead."""
    with open(path, 'rb') as f:
        if os.fstat(f.fileno()).st_size <= 128 << 20:
            return f.read()
        return mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)


# -- notes -----------------------------------------------------------------

NT_PRSTATUS = 1


def parse_notes(data, order):
    """List of (name, type, desc); the notes must fill the data."""
    notes = []
    pos = 0
    while pos < len(data):
        need(len(data) - pos >= 12, 'note header cut off')
        namesz, descsz, kind = struct.unpack_from(order + 'III', data, pos)
        pos += 12
        name = data[pos:pos + namesz]
        pos += (namesz + 3) & ~3
        desc = data[pos:pos + descsz]
        pos += (descsz + 3) & ~3
        need(pos <= len(data), 'note runs past the end of the notes')
        need(name.endswith(b'\0'), 'note name without terminator')
        notes.append((name[:-1].decode('latin-1'), kind, bytes(desc)))
    check_note_order(notes)
    return notes


def check_note_order(notes):
    """The CPUs' notes, then QEMU's of each CPU, then the guest's."""
    cpus = sum(1 for n in notes if n[:2] == ('CORE', NT_PRSTATUS))
    need(cpus > 0, 'no NT_PRSTATUS')
    need(notes[0][:2] == ('CORE', NT_PRSTATUS), 'first note is of no CPU')
    places = [i for i, n in enumerate(notes) if n[0] == 'QEMU']
    if places:
        need(len(places) == cpus, 'QEMU notes and CPUs differ')
        need(places == list(range(places[0], places[0] + cpus)) and
             all(n[0] in ('CORE', 'LINUX') for n in notes[:places[0]]),
             'order of the notes')


class Dump:
    """Common part of both kinds: notes, and memory by guest-physical
    address."""

    notes = ()

    @property
    def vmcoreinfo(self):
        """VMCOREINFO as a dict; None if there is none."""
        for name, _, desc in self.notes:
            if name == 'VMCOREINFO':
                return dict(line.split('=', 1)
                            for line in desc.decode('latin-1').split('\n')
                            if '=' in line)
        return None

    @property
    def nr_prstatus(self):
        return sum(1 for name, kind, _ in self.notes
                   if name == 'CORE' and kind == NT_PRSTATUS)


# -- ELF ---------------------------------------------------------------------

PT_LOAD, PT_NOTE, PN_XNUM = 1, 4, 0xffff


class ElfDump(Dump):
    def __init__(self, path):
        self.data = map_file(path)
        ident = self.data[:16]
        need(ident[4] in (1, 2) and ident[5] in (1, 2), 'class or byte order')
        need(ident[6] == 1, 'EI_VERSION')
        self.is64 = ident[4] == 2
        self.order = '<' if ident[5] == 1 else '>'
        self.read_header()
        self.read_segments()
        self.check_segments()
        note = self.segments[0]
        self.notes = parse_notes(
            self.data[note['offset']:note['offset'] + note['filesz']],
            self.order)

    def read_header(self):
        word = 'Q' if self.is64 else 'I'
        (kind, self.machine, version, _, self.phoff, self.shoff, self.flags,
         ehsize, phentsize, phnum, shentsize, self.shnum, self.shstrndx
         ) = struct.unpack_from(self.order + 'HHI' + 3 * word + 'IHHHHHH',
                                self.data, 16)
        sizes = (64, 56, 64) if self.is64 else (52, 32, 40)
        need(kind == 4 and version == 1, 'not an ET_CORE')
        need(ehsize == sizes[0], f'e_ehsize is {ehsize}')
        need(phentsize == sizes[1], f'e_phentsize is {phentsize}')
        need(self.phoff == sizes[0], f'e_phoff is {self.phoff}: makedumpfile '
             'expects program headers right behind the ELF header')
        need(shentsize == (sizes[2] if self.shnum else 0), 'e_shentsize')
        self.incomplete = bool(self.flags & 1)
        self.phnum = phnum
        self.sections = [self.section(i) for i in range(self.shnum)]
        if phnum == PN_XNUM:
            need(self.shnum > 0, 'PN_XNUM without section header')
            self.phnum = self.sections[0]['info']
        if self.shnum:
            need(self.shstrndx < self.shnum and
                 self.sections[self.shstrndx]['type'] == 3, 'e_shstrndx')

    def section(self, i):
        fmt = 'IIQQQQIIQQ' if self.is64 else 'IIIIIIIIII'
        names = ('name type flags addr offset size link info addralign '
                 'entsize').split()
        size = 64 if self.is64 else 40
        s = dict(zip(names, struct.unpack_from(self.order + fmt, self.data,
                                               self.shoff + i * size)))
        need(s['offset'] + s['size'] <= len(self.data), 'section beyond end')
        return s

    def section_name(self, section):
        table = self.sections[self.shstrndx]
        start = table['offset'] + section['name']
        return self.data[start:self.data.find(b'\0', start)].decode()

    def read_segments(self):
        if self.is64:
            fmt = 'IIQQQQQQ'
            names = 'type flags offset vaddr paddr filesz memsz align'.split()
        else:
            fmt = 'IIIIIIII'
            names = 'type offset vaddr paddr filesz memsz flags align'.split()
        size = struct.calcsize('=' + fmt)
        need(self.phoff + self.phnum * size <= len(self.data),
             'program headers beyond the end')
        self.segments = [
            dict(zip(names, struct.unpack_from(self.order + fmt, self.data,
                                               self.phoff + i * size)))
            for i in range(self.phnum)]
        self.headers_end = self.phoff + self.phnum * size

    def check_segments(self):
        kinds = [s['type'] for s in self.segments]
        need(kinds and kinds[0] == PT_NOTE, 'first segment is no PT_NOTE')
        need(all(k == PT_LOAD for k in kinds[1:]), 'segment after the first '
             'that is no PT_LOAD')
        end = self.headers_end
        if self.shnum and self.shoff == end:
            end += self.shnum * (64 if self.is64 else 40)
        for s in self.segments:
            need(s['offset'] >= end, 'segment over the headers')
            need(s['offset'] + s['filesz'] <= len(self.data) or
                 self.incomplete and s['type'] == PT_LOAD,
                 'segment beyond the end of the file')
            # elf2dmp uses the latter for the notes, too.
            need(s['filesz'] == s['memsz'], 'file and memory size differ')
        for s in self.segments[1:]:
            need(s['align'] == 0 or s['offset'] % 4096, 'p_align with '
                 'page-aligned data: crash takes it for a netdump')
        self.loads = sorted(self.segments[1:], key=lambda s: s['paddr'])
        self.check_overlaps()

    def check_overlaps(self):
        """A byte of the file belongs to one part only; with paging, several
        segments may refer to the same memory."""
        by_place = sorted(self.segments, key=lambda s: s['offset'])
        top = None
        for s in by_place:
            if s['filesz'] == 0:
                continue
            if top and s['offset'] < top['offset'] + top['filesz']:
                need(s['type'] == top['type'] == PT_LOAD and
                     s['offset'] - s['paddr'] ==
                     top['offset'] - top['paddr'], 'segments overlap')
            if not top or s['offset'] + s['filesz'] > \
                    top['offset'] + top['filesz']:
                top = s

    def check_complete(self):
        """The file size was checked before."""

    def ranges(self):
        """Guest-physical (start, size), sorted; without paging."""
        return [(s['paddr'], s['memsz']) for s in self.loads]

    def read(self, paddr, size):
        for s in self.loads:
            if s['paddr'] <= paddr and \
                    paddr + size <= s['paddr'] + s['memsz']:
                start = s['offset'] + paddr - s['paddr']
                return self.data[start:start + size]
        raise Bad(f'no memory at {paddr:#x}')

    def read_virtual(self, vaddr, size):
        for s in self.segments[1:]:
            if s['vaddr'] <= vaddr and \
                    vaddr + size <= s['vaddr'] + s['memsz']:
                start = s['offset'] + vaddr - s['vaddr']
                return self.data[start:start + size]
        raise Bad(f'no mapping at {vaddr:#x}')


# -- kdump-compressed ----------------------------------------------------------


class Raw:
    """Bytes of a file by offset."""

    def __init__(self, path):
        self.data = map_file(path)
        self.size = len(self.data)

    def read(self, offset, size):
        need(offset + size <= self.size, f'{offset}+{size} is beyond the end')
        return self.data[offset:offset + size]


class Flat:
    """The same for a file in flattened form."""

    def __init__(self, path):
        self.data = map_file(path)
        kind, version = struct.unpack_from('>QQ', self.data, 16)
        need(kind == 1 and version == 1, 'flattened type or version')
        need(not any(self.data[32:4096]), 'flattened header is not padded '
             'with zero')
        records = []
        pos = 4096
        while True:
            need(pos + 16 <= len(self.data), 'no end record')
            offset, size = struct.unpack_from('>qq', self.data, pos)
            pos += 16
            if offset == -1:
                need(size == -1, 'half an end record')
                break
            need(offset >= 0 and size > 0, 'record offset or size')
            need(pos + size <= len(self.data), 'record is cut off')
            records.append((offset, size, pos))
            pos += size
        need(pos == len(self.data), 'data behind the end record')
        self.nr_records = len(records)
        self.records = sorted(records)
        for a, b in zip(self.records, self.records[1:]):
            need(a[0] + a[1] <= b[0], f'offset {b[0]} is written twice')
        self.size = self.records[-1][0] + self.records[-1][1]
        self.starts = [r[0] for r in self.records]

    def read(self, offset, size):
        import bisect
        need(offset + size <= self.size, f'{offset}+{size} is beyond the end')
        out = bytearray(size)
        i = max(bisect.bisect_right(self.starts, offset) - 1, 0)
        while i < len(self.records) and self.records[i][0] < offset + size:
            start, length, pos = self.records[i]
            a, b = max(start, offset), min(start + length, offset + size)
            if a < b:
                out[a - offset:b - offset] = \
                    self.data[pos + a - start:pos + b - start]
            i += 1
        return bytes(out)


UTS = ('sysname', 'nodename', 'release', 'version', 'machine', 'domainname')
STATUS_INCOMPLETE = 0x8
CODECS = {1: 'zlib', 2: 'lzo', 4: 'snappy', 0x20: 'zstd'}


@functools.lru_cache(None)
def library(name):
    return ctypes.CDLL(name)


def decompress(flag, data, size):
    """Decompress one page, with the library that readers use too."""
    if flag == 1:
        d = zlib.decompressobj()
        page = d.decompress(data)
        need(d.eof and not d.unused_data, 'zlib page has a tail')
        return page
    out = ctypes.create_string_buffer(size)
    length = ctypes.c_size_t(size)
    if flag == 2:
        code = library('liblzo2.so.2').lzo1x_decompress_safe(
            data, ctypes.c_size_t(len(data)), out, ctypes.byref(length), None)
    elif flag == 4:
        code = library('libsnappy.so.1').snappy_uncompress(
            data, ctypes.c_size_t(len(data)), out, ctypes.byref(length))
    elif flag == 0x20:
        f = library('libzstd.so.1').ZSTD_decompress
        f.restype = ctypes.c_size_t
        length.value = f(out, ctypes.c_size_t(size), data,
                         ctypes.c_size_t(len(data)))
        code = length.value != size
    else:
        raise Bad(f'unknown page flag {flag:#x}')
    need(code == 0, f'{CODECS[flag]} page is damaged')
    return out.raw[:length.value]


class KdumpDump(Dump):
    def __init__(self, source, flat):
        self.source = source
        self.flat = flat
        need(source.read(0, 8) == b'KDUMP   ', 'signature')
        self.order, self.is64 = self.guess()
        self.read_header()
        self.read_sub_header()
        self.read_bitmaps()
        self.check_descriptors()

    def guess(self):
        """Byte order and class, by the plausibility of the block size."""
        version = self.source.read(8, 4)
        for order in '<>':
            for is64, at in ((True, 428), (False, 416)):
                block, sub_blocks, bitmap_blocks = struct.unpack(
                    order + 'iii', self.source.read(at, 12))
                if (struct.unpack(order + 'i', version) == (6,) and
                        block in (4096, 8192, 16384, 65536) and
                        sub_blocks > 0 and bitmap_blocks > 0):
                    return order, is64
        raise Bad('invalid header version or block size')

    def read_header(self):
        raw = self.source.read(0, 464)
        for i, name in enumerate(UTS):
            field = raw[12 + 65 * i:12 + 65 * (i + 1)]
            need(b'\0' in field, f'{name} is not terminated')
            setattr(self, name, field.split(b'\0')[0].decode())
        if self.is64:
            fields = struct.unpack_from(self.order + 'qq', raw, 408)
            at = 424
        else:
            fields = struct.unpack_from(self.order + 'ii', raw, 404)
            at = 412
        self.time = fields[0] + fields[1] / 1e6
        (self.status, self.block_size, self.sub_hdr_size, self.bitmap_blocks,
         self.max_mapnr32, _, _, _, _, self.nr_cpus) = struct.unpack_from(
             self.order + 'IiiIIIIIii', raw, at)
        self.incomplete = bool(self.status & 8)

    def read_sub_header(self):
        o, at = self.order, self.block_size
        if self.is64:
            fmt = 'QiiQQQQQQQQQQQ'
        elif self.machine.startswith('armv7'):
            fmt = 'IiiII4xQI4xQI4xQI4xQQQ'
        else:
            fmt = 'IiiIIQIQIQIQQQ'
        size = struct.calcsize(o + fmt)
        (self.phys_base, self.dump_level, self.split, _, _, self.off_vmci,
         self.size_vmci, self.off_note, self.size_note, _, _, _, _,
         self.max_mapnr) = struct.unpack(o + fmt, self.source.read(at, size))
        if self.is64 and self.phys_base >= 1 << 63:
            self.phys_base -= 1 << 64
        need(self.split == 0, 'split')
        need(self.max_mapnr32 == min(self.max_mapnr, 0xffffffff), 'max_mapnr')
        end = self.block_size * (1 + self.sub_hdr_size)
        need(at + size <= self.off_note and
             self.off_note + self.size_note <= end, 'notes are not behind the '
             'sub header')
        self.notes = parse_notes(
            self.source.read(self.off_note, self.size_note), o)
        need(self.nr_cpus == self.nr_prstatus, 'nr_cpus')
        if self.size_vmci:
            text = self.source.read(self.off_vmci, self.size_vmci)
            need(any(n[0] == 'VMCOREINFO' and n[2] == text
                     for n in self.notes), 'VMCOREINFO and its note differ')
        else:
            need(all(n[0] != 'VMCOREINFO' or not n[2] for n in self.notes),
                 'VMCOREINFO note that the sub header does not tell of')

    def read_bitmaps(self):
        need(self.bitmap_blocks % 2 == 0, 'odd number of bitmap blocks')
        half = self.bitmap_blocks // 2 * self.block_size
        need(half * 8 >= self.max_mapnr, 'bitmaps are too small')
        at = self.block_size * (1 + self.sub_hdr_size)
        self.bitmap1 = self.source.read(at, half)
        self.bitmap2 = self.source.read(at + half, half)
        self.descs_at = at + 2 * half
        self.ram = self.bits(self.bitmap1)
        self.pfns = self.bits(self.bitmap2)
        need(set(self.pfns) <= set(self.ram), 'page in the file that is no '
             'RAM')
        need(not self.ram or self.ram[-1] < self.max_mapnr,
             'page beyond max_mapnr')

    def check_complete(self):
        """Only the last pages may be missing, and only if the file says so, or
        if classes of pages are excluded; of zero pages alone, only in long
        ranges."""
        need(0 <= self.dump_level <= 31, 'dump level')
        if self.dump_level & ~1:
            return
        if self.dump_level and self.pfns != self.ram:
            gone = sorted(set(self.ram).difference(self.pfns))
            starts = [i for i, pfn in enumerate(gone)
                      if not i or pfn != gone[i - 1] + 1] + [len(gone)]
            need(all((b - a + 1) * self.block_size >= 4 << 30
                     for a, b in zip(starts, starts[1:])),
                 'a short stretch is missing')
            return
        need(self.pfns == self.ram[:len(self.pfns)],
             'a page is missing before one that is there')
        need(self.incomplete or self.pfns == self.ram, 'pages are missing')

    @staticmethod
    def bits(bitmap):
        return [i * 8 + bit for i, byte in enumerate(bitmap) if byte
                for bit in range(8) if byte >> bit & 1]

    def check_descriptors(self):
        raw = self.source.read(self.descs_at, 24 * len(self.pfns))
        start = self.descs_at + len(raw)
        self.descs = {}
        for pfn, (offset, size, flags, page_flags) in zip(
                self.pfns, struct.iter_unpack(self.order + 'QIIQ', raw)):
            need(0 < size <= self.block_size, f'page size {size}')
            need(start <= offset and offset + size <= self.source.size,
                 f'page {pfn:#x} outside the page data')
            need(page_flags == 0, 'page_flags')
            need(flags == 0 or flags in CODECS and flags & self.status,
                 f'page flag {flags:#x}')
            need(flags or size == self.block_size, 'short raw page')
            self.descs[pfn] = (offset, size, flags)
        # Equal pages may share their data; other overlaps are invalid.
        places = sorted(set(self.descs.values()))
        for a, b in zip(places, places[1:]):
            need(a[0] + a[1] <= b[0], 'pages overlap in the file')

    def ranges(self):
        """Guest-physical (start, size) of the pages in bitmap 1, sorted."""
        out = []
        for pfn in self.ram:
            if out and out[-1][0] + out[-1][1] == pfn * self.block_size:
                out[-1][1] += self.block_size
            else:
                out.append([pfn * self.block_size, self.block_size])
        return [tuple(r) for r in out]

    def page(self, pfn):
        offset, size, flags = self.descs[pfn]
        data = self.source.read(offset, size)
        if not flags:
            return data
        page = decompress(flags, bytes(data), self.block_size)
        need(len(page) == self.block_size, 'page of the wrong size')
        return page

    def read(self, paddr, size):
        out = b''
        while size:
            page = self.page(paddr // self.block_size)
            at = paddr % self.block_size
            piece = page[at:at + size]
            out += piece
            paddr += len(piece)
            size -= len(piece)
        return out
