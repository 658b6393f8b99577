# SPDX-License-Identifier: GPL-2.0-or-later
"""Dumps of a running guest: consistent images of one moment."""

import os
import re
import signal
import time

import pytest

import faults
from live import (Before, Held, Idle, held, is_old, live, migrates, old_page,
                  running)
from qmp import QMPError
from sweep import PAGE, Sweep, check
from test_cancel import cancelled, job, job_states, make_qcow2
from test_lifecycle import BUSY
from test_untouched import huge_pages, rss  # noqa: F401
from virtio import Balloon
from vmcore import open_dump
from wait import wait_until

MIB = 1 << 20
FORMATS = ['elf', 'kdump-zlib', 'kdump-raw-zlib']


def completed(event):
    assert event['result']['status'] == 'completed', event
    return event['result']


# -- consistency of memory and registers --------------------------------------


def sweep_and_check(vm, out, output, **arguments):
    """Dump while the guest changes all of its memory before it is written."""
    before = Before(vm)
    dump = held(vm, out, output, live_buffer=2 * vm.size, **arguments)
    assert running(vm)
    vm.go()
    vm.sweep_on(2)
    q = live(vm)
    # Pages saved on a fault of the guest, or already written. None is held if
    # all compressed pages fit into the pipe.
    assert 0 < q['saved'] <= vm.size // PAGE
    assert q['held'] <= q['held-max'] and 0 < q['held-max'] <= 2 * vm.size
    result = completed(dump.finish(out))['live']
    assert not result['stopped-again']
    assert result['held'] == 0 and result['held-max'] >= q['held-max']
    assert result['saved'] >= q['saved'] and result['standstill-us'] > 0
    cpus = check(open_dump(out), vm)
    # The guest continues.
    vm.sweep_on(1)
    before.nothing_left()
    return cpus


# The relevant differences are the kind of memory and the number of CPUs.
SWEEPS = [
    # memory, CPUs, thread=multi, part of memory touched, format, output
    ('anon', 1, True, 1.0, 'elf', 'pipe'),
    ('anon', 2, True, 0.5, 'kdump-raw-zlib', 'file'),
    ('anon-4k', 1, False, 1.0, 'kdump-zlib', 'pipe'),
    ('anon-4k', 2, True, 1.0, 'elf', 'file'),
    ('anon-4k', 2, False, 0.5, 'elf', 'pipe'),
    ('memfd', 1, True, 1.0, 'kdump-raw-lzo', 'file'),
    ('memfd', 2, True, 1.0, 'elf', 'pipe'),
    ('memfd', 2, False, 0.5, 'kdump-zstd', 'file'),
    ('memfd-private', 1, False, 1.0, 'elf', 'file'),
    ('memfd-private', 2, True, 0.5, 'kdump-snappy', 'pipe'),
]


@pytest.mark.parametrize('kind,cpus,multi,warm,name,output', SWEEPS)
def test_sweep(faults_so, out, kind, cpus, multi, warm, name, output):
    # Writing to the file pauses when part of it is written.
    env = faults.pause(faults_so, out, 50000)
    with Sweep(kind=kind, cpus=cpus, multi=multi, warm=warm, env=env) as vm:
        sweep_and_check(vm, out, output, format=name)


@pytest.mark.parametrize('kind,cpus,warm', [
    ('anon', 1, 1.0), ('anon-4k', 2, 0.5), ('memfd', 1, 0.5),
    ('memfd', 2, 1.0)])
def test_sweep_kvm(out, kind, cpus, warm):
    """Writes by KVM's CPUs are seen too."""
    if not os.access('/dev/kvm', os.R_OK | os.W_OK):
        pytest.skip('no KVM')
    with Sweep(16 * MIB, kind, cpus, warm=warm, accel='kvm') as vm:
        assert vm.qmp.cmd('query-kvm')['enabled']
        sweep_and_check(vm, out, 'pipe', format='elf')


@pytest.mark.parametrize('kind', ['hugetlb', 'hugetlb-private'])
def test_sweep_huge_pages(huge_pages, out, kind):  # noqa: F811
    """A huge page is saved as a whole."""
    with Sweep(kind=kind, warm=0.5) as vm:
        sweep_and_check(vm, out, 'pipe', format='elf')


def test_sweep_again_and_again(out):
    """Repeated dumps do not hang: the guest writes to pages that are being
    written to the output."""
    with Sweep(32 * MIB, cpus=2, kind='memfd') as vm:
        before = Before(vm)
        moments = set()
        for i in range(4):
            vm.dump(out, live='on', detach=True,
                    format=('elf', 'kdump-raw-lzo')[i % 2])
            event = vm.qmp.wait_event('DUMP_COMPLETED')['data']
            assert not completed(event)['live']['stopped-again']
            cpus = check(open_dump(out), vm)
            moments.add((cpus[0].esi, cpus[0].edi))
            before.nothing_left()
        assert len(moments) > 2


@pytest.mark.parametrize('name', ['elf', 'kdump-raw-lzo'])
def test_node(out, name):
    """To a block node, served by the main thread while the guest runs."""
    open(out, 'w').close()
    with Sweep(32 * MIB, cpus=2, kind='memfd') as vm:
        before = Before(vm)
        vm.qmp.cmd('blockdev-add', driver='file', node_name='d', filename=out)
        vm.qmp.cmd('dump-guest-memory', paging=False, protocol='node:d',
                   format=name, detach=True, live='on')
        event = vm.qmp.wait_event('DUMP_COMPLETED')['data']
        assert not completed(event)['live']['stopped-again']
        vm.qmp.cmd('blockdev-del', node_name='d')
        check(open_dump(out), vm)
        before.nothing_left()


def test_threads(faults_so, out):
    """Several threads read pages that the guest is about to change."""
    with Sweep(cpus=2, env=faults.pause(faults_so, out, 50000)) as vm:
        sweep_and_check(vm, out, 'file', format='kdump-raw-zlib', threads=4)


@pytest.mark.parametrize('cpus', [1, 3, 8])
def test_default_threads(faults_so, cpus):
    """A live dump leaves a host CPU for each CPU of the guest."""
    rest = max(8 - cpus, 1)
    with Sweep(cpus=cpus, env=faults.processors(faults_so, 8),
               args=['-trace', 'dump_start']) as vm:
        dump = Held(vm, format='kdump-zlib', live_buffer=2 * vm.size)
        # With one thread, there are no workers.
        wait_until(lambda: vm.threads().count('dump-worker') ==
                   (rest if rest > 1 else 0), vm.threads)
        dump.close()
        vm.qmp.wait_event('DUMP_COMPLETED')
        for arguments in ({'live': 'on', 'threads': 5},
                          {'live': 'on', 'format': 'kdump-zlib'},
                          {'live': 'off'}):
            vm.dump('/dev/null', detach=True, **arguments)
            vm.qmp.wait_event('DUMP_COMPLETED')
        # Without detach, the guest has to be stopped.
        vm.dump('/dev/null', live='auto')
        assert re.findall(r'dump_start .* live (\d) threads (\d+)',
                          vm.stderr()) == [
            ('1', str(rest)), ('1', '5'), ('1', str(rest)), ('0', '8'),
            ('0', '8')]


def test_range(out):
    with Sweep() as vm:
        dump = Held(vm, begin=8 * MIB, length=16 * MIB)
        vm.sweep_on(2)
        completed(dump.finish(out))
        image = open_dump(out)
        assert image.ranges() == [(8 * MIB, 16 * MIB)]
        # The guest is at one position, and pages before it are newer.
        values = [int.from_bytes(image.read(p, 4), 'little')
                  for p in range(8 * MIB, 24 * MIB, PAGE)]
        assert len(set(values)) <= 2
        assert values == sorted(values, reverse=True)


def test_paging(out):
    """The guest has not enabled paging yet."""
    with Sweep() as vm:
        before = Before(vm)
        vm.qmp.cmd('dump-guest-memory', paging=True, live='on', detach=True,
                   protocol='file:' + out)
        completed(vm.qmp.wait_event('DUMP_COMPLETED')['data'])
        check(open_dump(out), vm)
        before.nothing_left()


@pytest.mark.parametrize('kind', ['anon-4k', 'memfd'])
def test_untouched_memory(kind):
    """It needs no page tables, which would take 2 MiB for each GiB."""
    size = 16 << 30
    with Idle(size, kind=kind, start=size) as vm:
        for at in range(1 * MIB, 64 * MIB, MIB):
            vm.qtest.cmd(f'memset {at:#x} {MIB:#x} 0x11')
        before = Before(vm)
        tables = rss(vm, 'VmPTE')
        dump = Held(vm)
        # Memory that is written to now has these contents afterwards.
        vm.qtest.write(2 << 30, b'new')
        vm.qtest.write(8 * MIB, b'new')
        assert rss(vm, 'VmPTE') < tables + 2 * MIB
        dump.close()
        vm.qmp.wait_event('DUMP_COMPLETED')
        assert vm.qtest.read(2 << 30, 4) == b'new\0'
        assert vm.qtest.read(8 * MIB, 4) == b'new\x11'
        before.nothing_left()


# -- writes by QEMU itself ----------------------------------------------------


@pytest.mark.parametrize('kind,name', [
    ('anon', 'elf'), ('anon-4k', 'kdump-zlib'), ('memfd', 'elf'),
    ('memfd-private', 'kdump-zlib')])
def test_writes_of_the_main_thread(out, kind, name):
    """No write waits for the reader of the pipe, even with the BQL held."""
    with Idle(kind=kind) as vm:
        before = Before(vm)
        dump = Held(vm, format=name)
        vm.overwrite(between=lambda: vm.qmp.cmd('query-dump'))
        assert vm.is_new()
        completed(dump.finish(out))
        is_old(open_dump(out), vm.pages())
        before.nothing_left()
        assert vm.is_new()


# A guest that sweeps through 64 MiB writes more before it is stopped again.
SMALL = 8 * MIB
AGAIN = 'the guest was stopped again'


@pytest.mark.parametrize('kind,name', [('anon', 'elf'),
                                       ('memfd', 'kdump-zlib')])
def test_small_buffer(out, kind, name):
    """The guest is stopped again, and the memory is that of the moment."""
    with Idle(kind=kind) as vm:
        before = Before(vm)
        # Few pages are in flight to the output and still held.
        threads = {} if name == 'elf' else {'threads': 1}
        dump = Held(vm, format=name, live_buffer=6 * MIB, **threads)
        assert not live(vm)['stopped-again']
        # QEMU itself must not be stopped.
        vm.overwrite(between=lambda: vm.qmp.cmd('query-dump'))
        vm.qmp.wait_event('STOP')
        q = live(vm)
        assert q['stopped-again'] and 'live-buffer' in q['stopped-reason']
        assert vm.status() == 'save-vm'
        vm.qmp.events = []
        result = completed(dump.finish(out))
        assert result['live']['stopped-again']
        assert result['live']['held-max'] > 6 * MIB
        assert any(AGAIN in w for w in result['warnings'])
        is_old(open_dump(out), vm.pages())
        before.nothing_left()
        assert vm.is_new()


def test_far_too_small_buffer():
    """The number of pages saved while the guest is stopped is limited."""
    size = 320 * MIB

    def write_all(value):
        for at in range(1 * MIB, size, 4 * MIB):
            vm.qtest.cmd(f'memset {at:#x} {min(4 * MIB, size - at):#x} '
                         f'{value:#x}')

    with Idle(size, kind='memfd', start=size) as vm:
        write_all(0x11)
        before = Before(vm)
        dump = Held(vm, live_buffer=1 * MIB)
        write_all(0x22)
        event = vm.qmp.wait_event('DUMP_COMPLETED')['data']
        assert event['result']['status'] == 'failed'
        assert event['result']['live']['held-max'] < 260 * MIB
        assert 'faster than it could be saved' in event['error']
        dump.close()
        before.nothing_left()
        assert vm.qtest.read(size - PAGE, PAGE) == b'\x22' * PAGE


def test_small_buffer_of_a_guest(out):
    """The guest is stopped when it is full, and resumed at the end."""
    with Sweep() as vm:
        before = Before(vm)
        dump = Held(vm, live_buffer=SMALL)
        vm.qmp.wait_event('STOP')
        assert vm.status() == 'save-vm'
        q = live(vm)
        assert q['stopped-again'] and SMALL < q['held-max'] < 4 * SMALL
        at = vm.position()
        time.sleep(0.1)
        assert vm.position() == at
        assert completed(dump.finish(out))['live']['stopped-again']
        check(open_dump(out), vm)
        vm.sweep_on(2)
        before.nothing_left()


def test_small_buffer_cancelled():
    with Sweep() as vm:
        before = Before(vm)
        dump = Held(vm, live_buffer=SMALL)
        vm.qmp.wait_event('STOP')
        vm.qmp.cmd('dump-cancel')
        cancelled(vm.qmp.wait_event('DUMP_COMPLETED'))
        dump.close()
        vm.sweep_on(2)
        before.nothing_left()


def test_events(out):
    with Sweep() as vm:
        vm.dump(out, live='on', detach=True)
        seen = []
        while 'DUMP_COMPLETED' not in seen:
            seen += vm.qmp.event_names()
        assert seen == ['STOP', 'RESUME', 'DUMP_COMPLETED']
        dump = Held(vm, live_buffer=SMALL)
        vm.qmp.wait_event('STOP')
        dump.finish(out)
        vm.qmp.events = []
        vm.qmp.cmd('query-status')
        assert vm.status() == 'running'


# -- other events during a dump -----------------------------------------------


def test_stop(out):
    """The guest stays stopped; the end of the dump does not start it."""
    with Sweep() as vm:
        before = Before(vm)
        dump = Held(vm)
        vm.qmp.cmd('stop')
        assert vm.status() == 'paused'
        completed(dump.finish(out))
        check(open_dump(out), vm)
        before.nothing_left('paused')
        vm.qmp.cmd('cont')
        vm.sweep_on(1)


def test_stop_and_cont(out):
    with Sweep() as vm:
        before = Before(vm)
        dump = Held(vm, live_buffer=2 * vm.size)
        for _ in range(3):
            vm.qmp.cmd('stop')
            vm.qmp.cmd('cont')
            vm.sweep_on(1)
        completed(dump.finish(out))
        check(open_dump(out), vm)
        before.nothing_left()


def test_stop_when_stopped_again(out):
    """A guest that is stopped then stays stopped at the end."""
    with Sweep() as vm:
        before = Before(vm)
        dump = Held(vm, live_buffer=SMALL)
        vm.qmp.wait_event('STOP')
        try:
            vm.qmp.cmd('stop')
            status = 'paused'
        except QMPError:                # as during any dump of a stopped guest
            status = 'running'
        completed(dump.finish(out))
        check(open_dump(out), vm)
        before.nothing_left(status)


def test_reset(out):
    """The image is that of the moment before the reset."""
    with Sweep(cpus=2) as vm:
        before = Before(vm)
        dump = Held(vm, live_buffer=2 * vm.size)
        vm.qmp.cmd('system_reset')
        vm.qmp.wait_event('RESET')
        assert running(vm)
        vm.sweep_on(2)
        result = completed(dump.finish(out))
        assert not any('reset' in w for w in result.get('warnings', []))
        check(open_dump(out), vm)
        before.nothing_left()


def test_snapshot_loaded(tmp_path, out):
    """The image is that of the moment before loadvm."""
    disk = str(tmp_path / 'disk')
    make_qcow2(disk)
    with Sweep(args=['-drive', f'file={disk},format=qcow2']) as vm:
        assert vm.qmp.hmp('savevm a') == ''
        vm.sweep_on(2)
        before = Before(vm)
        dump = Held(vm, live_buffer=2 * vm.size)
        assert vm.qmp.hmp('loadvm a') == ''
        vm.sweep_on(2)
        completed(dump.finish(out))
        check(open_dump(out), vm)
        before.nothing_left()


@pytest.mark.parametrize('name', FORMATS[:2])
def test_cancel(name):
    with Sweep() as vm:
        before = Before(vm)
        dump = Held(vm, format=name)
        vm.qmp.cmd('dump-cancel')
        cancelled(vm.qmp.wait_event('DUMP_COMPLETED'))
        # Pages that were held are released.
        assert live(vm)['held'] == 0
        vm.sweep_on(1)
        before.nothing_left()
        dump.close()


def test_cancel_to_a_file(faults_so, out):
    """The written part is marked as incomplete."""
    with Sweep(env=faults.pause(faults_so, out, 300000)) as vm:
        dump = held(vm, out, 'file', format='kdump-raw-zlib')
        vm.sweep_on(1)
        vm.qmp.cmd('dump-cancel')
        cancelled({'data': dump.finish(out)})
        open_dump(out, incomplete=True)


def test_reader_goes_away():
    with Sweep() as vm:
        before = Before(vm)
        Held(vm).close()
        event = vm.qmp.wait_event('DUMP_COMPLETED')['data']
        assert 'Broken pipe' in event['error']
        vm.sweep_on(1)
        before.nothing_left()


def test_job(out):
    """A dump with a job is implicitly detached."""
    with Sweep() as vm:
        before = Before(vm)
        dump = Held(vm, job_id='j', live_buffer=2 * vm.size)
        assert job(vm, 'j')['status'] == 'running'
        vm.sweep_on(1)
        completed(dump.finish(out))
        job_states(vm, 'j', 'concluded')
        vm.qmp.cmd('job-dismiss', id='j')
        check(open_dump(out), vm)
        dump = Held(vm, job_id='j')
        vm.qmp.cmd('job-cancel', id='j')
        cancelled(vm.qmp.wait_event('DUMP_COMPLETED'))
        job_states(vm, 'j', 'concluded')
        vm.qmp.cmd('job-dismiss', id='j')
        dump.close()
        before.nothing_left()


@pytest.mark.parametrize('how', ['quit', 'SIGTERM', 'SIGKILL'])
@pytest.mark.parametrize('again', [False, True])
def test_exit(how, again):
    """With the guest running, or stopped again."""
    with Sweep() as vm:
        dump = Held(vm, **({'live_buffer': SMALL} if again else {}))
        if again:
            vm.qmp.wait_event('STOP')
        if how == 'quit':
            vm.qmp.cmd('quit')
        else:
            vm.proc.send_signal(getattr(signal, how))
        if how != 'SIGKILL':
            cancelled(vm.qmp.wait_event('DUMP_COMPLETED'))
        assert vm.wait_exit() == (-signal.SIGKILL if how == 'SIGKILL'
                                    else 0)
        dump.close()


def test_exit_with_stuck_write(faults_so, out):
    """A write that hangs blocks the dump's thread, but neither QEMU nor a
    guest that faults."""
    with Sweep(env=faults.pause(faults_so, out, 1000)) as vm:
        dump = held(vm, out, 'file', live_buffer=2 * vm.size)
        vm.sweep_on(1)
        vm.qmp.cmd('quit')
        assert vm.wait_exit() == 0
        dump.close()


def test_second_dump_and_migration(out):
    """Both are refused until the dump has ended."""
    with Sweep() as vm:
        before = Before(vm)
        dump = Held(vm)
        with pytest.raises(QMPError) as e:
            vm.dump(out + '2', detach=True)
        assert str(e.value) == BUSY
        with pytest.raises(QMPError) as e:
            vm.dump(out + '2', live='on', detach=True)
        assert str(e.value) == BUSY
        assert not os.path.exists(out + '2')
        with pytest.raises(QMPError, match='dump-guest-memory'):
            vm.qmp.cmd('migrate', uri='exec:cat > /dev/null')
        assert 'dump-guest-memory' in vm.qmp.hmp('savevm a')
        completed(dump.finish(out))
        check(open_dump(out), vm)
        before.nothing_left()
        vm.qmp.cmd('stop')
        migrates(vm)


def test_background_snapshot_afterwards(out):
    """QEMU's own background-snapshot, which has to register the memory."""
    with Sweep() as vm:
        completed(Held(vm).finish(out))
        vm.qmp.cmd('migrate-set-capabilities', capabilities=[
            {'capability': 'background-snapshot', 'state': True}])
        migrates(vm)


# -- memory that is removed ---------------------------------------------------


DIMM = 32 * MIB
HOTPLUG = 0xa00


@pytest.mark.parametrize('delete', [False, True])
def test_dimm_unplugged(out, delete):
    """The module is in the dump. QEMU may even be told to free it."""
    with Idle(args=('-m', '16M,slots=2,maxmem=1G', '-object',
                    f'memory-backend-ram,id=mem,size={DIMM}', '-device',
                    'pc-dimm,id=dimm,memdev=mem')) as vm:
        base = vm.qmp.cmd('query-memory-devices')[0]['data']['addr']
        dimm = range(base, base + DIMM, 64 * PAGE)
        for paddr in dimm:
            vm.qtest.write(paddr, b'plugged %x' % paddr)
        before = Before(vm)
        dump = Held(vm)
        vm.overwrite(dimm[::2])
        # The guest's reaction to device_del.
        vm.qmp.cmd('device_del', id='dimm')
        vm.qtest.outl(HOTPLUG, 0)
        vm.qtest.cmd(f'outb {HOTPLUG + 0x14:#x} 8')
        vm.qmp.wait_event('DEVICE_DELETED')
        assert vm.qmp.cmd('query-memory-devices') == []
        if delete:
            vm.qmp.cmd('object-del', id='mem')
        completed(dump.finish(out))
        image = open_dump(out)
        for paddr in dimm:
            text = b'plugged %x' % paddr
            assert image.read(paddr, len(text)) == text
        is_old(image, vm.pages())
        if not delete:
            before.nothing_left()
        elif vm.qmp.cmd('query-memdev'):
            assert 'mem' not in [m['id'] for m in vm.qmp.cmd('query-memdev')]


def test_dimm_plugged(out):
    """Memory plugged later is not in the dump, and is not watched."""
    with Idle(args=('-m', '16M,slots=2,maxmem=1G', '-object',
                    f'memory-backend-ram,id=mem,size={DIMM}')) as vm:
        dump = Held(vm)
        vm.qmp.cmd('device_add', driver='pc-dimm', id='dimm', memdev='mem')
        base = vm.qmp.cmd('query-memory-devices')[0]['data']['addr']
        vm.overwrite(range(base, base + DIMM, 64 * PAGE))
        vm.overwrite()
        completed(dump.finish(out))
        image = open_dump(out)
        is_old(image, vm.pages())
        assert not any(start <= base < start + size
                       for start, size in image.ranges())
        Before(vm).nothing_left()


@pytest.mark.parametrize('kind', ['anon', 'memfd'])
def test_balloon(out, kind):
    """The balloon cannot take memory meanwhile, and works again afterwards."""
    with Idle(kind=kind, start=2 * MIB,
              args=('-device', 'virtio-balloon-pci,addr=5')) as vm:
        balloon = Balloon(vm.qtest, 5, 1 * MIB)
        before = Before(vm)
        dump = Held(vm)
        balloon.inflate(*range(4 * MIB, 5 * MIB, PAGE))
        assert vm.qtest.read(4 * MIB, PAGE) == old_page(4 * MIB)
        completed(dump.finish(out))
        is_old(open_dump(out), vm.pages())
        before.nothing_left()
        balloon.inflate(5 * MIB)
        assert vm.qtest.read(5 * MIB, PAGE) == bytes(PAGE)
