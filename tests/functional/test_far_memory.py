# SPDX-License-Identifier: GPL-2.0-or-later
"""Device memory that the guest has mapped at a very high address: a kdump file
does not grow with the address, an ELF core includes the memory."""

import os
import resource

import pytest

from qtest import QTest
from vm import VM
from vmcore import open_dump

pytestmark = pytest.mark.once

MiB = 1 << 20
SLOT, BAR = 5, 0x18
DATA = bytes(range(256)) * 16
# The dump of a machine of 16 MiB must stay far below this.
LIMIT = 64 * MiB


def limit_files():
    """Limit the file size; otherwise a bug would fill the user's disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, LIMIT))


@pytest.fixture(scope='module')
def guest():
    with VM('-m', '16M', '-object', 'memory-backend-ram,id=shared,size=1M',
            '-device', f'ivshmem-plain,memdev=shared,addr={SLOT}',
            '-qtest', 'unix:qtest,server=on,wait=off', '-qtest-log', 'none',
            accel='qtest', preexec=limit_files) as vm:
        vm.qtest = QTest(vm.path('qtest'))
        yield vm


def move(vm, at):
    vm.qtest.pci_write(SLOT, 4, 0)
    vm.qtest.pci_write(SLOT, BAR, at & 0xffffffff)
    vm.qtest.pci_write(SLOT, BAR + 4, at >> 32)
    vm.qtest.pci_write(SLOT, 4, 2)
    vm.qtest.write(at, DATA)
    assert vm.qtest.read(at, len(DATA)) == DATA


def has(dump, at):
    return any(start <= at < start + size for start, size in dump.ranges())


@pytest.mark.parametrize('at', [1 << 42, 1 << 52, (1 << 64) - (1 << 21)])
@pytest.mark.parametrize('name', ['kdump-zlib', 'kdump-raw-zlib'])
def test_kdump(guest, out, at, name):
    move(guest, at)
    guest.dump(out, format=name)
    dump = open_dump(out)
    assert not has(dump, at)
    assert has(dump, 15 * MiB)
    assert os.path.getsize(out) < 16 * MiB
    assert 'device memory are left out' in guest.stderr()


@pytest.mark.parametrize('at', [1 << 32, 1 << 36, 1 << 52])
def test_elf(guest, out, at):
    move(guest, at)
    guest.dump(out, format='elf')
    assert open_dump(out).read(at, len(DATA)) == DATA


@pytest.mark.parametrize('at', [1 << 32, 1 << 36])
def test_near(guest, out, at):
    """Above all RAM, but not far: left out as well, without a warning."""
    move(guest, at)
    guest.dump(out, format='kdump-raw-zlib')
    assert not has(open_dump(out), at)
    assert 'warnings' not in guest.qmp.cmd('query-dump')
