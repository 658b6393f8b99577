# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest that repeatedly writes to all of its memory, in order.

Each CPU has a part of memory and a counter. It writes the counter to each page
of its part, at the start, middle and end of the page, then increments the
counter and starts over. So at any moment a part has one boundary, at the page
in EDI: pages before it have the counter in ESI, pages after it the previous
value. A consistent image has that boundary and no other, and it matches the
registers of the CPUs.

Initially, the guest may write to the beginning of a part only ('warm'); go()
makes it write to all of it.
"""

import ctypes
import struct
import tempfile

from firmware import BASE, protected_mode, rom_of, word
from qtest import QTest
from vm import VM
from vmcore import NT_PRSTATUS
from wait import wait_until

PAGE = 4096
# Words of a page that the sweeps do not write to.
COUNT_AT, GO_AT = 0x7000, 0x7004
TABLE = 0x200
# Sweep memory above this address, except for what is not plain RAM.
FIRST, HOLE, HIGH = 0x10000, 0xa0000, 0x100000
PLACES = (0, PAGE // 2 - 4, PAGE - 4)

PR_SET_THP_DISABLE = 41


def program():
    """The code, and the addresses of its instructions by name."""
    code = protected_mode(
        b'\xc7\x05' + word(COUNT_AT) + bytes(4) +  # movl $0, COUNT_AT
        b'\xb8\x00\x45\x0c\x00'         # mov $0xc4500, %eax
        b'\xa3\x00\x03\xe0\xfe')        # INIT to the other CPUs (for KVM)
    code += (
        b'\xb8\x01\x00\x00\x00'         # mov $1, %eax
        b'\xf0\x0f\xc1\x05' + word(COUNT_AT) +  # lock xadd %eax, COUNT_AT
        b'\xc1\xe0\x04'                 # shl $4, %eax
        b'\x8b\x90' + word(BASE + TABLE) +      # mov TABLE(%eax), %edx
        b'\x8b\x98' + word(BASE + TABLE + 4) +  # mov TABLE+4(%eax), %ebx
        b'\x8b\xa8' + word(BASE + TABLE + 8) +  # mov TABLE+8(%eax), %ebp
        b'\xbe\x01\x00\x00\x00')        # mov $1, %esi
    at = {}

    def put(name, text):
        at[name] = BASE + len(code)
        code.extend(text)

    put('pass', b'\x89\xd7')            # mov %edx, %edi
    put('start', b'\x89\x37')           # mov %esi, (%edi)
    put('middle', b'\x89\xb7' + word(PLACES[1]))    # mov %esi, 2044(%edi)
    put('end', b'\x89\xb7' + word(PLACES[2]))       # mov %esi, 4092(%edi)
    put('next', b'\x81\xc7' + word(PAGE))           # add $4096, %edi
    put('hole?', b'\x81\xff' + word(HOLE))          # cmp $HOLE, %edi
    put('no hole', b'\x75\x05')                     # jne, else:
    put('hole', b'\xbf' + word(HIGH))               # mov $HIGH, %edi
    put('all?', b'\x39\xdf')                        # cmp %ebx, %edi
    put('again', b'\x72' + bytes(                   # jb start
        [at['start'] - (BASE + len(code) + 2) & 0xff]))
    put('go?', b'\x83\x3d' + word(GO_AT) + b'\x00')  # cmpl $0, GO_AT
    put('warm', b'\x74\x02')                        # je, else:
    put('go', b'\x89\xeb')                          # mov %ebp, %ebx
    put('count', b'\x46')                           # inc %esi
    put('back', b'\xeb' + bytes(                    # jmp pass
        [at['pass'] - (BASE + len(code) + 2) & 0xff]))
    return bytes(code), at


CODE, AT = program()
# Contents of the page at EDI when the CPU is at the instruction.
WRITTEN = {AT['start']: 0, AT['middle']: 1, AT['end']: 2, AT['next']: 3}
# Between two passes: all pages have the counter before that in ESI.
BETWEEN = (AT['pass'], AT['back'])


def firmware(parts):
    """A ROM. A part consists of its first address, the end of the memory swept
    at first, and its end."""
    rom = rom_of(CODE)
    for i, part in enumerate(parts):
        rom[TABLE + 16 * i:TABLE + 16 * i + 12] = struct.pack('<III', *part)
    return bytes(rom)


def page_of(old, new=0, words=0):
    """A page with so many new words, the rest old."""
    data = bytearray(PAGE)
    for i, place in enumerate(PLACES):
        data[place:place + 4] = word(new if i < words else old)
    return bytes(data)


# -- kinds of memory ----------------------------------------------------------


def no_huge_pages():
    """Child process setup: disable transparent huge pages."""
    if ctypes.CDLL(None).prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0):
        raise OSError('prctl')


KINDS = {
    'anon': 'memory-backend-ram',           # huge pages, if available
    'anon-4k': 'memory-backend-ram',
    'memfd': 'memory-backend-memfd,share=on',
    'memfd-private': 'memory-backend-memfd,share=off',
    'hugetlb': 'memory-backend-memfd,hugetlb=on,hugetlbsize=2M,share=on',
    'hugetlb-private':
        'memory-backend-memfd,hugetlb=on,hugetlbsize=2M,share=off',
}


def memory(kind, size, more=''):
    """QEMU arguments."""
    return ['-machine', 'pc,memory-backend=ram', '-m', f'{size >> 20}M',
            '-object', f'{KINDS[kind]},id=ram,size={size}{more}']


# -- the guest ----------------------------------------------------------------


class Registers:
    """The contents of a CPU's NT_PRSTATUS."""

    def __init__(self, desc):
        if len(desc) == 144:            # 32-bit
            (self.ebx, _, self.edx, self.esi, self.edi, self.ebp,
             *_) = struct.unpack_from('<6I', desc, 72)
            self.eip, = struct.unpack_from('<I', desc, 72 + 12 * 4)
        else:
            assert len(desc) == 336
            regs = struct.unpack_from('<27Q', desc, 112)
            self.ebp, self.ebx, self.edx = regs[4], regs[5], regs[12]
            self.esi, self.edi, self.eip = regs[13], regs[14], regs[16]

    def __repr__(self):
        name = next((n for n, a in AT.items() if a == self.eip),
                    hex(self.eip))
        return (f'EDI={self.edi:#x} ESI={self.esi} at "{name}" in '
                f'{self.edx:#x}..{self.ebx:#x} of ..{self.ebp:#x}')


class Sweep(VM):
    """The guest, sweeping."""

    def __init__(self, size=64 << 20, kind='anon', cpus=1, multi=True,
                 warm=1.0, args=(), more='', sweeps=None, accel=None,
                 **kwargs):
        """'multi': a thread for each CPU, with TCG; 'more': additional
        arguments of the backend; 'sweeps': the end of the memory that is
        written to, if not all."""
        self.size = size
        self.parts = self.split(sweeps or size, cpus, warm)
        if kind == 'anon-4k':
            kwargs['preexec'] = no_huge_pages
        thread = 'multi' if multi else 'single'
        self.rom = tempfile.NamedTemporaryFile(prefix='sweep-')
        self.rom.write(firmware(self.parts))
        self.rom.flush()
        super().__init__(
            *memory(kind, size, more), '-smp', str(cpus), '-bios',
            self.rom.name, '-qtest', 'unix:qtest,server=on,wait=off',
            '-qtest-log', 'none', *args, machine=None,
            accel=accel or f'tcg,thread={thread}', **kwargs)
        try:
            self.qtest = QTest(self.path('qtest'))
            self.sweep_on(2)
        except BaseException:
            self.close()
            raise

    @staticmethod
    def split(size, cpus, warm):
        """Parts for that number of CPUs; all but the first above 1 MiB."""
        parts = []
        for i in range(cpus):
            start = size // cpus * i // PAGE * PAGE or FIRST
            end = size // cpus * (i + 1) // PAGE * PAGE
            length = int((end - start) * warm) // PAGE * PAGE
            parts.append((start, start + length, end))
        return parts

    def word(self, paddr):
        return int(self.qtest.cmd(f'readl {paddr:#x}'), 0)

    def passes(self):
        """The counter of each CPU."""
        return [self.word(start) for start, _, _ in self.parts]

    def sweep_on(self, passes):
        """Wait until all CPUs have completed so many more passes, or begun the
        next one."""
        goal = [n + passes for n in self.passes()]
        wait_until(lambda: all(n >= g for n, g in zip(self.passes(), goal)),
                   lambda: self.qmp.hmp('info registers -a'), 0.005)

    def go(self):
        """Write to all of memory from the next pass on."""
        self.qtest.cmd(f'writel {GO_AT:#x} 1')

    def position(self):
        """Approximate number of pages written by the first CPU."""
        start, end, _ = self.parts[0]
        count = self.word(start)
        low, high = start, end          # pages below low have that count
        while high - low > PAGE:
            middle = (low + high) // 2 // PAGE * PAGE
            if HOLE <= middle < HIGH:
                middle = HIGH
                if high <= HIGH:
                    break
            if self.word(middle) >= count:
                low = middle
            else:
                high = middle
        return (count * (end - start) + low - start) // PAGE


# -- expected contents of a dump ----------------------------------------------


def all_registers(dump):
    """Registers of the CPUs, in the order of their parts."""
    found = [Registers(desc) for name, kind, desc in dump.notes
             if (name, kind) == ('CORE', NT_PRSTATUS)]
    return sorted(found, key=lambda r: r.edx)


def plain(start, end):
    """The range without memory that is not plain RAM."""
    for a, b in ((start, min(end, HOLE)), (max(start, HIGH), end)):
        if a < b:
            yield a, b


def expected(cpu):
    """(start, end, page) of memory, as expected from the registers."""
    now, before = page_of(cpu.esi), page_of(cpu.esi - 1)
    if cpu.eip in BETWEEN:
        yield cpu.edx, cpu.ebx, before
    else:
        words = WRITTEN.get(cpu.eip, 0)
        yield cpu.edx, cpu.edi, now
        if cpu.edi < cpu.ebx:
            mixed = page_of(cpu.esi - 1, cpu.esi, words)
            yield cpu.edi, cpu.edi + PAGE, mixed
        yield cpu.edi + PAGE, cpu.ebx, before
    yield cpu.ebx, cpu.ebp, bytes(PAGE)


def differences(dump, start, end, page):
    """Addresses of pages that differ."""
    if hasattr(dump, 'descs'):
        yield from compressed_differences(dump, start, end, page)
        return
    step = 1 << 20
    for at in range(start, end, step):
        size = min(step, end - at)
        if dump.read(at, size) != page * (size // PAGE):
            for paddr in range(at, at + size, PAGE):
                if dump.read(paddr, PAGE) != page:
                    yield paddr


def compressed_differences(dump, start, end, page):
    """The same for compressed pages: equal pages have equal compressed
    data."""
    known = set()
    for paddr in range(start, end, PAGE):
        offset, size, _ = dump.descs[paddr // PAGE]
        data = bytes(dump.source.read(offset, size))
        if data not in known:
            if dump.read(paddr, PAGE) != page:
                yield paddr
            else:
                known.add(data)


def words_of(data):
    return [struct.unpack_from('<I', data, p)[0] for p in PLACES]


def check(dump, vm):
    """Check that memory and registers belong to the same moment."""
    cpus = all_registers(dump)
    assert [c.edx for c in cpus] == [start for start, _, _ in vm.parts]
    for cpu in cpus:
        assert AT['pass'] <= cpu.eip <= AT['back'], cpu
        wrong = [paddr for start, end, page in expected(cpu)
                 for a, b in plain(start, end)
                 for paddr in differences(dump, a, b, page)]
        examples = [(hex(a), words_of(dump.read(a, PAGE)))
                    for a in wrong[:4] + wrong[-4:]]
        assert not wrong, f'{len(wrong)} pages, {examples}, but {cpu}'
    rest = vm.parts[-1][2]
    assert not any(differences(dump, rest, vm.size, bytes(PAGE)))
    return cpus
