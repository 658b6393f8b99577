# SPDX-License-Identifier: GPL-2.0-or-later
"""Interaction of dumps with QEMU's other commands and the run state."""

import contextlib
import os
import re
import struct
import threading
import time

import pytest

import faults
import ram
from conftest import SIZE
from firmware import READY_AT, Firmware
from gdbstub import GdbStub
from qmp import QMPError
from qtest import QTest
from test_cancel import make_qcow2
from test_lifecycle import Stalled
from virtio import CAP_NOTIFY, Balloon, VirtioDevice, VirtioMem
from vm import VM
from vmcore import open_dump
from wait import HANGS, wait_until

# Memory that the firmware does not use.
MARK = 8 << 20


def bytes_read(vm):
    """Number of bytes that QEMU has read from files so far."""
    with open(vm.proc_path('io')) as f:
        return int(re.search(r'rchar: (\d+)', f.read())[1])


# -- the end of a dump while QEMU is busy -----------------------------------------


@pytest.fixture
def slow_snapshot(ram_file, tmp_path):
    """A guest with a snapshot that takes seconds to load, and another byte in
    memory since."""
    disk, qtest = str(tmp_path / 'disk'), str(tmp_path / 'qtest')
    make_qcow2(disk)
    with VM(*ram.backend(ram_file, SIZE, share=False)[:-1],
            '-object', 'throttle-group,id=slow,x-bps-read=16000000',
            '-blockdev', 'qcow2,node-name=disk,file.driver=throttle,'
            'file.throttle-group=slow,file.file.driver=file,'
            f'file.file.filename={disk}',
            '-device', 'virtio-blk-pci,drive=disk', '-qtest',
            f'unix:{qtest},server=on,wait=off',
            '-trace', 'qemu_loadvm_state_post_main',
            '-trace', 'dump_resume_guest', machine=None) as vm:
        vm.qmp.close()
        vm.qmp = vm.connect('qmp', oob=True)
        vm.qtest = QTest(qtest)
        vm.qtest.write(MARK, b'saved')
        assert vm.qmp.hmp('savevm s') == ''
        vm.qtest.write(MARK, b'later')
        vm.qmp.event_names()
        yield vm
        vm.qtest.close()


def start_loading(vm, how):
    """Returns when QEMU is in the middle of it."""
    before = bytes_read(vm)
    if how == 'loadvm':
        vm.qmp.send('human-monitor-command', command_line='loadvm s')
    else:
        vm.qmp.send('snapshot-load', job_id='load', tag='s', vmstate='disk',
                    devices=['disk'])
    wait_until(lambda: bytes_read(vm) >= before + (4 << 20))


@pytest.mark.parametrize('end', ['cancel', 'reader gone'])
@pytest.mark.parametrize('how', ['loadvm', 'snapshot-load'])
def test_end_while_snapshot_is_loaded(slow_snapshot, how, end):
    """The guest is not started before the snapshot is loaded."""
    vm = slow_snapshot
    dump = Stalled(vm)
    start_loading(vm, how)
    if end == 'cancel':
        vm.qmp.send('dump-cancel', out_of_band=True)
        assert vm.qmp.reply() == {}
    os.close(dump.r)
    assert vm.qmp.reply() == ('' if how == 'loadvm' else {})
    vm.qmp.wait_event('DUMP_COMPLETED')
    text = vm.stderr()
    assert text.index('qemu_loadvm_state_post_main') < \
        text.index('dump_resume_guest')
    assert vm.status() == 'running'
    assert vm.qtest.read(MARK, 5) == b'saved'


# -- suspended guests, and guests started during a dump -------------------------


RAN = 'dump: the guest ran while its memory was being written'


def suspend(vm):
    vm.qmp.hmp('o /h 0x604 0x2400')
    vm.qmp.wait_event('SUSPEND')


@pytest.fixture
def awake(ram_file):
    with VM(*ram.backend(ram_file, SIZE, share=False)[:-1],
            machine=None) as vm:
        vm.wait_chipset()
        vm.qmp.event_names()
        yield vm


def test_suspended_guest(awake):
    """It is stopped like any other, cannot wake up, and stays suspended."""
    suspend(awake)
    assert awake.status() == 'suspended'
    dump = Stalled(awake)
    assert awake.status() == 'save-vm'
    with pytest.raises(QMPError):
        awake.qmp.cmd('system_wakeup')
    assert awake.status() == 'save-vm'
    assert dump.drain()['data']['result']['status'] == 'completed'
    assert awake.status() == 'suspended'
    awake.qmp.cmd('system_wakeup')
    awake.qmp.wait_event('WAKEUP')
    assert awake.status() == 'running'
    assert 'reset' not in awake.stderr()


def test_suspended_guest_events(awake, out):
    suspend(awake)
    awake.dump(out)
    assert awake.qmp.event_names() == ['STOP', 'RESUME', 'DUMP_COMPLETED']
    assert awake.status() == 'suspended'
    open_dump(out)


def test_suspend_meanwhile(awake):
    """The guest requests suspend just before the dump; QEMU handles it
    later."""
    dump = Stalled(awake)
    suspend(awake)
    assert awake.status() == 'save-vm'
    with pytest.raises(QMPError):
        awake.qmp.cmd('system_wakeup')
    assert dump.drain()['data']['result']['status'] == 'completed'
    assert awake.status() == 'suspended'
    awake.qmp.cmd('system_wakeup')
    awake.qmp.wait_event('WAKEUP')
    assert awake.status() == 'running'


def test_suspended_guest_is_reset(awake):
    """As without a dump, the guest does not run afterwards."""
    suspend(awake)
    dump = Stalled(awake)
    awake.qmp.cmd('system_reset')
    awake.qmp.wait_event('RESET')
    assert dump.drain()['data']['result']['status'] == 'completed'
    assert awake.status() == 'prelaunch'
    awake.qmp.cmd('cont')
    assert awake.status() == 'running'


@pytest.mark.parametrize('before', ['running', 'paused'])
def test_debugger_continues(ram_file, tmp_path, before):
    """This cannot be prevented; the dump fails."""
    path = str(tmp_path / 'gdb')
    with VM(*ram.backend(ram_file, SIZE, share=False)[:-1], '-gdb',
            f'unix:{path},server=on,wait=off', machine=None) as vm:
        gdb = GdbStub(path)
        if before == 'running':
            vm.qmp.cmd('cont')
        assert vm.status() == before
        dump = Stalled(vm)
        gdb.send('c')
        event = vm.qmp.wait_event('DUMP_COMPLETED')['data']
        assert event['result']['status'] == 'failed'
        assert event['error'] == RAN
        assert vm.status() == 'running'
        os.close(dump.r)
        gdb.close()
        assert 'blocked-reasons' not in vm.qmp.cmd('query-migrate')


def test_resets_are_told_once(awake):
    dump = Stalled(awake)
    for _ in range(5):
        awake.qmp.cmd('system_reset')
        awake.qmp.wait_event('RESET')
    result = dump.drain()['data']['result']
    assert result['status'] == 'completed'
    assert len([text for text in result['warnings']
                if 'the guest is reset while' in text]) == 1
    assert awake.status() == 'running'


# -- slow and hanging disks ---------------------------------------------------------

BUSY = "of the guest's disks had requests in flight"
DISKS = {
    'virtio-blk': ['-device', 'virtio-blk-pci,drive=disk'],
    'iothread': ['-object', 'iothread,id=thread', '-device',
                 'virtio-blk-pci,drive=disk,iothread=thread'],
    'virtio-scsi': ['-device', 'virtio-scsi-pci', '-device',
                    'scsi-hd,drive=disk'],
    'ide': ['-device', 'ide-hd,drive=disk'],
}


def reads(vm):
    return vm.stderr().count('bdrv_co_preadv_part')


@contextlib.contextmanager
def waiting_for_disk(ram_file, blockdev, disk='virtio-blk', hang=False):
    """A guest whose firmware has requested the boot sector from its disk."""
    with VM(*ram.backend(ram_file, SIZE, share=False), '-blockdev',
            'node-name=disk,' + blockdev, *DISKS[disk], '-trace',
            'bdrv_co_preadv_part', '-trace', 'vm_state_notify',
            machine=None) as vm:
        vm.qmp.close()
        vm.qmp = vm.connect('qmp', oob=True)
        if hang:
            assert vm.qmp.hmp('qemu-io disk "break read_aio hang"') == ''
        before = reads(vm)
        vm.qmp.cmd('cont')
        wait_until(lambda: reads(vm) > before)
        vm.qmp.event_names()
        yield vm


def fast_disk(ram_file, disk='virtio-blk'):
    return waiting_for_disk(ram_file, 'driver=null-co', disk)


def slow_disk(ram_file, seconds):
    return waiting_for_disk(
        ram_file, f'driver=null-co,latency-ns={seconds}000000000')


def hanging_disk(ram_file, disk='virtio-blk'):
    return waiting_for_disk(
        ram_file, 'driver=raw,file.driver=blkdebug,'
        'file.image.driver=null-co', disk, hang=True)


def told(vm):
    """Run states that devices were notified of: True if running."""
    return [m == '1' for m in re.findall(
        r'vm_state_notify running ([01])', vm.stderr())]


@pytest.mark.parametrize('disk', DISKS)
def test_disk_that_hangs(ram_file, disk):
    """Neither the dump nor its cancel waits for the disk."""
    with hanging_disk(ram_file, disk) as vm:
        before = told(vm)
        dump = Stalled(vm)
        assert vm.status() == 'save-vm'
        result = dump.drain()['data']['result']
        assert result['status'] == 'completed'
        assert any(BUSY in text for text in result['warnings'])
        assert vm.status() == 'running'
        dump = Stalled(vm)
        vm.qmp.cmd('dump-cancel')
        event = vm.qmp.wait_event('DUMP_COMPLETED')['data']
        assert event['error'] == 'dump: cancelled'
        assert vm.status() == 'running'
        os.close(dump.r)
        assert told(vm) == before


def test_disk_that_hangs_synchronous(ram_file, out):
    with hanging_disk(ram_file) as vm:
        vm.dump(out)
        assert vm.qmp.event_names() == ['STOP', 'RESUME', 'DUMP_COMPLETED']
        open_dump(out)
        # It can be cancelled while it waits for the disk.
        vm.qmp.send('dump-guest-memory', paging=False,
                    protocol='file:' + out)
        vm.qmp.wait_event('STOP')
        vm.qmp.send('dump-cancel', out_of_band=True)
        assert vm.qmp.reply() == {}
        with pytest.raises(QMPError) as e:
            vm.qmp.reply()
        assert str(e.value) == 'dump: cancelled'
        assert vm.status() == 'running'


@pytest.mark.parametrize('disk', DISKS)
def test_disk_that_answers_at_once(ram_file, out, disk):
    with fast_disk(ram_file, disk) as vm:
        before = told(vm)
        vm.dump(out)
        assert told(vm) == before + [False, True]
        assert BUSY not in vm.stderr()


def test_debugger_continues_untold(ram_file, tmp_path):
    """Devices that were not notified of the stop are not notified of it later,
    when the guest runs."""
    path = str(tmp_path / 'gdb')
    with VM(*ram.backend(ram_file, SIZE, share=False), '-blockdev',
            'null-co,node-name=disk,latency-ns=3000000000', '-device',
            'virtio-blk-pci,drive=disk,id=blk', '-trace',
            'bdrv_co_preadv_part', '-gdb', f'unix:{path},server=on,wait=off',
            machine=None) as vm:
        with contextlib.closing(GdbStub(path)) as gdb:
            before = reads(vm)
            gdb.send('c')
            wait_until(lambda: reads(vm) > before, interval=0.005)
            answer = time.monotonic() + 3
            dump = Stalled(vm, format='kdump-zlib')
            # Just before the disk responds, as the dump does not end at once.
            time.sleep(max(0, answer - 0.17 - time.monotonic()))
            gdb.sock.sendall(b'\x03')
            gdb.send('c')
            event = vm.qmp.wait_event('DUMP_COMPLETED')['data']
            assert 'the guest ran' in event['error']
            os.close(dump.r)
            time.sleep(0.5)
            assert vm.status() == 'running'
            status = vm.qmp.cmd('x-query-virtio-status',
                                path='/machine/peripheral/blk/virtio-backend')
            assert status['vm-running']


def test_disk_that_answers_late(ram_file):
    """Devices are notified of the stop as soon as they do not have to wait."""
    with slow_disk(ram_file, 5) as vm:
        before = told(vm)
        dump = Stalled(vm)
        assert told(vm) == before

        def is_told():
            assert vm.status() == 'save-vm'
            return told(vm) != before

        wait_until(is_told)
        assert dump.drain()['data']['result']['status'] == 'completed'
        assert told(vm) == before + [False, True]
        assert vm.status() == 'running'


# A CPU that waits for the BQL, held while a dump is started, completes its
# access when the CPUs are stopped. Here it starts to wait while the output is
# opened.

# Wait for a word at READY_AT + 0x100, ...
WAIT = bytes([0xc7, 0x87, 0, 1, 0, 0, 0, 0, 0, 0,   # movl $0, 0x100(%edi)
              0x8b, 0x87, 0, 1, 0, 0,               # mov 0x100(%edi), %eax
              0x85, 0xc0, 0x74, 0xf6])              # test %eax, %eax; jz
# ... ring the doorbell whose address is in the next one, ...
RING = WAIT + bytes([0x8b, 0x9f, 4, 1, 0, 0,        # mov 0x104(%edi), %ebx
                     0x66, 0xc7, 3, 0, 0,           # movw $0, (%ebx)
                     0xeb, 0x100 - 20 - 13])
# ... or tell pvpanic.
PANIC = WAIT + bytes([0x66, 0xba, 5, 5, 0xb0, 1, 0xee,  # outb 1, 0x505
                      0xeb, 0x100 - 20 - 9])


@contextlib.contextmanager
def slowly_opened(faults_so, tmp_path, then, **kwargs):
    """A guest, and a named pipe that takes half a second to open."""
    path = str(tmp_path / 'fifo')
    os.mkfifo(path)
    before = dict(os.environ)
    os.environ.update(faults.environment(faults_so, path, 'open:500'))
    try:
        vm = Firmware(str(tmp_path), '32-bit', then=then, **kwargs)
    finally:
        os.environ.clear()
        os.environ.update(before)
    with vm:
        yield vm, path


def act(vm, address=0):
    """Trigger the action of the guest's CPU; @address: of a doorbell."""
    vm.memory[READY_AT + 0x104:READY_AT + 0x108] = struct.pack('<I', address)
    vm.memory[READY_AT + 0x100:READY_AT + 0x104] = struct.pack('<I', 1)


def dump_while(vm, path, action):
    """Start a dump to the pipe, and do something while it is opened."""
    r = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    timer = threading.Timer(0.2, action)
    timer.start()
    vm.qmp.cmd('dump-guest-memory', paging=False, protocol=f'file:{path}',
               detach=True)
    timer.join()
    return r


def finish(vm, r):
    """Read the dump's output; returns its result."""
    os.set_blocking(r, True)
    with open(r, 'rb') as f:
        while f.read(1 << 20):
            pass
    return vm.qmp.wait_event('DUMP_COMPLETED')['data']


def test_disk_is_asked_in_the_last_moment(faults_so, tmp_path):
    """The request is complete before memory is written, or there is a
    warning."""
    with slowly_opened(
            faults_so, tmp_path, RING,
            mappings=[(a, a, 4096)
                      for a in range(0xfe050000, 0xfe060000, 4096)],
            args=['-blockdev', 'null-co,node-name=disk,read-zeroes=on,'
                  'latency-ns=400000000', '-device', 'virtio-blk-pci,'
                  'drive=disk,addr=5,disable-legacy=on', '-qtest',
                  f'unix:{tmp_path}/qtest,server=on,wait=off', '-qtest-log',
                  '/dev/null']) as (vm, path):
        disk = VirtioDevice(QTest(f'{tmp_path}/qtest'), 5, 0x200000)
        disk.start(1)
        memory, base = vm.memory, disk.memory
        memory[base + 0xc00:base + 0xc10] = bytes(16)   # read sector 0
        memory[base + 0xd00:base + 0xf00] = b'A' * 512
        memory[base:base + 48] = struct.pack(
            '<QIHHQIHHQIHH', base + 0xc00, 16, 1, 1, base + 0xd00, 512, 3, 2,
            base + 0xf00, 1, 2, 0)
        memory[base + 0x404:base + 0x406] = bytes(2)
        memory[base + 0x402:base + 0x404] = struct.pack('<H', 1)

        def used():
            return struct.unpack('<H', memory[base + 0x802:base + 0x804])[0]

        r = dump_while(vm, path, lambda: act(vm, disk.address[CAP_NOTIFY]))
        before = used()
        assert vm.status() == 'save-vm'
        time.sleep(0.6)
        after = used()
        warned = 'warnings' in vm.qmp.cmd('query-dump')
        finish(vm, r)
        assert before == after or warned
        while not used():                   # the request is not lost
            time.sleep(0.01)


def test_panic_in_the_last_moment(faults_so, tmp_path):
    """The panic requests a stop, which is not lost."""
    with slowly_opened(faults_so, tmp_path, PANIC,
                       args=['-device', 'pvpanic', '-action',
                             'panic=pause']) as (vm, path):
        r = dump_while(vm, path, lambda: act(vm))
        assert vm.status() == 'save-vm'
        assert finish(vm, r)['result']['status'] == 'completed'
        assert vm.status() == 'guest-panicked'


def test_end_while_disk_is_reset(ram_file):
    """A reset waits for the disk, and polls. The guest must not be started
    during the reset."""
    with slow_disk(ram_file, 5) as vm:
        dump = Stalled(vm)
        vm.qmp.event_names()
        vm.qmp.send('system_reset')     # completed after the reset
        time.sleep(0.3)
        vm.qmp.send('dump-cancel', out_of_band=True)
        assert vm.qmp.reply() == vm.qmp.reply() == {}
        seen = []
        while 'DUMP_COMPLETED' not in seen:
            seen += vm.qmp.event_names()
        assert seen == ['RESET', 'RESUME', 'DUMP_COMPLETED']
        assert vm.status() == 'running'
        os.close(dump.r)


# -- memory that is removed -------------------------------------------------------


MIB = 1 << 20


def stored(vm, dump, path):
    """Read a stalled dump to a file; returns the completion event."""
    def work():
        with open(path, 'wb') as f:
            while data := os.read(dump.r, 1 << 20):
                f.write(data)
    thread = threading.Thread(target=work)
    thread.start()
    event = vm.qmp.wait_event('DUMP_COMPLETED')
    thread.join(HANGS)
    os.close(dump.r)
    return event['data']


@contextlib.contextmanager
def with_device(tmp_path, *args):
    """A guest that was never started; the test acts as its driver."""
    path = str(tmp_path / 'qtest')
    with VM('-S', *args, '-qtest', f'unix:{path},server=on,wait=off') as vm:
        vm.qtest = QTest(path)
        yield vm
        vm.qtest.close()


@pytest.fixture
def virtio_mem(tmp_path):
    """The same with three blocks of a virtio-mem device plugged."""
    with with_device(tmp_path, '-m', '16M,maxmem=1G', '-object',
                     'memory-backend-ram,id=mem,size=128M', '-device',
                     'virtio-mem-pci,memdev=mem,requested-size=64M,'
                     'addr=5') as vm:
        vm.mem = VirtioMem(vm.qtest, 5, 1 * MIB)
        vm.mem.plug(0, 2)
        vm.mem.plug(5, 1)
        vm.qtest.write(vm.mem.base + vm.mem.block, b'second')
        vm.qtest.write(vm.mem.base + 6 * vm.mem.block - 4, b'last')
        yield vm


@pytest.mark.parametrize('name', ['elf', 'kdump-zlib', 'kdump-raw-zlib'])
def test_virtio_mem_partly_plugged(virtio_mem, out, name):
    """The plugged blocks are in the dump, and no others."""
    mem = virtio_mem.mem
    virtio_mem.dump(out, format=name)
    dump = open_dump(out)
    plugged = {0, 1, 5}
    for block in range(8):
        for at in (0, mem.block - 4096):
            paddr = mem.base + block * mem.block + at
            data = virtio_mem.qtest.read(paddr, 4096)
            if block in plugged:
                assert dump.read(paddr, 4096) == data
            else:
                assert not any(start <= paddr < start + size
                               for start, size in dump.ranges())


def test_virtio_mem_unplugged_by_reset(virtio_mem):
    """The memory is removed, and the dump fails."""
    dump = Stalled(virtio_mem)
    virtio_mem.qmp.cmd('system_reset')
    event = virtio_mem.qmp.wait_event('DUMP_COMPLETED')['data']
    assert event['result']['status'] == 'failed'
    assert 'was unplugged while' in event['error']
    os.close(dump.r)
    assert virtio_mem.status() == 'prelaunch'


def test_virtio_mem_without_any(tmp_path):
    """A reset does not unplug anything from a device without plugged
    blocks."""
    with VM('-m', '16M,maxmem=1G', '-object',
            'memory-backend-ram,id=mem,size=128M', '-device',
            'virtio-mem-pci,memdev=mem') as vm:
        dump = Stalled(vm)
        vm.qmp.cmd('system_reset')
        vm.qmp.wait_event('RESET')
        assert dump.drain()['data']['result']['status'] == 'completed'


@pytest.fixture
def balloon(tmp_path):
    with with_device(tmp_path, '-m', '64M', '-device',
                     'virtio-balloon-pci,addr=5') as vm:
        vm.balloon = Balloon(vm.qtest, 5, 1 * MIB)
        for paddr in range(40 * MIB, 48 * MIB, MIB):
            vm.qtest.write(paddr, b'not in the balloon')
        yield vm


@pytest.mark.parametrize('name', ['elf', 'kdump-zlib'])
def test_balloon_inflated(balloon, out, name):
    """Memory in the balloon reads as zero, the rest is present."""
    balloon.balloon.inflate(41 * MIB, 43 * MIB)
    balloon.dump(out, format=name)
    dump = open_dump(out)
    for paddr in range(40 * MIB, 48 * MIB, MIB):
        page = bytes(dump.read(paddr, 4096))
        assert page == balloon.qtest.read(paddr, 4096)
        assert (page == bytes(4096)) == (paddr in (41 * MIB, 43 * MIB))


def test_balloon_inflated_meanwhile(balloon, out):
    """The balloon takes no memory during the dump, and works again
    afterwards."""
    dump = Stalled(balloon)
    balloon.balloon.inflate(41 * MIB, 43 * MIB)
    assert stored(balloon, dump, out)['result']['status'] == 'completed'
    dump = open_dump(out)
    for paddr in range(40 * MIB, 48 * MIB, MIB):
        assert dump.read(paddr, 18) == b'not in the balloon'
    balloon.balloon.inflate(42 * MIB)
    assert balloon.qtest.read(42 * MIB, 4096) == bytes(4096)


# -- exit of QEMU -------------------------------------------------------------


def end(vm, how):
    if how == 'quit':
        vm.qmp.cmd('quit')
    else:
        vm.proc.terminate()
    assert vm.wait_exit() == 0


@pytest.mark.parametrize('how', ['quit', 'SIGTERM'])
@pytest.mark.parametrize('job', [{}, {'job_id': 'j'}])
def test_exit_with_stuck_write(faults_so, tmp_path, how, job):
    """A write that hangs blocks the dump's thread, but not QEMU."""
    path = str(tmp_path / 'dump')
    with VM('-m', '16M', env=faults.pause(faults_so, path, 1000)) as vm:
        vm.dump(path, detach=True, **job)
        end(vm, how)


@pytest.mark.parametrize('job', [{}, {'job_id': 'j'}])
def test_exit_with_stuck_terminal(job):
    """A write to a terminal blocks in the kernel until it is read."""
    reader, terminal = os.openpty()
    with VM('-m', '16M') as vm:
        vm.dump(os.ttyname(terminal), detach=True, **job)
        assert vm.qmp.cmd('query-dump')['status'] == 'active'
        end(vm, 'quit')
    os.close(reader)
    os.close(terminal)
