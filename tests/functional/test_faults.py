# SPDX-License-Identifier: GPL-2.0-or-later
"""Faults while a dump is written: the error reported, and cleanup."""

import errno
import os
import re
import resource
import struct
import subprocess
import threading
import time

import pytest

import fault_table
import faults
import nodes
import ram
from conftest import SIZE
from qmp import QMPError
from vm import VM
from vmcore import Bad, ElfDump, open_dump
from wait import HANGS, wait_until

FORMATS = ['elf', 'kdump-zlib', 'kdump-raw-zlib']
STREAMS = ['elf', 'kdump-zlib']

# Memory that the firmware, which runs here, does not use.
WINDOW = range(2 << 20, 28 << 20, 4096)


def start(ram_file, *args, **options):
    """A running machine with known memory, and firmware that waits."""
    return VM(*ram.backend(ram_file, SIZE, share=False)[:-1], *args,
              machine=None, **options)


def faulty(ram_file, faults_so, path, fault, *args):
    """... with a fault for the file @path."""
    return start(ram_file, *args,
                 env=faults.environment(faults_so, path, fault))


@pytest.fixture
def small(tmp_path):
    """Create a file system of that size."""
    made = []

    def mount(size):
        folder = str(tmp_path / f'small{len(made)}')
        os.mkdir(folder)
        subprocess.run(['mount', '-t', 'tmpfs', '-o', f'size={size}',
                        'small', folder], check=True)
        made.append(folder)
        return folder + '/dump'

    yield mount
    for folder in made:
        subprocess.run(['umount', folder], check=True)


# -- cleanup ---------------------------------------------------------------------


def check_pages(dump, ram_file):
    """The memory in a dump is correct; returns its number of pages."""
    count = 0
    with open(ram_file, 'rb') as f:
        for paddr in WINDOW:
            if isinstance(dump, ElfDump):
                page = bytes(dump.read(paddr, 4096))
                if len(page) < 4096:
                    continue
            elif paddr // 4096 in dump.descs:
                page = dump.read(paddr, 4096)
            else:
                continue
            f.seek(paddr)
            assert page == f.read(4096), f'{paddr:#x}'
            count += 1
    return count


def state_of_file(path, ram_file):
    if not os.path.exists(path):
        return 'gone'
    try:
        dump = open_dump(path)
        assert check_pages(dump, ram_file) == len(WINDOW)
        return 'complete'
    except (Bad, ValueError):
        pass
    try:
        check_pages(open_dump(path, incomplete=True), ram_file)
        return 'incomplete, and says so'
    except (Bad, ValueError):
        return 'no dump for any reader'


def state_of_guest(vm):
    """Returns the guest's state; no resource of the dump is left."""
    assert 'blocked-reasons' not in vm.qmp.cmd('query-migrate')
    vm.wait_threads_end('dump')
    return vm.status()


def descriptors(vm):
    """QEMU's open descriptors, except those of monitors."""
    return sorted(link for link in vm.open_files().values()
                  if not link.startswith('socket:'))


def dump(vm, detach=True, **arguments):
    """Dump; returns the error reported by QEMU, or 'completed'."""
    vm.qmp.event_names()                # of earlier dumps
    fds = descriptors(vm)
    reply = None
    try:
        vm.qmp.cmd('dump-guest-memory', paging=False, detach=detach,
                   **arguments)
    except QMPError as e:
        reply = str(e)
    event = vm.qmp.wait_event('DUMP_COMPLETED')['data']
    answer = event.get('error', event['result']['status'])
    assert detach or answer == (reply or 'completed')
    # A descriptor that was passed is closed, as are QEMU's own.
    assert [f for f in descriptors(vm) if f not in fds] == []
    return answer


def record(fault, output, name, answer, vm, path, ram_file):
    state = state_of_guest(vm)
    left = state_of_file(path, ram_file)
    if answer != 'completed':
        # The part being written when it happened varies.
        answer = re.sub(r'^dump: (writing|reserving room for) [^:]+: ',
                        'dump: writing ...: ', answer)
    fault_table.record(fault, output, name, answer, state, left)
    return state, left


def next_dump_works(vm, tmp_path):
    path = str(tmp_path / 'next')
    vm.dump(path)
    open_dump(path)
    os.unlink(path)


# -- full disks --------------------------------------------------------------------


def blocks_of(vm, tmp_path, name):
    """Bytes of disk space used by a dump."""
    path = str(tmp_path / 'full')
    vm.dump(path, format=name)
    size = os.stat(path).st_blocks * 512
    os.unlink(path)
    return size


@pytest.mark.parametrize('detach', [False, True])
@pytest.mark.parametrize('name', FORMATS)
@pytest.mark.parametrize('where', ['early', 'midway', 'at the last block'])
def test_disk_full(full, small, tmp_path, ram_file, where, name, detach):
    size = {'early': 16384, 'midway': SIZE // 8,
            'at the last block': blocks_of(full, tmp_path, name) - 4096}
    path = small(size[where])
    answer = dump(full, detach, protocol='file:' + path, format=name)
    assert 'No space left on device' in answer
    state, left = record(f'disk full {where}', 'file', name, answer, full,
                         path, ram_file)
    assert state == 'running'
    if where != 'early':
        assert left.startswith('incomplete')
    next_dump_works(full, tmp_path)


@pytest.mark.parametrize('detach', [False, True])
@pytest.mark.parametrize('name', FORMATS[1:])
def test_file_size_limit(ram_file, tmp_path, name, detach):
    """A process limit causes an error; QEMU is not killed by SIGXFSZ."""
    path = str(tmp_path / 'dump')
    with start(ram_file) as vm:
        resource.prlimit(vm.proc.pid, resource.RLIMIT_FSIZE,
                         (2 << 20, 2 << 20))
        answer = dump(vm, detach, protocol='file:' + path, format=name)
        assert 'File too large' in answer
        state, left = record('RLIMIT_FSIZE', 'file', name, answer, vm, path,
                             ram_file)
        assert state == 'running' and left.startswith('incomplete')


@pytest.mark.parametrize('detach', [False, True])
def test_file_size_limit_foreseen(ram_file, tmp_path, detach):
    """If the size of the dump is known, it is refused; the guest runs on."""
    path = str(tmp_path / 'dump')
    with start(ram_file) as vm:
        resource.prlimit(vm.proc.pid, resource.RLIMIT_FSIZE,
                         (2 << 20, 2 << 20))
        with pytest.raises(QMPError) as e:
            vm.dump(path, detach=detach)
        assert vm.qmp.event_names() == []
        answer = re.sub(r'\d+ bytes', 'N bytes', str(e.value))
        assert record('RLIMIT_FSIZE', 'file', 'elf', answer, vm, path,
                      ram_file) == ('running', 'gone')


class Cut:
    """A file whose size is limited."""

    def __init__(self, vm, name, small, path):
        self.vm, self.name, self.path = vm, name, path
        vm.dump(path, format=name)
        if name == 'elf':
            # A limit for files would be detected in advance.
            self.full = os.stat(path).st_blocks * 512
            self.last = self.full - 4096
            self.path = small(self.full)
        else:
            self.full = os.stat(path).st_size
            self.last = self.full - 1

    def sizes(self):
        """Twenty sizes, the last just below that of the complete dump."""
        return [self.full * i // 20 for i in range(1, 20)] + [self.last]

    def limit(self, size):
        if self.name == 'elf':
            if os.path.exists(self.path):
                os.unlink(self.path)
            subprocess.run(['mount', '-o', f'remount,size={size}',
                            os.path.dirname(self.path)], check=True)
        else:
            resource.prlimit(self.vm.proc.pid, resource.RLIMIT_FSIZE,
                             (size, resource.RLIM_INFINITY))


@pytest.mark.parametrize('name', FORMATS)
def test_cut_anywhere(ram_file, small, tmp_path, name):
    """The larger the limit, the more pages are present; all are correct."""
    with start(ram_file, '-S') as vm:   # the same dump each time
        cut = Cut(vm, name, small, str(tmp_path / 'dump'))
        counts = []
        for size in cut.sizes():
            cut.limit(size)
            with pytest.raises(QMPError):
                vm.dump(cut.path, format=name)
            try:
                counts.append(check_pages(
                    open_dump(cut.path, incomplete=True), ram_file))
            except (Bad, ValueError):
                counts.append(0)
        assert counts == sorted(counts)
        assert counts[9] > 0 and counts[-1] > len(WINDOW) * 2 // 3
        assert vm.status() == 'prelaunch'


@pytest.mark.parametrize('name', FORMATS)
def test_fdset_full(full, small, ram_file, name):
    path = small(SIZE // 8)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    added = full.qmp.cmd('add-fd', [fd])
    os.close(fd)
    answer = dump(full, protocol=f'file:/dev/fdset/{added["fdset-id"]}',
                  format=name)
    assert 'No space left on device' in answer
    full.qmp.cmd('remove-fd', fdset_id=added['fdset-id'])
    assert record('disk full midway', 'fdset', name, answer, full, path,
                  ram_file) == ('running', 'incomplete, and says so')


def cut_flat(path):
    """Truncate after the end record: only our reader checks what follows."""
    with open(path, 'r+b') as f:
        f.seek(4096)
        while True:
            offset, size = struct.unpack('>qq', f.read(16))
            if offset == -1:
                f.truncate()
                return
            f.seek(size, os.SEEK_CUR)


@pytest.mark.parametrize('name', FORMATS)
def test_small_device(full, loop, tmp_path, ram_file, name):
    """Refused if the size of the dump is known in advance."""
    path, device = str(tmp_path / 'copy'), loop(2 << 20)
    if name == 'elf':
        full.qmp.event_names()
        with pytest.raises(QMPError, match='dump: no space for') as e:
            full.dump(device, detach=True)
        assert full.qmp.event_names() == []
        answer = re.sub(r'\d+ bytes', 'N bytes', str(e.value))
    else:
        answer = dump(full, protocol='file:' + device, format=name)
    assert 'No space left on device' in answer
    subprocess.run(['cp', device, path], check=True)
    if name == 'kdump-zlib':
        cut_flat(path)
    state, left = record('too small', 'block device', name, answer, full,
                         path, ram_file)
    assert state == 'running' and left.startswith(
        'no dump' if name == 'elf' else 'incomplete')


# -- errors of system calls -----------------------------------------------------------

ERRORS = [
    ('EIO midway', f'error:{errno.EIO}:2000000', 'Input/output error'),
    ('EDQUOT midway', f'error:{errno.EDQUOT}:2000000', 'Disk quota exceeded'),
    ('ENOSPC at close()', f'close:{errno.ENOSPC}',
     'closing the output: No space left on device'),
    ('EIO at fdatasync()', f'sync:{errno.EIO}', 'Input/output error'),
    ('ENOSPC at fdatasync()', f'sync:{errno.ENOSPC}',
     'No space left on device'),
]


@pytest.mark.parametrize('name', FORMATS)
@pytest.mark.parametrize('fault,spec,text', ERRORS)
def test_error(ram_file, faults_so, tmp_path, fault, spec, text, name):
    path = str(tmp_path / 'dump')
    with faulty(ram_file, faults_so, path, spec) as vm:
        answer = dump(vm, protocol='file:' + path, format=name)
        assert text in answer
        state, left = record(fault, 'file', name, answer, vm, path, ram_file)
        assert state == 'running'
        assert left == ('complete' if 'close' in fault else
                        'incomplete, and says so')


@pytest.mark.parametrize('name', FORMATS)
@pytest.mark.parametrize('fault,spec', [('short writes', 'short:40000'),
                                        ('EINTR storm', 'eintr')])
def test_survived(ram_file, faults_so, tmp_path, fault, spec, name):
    path = str(tmp_path / 'dump')
    with faulty(ram_file, faults_so, path, spec) as vm:
        answer = dump(vm, protocol='file:' + path, format=name)
        assert record(fault, 'file', name, answer, vm, path, ram_file) == (
            'running', 'complete')
        assert answer == 'completed'


# -- readers ---------------------------------------------------------------------------


class Reader:
    """Reads a pipe to a file; takes an action after so many bytes."""

    def __init__(self, vm, path, after=None, then='gone'):
        self.path, self.after, self.then, self.vm = path, after, then, vm
        self.r, w = os.pipe()
        self.w_blocking(w)
        vm.qmp.getfd('out', w)
        os.close(w)
        self.thread = threading.Thread(target=self.work)
        self.thread.start()

    def w_blocking(self, w):
        os.set_blocking(w, self.then != 'slow')

    def work(self):
        got = 0
        with open(self.path, 'wb') as f:
            while True:
                if self.after is not None and got >= self.after:
                    self.after = None
                    if self.then == 'gone':
                        break
                    self.vm.second().cmd('dump-cancel')
                    if self.then == 'stalled':
                        return
                if self.then == 'slow':
                    time.sleep(0.001)
                data = os.read(self.r, 65536)
                if not data:
                    break
                f.write(data)
                got += len(data)
        os.close(self.r)

    def join(self):
        self.thread.join(HANGS)
        assert not self.thread.is_alive()


@pytest.mark.parametrize('after', [0, 100000, 2000000])
@pytest.mark.parametrize('name', STREAMS)
def test_reader_gone(full, tmp_path, ram_file, name, after):
    path = str(tmp_path / 'dump')
    reader = Reader(full, path, after)
    answer = dump(full, protocol='fd:out', format=name)
    reader.join()
    assert 'Broken pipe' in answer
    state, left = record('reader gone', 'pipe', name, answer, full, path,
                         ram_file)
    assert state == 'running' and left.startswith('no dump')
    next_dump_works(full, tmp_path)


@pytest.mark.parametrize('name', STREAMS)
def test_named_pipe_reader_gone(full, tmp_path, ram_file, name):
    path, fifo = str(tmp_path / 'dump'), str(tmp_path / 'fifo')
    os.mkfifo(fifo)
    reader = subprocess.Popen(['sh', '-c', 'exec head -c 2000000 "$0" > "$1"',
                               fifo, path])
    answer = dump(full, protocol='file:' + fifo, format=name)
    reader.wait(HANGS)
    assert 'Broken pipe' in answer
    state, left = record('reader gone', 'named pipe', name, answer, full,
                         path, ram_file)
    assert state == 'running' and left.startswith('no dump')


@pytest.mark.parametrize('name', STREAMS)
def test_slow_reader_of_nonblocking_pipe(full, tmp_path, ram_file, name):
    path = str(tmp_path / 'dump')
    reader = Reader(full, path, then='slow')
    answer = dump(full, protocol='fd:out', format=name)
    reader.join()
    assert record('EAGAIN: slow reader, non-blocking', 'pipe', name, answer,
                  full, path, ram_file) == ('running', 'complete')


@pytest.mark.parametrize('name', STREAMS)
@pytest.mark.parametrize('then', ['reading on', 'stalled'])
def test_cancel(full, tmp_path, ram_file, name, then):
    """To a pipe: if the reader reads on, the dump is closed properly."""
    path = str(tmp_path / 'dump')
    reader = Reader(full, path, 1500000, then)
    answer = dump(full, protocol='fd:out', format=name)
    reader.join()
    if then == 'stalled':
        os.close(reader.r)
    assert answer == 'dump: cancelled'
    state, left = record(f'cancel, reader {then}', 'pipe', name, answer,
                         full, path, ram_file)
    assert state == 'running'
    assert left.startswith('incomplete') == (
        then == 'reading on' and name != 'elf')


@pytest.mark.parametrize('name', STREAMS)
@pytest.mark.parametrize('output,fault', [
    ('named pipe', 'cancel, no reader'), ('terminal', 'cancel, never read')])
def test_cancel_unread(full, tmp_path, ram_file, output, fault, name):
    """Nothing is received."""
    path, fifo = str(tmp_path / 'dump'), str(tmp_path / 'fifo')
    os.mkfifo(fifo)
    master, slave = os.openpty()
    full.dump(fifo if output == 'named pipe' else os.ttyname(slave),
              detach=True, format=name)
    full.qmp.cmd('dump-cancel')
    answer = full.qmp.wait_event('DUMP_COMPLETED')['data']['error']
    assert answer == 'dump: cancelled'
    with open(path, 'w'):
        pass
    state, left = record(fault, output, name, answer, full, path, ram_file)
    assert state == 'running' and left.startswith('no dump')
    os.close(master)
    os.close(slave)
    next_dump_works(full, tmp_path)


# -- block nodes -----------------------------------------------------------------------


def to_node(vm, path, fault, name, ram_file, detach=True):
    """Result of a dump to the node 'd', which is the file @path."""
    answer = dump(vm, detach, protocol='node:d', format=name)
    nodes.delete_soon(vm)
    return (answer, *record(fault, 'node', name, answer, vm, path, ram_file))


@pytest.mark.parametrize('detach', [False, True])
@pytest.mark.parametrize('name', FORMATS)
@pytest.mark.parametrize('fault,number,text', [
    ('EIO midway', errno.EIO, 'Input/output error'),
    ('ENOSPC midway', errno.ENOSPC, 'No space left on device')])
def test_node_error(full, tmp_path, ram_file, fault, number, text, name,
                    detach):
    """Each write of one sector fails; others succeed."""
    path = str(tmp_path / 'dump')
    open(path, 'w').close()
    nodes.add(full, driver='blkdebug',
              image={'driver': 'file', 'filename': path},
              inject_error=[{'event': 'none', 'iotype': 'write',
                             'immediately': True, 'once': False,
                             'errno': number, 'sector': 2000000 // 512}])
    answer, state, left = to_node(full, path, fault, name, ram_file, detach)
    assert text in answer
    assert (state, left) == ('running', 'incomplete, and says so')
    # Missing memory does not look like zeroes.
    if name == 'elf':
        assert os.path.getsize(path) <= 2000000
    next_dump_works(full, tmp_path)


@pytest.mark.parametrize('name', FORMATS)
@pytest.mark.parametrize('where', ['midway', 'at the last block'])
def test_node_full(full, small, tmp_path, ram_file, where, name):
    """A sparse node; its file has no space left."""
    size = {'midway': SIZE // 8,
            'at the last block': blocks_of(full, tmp_path, name) - 4096}
    path = small(size[where])
    open(path, 'w').close()
    nodes.add(full, driver='file', filename=path)
    answer, state, left = to_node(full, path, f'disk full {where}', name,
                                  ram_file)
    assert 'No space left on device' in answer
    assert (state, left) == ('running', 'incomplete, and says so')
    next_dump_works(full, tmp_path)


@pytest.mark.parametrize('name', FORMATS[1:])
def test_node_too_small(full, tmp_path, ram_file, name):
    """The node cannot grow, and the size of the dump was not known."""
    path, socket = str(tmp_path / 'dump'), str(tmp_path / 'socket')
    nodes.fill_old(path, 3 << 20)
    server = nodes.qemu_nbd(path, socket)
    nodes.add_nbd(full, server)
    answer = dump(full, protocol='node:d', format=name)
    nodes.delete(full)
    server.close()
    # Only this test's reader checks what follows the end.
    with open(path, 'rb') as f:
        size = len(f.read().rstrip(b'\0'))
    if name == 'kdump-zlib':
        os.truncate(path, size)
    state, left = record('NBD export too small', 'node', name, answer, full,
                         path, ram_file)
    assert 'the block node is too small' in answer
    assert (state, left) == ('running', 'incomplete, and says so')


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.parametrize('name', FORMATS[1:])
@pytest.mark.parametrize('fault', ['NBD server dies midway',
                                   'cancel, NBD server stalled'])
def test_node_server(full, tmp_path, ram_file, fault, name):
    path, socket = str(tmp_path / 'dump'), str(tmp_path / 'socket')
    nodes.fill_old(path, 2 * SIZE)
    server = nodes.qemu_nbd(path, socket)
    full.qmp.cmd('object-add', qom_type='throttle-group', id='g',
                 limits={'bps-write': 16 << 20})
    nodes.add_nbd(full, server, node_name='n')
    nodes.add(full, driver='throttle', throttle_group='g', file='n')

    def work():
        other = full.second()

        def begun():
            q = other.cmd('query-dump')
            return q['status'] == 'active' and q['completed'] > 1 << 20

        wait_until(begun)
        if 'dies' in fault:
            server.close()
        else:
            server.stall()
            other.cmd('dump-cancel')

    thread = threading.Thread(target=work)
    thread.start()
    answer = dump(full, protocol='node:d', format=name)
    thread.join()
    server.close()
    nodes.delete_soon(full)
    nodes.delete_soon(full, 'n')
    full.qmp.cmd('object-del', id='g')
    assert ('Input/output error' if 'dies' in fault else 'cancelled') in answer
    state, left = record(fault, 'node', name, answer, full, path, ram_file)
    assert state == 'running' and left.startswith('no dump')
    next_dump_works(full, tmp_path)


# -- at a chosen moment of writing to a file ---------------------------------------------


class Paused:
    """A detached dump that is paused after so many bytes."""

    def __init__(self, ram_file, faults_so, path, name, *args, dump={}):
        self.path = path
        self.vm = faulty(ram_file, faults_so, path, 'pause:2000000', *args)
        self.fds = descriptors(self.vm)
        self.vm.dump(path, format=name, detach=True, **dump)
        faults.wait_for_pause(path, 2000000)

    def go_on(self):
        with open(self.path + '.go', 'w'):
            pass

    def end(self):
        self.go_on()
        event = self.vm.qmp.wait_event('DUMP_COMPLETED')['data']
        assert [f for f in descriptors(self.vm) if f not in self.fds] == []
        return event.get('error', event['result']['status'])

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.vm.close()


def unlink(paused):
    os.unlink(paused.path)


def truncate(paused):
    os.truncate(paused.path, 0)


def cancel(paused):
    paused.vm.qmp.cmd('dump-cancel')


def system_reset(paused):
    paused.vm.qmp.cmd('system_reset')
    paused.vm.qmp.wait_event('RESET')


def powerdown(paused):
    paused.vm.qmp.cmd('system_powerdown')
    paused.vm.qmp.wait_event('POWERDOWN')


def balloon(paused):
    paused.vm.qmp.cmd('balloon', value=16 << 20)


def plug_cpu(paused):
    free = next(c for c in paused.vm.qmp.cmd('query-hotpluggable-cpus')
                if 'qom-path' not in c)
    paused.vm.qmp.cmd('device_add', driver=free['type'], id='new',
                      **free['props'])


def unplug_memory(paused):
    """Eject the module, as the guest's kernel would."""
    vm = paused.vm
    assert '00000a00-' in vm.qmp.hmp('info mtree')
    vm.qmp.cmd('device_del', id='dimm')
    vm.qmp.hmp('o /l 0xa00 0')          # slot
    vm.qmp.hmp('o /b 0xa14 0x8')        # eject
    vm.qmp.wait_event('DEVICE_DELETED')
    vm.qmp.cmd('object-del', id='mem')


def migrate(paused):
    with pytest.raises(QMPError) as e:
        paused.vm.qmp.cmd('migrate', uri='exec:cat > /dev/null')
    assert 'dump-guest-memory in progress' in str(e.value)


def snapshot(paused):
    assert 'dump-guest-memory in progress' in paused.vm.qmp.hmp('savevm x')


BALLOON = ('-device', 'virtio-balloon-pci')
CPUS = ('-smp', '1,maxcpus=2')
MODULE = ('-m', f'{SIZE >> 20}M,slots=2,maxmem=1G', '-object',
          'memory-backend-ram,id=mem,size=128M', '-device',
          'pc-dimm,id=dimm,memdev=mem')

MEANWHILE = [
    ('file unlinked', unlink, (), 'completed', 'gone'),
    ('file truncated', truncate, (), 'truncated meanwhile', 'no dump'),
    ('dump-cancel', cancel, (), 'cancelled', 'incomplete'),
    ('system_reset', system_reset, (), 'completed', 'complete'),
    ('system_powerdown', powerdown, (), 'completed', 'complete'),
    ('balloon', balloon, BALLOON, 'completed', 'complete'),
    ('CPU plugged', plug_cpu, CPUS, 'completed', 'complete'),
    ('memory unplugged', unplug_memory, MODULE, 'completed', 'complete'),
    ('migrate (refused)', migrate, (), 'completed', 'complete'),
    ('savevm (refused)', snapshot, (), 'completed', 'complete'),
]


@pytest.mark.parametrize('name', FORMATS)
@pytest.mark.parametrize('fault,action,args,text,file', MEANWHILE)
def test_meanwhile(ram_file, faults_so, tmp_path, fault, action, args, text,
                   file, name):
    path = str(tmp_path / 'dump')
    with Paused(ram_file, faults_so, path, name, *args) as paused:
        action(paused)
        answer = paused.end()
        assert text in answer
        state, left = record(fault, 'file', name, answer, paused.vm, path,
                             ram_file)
        assert state == 'running' and left.startswith(file)
        if fault == 'CPU plugged':
            assert open_dump(path).nr_prstatus == 1
        if fault == 'memory unplugged':
            start, size = open_dump(path).ranges()[-1]
            assert start + size == (1 << 32) + (128 << 20)
        next_dump_works(paused.vm, tmp_path)


@pytest.mark.parametrize('name', FORMATS)
@pytest.mark.parametrize('how', ['quit', 'SIGTERM', 'SIGKILL'])
def test_end_of_qemu(ram_file, faults_so, tmp_path, how, name):
    """Only after SIGKILL is the file not marked as incomplete."""
    path = str(tmp_path / 'dump')
    with Paused(ram_file, faults_so, path, name) as paused:
        vm = paused.vm
        if how == 'SIGKILL':
            vm.proc.kill()
            vm.wait_exit()
            answer = '--'
        else:
            if how == 'quit':
                vm.qmp.send('quit')     # the reply comes after the dump
            else:
                vm.proc.terminate()
            vm.qmp.wait_event('SHUTDOWN')
            paused.go_on()
            event = vm.qmp.wait_event('DUMP_COMPLETED')['data']
            answer = event['error']
            assert answer == 'dump: cancelled'
            assert vm.wait_exit() == 0
        left = state_of_file(path, ram_file)
        fault_table.record(f'{how} of QEMU', 'file', name, answer, '--', left)
        assert left.startswith('no dump' if how == 'SIGKILL' and name != 'elf'
                               else 'incomplete')


# -- no thread, no memory --------------------------------------------------------------


@pytest.mark.parametrize('name', FORMATS)
def test_no_thread(ram_file, tmp_path, faults_so, name):
    """No thread can be created; the dump is refused."""
    path = str(tmp_path / 'dump')
    none = tmp_path / 'threads'
    with faulty(ram_file, faults_so, str(none), 'thread') as vm:
        none.write_text('0\n')
        with pytest.raises(QMPError, match='failed to start a thread') as e:
            vm.dump(path, format=name, detach=True)
        none.unlink()
        answer = str(e.value)
        state, left = record('no thread', 'file', name, answer, vm, path,
                             ram_file)
        assert (state, left) == ('running', 'gone')
        next_dump_works(vm, tmp_path)


def address_space(vm):
    with open(vm.proc_path('status')) as f:
        return int(re.search(r'VmSize:\s+(\d+)', f.read())[1]) << 10


def test_no_memory(ram_file, tmp_path):
    """Not enough memory for the buffers of one thread."""
    path = str(tmp_path / 'dump')
    # Freed memory is returned to the system at once.
    with start(ram_file, env={'MALLOC_MMAP_THRESHOLD_': '65536'}) as vm:
        vm.dump(path)                   # memory that QEMU needs in any case
        vm.qmp.wait_event('DUMP_COMPLETED')
        # Below the current size, as a thread that ends frees its stack; reduced
        # until a buffer cannot be allocated.
        for less in range(32 << 20, 352 << 20, 32 << 20):
            resource.prlimit(vm.proc.pid, resource.RLIMIT_AS,
                             (address_space(vm) - less,
                              resource.RLIM_INFINITY))
            answer = dump(vm, False, protocol='file:' + path,
                          format='kdump-zlib', threads=1)
            if answer != 'completed':
                break
        assert 'no memory' in answer
        resource.prlimit(vm.proc.pid, resource.RLIMIT_AS,
                         (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        state, left = record('no memory for buffers', 'file', 'kdump-zlib',
                             answer, vm, path, ram_file)
        assert (state, left) == ('running', 'incomplete, and says so')
        next_dump_works(vm, tmp_path)


# -- the table -------------------------------------------------------------------------


# The second base is not run with all of these tests.
@pytest.mark.once
@pytest.mark.slow               # like some of the tests that fill the table
def test_table_in_docs(request):
    """Must be last; needs the results of all tests above."""
    if len(request.config.args) != 1 or request.session.testsfailed:
        pytest.skip('not all tests of this file were run')
    if os.environ.get('DUMP_FAULT_TABLE') == 'write':
        with open(fault_table.PATH, 'w') as f:
            f.write(fault_table.text())
    with open(fault_table.PATH) as f:
        assert f.read() == fault_table.text()
