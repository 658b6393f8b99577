# SPDX-License-Identifier: GPL-2.0-or-later
"""A kdump file ends at the end of RAM: distinction of RAM and device
memory."""

import pytest

from qtest import QTest
from vm import VM
from vmcore import open_dump

KiB, MiB, GiB = 1 << 10, 1 << 20, 1 << 30
SLOT, BAR = 5, 0x18
FORMATS = ['kdump-zlib', 'kdump-raw-zlib']
IVSHMEM = ('-object', 'memory-backend-ram,id=shared,size=1M',
           '-device', f'ivshmem-plain,memdev=shared,addr={SLOT}')


def machine(kind, *args):
    vm = VM(*args, *IVSHMEM, '-vga', 'none', '-qtest',
            'unix:qtest,server=on,wait=off', '-qtest-log', 'none',
            machine=kind, accel='qtest')
    vm.qtest = QTest(vm.path('qtest'))
    return vm


def move(vm, at):
    """Map the shared memory, which is a BAR, at that address."""
    vm.qtest.pci_write(SLOT, 4, 0)
    vm.qtest.pci_write(SLOT, BAR, at & 0xffffffff)
    vm.qtest.pci_write(SLOT, BAR + 4, at >> 32)
    vm.qtest.pci_write(SLOT, 4, 2)


def has(ranges, at, size):
    return any(start <= at and at + size <= start + length
               for start, length in ranges)


def check_end(vm, out, end, name='kdump-raw-zlib'):
    """Up to @end a kdump file has the same memory as an ELF core, and no
    more."""
    vm.dump(out)
    elf = open_dump(out).ranges()
    assert 'left-out' not in vm.qmp.cmd('query-dump')
    vm.dump(out, format=name)
    dump = open_dump(out)
    result = vm.qmp.cmd('query-dump')
    assert dump.max_mapnr == end >> 12
    pages = [p for start, size in elf
             for p in range(start >> 12, min(start + size, end) >> 12)]
    assert dump.ram == dump.pfns == pages
    total = sum(size for _, size in elf)
    assert result['total'] == result['completed'] == len(pages) << 12
    assert result.get('left-out', 0) == total - result['total']
    assert 'warnings' not in result
    return elf


@pytest.fixture(scope='module', params=['pc', 'q35'])
def small(request):
    with machine(request.param, '-m', '16M', '-device', 'VGA') as vm:
        yield vm


@pytest.mark.parametrize('name', FORMATS)
@pytest.mark.parametrize('at', [3 * GiB, 4 * GiB, 1 << 36])
def test_device_above_ram(small, out, at, name):
    """A BAR and the firmware."""
    move(small, at)
    elf = check_end(small, out, 16 * MiB, name)
    assert has(elf, at, MiB)
    assert has(elf, 4 * GiB - 128 * KiB, 128 * KiB)


def test_device_touches_ram(small, out):
    move(small, 16 * MiB)
    check_end(small, out, 16 * MiB)


def test_device_below_ram(out):
    """Nothing below the end of RAM is left out or counted."""
    with machine('q35', '-m', '16M,slots=1,maxmem=1G', '-object',
                 'memory-backend-ram,id=m,size=128M', '-device',
                 'pc-dimm,memdev=m') as vm:
        move(vm, 3 * GiB)
        elf = check_end(vm, out, 4 * GiB + 128 * MiB)
        assert has(elf, 3 * GiB, MiB)
        assert 'left-out' not in vm.qmp.cmd('query-dump')


def test_numa(out):
    """RAM composed of several backends."""
    with machine('pc', '-m', '32M', '-smp', '2', '-object',
                 'memory-backend-ram,id=a,size=16M', '-object',
                 'memory-backend-ram,id=b,size=16M', '-numa',
                 'node,memdev=a', '-numa', 'node,memdev=b') as vm:
        move(vm, 4 * GiB)
        check_end(vm, out, 32 * MiB)


@pytest.mark.parametrize('kind', ['pc', 'q35'])
def test_dimm(out, kind):
    """Hotplugged memory is RAM; device memory above it is not."""
    with machine(kind, '-m', '16M,slots=1,maxmem=1G') as vm:
        move(vm, 1 << 36)
        check_end(vm, out, 16 * MiB)
        vm.qmp.cmd('object-add', qom_type='memory-backend-ram', id='m',
                   size=128 * MiB)
        vm.qmp.cmd('device_add', driver='pc-dimm', id='d', memdev='m')
        elf = check_end(vm, out, 4 * GiB + 128 * MiB)
        assert has(elf, 4 * GiB, 128 * MiB)
