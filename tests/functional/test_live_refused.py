# SPDX-License-Identifier: GPL-2.0-or-later
"""Live dumps that are not possible: refused, or the guest is stopped."""

import contextlib
import os
import re
import socket
import struct
import tempfile
import threading
import time

import pytest

import devices
import faults
from live import Before, Held, Idle, is_old, live
from qmp import QMPError
from sweep import PAGE, Sweep, check
from test_hmp import Client
from test_unreadable import protect
from vm import VM, as_nobody
from vmcore import open_dump
from wait import wait_until

MIB = 1 << 20


def refused(vm, out, text, detach=True, **arguments):
    """There are no side effects, and the guest is not stopped."""
    vm.qmp.event_names()
    before = Before(vm)
    with open(out, 'w') as f:
        f.write('as before')
    arguments.setdefault('live', 'on')
    with pytest.raises(QMPError, match=text):
        vm.dump(out, detach=detach, **arguments)
    assert vm.qmp.event_names() == []
    with open(out) as f:
        assert f.read() == 'as before'
    os.unlink(out)
    before.nothing_left()


def stopped(vm, out, text, detach=True):
    """With 'auto' there is a dump, and the guest is stopped for it."""
    vm.qmp.event_names()
    before = Before(vm)
    vm.dump(out, live='auto', detach=detach)
    seen = []
    while 'DUMP_COMPLETED' not in seen:
        seen += vm.qmp.event_names()
    assert seen == ['STOP', 'RESUME', 'DUMP_COMPLETED']
    result = vm.qmp.cmd('query-dump')
    assert result['status'] == 'completed' and 'live' not in result
    assert any(re.search(text, w) for w in result['warnings'])
    before.nothing_left()
    return open_dump(out)


def not_live(vm, out, text):
    refused(vm, out, text)
    stopped(vm, out, text)


# -- memory that cannot be read --------------------------------------------------


def test_protected(tmp_path, faults_so, out):
    """The watch thread would read an inaccessible page together with its
    neighbours, and the signal would terminate QEMU."""
    path = f'{tmp_path}/protect'
    env = faults.environment(faults_so, path, 'protect')
    with Idle(env=env) as vm:
        protect(vm, path, [8 * MIB + 2 * PAGE])
        not_live(vm, out, 'is not accessible to QEMU')


# -- arguments ----------------------------------------------------------------


def test_without_detach(out):
    with Sweep() as vm:
        refused(vm, out, 'detach', detach=False)
        stopped(vm, out, 'detach', detach=False)
        refused(vm, out, 'live', live='off', live_buffer=64 * MIB)
        refused(vm, out, 'live', live_buffer=0)


def test_monitor(out):
    with Sweep() as vm:
        assert 'Error' in vm.qmp.hmp(f'dump-guest-memory -L {out}')
        assert not os.path.exists(out)
        assert vm.qmp.event_names() == []
        assert vm.qmp.hmp(f'dump-guest-memory -d -L {out}') == ''
        result = vm.qmp.wait_event('DUMP_COMPLETED')['data']['result']
        check(open_dump(out), vm)
        text = vm.qmp.hmp('info dump')
        ms = result['live']['standstill-us'] / 1000
        assert f'{ms:.1f}' in text or f'{ms:.0f}' in text
        assert str(result['live']['saved']) in text


def test_interactive_monitor(tmp_path, out):
    """It does not need -d, as it waits for the end itself."""
    path = str(tmp_path / 'hmp')
    with Sweep(args=('-chardev',
                     f'socket,id=hmp,server=on,wait=off,path={path}', '-mon',
                     'chardev=hmp,mode=readline')) as vm:
        human = Client(path)
        assert human.ask(f'dump-guest-memory -L {out}') == '(qemu) '
        assert 'Live: guest was stopped for ' in human.ask('info dump')
        check(open_dump(out), vm)


@pytest.mark.parametrize('how', ['on', 'auto'])
@pytest.mark.parametrize('never', [False, True])
def test_not_running(out, how, never):
    """A stopped guest is dumped as without 'live'."""
    with Idle(args=('-S',) if never else ()) as vm:
        if not never:
            vm.qmp.cmd('stop')
        status = vm.status()
        vm.qmp.event_names()
        vm.dump(out, live=how, detach=True)
        seen = []
        while 'DUMP_COMPLETED' not in seen:
            seen += vm.qmp.event_names()
        assert seen == ['DUMP_COMPLETED']
        result = vm.qmp.cmd('query-dump')
        assert 'live' not in result and 'warnings' not in result
        assert vm.status() == status
        is_old(open_dump(out), vm.pages())


def test_auto(out):
    """Live if possible."""
    with Sweep() as vm:
        dump = Held(vm, live='auto', live_buffer=2 * vm.size)
        vm.sweep_on(2)
        assert live(vm)['saved']
        assert dump.finish(out)['result']['status'] == 'completed'
        check(open_dump(out), vm)


# -- the host -----------------------------------------------------------------


@contextlib.contextmanager
def nobody(*args):
    """A QEMU without privileges."""
    with Sweep(args=[*as_nobody(), *args]) as vm:
        with open('/proc/sys/vm/unprivileged_userfaultfd') as f:
            if int(f.read()):
                pytest.skip('unprivileged users may use userfaultfd')
        yield vm


def test_nobody(tmp_path, out):
    os.chmod(tmp_path, 0o777)
    with nobody() as vm:
        folder = tempfile.mkdtemp(prefix='live-', dir='/tmp')
        os.chmod(folder, 0o777)
        path = folder + '/dump'
        with pytest.raises(QMPError, match='userfaultfd') as e:
            vm.dump(path, live='on', detach=True)
        # The message says how to fix it.
        assert 'vm.unprivileged_userfaultfd' in str(e.value)
        assert not os.path.exists(path)
        assert vm.status() == 'running'
        os.rmdir(folder)


def test_nobody_with_descriptor(out):
    """A client that may open the device can pass its descriptor."""
    devices.require(devices.USERFAULTFD)
    with nobody() as vm:
        fd = os.open(devices.USERFAULTFD, os.O_RDWR)
        before = Before(vm)
        vm.qmp.getfd('uffd', fd)
        os.close(fd)
        dump = Held(vm, live_fd='uffd', live_buffer=2 * vm.size)
        vm.sweep_on(2)
        assert dump.finish(out)['result']['status'] == 'completed'
        check(open_dump(out), vm)
        before.nothing_left()


def test_wrong_descriptor(tmp_path, out):
    with Sweep() as vm:
        refused(vm, out, "'no such'", live_fd='no such')
        before = Before(vm)
        with open(tmp_path / 'file', 'w') as f:
            vm.qmp.getfd('file', f.fileno())
        with pytest.raises(QMPError, match='userfaultfd'):
            vm.dump(out, live='on', detach=True, live_fd='file')
        assert not os.path.exists(out)
        before.nothing_left()


def on_disk(tmp_path, size, share):
    """Guest memory in a file on a disk."""
    path = str(tmp_path / 'ram')
    if 'tmpfs' in os.popen(f'stat -f -c %T {tmp_path}').read():
        pytest.skip('temporary files are on tmpfs, not on disk')
    return ['-object', f'memory-backend-file,id=ram,mem-path={path},'
            f'size={size},share={share}', '-m', f'{size >> 20}M', '-machine',
            'pc,memory-backend=ram']


@pytest.mark.parametrize('share', ['on', 'off'])
def test_memory_on_a_disk(tmp_path, out, share):
    with VM(*on_disk(tmp_path, 128 * MIB, share), machine=None) as vm:
        not_live(vm, out, 'ram')


# -- other writers to guest memory --------------------------------------------


def shared(size):
    return ('-object', f'memory-backend-ram,id=shared,size={size},share=on',
            '-device', 'ivshmem-plain,memdev=shared,addr=5,master=on')


def test_much_shared_memory(out):
    with Idle(args=shared(128 * MIB)) as vm:
        vm.qtest.pci_write(5, 0x18, 0)
        vm.qtest.pci_write(5, 0x1c, 1)          # at 4 GiB
        vm.qtest.pci_write(5, 4, 2)
        not_live(vm, out, '128 MiB')


def test_little_shared_memory(tmp_path, out):
    """It is copied while the guest is stopped."""
    path = '/dev/shm/' + os.path.basename(str(tmp_path)) + str(os.getpid())
    try:
        with Idle(args=('-object', f'memory-backend-file,id=shared,size=1M,'
                        f'share=on,mem-path={path}', '-device',
                        'ivshmem-plain,memdev=shared,addr=5,master=on')) as vm:
            vm.qtest.pci_write(5, 0x18, 0)
            vm.qtest.pci_write(5, 0x1c, 1)
            vm.qtest.pci_write(5, 4, 2)
            before = Before(vm)
            places = range(0, MIB, 5 * PAGE)
            with open(path, 'r+b') as f:
                for at in places:
                    f.seek(at)
                    f.write(b'before')
                f.flush()
                dump = Held(vm)
                for at in places:
                    f.seek(at)
                    f.write(b'behind')
            vm.overwrite()
            assert dump.finish(out)['result']['status'] == 'completed'
            image = open_dump(out)
            is_old(image, vm.pages())
            for at in places:
                assert image.read((1 << 32) + at, 6) == b'before'
            before.nothing_left()
    finally:
        os.unlink(path)


def test_virtio_mem(out):
    with VM('-m', '16M,maxmem=1G', '-object',
            'memory-backend-ram,id=mem,size=128M', '-device',
            'virtio-mem-pci,memdev=mem') as vm:
        not_live(vm, out, 'virtio-mem')


VERSION_1, PROTOCOL_FEATURES = 1 << 32, 1 << 30


class VhostUser:
    """The back-end of a vhost-user device; it acknowledges everything."""

    def __init__(self, path):
        self.path = path
        self.sock = socket.socket(socket.AF_UNIX)
        self.thread = threading.Thread(target=self.work, daemon=True)

    def __enter__(self):
        self.sock.bind(self.path)
        self.sock.listen()
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.sock.close()

    def work(self):
        peer, _ = self.sock.accept()
        while len(head := peer.recv(12)) == 12:
            request, flags, size = struct.unpack('<III', head)
            if size:
                peer.recv(size, socket.MSG_WAITALL)
            # GET_FEATURES, GET_PROTOCOL_FEATURES, GET_QUEUE_NUM, or if a reply
            # is requested.
            if request in (1, 15, 17) or flags & 8:
                answer = {1: VERSION_1 | PROTOCOL_FEATURES, 17: 1}
                peer.sendall(struct.pack('<IIIQ', request, 5, 8,
                                         answer.get(request, 0)))


@pytest.mark.parametrize('device', [
    ('-netdev', 'vhost-user,id=net,chardev=vhost', '-device',
     'virtio-net-pci,netdev=net,romfile='),
    ('-device', 'vhost-user-rng-pci,chardev=vhost')])
def test_vhost_user(tmp_path, out, device):
    with VhostUser(str(tmp_path / 'vhost')) as other:
        with VM('-machine', 'pc,memory-backend=ram', '-m', '64M', '-object',
                'memory-backend-memfd,id=ram,size=64M,share=on', '-chardev',
                f'socket,id=vhost,path={other.path}', *device,
                machine=None) as vm:
            not_live(vm, out, 'vhost-user')


def test_vhost_user_added(tmp_path, out):
    """No other process gets guest memory while a live dump is made."""
    with VhostUser(str(tmp_path / 'vhost')) as other, \
            Idle(kind='memfd', args=('-m', '16M')) as vm:
        before = Before(vm)
        dump = Held(vm)
        vm.qmp.cmd('chardev-add', id='vhost', backend={
            'type': 'socket', 'data': {'server': False, 'addr': {
                'type': 'unix', 'data': {'path': other.path}}}})
        for driver, options in (('vhost-user-rng-pci', {'chardev': 'vhost'}),
                                ('vfio-pci', {'sysfsdev': '/'})):
            with pytest.raises(QMPError, match='live dump.*' + driver):
                vm.qmp.cmd('device_add', driver=driver, **options)
        vm.qmp.cmd('netdev_add', type='vhost-user', id='net',
                   chardev='vhost')
        nic = {'driver': 'virtio-net-pci', 'netdev': 'net', 'id': 'nic'}
        with pytest.raises(QMPError, match="live dump.*'vhost-user'"):
            vm.qmp.cmd('device_add', **nic)
        vm.qmp.cmd('netdev_del', id='net')
        vm.qmp.cmd('device_add', driver='virtio-rng-pci')
        assert dump.finish(out)['result']['status'] == 'completed'
        is_old(open_dump(out), vm.pages())
        before.nothing_left()
        with pytest.raises(QMPError, match='vfio'):
            vm.qmp.cmd('device_add', driver='vfio-pci', sysfsdev='/')


def test_record(tmp_path, out):
    with VM('-m', '16M', '-icount',
            f'shift=7,rr=record,rrfile={tmp_path}/replay') as vm:
        refused(vm, out, 'record')


# -- pages that the host merges -----------------------------------------------


KSM = '/sys/kernel/mm/ksm/'


@pytest.fixture
def ksm(change_host):
    """A function that makes the host merge pages from then on."""
    if not os.access(KSM + 'run', os.W_OK):
        pytest.skip('no KSM')
    before = {}

    def set_to(**values):
        for name, value in values.items():
            with open(KSM + name, 'r+') as f:
                before.setdefault(name, f.read())
                f.write(str(value))

    with open(KSM + 'run') as f:
        if int(f.read()):
            pytest.skip('KSM is already enabled on the host')
    yield lambda: set_to(pages_to_scan=20000, sleep_millisecs=10, run=1)
    # Also unmerge all pages: other QEMUs must find theirs unchanged.
    set_to(run=2)
    set_to(**{name: value.strip() for name, value in before.items()})


def merged(vm):
    with open(vm.proc_path('ksm_merging_pages')) as f:
        return int(f.read())


def alike(vm, pages):
    for paddr in pages:
        vm.qtest.write(paddr, b'alike' * 800)


@pytest.mark.parametrize('kind', ['anon', 'anon-4k'])
def test_pages_that_could_be_merged(ksm, out, kind):
    """Pages are not merged while the dump tracks writes to them."""
    with Idle(16 * MIB, kind=kind) as vm:
        pages = range(4 * MIB, 12 * MIB, PAGE)
        alike(vm, pages)
        ksm()
        before = Before(vm)
        if merged(vm):
            pytest.skip('pages were merged before the dump started')
        assert before.mergeable >= 16 * MIB
        dump = Held(vm)
        time.sleep(1)
        # Other memory of QEMU may be merged, such as that of firmware tables.
        assert merged(vm) < len(pages) // 2
        vm.overwrite(pages)
        assert dump.finish(out)['result']['status'] == 'completed'
        image = open_dump(out)
        for paddr in pages:
            assert image.read(paddr, 4000) == b'alike' * 800
        before.nothing_left()


def test_merged_pages(ksm, out):
    with Idle(16 * MIB, kind='anon-4k') as vm:
        alike(vm, range(4 * MIB, 8 * MIB, PAGE))
        ksm()
        wait_until(lambda: merged(vm), 'no page is merged')
        refused(vm, out, 'mem-merge')
    with Idle(16 * MIB, kind='memfd',
              args=('-machine', 'mem-merge=off')) as vm:
        assert Held(vm).finish(out)['result']['status'] == 'completed'
