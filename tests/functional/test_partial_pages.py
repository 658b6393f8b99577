# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory that does not begin or end at page boundaries, and 32-bit dumps."""

import os
import random
import shutil
import subprocess

import pytest

import ram
from qtest import QTest
from vm import VM
from vmcore import open_dump

pytestmark = pytest.mark.once

KiB, MiB = 1 << 10, 1 << 20
FORMATS = ['elf', 'kdump-zlib', 'kdump-lzo', 'kdump-snappy',
           'kdump-raw-zlib', 'kdump-raw-lzo', 'kdump-raw-snappy']


# -- a machine with only a CPU, and memory that ends within a page ------------

ODD = MiB + 512


@pytest.fixture(scope='module')
def bare(tmp_path_factory):
    path = str(tmp_path_factory.mktemp('ram') / 'ram')
    ram.fill(path, MiB)
    with open(path, 'rb') as f:
        memory = f.read() + random.Random(2).randbytes(ODD - MiB)
    with VM('-object', f'memory-backend-ram,id=ram,size={ODD}', '-machine',
            'none,memory-backend=ram', '-cpu', 'qemu64,apic-id=0', '-qtest',
            'unix:qtest,server=on,wait=off', '-qtest-log', 'none',
            machine=None, accel='qtest') as vm:
        qtest = QTest(vm.path('qtest'))
        for at in range(0, ODD, 64 * KiB):
            qtest.write(at, memory[at:at + 64 * KiB])
        vm.memory = memory
        yield vm


@pytest.mark.parametrize('detach', [False, True])
@pytest.mark.parametrize('name', FORMATS)
def test_last_page_in_part(bare, out, name, detach):
    """max_mapnr includes the last page, only part of which is RAM."""
    bare.dump(out, format=name, detach=detach)
    event = bare.qmp.wait_event('DUMP_COMPLETED')['data']
    assert event['result']['status'] == 'completed'
    assert event['result']['completed'] == event['result']['total'] >= ODD
    dump = open_dump(out)
    # There is no memory above 4 GiB, so the structures are 32-bit.
    assert not dump.is64
    if name == 'elf':
        assert dump.ranges() == [(0, ODD)]
        assert dump.read(0, ODD) == bare.memory
        return
    assert dump.max_mapnr == ODD // 4096 + 1
    assert dump.pfns == list(range(dump.max_mapnr))
    # The part that is not RAM reads as zero.
    assert dump.read(0, ODD + 3584) == bare.memory + bytes(3584)


@pytest.mark.parametrize('begin,length', [
    (0, 1), (ODD - 1, 1), (ODD - 1, 4096), (4095, 2), (MiB - 100, 10 * MiB),
    (0, (1 << 63) - 1),
])
def test_range_of_32_bit_dump(bare, out, begin, length):
    bare.dump(out, begin=begin, length=length)
    end = min(begin + length, ODD)
    dump = open_dump(out)
    assert dump.ranges() == [(begin, end - begin)]
    assert dump.read(begin, end - begin) == bare.memory[begin:end]


# -- option ROMs: memory of less than a page in the middle --------------------

WINDOW = 0xfe000000
# Slot of the device -> address of its 2 KiB.
ROMS = {
    4: WINDOW + 0x800,              # second half of a page
    5: WINDOW + 0x2000,             # first half
    6: WINDOW + 0x4000,             # two that fill a page
    7: WINDOW + 0x4800,
    8: WINDOW + 0x6800,             # and two that meet at a page boundary
    9: WINDOW + 0x7000,
}


def rom(slot):
    return random.Random(slot).randbytes(2 * KiB)


@pytest.fixture(scope='module')
def roms(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp('roms'))
    args = []
    for slot in ROMS:
        path = os.path.join(folder, str(slot))
        with open(path, 'wb') as f:
            f.write(rom(slot))
        args += ['-device', f'e1000,addr={slot},romfile={path}']
    # The DIMM is above them: otherwise a kdump file would end before.
    with VM('-m', '16M,slots=1,maxmem=1G', '-object',
            'memory-backend-ram,id=dimm,size=2M', '-device',
            'pc-dimm,memdev=dimm', *args, '-qtest',
            'unix:qtest,server=on,wait=off', '-qtest-log', 'none',
            accel='qtest') as vm:
        qtest = QTest(vm.path('qtest'))
        for slot, at in ROMS.items():
            qtest.pci_write(slot, 0x30, at | 1)
            qtest.pci_write(slot, 0x04, 0x2)
        assert qtest.read(ROMS[4], 2 * KiB) == rom(4)
        yield vm


def window():
    """The dump's contents there: zeroes between the ROMs."""
    data = bytearray(0x8000)
    for slot, at in ROMS.items():
        data[at - WINDOW:at - WINDOW + 2 * KiB] = rom(slot)
    return bytes(data)


@pytest.mark.parametrize('detach', [False, True])
@pytest.mark.parametrize('name', FORMATS)
def test_small_blocks(roms, out, name, detach):
    roms.dump(out, format=name, detach=detach)
    event = roms.qmp.wait_event('DUMP_COMPLETED')['data']
    assert event['result']['completed'] == event['result']['total']
    dump = open_dump(out)
    ranges = [r for r in dump.ranges() if WINDOW <= r[0] < WINDOW + 0x8000]
    if name == 'elf':
        assert ranges == [
            (WINDOW + 0x800, 2 * KiB), (WINDOW + 0x2000, 2 * KiB),
            (WINDOW + 0x4000, 4 * KiB), (WINDOW + 0x6800, 4 * KiB)]
    else:
        assert ranges == [
            (WINDOW, 4 * KiB), (WINDOW + 0x2000, 4 * KiB),
            (WINDOW + 0x4000, 4 * KiB), (WINDOW + 0x6000, 8 * KiB)]
    data = window()
    for start, size in ranges:
        at = start - WINDOW
        assert dump.read(start, size) == data[at:at + size]


@pytest.mark.parametrize('begin,length', [
    (WINDOW, 0x8000), (WINDOW + 0x900, 0x1800), (WINDOW + 0x47ff, 2),
])
def test_range_over_small_blocks(roms, out, begin, length):
    roms.dump(out, begin=begin, length=length)
    dump = open_dump(out)
    data = window()
    seen = 0
    for start, size in dump.ranges():
        assert begin <= start and start + size <= begin + length
        at = start - WINDOW
        assert dump.read(start, size) == data[at:at + size]
        seen += size
    assert seen == sum(
        max(0, min(at + 2 * KiB, begin + length) - max(at, begin))
        for at in ROMS.values())


@pytest.mark.skipif(not shutil.which('makedumpfile'),
                    reason='makedumpfile is not installed')
def test_rearranged_is_the_raw_dump(bare, tmp_path):
    """makedumpfile -R converts our flattened form to the same memory."""
    flat, plain = str(tmp_path / 'flat'), str(tmp_path / 'plain')
    bare.dump(flat, format='kdump-zlib')
    with open(flat, 'rb') as f:
        subprocess.run(['makedumpfile', '-R', plain], stdin=f, check=True,
                       capture_output=True)
    dump = open_dump(plain)
    assert dump.read(0, ODD) == bare.memory
