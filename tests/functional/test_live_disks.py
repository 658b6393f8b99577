# SPDX-License-Identifier: GPL-2.0-or-later
"""Live dumps while disks are read into guest memory: the writes are made by
the kernel for threads of QEMU, not by the guest's CPUs."""

import os
import struct

import pytest

from live import Before, Held, Idle, is_old, live, old_page
from sweep import PAGE
from virtio import Disk
from vmcore import open_dump

MIB = 1 << 20
BUFFERS = range(4 * MIB, 12 * MIB, MIB)         # one request each
SIZE = len(BUFFERS) * MIB


def new_page(offset):
    return struct.pack('<Q', offset ^ 0xd15c) * (PAGE // 8)


@pytest.fixture(scope='module')
def disk_file(tmp_path_factory):
    path = str(tmp_path_factory.mktemp('disk') / 'disk')
    with open(path, 'wb') as f:
        for at in range(0, SIZE, PAGE):
            f.write(new_page(at))
        os.fsync(f.fileno())
    return path


def guest(path, aio, cache, *args, thread=True, more='', **kwargs):
    vm = Idle(16 * MIB, start=2 * MIB, args=(
        '-object', 'iothread,id=io', '-drive',
        f'if=none,id=disk,format=raw,file={path},aio={aio},cache={cache}'
        f'{more}', '-device', 'virtio-blk-pci,drive=disk,addr=5' +
        (',iothread=io' if thread else ''), *args), **kwargs)
    try:
        vm.disk = Disk(vm.qtest, 5, 1 * MIB)
    except BaseException:
        vm.close()
        raise
    return vm


def is_read(vm, buffers=BUFFERS):
    """Check that memory has the data read, independent of the dump."""
    for paddr in buffers:
        for at in range(0, MIB, 16 * PAGE):
            assert vm.qtest.read(paddr + at, PAGE) == \
                new_page(paddr - BUFFERS[0] + at)


WAYS = [('threads', 'writeback'), ('threads', 'none'), ('native', 'none'),
        ('io_uring', 'writeback'), ('io_uring', 'none')]


@pytest.mark.parametrize('aio,cache', WAYS)
@pytest.mark.parametrize('kind', ['anon-4k', 'memfd'])
def test_read_meanwhile(disk_file, out, aio, cache, kind):
    """The dump has the previous contents."""
    try:
        vm = guest(disk_file, aio, cache, kind=kind)
    except RuntimeError as e:
        # Not supported by the kernel; QEMU must be built with it.
        if 'linux io_uring' in str(e) or 'O_DIRECT' in str(e):
            pytest.skip(f'not supported: {e}')
        raise
    with vm:
        # The first one does some one-time initialization.
        vm.disk.begin_read(0, 2 * MIB, PAGE)
        vm.disk.wait()
        vm.qtest.write(2 * MIB, old_page(2 * MIB))
        before = Before(vm)
        dump = Held(vm)
        for paddr in BUFFERS:
            vm.disk.begin_read(paddr - BUFFERS[0], paddr, MIB)
            if (paddr // MIB) % 4 == 3:
                vm.disk.wait()
        vm.disk.wait()
        is_read(vm)
        assert live(vm)['saved'] >= SIZE // PAGE // 2
        assert dump.finish(out)['result']['status'] == 'completed'
        is_old(open_dump(out), vm.pages())
        before.nothing_left()
        is_read(vm)


@pytest.mark.parametrize('thread', [False, True])
def test_read_under_way(disk_file, out, thread):
    """Requests in flight do not delay the moment, and data that they write
    later is not in the dump."""
    # Not adjacent, or a slow device would merge them to a single one.
    buffers = BUFFERS[::2]
    with guest(disk_file, 'threads', 'writeback', thread=thread,
               more=f',throttling.bps-read={MIB // 64}') as vm:
        before = Before(vm)
        for paddr in buffers:
            vm.disk.begin_read(paddr - BUFFERS[0], paddr, MIB)
        dump = Held(vm)
        # The remaining requests would take minutes.
        done = vm.disk.done()
        assert done < 4
        assert vm.qmp.hmp('block_set_io_throttle disk 0 0 0 0 0 0') == ''
        vm.disk.wait()
        assert dump.finish(out)['result']['status'] == 'completed'
        image = open_dump(out)
        then, = struct.unpack('<H', image.read(vm.disk.memory + 0x802, 2))
        assert then <= done
        pages = [p for p in vm.pages() if p >= buffers[then]]
        # The first pages of the next one may have been written before.
        new = {p for p in pages
               if image.read(p, PAGE) == new_page(p - BUFFERS[0])}
        assert not new or max(new) < buffers[then] + MIB
        is_old(image, [p for p in pages if p not in new])
        is_read(vm, buffers)
        before.nothing_left()
