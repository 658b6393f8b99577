# SPDX-License-Identifier: GPL-2.0-or-later
"""Dumps with paging, of every paging mode of x86."""

import re
import struct

import pytest

from firmware import EM_386, MODES, Firmware
from vmcore import open_dump

pytestmark = pytest.mark.once

MiB = 1 << 20
SIZE = 16 * MiB
# Kernel addresses.
HIGH = {'32-bit': 0xc0000000, 'pae': 0xc0000000,
        'long': 0xffffffff80000000, 'la57': 0xffff888000000000}


def mappings(mode):
    """Contiguous and other pages, aliases, and addresses beyond RAM."""
    high = HIGH[mode]
    pages = [
        (high, 8 * MiB, 4096),
        (high + 0x1000, 9 * MiB, 4096),
        (high + 0x2000, 9 * MiB + 0x1000, 4096),
        # Contiguous in physical memory only.
        (high + 0x10000, 9 * MiB + 0x2000, 4096),
        # An alias of the same page.
        (high + 0x20000, 8 * MiB, 4096),
        # Neither RAM nor anything else, and the end of RAM.
        (high + 0x30000, SIZE + 0x100000, 4096),
        (high + 0x40000, SIZE - 4096, 4096),
        (high + 0x41000, SIZE, 4096),
    ]
    for i, size in enumerate(MODES[mode].large):
        # The largest extends beyond RAM, and covers holes.
        paddr = 0 if size > SIZE else 12 * MiB
        pages.append((high + (0x10000000, 0x40000000)[i], paddr, size))
    return pages


@pytest.fixture(scope='module', params=list(MODES))
def firmware(request, tmp_path_factory):
    folder = str(tmp_path_factory.mktemp('firmware'))
    with Firmware(folder, request.param, mappings(request.param),
                  size=SIZE) as vm:
        vm.name = request.param
        yield vm


def canonical(vm, vaddr):
    """Sign-extend the address."""
    bits = sum(vm.mode.levels) + 12
    high = vm.mode.long and vaddr >> (bits - 1) & 1
    return vaddr | ((1 << 64) - (1 << bits) if high else 0)


def in_ram(paddr):
    return paddr < 0xa0000 or MiB <= paddr < SIZE


def pages_of(vm, begin=0, end=1 << 63):
    """vaddr -> paddr of every mapped page of RAM."""
    found = {}
    for vaddr, paddr, size in vm.mappings:
        for at in range(0, min(size, 64 * MiB), 4096):
            if in_ram(paddr + at) and begin <= paddr + at < end:
                found[canonical(vm, vaddr + at)] = paddr + at
    return found


def shown_by(dump):
    return {s['vaddr'] + at: s['paddr'] + at for s in dump.segments[1:]
            for at in range(0, s['memsz'], 4096) if in_ram(s['paddr'] + at)}


def mapped(shown, pages):
    """Segments without those of unmapped memory."""
    return {v: p for v, p in shown.items() if v != p or v in pages}


@pytest.mark.parametrize('detach', [False, True])
def test_mappings(firmware, out, detach):
    firmware.dump(out, paging=True, detach=detach)
    firmware.qmp.wait_event('DUMP_COMPLETED')
    dump = open_dump(out)
    assert dump.machine == firmware.mode.machine
    pages = pages_of(firmware)
    assert len(pages) > 400
    shown = shown_by(dump)
    assert mapped(shown, pages) == pages
    # Unmapped memory is at its physical address, unless that is mapped.
    assert {p for p in range(0, SIZE, 4096) if in_ram(p)} - \
        set(shown.values()) <= set(pages)
    for vaddr, paddr in pages.items():
        assert dump.read_virtual(vaddr, 4096) == \
            firmware.memory[paddr:paddr + 4096], f'{vaddr:#x}'


def test_neighbours_are_one_segment(firmware, out):
    firmware.dump(out, paging=True)
    high = canonical(firmware, HIGH[firmware.name])
    sizes = {s['vaddr']: s['memsz'] for s in open_dump(out).segments[1:]}
    assert sizes[high] == 4096
    assert sizes[high + 0x1000] == 8192


def test_range(firmware, out):
    """The range is of physical addresses, with paging too."""
    begin, length = 9 * MiB, 4 * MiB
    firmware.dump(out, paging=True, begin=begin, length=length)
    dump = open_dump(out)
    pages = pages_of(firmware, begin, begin + length)
    shown = shown_by(dump)
    assert mapped(shown, pages) == pages
    assert set(shown.values()) == set(range(begin, begin + length, 4096))
    for start, size in dump.ranges():
        assert begin <= start and start + size <= begin + length


def test_without_paging(firmware, out):
    """Physical addresses, independent of the CPU's paging mode."""
    firmware.dump(out, paging=False)
    dump = open_dump(out)
    assert all(s['vaddr'] == s['paddr'] for s in dump.loads)
    assert dump.read(MiB, SIZE - MiB) == firmware.memory[MiB:SIZE]


def test_registers(firmware, out):
    """The notes have the CPU's state at the halt."""
    firmware.dump(out)
    text = firmware.qmp.hmp('info registers')
    name, offset = ('RIP=', 112 + 16 * 8) if firmware.mode.long else \
        ('EIP=', 72 + 12 * 4)
    pc = int(text.split(name)[1].split()[0], 16)
    cr3 = int(text.split('CR3=')[1].split()[0], 16)
    notes = {n[0]: n[2] for n in open_dump(out).notes}
    if firmware.mode.machine == EM_386:
        saved, = struct.unpack_from('<I', notes['CORE'], offset)
    else:
        saved, = struct.unpack_from('<Q', notes['CORE'], offset)
    assert saved == pc
    # The end of QEMU's own note: cr0 to cr4, kernel_gs_base.
    crs = struct.unpack('<5Q', notes['QEMU'][-48:-8])
    assert crs[3] == cr3 and crs[0] >> 31 == 1


def test_kdump_of_paging_guest(firmware, out):
    firmware.dump(out, format='kdump-raw-zlib')
    dump = open_dump(out)
    assert dump.machine == ('x86_64' if firmware.mode.long else 'i686')
    assert dump.sysname == ''
    for at in range(MiB, SIZE, MiB):
        assert dump.read(at, 65536) == firmware.memory[at:at + 65536]


def memory_of(vm, what):
    """Memory in MiB, from /proc."""
    with open(vm.proc_path('status')) as f:
        return int(re.search(rf'{what}:\s+(\d+)', f.read())[1]) >> 10


@pytest.mark.parametrize('name', ['32-bit', 'pae', 'long', 'la57'])
def test_tables_that_never_end(tmp_path, out, name):
    """The top level table refers to itself in all other entries: without a
    limit the walk would not end."""
    with Firmware(str(tmp_path), name, size=SIZE) as vm:
        mode = vm.mode
        present = 1 if name == 'pae' else 3
        for at in range(vm.root, vm.root + (mode.entry << mode.levels[0]),
                        mode.entry):
            entry = vm.memory[at:at + mode.entry]
            if not any(entry):
                vm.memory[at:at + mode.entry] = (vm.root | present).to_bytes(
                    mode.entry, 'little')
        vm.dump(out)            # and QEMU has allocated all memory
        before = memory_of(vm, 'VmHWM')
        vm.dump(out, paging=True)
        assert memory_of(vm, 'VmHWM') - before < 64
        assert vm.status() == 'running'
        dump = open_dump(out)
        if name == 'pae':               # which has few page tables to walk
            assert len(dump.segments) < 100
            assert vm.stderr() == ''
        else:
            # These are aliases of a few pages.
            assert 100 < len(dump.segments) < 65536
            assert 'have too many mappings: 524288 are' in vm.stderr()
        # All memory is in the file, whether mapped or not.
        with open(out, 'rb') as f:
            assert vm.memory[9 * MiB:10 * MiB] in f.read()
