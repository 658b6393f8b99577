# SPDX-License-Identifier: GPL-2.0-or-later
"""Dumps to block nodes."""

import os
import time

import pytest

import nodes
import ram
from conftest import SIZE
from guest import Guest
from qmp import QMPError
from readers import run
from vm import VM
from vmcore import open_dump
from wait import wait_until
from windmp import WinDump
from windows import Windows

FORMATS = ['elf', 'kdump-zlib', 'kdump-raw-lzo']


@pytest.fixture(scope='module')
def files(ram_file, tmp_path_factory):
    """Dumps of the still guest to plain files."""
    made = {}

    def get(vm, name):
        if name not in made:
            made[name] = str(tmp_path_factory.mktemp('plain') / name)
            vm.dump(made[name], format=name)
        return made[name]

    return get


@pytest.fixture
def vm(ram_file):
    """A stopped machine with known memory."""
    with VM(*ram.backend(ram_file, SIZE), machine=None) as vm:
        yield vm


@pytest.fixture
def node(vm, tmp_path):
    """Make a node 'd' of that kind, with old contents, larger than a dump or
    not."""
    made = []

    def make(kind, size=2 * SIZE):
        made.append(kind(tmp_path, size))
        made[0].make()
        made[0].enter(vm)
        return made[0]

    yield make
    vm.close()
    for kind in made:
        kind.close()


def dump(vm, name='elf', detach=False, **arguments):
    """Returns the result of the dump."""
    vm.qmp.event_names()
    vm.qmp.cmd('dump-guest-memory', paging=False, protocol='node:d',
               format=name, detach=detach, **arguments)
    data = vm.qmp.wait_event('DUMP_COMPLETED')['data']
    assert data['result']['status'] == 'completed', data
    assert data['result']['written'] > 0
    return data['result']


KINDS_OLD = [(kind, 2 * SIZE) for kind in nodes.KINDS]
KINDS_EMPTY = [(kind, 0) for kind in nodes.KINDS if kind.grows]
# Each pair of values occurs.
SAME = [pytest.param(kind, size, name, (i + k) % 2 == 1,
                     id=f'{kind.__name__}-{size}-{name}-'
                        f'{["sync", "detach"][(i + k) % 2]}')
        for i, (kind, size) in enumerate(KINDS_OLD + KINDS_EMPTY)
        for k, name in enumerate(FORMATS)]


@pytest.mark.parametrize('kind,size,name,detach', SAME)
def test_same(vm, node, files, kind, size, name, detach):
    """The node has the same contents as a file, whatever it had before."""
    plain = files(vm, name)
    made = node(kind, size)
    dump(vm, name, detach)
    nodes.delete(vm)
    back = made.read()
    nodes.check_same(back, plain, made.wiped)
    if kind.grows:
        assert os.path.getsize(back) - os.path.getsize(plain) < made.block
    os.truncate(back, os.path.getsize(plain))
    open_dump(back)


def test_twice(vm, node, files):
    """After a shorter dump, nothing is left of a longer one."""
    made = node(nodes.Raw, 0)
    dump(vm, 'elf')
    dump(vm, 'kdump-raw-lzo')
    nodes.delete(vm)
    nodes.check_same(made.read(), files(vm, 'kdump-raw-lzo'))


def test_job_and_hmp(vm, node, files):
    made = node(nodes.Qcow2, 0)
    dump(vm, 'elf', detach=True, job_id='j')
    job, = vm.qmp.cmd('query-jobs')
    assert job['status'] == 'concluded' and 'error' not in job
    assert vm.qmp.hmp('dump-guest-memory -z -n d') == ''
    nodes.delete(vm)
    nodes.check_same(made.read(), files(vm, 'kdump-zlib'))
    assert 'there is no block node' in vm.qmp.hmp('dump-guest-memory -n x')


def test_capability(vm):
    cap = vm.qmp.cmd('query-dump-guest-memory-capability')
    assert cap['protocols'] == ['file', 'fd', 'node']


def test_iothread_in_use(vm, node, files):
    """The main thread and the node's iothread do not block each other."""
    made = node(nodes.Iothread)
    for name in FORMATS:
        dump(vm, name)
        dump(vm, name, detach=True)
    nodes.delete(vm)
    nodes.check_same(made.read(), files(vm, FORMATS[-1]))


def test_windows(tmp_path, out):
    """A format that writes its header first and last."""
    path = str(tmp_path / 'image')
    nodes.fill_old(path, 1 << 20)
    with Windows(str(tmp_path), 'long') as vm:
        vm.publish()
        vm.qmp.cmd('stop')
        vm.dump(out, format='win-dmp')
        nodes.add(vm, driver='file', filename=path)
        vm.qmp.cmd('dump-guest-memory', paging=False, protocol='node:d',
                   format='win-dmp')
        nodes.delete(vm)
        got, want = nodes.content(path), nodes.content(out)
        # The header has a time stamp.
        assert got[8192:] == want[8192:] and len(got) == len(want)
        assert WinDump(path, vm.paging).runs == WinDump(out, vm.paging).runs


def test_tls(vm, tmp_path, files):
    """NBD over TCP with TLS."""
    path, keys = str(tmp_path / 'image'), tmp_path / 'keys'
    nodes.fill_old(path, 2 * SIZE)
    keys.mkdir()
    (keys / 'keys.psk').write_text('qemu:' + '0123456789abcdef' * 4)
    server, port = nodes.qemu_nbd_tls(path, str(keys))
    vm.qmp.cmd('object-add', qom_type='tls-creds-psk', id='t',
               endpoint='client', dir=str(keys))
    nodes.add(vm, driver='nbd', tls_creds='t', server={
        'type': 'inet', 'host': '127.0.0.1', 'port': port})
    dump(vm, 'kdump-zlib')
    server.kill()
    server.wait()
    nodes.check_same(path, files(vm, 'kdump-zlib'))


@pytest.fixture(scope='module')
def linux():
    with Guest() as guest:
        guest.qmp.cmd('stop')
        yield guest


@pytest.mark.guest
@pytest.mark.parametrize('name', ['elf', 'kdump-zlib', 'kdump-raw-lzo'])
def test_linux(linux, tmp_path, name):
    """From an encrypted image to a common reader."""
    kind = nodes.Luks(tmp_path, 1 << 20)
    kind.make()
    kind.enter(linux)
    dump(linux, name)
    nodes.delete(linux)
    linux.qmp.cmd('object-del', id='s')
    assert run('crash', '--osrelease', kind.read()).strip() == \
        linux.release()


# -- refused -----------------------------------------------------------------------


def refused(vm, text, protocol='node:d', **arguments):
    """Refused before the guest was stopped: there are no events."""
    vm.qmp.event_names()
    with pytest.raises(QMPError) as e:
        vm.qmp.cmd('dump-guest-memory', paging=False, protocol=protocol,
                   **arguments)
    assert text in str(e.value)
    assert vm.qmp.event_names() == []
    assert 'blocked-reasons' not in vm.qmp.cmd('query-migrate')


@pytest.fixture
def disk(tmp_path):
    path = str(tmp_path / 'disk')
    nodes.fill_old(path, 2 * SIZE)
    yield path
    with open(path, 'rb') as f:
        assert f.read(len(nodes.OLD)) == nodes.OLD
    assert os.path.getsize(path) == 2 * SIZE


def test_unknown(running):
    refused(running, "there is no block node 'd'")
    refused(running, "there is no block node ''", 'node:')
    refused(running, "expected 'file:', 'fd:' or 'node:' and a name", 'nod:d')


@pytest.mark.parametrize('device', [
    'virtio-blk-pci,drive=d', 'virtio-blk-pci,drive=d,share-rw=on',
    'ide-cd,drive=d'])
def test_disk_of_guest(disk, device):
    with VM('-m', '16M', '-blockdev',
            f'driver=file,filename={disk},node-name=f', '-blockdev',
            'driver=raw,file=f,node-name=d,read-only=' +
            ('on' if 'cd' in device else 'off'), '-device', device) as vm:
        refused(vm, "block node 'd' is in use by")
        refused(vm, "block node 'f' is in use by node 'd' as 'file'",
                'node:f')


def test_drive(disk):
    """A node of -drive, not used by a device yet."""
    with VM('-m', '16M', '-drive',
            f'if=none,id=x,format=raw,file={disk}') as vm:
        name = vm.qmp.cmd('query-block')[0]['inserted']['node-name']
        refused(vm, 'is in use by', 'node:' + name)


def test_read_only(running, disk):
    nodes.add(running, driver='file', filename=disk, read_only=True)
    refused(running, 'read-only')
    nodes.delete(running)


def test_exported(running, disk, tmp_path):
    nodes.add(running, driver='file', filename=disk)
    running.qmp.cmd('nbd-server-start', addr={
        'type': 'unix', 'data': {'path': str(tmp_path / 's')}})
    running.qmp.cmd('block-export-add', type='nbd', id='e', node_name='d')
    refused(running, "block node 'd' is in use by")
    running.qmp.cmd('nbd-server-stop')
    nodes.delete(running)


def test_own_memory(tmp_path):
    path = str(tmp_path / 'ram')
    with VM('-machine', 'pc,memory-backend=ram', '-m', '16M', '-object',
            f'memory-backend-file,id=ram,mem-path={path},size=16M,share=on',
            machine=None) as vm:
        nodes.add(vm, driver='raw', file={'driver': 'file',
                                          'filename': path})
        refused(vm, "is the guest's memory 'ram'")


@pytest.mark.parametrize('kind', [nodes.Nbd, nodes.Loop])
def test_too_small(vm, node, kind):
    """Nothing is written to the node."""
    made = node(kind, SIZE - 4096)
    refused(vm, 'dump: no space for')
    nodes.delete(vm)
    back = made.read()
    with open(back, 'rb') as f:
        assert f.read(len(nodes.OLD)) == nodes.OLD
    assert os.path.getsize(back) == SIZE - 4096


@pytest.mark.parametrize('text,arguments', [
    ('Invalid job ID', {'job_id': '1 bad'}),
    ("Job ID 'used' already in use", {'job_id': 'used'}),
    ("named 'x'", {'live': 'on', 'live_fd': 'x'})])
def test_refused_later(vm, node, text, arguments):
    """It was not tried whether the node can grow: QEMU could not restore a
    length that is not a multiple of 512."""
    made = node(nodes.File, 1000)
    vm.dump(made.path + '.other', detach=True, job_id='used')
    vm.qmp.wait_event('DUMP_COMPLETED')
    refused(vm, text, detach=True, **arguments)
    nodes.delete(vm)
    assert os.path.getsize(made.path) == 1000


def test_nobody_gets_in(vm, node, tmp_path):
    """Nothing else can use the node during the dump."""
    slow(vm, node)
    with pytest.raises(QMPError, match='in use'):
        nodes.delete(vm)
    vm.qmp.cmd('nbd-server-start', addr={
        'type': 'unix', 'data': {'path': str(tmp_path / 's')}})
    with pytest.raises(QMPError, match="ermission conflict on node 'd'"):
        vm.qmp.cmd('block-export-add', type='nbd', id='e', node_name='d')
    vm.qmp.cmd('nbd-server-stop')
    cancel(vm)
    nodes.delete_soon(vm)


# -- failures while writing --------------------------------------------------------


def stalled(vm, tmp_path, kind=nodes.qemu_nbd, **options):
    """A dump to a server that stops responding."""
    path, socket = str(tmp_path / 'image'), str(tmp_path / 'socket')
    nodes.fill_old(path, 2 * SIZE)
    server = kind(path, socket)
    nodes.add_nbd(vm, server, **options)
    server.stall()
    vm.qmp.event_names()
    vm.qmp.cmd('dump-guest-memory', paging=False, protocol='node:d',
               detach=True)
    wait_until(lambda: vm.qmp.cmd('query-dump')['phase'] != 'collect')
    time.sleep(0.3)             # a request is in flight now
    return server


def ended(vm):
    return vm.qmp.wait_event('DUMP_COMPLETED')['data']


def completed(vm):
    data = ended(vm)
    assert data['result']['status'] == 'completed', data


def cancel(vm):
    start = time.monotonic()
    vm.qmp.cmd('dump-cancel')
    assert ended(vm)['error'] == 'dump: cancelled'
    return time.monotonic() - start


def test_stalled(vm, tmp_path):
    """QEMU continues, and a cancel works; the node is busy until the server
    responds again, and usable afterwards."""
    server = stalled(vm, tmp_path)
    assert vm.qmp.cmd('query-dump')['status'] == 'active'
    assert cancel(vm) < 5
    vm.wait_threads_end('dump')
    assert 'blocked-reasons' not in vm.qmp.cmd('query-migrate')
    refused(vm, "block node 'd' is in use")
    vm.dump(str(tmp_path / 'other'))
    open_dump(str(tmp_path / 'other'))
    server.go_on()
    nodes.delete_soon(vm)
    nodes.add_nbd(vm, server)
    dump(vm)
    server.close()


def test_stalled_out_of_band(ram_file, tmp_path):
    """A dump without detach."""
    with VM(*ram.backend(ram_file, SIZE), machine=None) as vm:
        path, socket = str(tmp_path / 'image'), str(tmp_path / 'socket')
        nodes.fill_old(path, 2 * SIZE)
        server = nodes.qemu_nbd(path, socket)
        nodes.add_nbd(vm, server)
        server.stall()
        other = vm.connect('other', oob=True)
        vm.qmp.send('dump-guest-memory', paging=False, protocol='node:d')
        time.sleep(0.5)
        other.send('dump-cancel', out_of_band=True)
        assert other.reply() == {}
        with pytest.raises(QMPError, match='dump: cancelled'):
            vm.qmp.reply()
        assert vm.status() == 'prelaunch'
        server.close()


@pytest.mark.parametrize('cancelled', [False, True])
@pytest.mark.parametrize('signal', [False, True])
def test_stalled_exit(vm, tmp_path, signal, cancelled):
    """QEMU exits although its block layer waits for all requests."""
    server = stalled(vm, tmp_path)
    if cancelled:
        cancel(vm)
    if signal:
        vm.proc.terminate()
    else:
        vm.qmp.send('quit')
    assert vm.wait_exit() == 0
    server.close()


def slow(vm, node):
    """A dump that takes some seconds."""
    made = node(nodes.Throttled, 0)
    vm.qmp.cmd('qom-set', path='/objects/g', property='limits',
               value={'bps-write': 8 << 20, 'bps-write-max': 8 << 20,
                      'iops-write': 0})
    vm.qmp.event_names()
    vm.qmp.cmd('dump-guest-memory', paging=False, protocol='node:d',
               detach=True)
    wait_until(lambda: vm.qmp.cmd('query-dump')['completed'] >= 4 << 20)
    return made


def test_exit_closes(vm, node):
    """A dump interrupted by QEMU's exit is closed as an incomplete one."""
    made = slow(vm, node)
    vm.qmp.send('quit')
    assert vm.wait_exit() == 0
    open_dump(made.read(), incomplete=True)


def failed(vm, name, detach):
    """A dump that fails with an I/O error; returns DUMP_COMPLETED. Without
    detach the reply has the error, too."""
    vm.qmp.event_names()
    try:
        vm.qmp.cmd('dump-guest-memory', paging=False, protocol='node:d',
                   format=name, detach=detach)
        assert detach
    except QMPError as e:
        assert not detach and 'Input/output error' in str(e)
    return ended(vm)['error']


@pytest.mark.parametrize('detach', [False, True])
@pytest.mark.parametrize('name', FORMATS)
def test_server_dies(vm, tmp_path, name, detach):
    path, socket = str(tmp_path / 'image'), str(tmp_path / 'socket')
    nodes.fill_old(path, 2 * SIZE)
    server = nodes.qemu_nbd(path, socket)
    nodes.add_nbd(vm, server)
    server.close()
    assert 'dump: writing' in failed(vm, name, detach)
    nodes.delete(vm)
    vm.dump(str(tmp_path / 'other'))


def test_drained(vm, node, files):
    """Other commands drain all requests meanwhile, such as loadvm and stop."""
    made = node(nodes.Throttled, 0)
    plain = files(vm, 'kdump-zlib')
    vm.qmp.event_names()
    vm.qmp.cmd('dump-guest-memory', paging=False, protocol='node:d',
               format='kdump-zlib', detach=True)
    n = 0
    while vm.qmp.cmd('query-dump')['status'] == 'active':
        vm.qmp.hmp('commit all')
        vm.qmp.hmp('qemu-io d "flush"')
        vm.qmp.hmp('drive_add 0 if=none,id=x,driver=null-co')
        vm.qmp.hmp('drive_del x')
        n += 1
    assert n > 1
    completed(vm)
    nodes.delete(vm)
    nodes.check_same(made.read(), plain)


def add_faulty(vm, path, **rule):
    nodes.add(vm, driver='blkdebug', image={'driver': 'file',
                                            'filename': path},
              inject_error=[{'event': 'none', 'iotype': 'write',
                             'immediately': True, 'once': False, **rule}])


@pytest.mark.parametrize('detach', [False, True])
@pytest.mark.parametrize('name', FORMATS)
def test_error(vm, tmp_path, name, detach):
    """Data written before the error is in an incomplete dump."""
    path = str(tmp_path / 'image')
    open(path, 'w').close()
    add_faulty(vm, path, errno=5, sector=2000000 // 512)
    assert 'Input/output error' in failed(vm, name, detach)
    nodes.delete(vm)
    open_dump(path, incomplete=True)
    # Missing memory does not look like zeroes.
    if name == 'elf':
        assert os.path.getsize(path) <= 2000000
