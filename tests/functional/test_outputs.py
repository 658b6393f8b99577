# SPDX-License-Identifier: GPL-2.0-or-later
"""Outputs other than plain files, and files that must not be overwritten."""

import fcntl
import os
import resource
import stat
import subprocess
import threading
import tty

import pytest

import devices
from qmp import QMPError
from test_cancel import cancelled, nothing_left
from vm import VM, as_nobody
from vmcore import open_dump
from wait import HANGS, wait_until


def completed(vm):
    event = vm.qmp.wait_event('DUMP_COMPLETED')
    assert event['data']['result']['status'] == 'completed', event
    assert vm.status() == 'running'


def ended(vm, signal=False):
    """QEMU exits on request."""
    if signal:
        vm.proc.terminate()
    else:
        vm.qmp.cmd('quit')
    assert vm.wait_exit() == 0


def cancelled_out_of_band(**dump):
    """A dump without detach, which blocks QEMU."""
    with VM('-m', '16M') as vm:
        vm.qmp.close()
        vm.qmp = vm.connect('qmp', oob=True)
        other = vm.connect('other', oob=True)
        vm.qmp.send('dump-guest-memory', paging=False, **dump)

        def told():
            try:
                other.send('dump-cancel', out_of_band=True)
                return other.reply() == {}
            except QMPError:
                return False            # it may not have begun yet

        wait_until(told, 'no dump to cancel', 0.001)
        with pytest.raises(QMPError) as e:
            vm.qmp.reply()
        assert str(e.value) == 'dump: cancelled'
        nothing_left(vm)


# -- named pipes -----------------------------------------------------------------


@pytest.fixture
def fifo(tmp_path):
    path = str(tmp_path / 'fifo')
    os.mkfifo(path)
    return path


def dump_to_fifo(vm, fifo, **arguments):
    vm.qmp.event_names()
    vm.dump(fifo, detach=True, **arguments)


def cat(fifo, path):
    return subprocess.Popen(['sh', '-c', 'exec cat "$0" > "$1"', fifo, path])


@pytest.mark.parametrize('name', ['elf', 'kdump-zlib'])
def test_fifo_without_reader(full, fifo, name):
    """QEMU continues, and so does the guest after a cancel."""
    dump_to_fifo(full, fifo, format=name)
    for _ in range(3):
        dump = full.qmp.cmd('query-dump')
        assert dump['status'] == 'active' and dump['written'] == 0
    assert full.second().cmd('dump-cancel') == {}
    cancelled(full.qmp.wait_event('DUMP_COMPLETED'))
    nothing_left(full)
    assert full.qmp.event_names() == []
    assert os.listdir(os.path.dirname(fifo)) == ['fifo']


def test_fifo_without_reader_out_of_band(fifo):
    cancelled_out_of_band(protocol='file:' + fifo)


@pytest.mark.parametrize('signal', [False, True])
@pytest.mark.parametrize('job', [{}, {'job_id': 'j'}])
def test_fifo_without_reader_quit(fifo, job, signal):
    with VM('-m', '16M') as vm:
        dump_to_fifo(vm, fifo, **job)
        ended(vm, signal)


@pytest.mark.parametrize('name', ['elf', 'kdump-zlib'])
def test_fifo_late_reader(full, fifo, out, name):
    dump_to_fifo(full, fifo, format=name)
    assert full.qmp.cmd('query-dump')['status'] == 'active'
    reader = cat(fifo, out)
    completed(full)
    assert reader.wait(HANGS) == 0
    open_dump(out)


@pytest.mark.parametrize('detach', [False, True])
def test_fifo_early_reader(full, fifo, out, detach):
    full.qmp.event_names()
    reader = cat(fifo, out)
    full.dump(fifo, detach=detach, format='kdump-lzo')
    completed(full)
    assert reader.wait(HANGS) == 0
    open_dump(out)


@pytest.mark.parametrize('detach', [False, True])
def test_fifo_reader_leaves(full, fifo, detach):
    full.qmp.event_names()
    reader = subprocess.Popen(['head', '-c', '1000', fifo],
                              stdout=subprocess.DEVNULL)
    try:
        full.dump(fifo, detach=detach)
    except QMPError as e:
        assert not detach and 'Broken pipe' in str(e)
    event = full.qmp.wait_event('DUMP_COMPLETED')
    assert 'Broken pipe' in event['data']['error']
    assert full.status() == 'running'
    assert reader.wait(HANGS) == 0


def test_fifo_reader_stalls(full, fifo):
    """The reader has the pipe open but does not read: a cancel works."""
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    dump_to_fifo(full, fifo)
    full.qmp.cmd('dump-cancel')
    cancelled(full.qmp.wait_event('DUMP_COMPLETED'))
    os.close(reader)
    nothing_left(full)


def test_fifo_cannot_seek(full, fifo):
    with pytest.raises(QMPError) as e:
        full.dump(fifo, format='kdump-raw-zlib')
    assert 'require a seekable output' in str(e.value)


# -- terminals -------------------------------------------------------------------


END = b'all is read'


class Terminal:
    """A pair of terminals; the dump is written to one of them."""

    def __init__(self, vm, how):
        self.master, self.slave = os.openpty()
        tty.setraw(self.slave)
        self.vm = vm
        self.protocol = f'file:{os.ttyname(self.slave)}'
        if how != 'path':
            fd = self.master if how == 'master' else self.slave
            vm.qmp.getfd('tty', fd)
            self.protocol = 'fd:tty'

    def dump(self, **arguments):
        self.vm.qmp.event_names()
        self.vm.qmp.cmd('dump-guest-memory', paging=False,
                        protocol=self.protocol, detach=True, **arguments)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        os.close(self.master)
        os.close(self.slave)


@pytest.mark.parametrize('how', ['path', 'slave', 'master'])
def test_terminal_cancel(full, how):
    with Terminal(full, how) as term:
        flags = os.get_blocking(term.slave)
        term.dump()
        full.qmp.cmd('dump-cancel')
        cancelled(full.qmp.wait_event('DUMP_COMPLETED'))
        nothing_left(full)
        assert os.get_blocking(term.slave) == flags


@pytest.mark.parametrize('how', ['path', 'slave', 'master'])
@pytest.mark.parametrize('signal', [False, True])
def test_terminal_quit(how, signal):
    """With a job, which QEMU waits for when it exits."""
    with VM('-m', '16M') as vm, Terminal(vm, how) as term:
        term.dump(job_id='j')
        ended(vm, signal)


def test_terminal_out_of_band():
    master, slave = os.openpty()
    cancelled_out_of_band(protocol='file:' + os.ttyname(slave))
    os.close(master)
    os.close(slave)


@pytest.mark.parametrize('how', ['path', 'slave'])
def test_terminal_read(full, out, how):
    """As on a serial line, all data is received unmodified."""
    with Terminal(full, how) as term, open(out, 'wb') as f:
        def work():
            while not (data := os.read(term.master, 65536)).endswith(END):
                f.write(data)
            f.write(data[:-len(END)])

        reader = threading.Thread(target=work)
        reader.start()
        term.dump(format='kdump-zlib')
        completed(full)
        os.write(term.slave, END)
        reader.join(HANGS)
        assert not reader.is_alive()
        f.flush()
        open_dump(out)


# -- fdsets ----------------------------------------------------------------------


def add_fd(vm, path):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    added = vm.qmp.cmd('add-fd', [fd])
    os.close(fd)
    return f'/dev/fdset/{added["fdset-id"]}'


@pytest.mark.parametrize('first,second', [('elf', 'elf'),
                                          ('elf', 'kdump-zlib'),
                                          ('kdump-raw-zlib', 'elf')])
def test_fdset_twice(full, out, first, second):
    """The descriptors share a position, which the first dump moved."""
    path = add_fd(full, out)
    full.dump(path, format=first)
    open_dump(out)
    full.dump(path, format=second)
    open_dump(out)
    assert full.status() == 'running'


# -- outputs that are too small --------------------------------------------------

NO_SPACE = 'dump: no space for '


def refused(vm, text, path=None, **arguments):
    """Refused before the guest was stopped: there are no events."""
    vm.qmp.event_names()
    if path:
        arguments['protocol'] = 'file:' + path
    with pytest.raises(QMPError) as e:
        vm.qmp.cmd('dump-guest-memory', paging=False, **arguments)
    assert text in str(e.value)
    assert vm.qmp.event_names() == []
    assert 'blocked-reasons' not in vm.qmp.cmd('query-migrate')


@pytest.fixture
def limited(ram_file):
    """QEMU's file size limit is 8 MiB."""
    with VM('-m', '16M') as vm:
        resource.prlimit(vm.proc.pid, resource.RLIMIT_FSIZE,
                         (8 << 20, resource.RLIM_INFINITY))
        yield vm


def test_file_size_limit(limited, tmp_path):
    """Existing files are not changed, new ones are not created."""
    old = tmp_path / 'old'
    old.write_bytes(b'old')
    refused(limited, NO_SPACE, str(old))
    assert old.read_bytes() == b'old'
    refused(limited, 'File too large', str(tmp_path / 'new'))
    assert os.listdir(tmp_path) == ['old']
    # A dump that fits is made; the size of kdump is not known.
    limited.dump(str(old), begin=0, length=640 << 10)
    open_dump(str(old))
    limited.dump(str(old), format='kdump-zlib')
    open_dump(str(old))
    # There is no limit for pipes.
    limited.dump('/dev/null')


def test_file_size_limit_position(limited, tmp_path):
    """The limit applies to the end position of the dump."""
    with open(tmp_path / 'file', 'wb') as f:
        f.truncate(8 << 20)
        for flags in 0, os.O_APPEND:
            fd = os.open(f.name, os.O_WRONLY | flags)
            os.lseek(fd, 0 if flags else (8 << 20) - 1000, os.SEEK_SET)
            before = os.lseek(fd, 0, os.SEEK_CUR)
            limited.qmp.getfd('out', fd)
            refused(limited, NO_SPACE, protocol='fd:out', begin=0,
                    length=640 << 10)
            assert os.lseek(fd, 0, os.SEEK_CUR) == before
            os.close(fd)


def test_small_disk(full, loop):
    refused(full, 'No space left on device', loop(4 << 20))
    device = loop(64 << 20)
    full.dump(device)
    assert full.status() == 'running'


# The maximum with blocks of 1 KiB and no extents: direct, indirect and doubly
# indirect blocks.
LARGEST = (12 + 256 + 256 ** 2 + 256 ** 3) << 10


def test_largest_file(full, tmp_path):
    """The maximum file size of its file system."""
    devices.require(devices.LOOP)
    image, folder = str(tmp_path / 'image'), str(tmp_path / 'mnt')
    with open(image, 'wb') as f:
        f.truncate(8 << 20)
    subprocess.run(['mke2fs', '-q', '-b', '1024', '-O',
                    '^extents,^has_journal', image], check=True)
    os.mkdir(folder)
    subprocess.run(['mount', '-o', 'loop', image, folder], check=True)
    fd = os.open(folder + '/dump', os.O_WRONLY | os.O_CREAT)
    try:
        start = os.lseek(fd, LARGEST - (1 << 20), os.SEEK_SET)
        full.qmp.getfd('out', fd)
        refused(full, 'File too large', protocol='fd:out')
        assert os.lseek(fd, 0, os.SEEK_CUR) == start
    finally:
        os.close(fd)
        subprocess.run(['umount', folder], check=True)


# -- files of the guest ------------------------------------------------------------

SIZE = 16 << 20


def disk(tmp_path, name='disk'):
    path = str(tmp_path / name)
    with open(path, 'wb') as f:
        f.write(b'disk' * 1024)
        f.truncate(64 << 20)
    return path


def unharmed(path):
    with open(path, 'rb') as f:
        assert f.read(4096) == b'disk' * 1024
    assert os.stat(path).st_size == 64 << 20


def refused_by_all_names(vm, path, text, access=os.O_WRONLY):
    refused(vm, text, path)
    os.link(path, path + '.link')
    refused(vm, text, path + '.link', format='kdump-zlib')
    os.symlink(path, path + '.symlink')
    refused(vm, text, path + '.symlink', detach=True)
    fd = os.open(path, access)
    vm.qmp.getfd('out', fd)
    os.close(fd)
    refused(vm, text, protocol='fd:out')
    refused(vm, text, add_fd(vm, path))


@pytest.mark.parametrize('share', ['on', 'off'])
def test_own_memory(tmp_path, out, share):
    path = str(tmp_path / 'ram')
    with VM('-machine', 'pc,memory-backend=ram', '-m', '16M', '-object',
            f'memory-backend-file,id=ram,mem-path={path},size={SIZE},'
            f'share={share}', machine=None) as vm:
        refused_by_all_names(vm, path, "is the guest's memory 'ram'")
        assert os.stat(path).st_size == SIZE
        vm.dump(out)
        assert vm.status() == 'running'


@pytest.mark.parametrize('options', [
    'if=virtio,format=raw,file={}', 'if=none,format=raw,file=file:{}',
    'if=none,format=raw,cache=none,file={}',
    'if=virtio,format=raw,readonly=on,file={}'])
def test_own_disk(tmp_path, out, options):
    path = disk(tmp_path)
    with VM('-m', '16M', '-drive', options.format(path)) as vm:
        refused_by_all_names(vm, path, f"is the file '{path}' of the guest's "
                             'block node')
        unharmed(path)
        vm.dump(out)
        # Another fdset does not belong to the guest.
        vm.dump(add_fd(vm, out))
        open_dump(out)


def test_own_disk_by_another_name(tmp_path):
    """A disk that was renamed, or that another QEMU uses."""
    path, other = disk(tmp_path), str(tmp_path / 'other')
    with VM('-m', '16M', '-drive', f'if=virtio,format=raw,file={path}') as vm:
        os.rename(path, other)
        with VM('-m', '16M') as second:
            for qemu in vm, second:
                for name in 'elf', 'kdump-zlib':
                    with pytest.raises(QMPError, match='disk image that is '
                                       'in use'):
                        qemu.dump(other, format=name)
        unharmed(other)


def test_dangling_link(tmp_path):
    """The file that it would create is removed if the dump is refused."""
    link, target = str(tmp_path / 'link'), str(tmp_path / 'target')
    os.symlink(target, link)
    with VM('-m', '16M') as vm:
        with pytest.raises(QMPError, match='Invalid job ID'):
            vm.dump(link, job_id='1 bad')
        assert os.path.islink(link) and not os.path.exists(target)
        vm.dump(link)
        open_dump(target)


def test_own_image_and_its_base(tmp_path, out):
    base, top = str(tmp_path / 'base'), str(tmp_path / 'top')
    with VM('-m', '16M') as vm:
        for path, more in ((base, {}), (top, {'backing-file': base,
                                              'backing-fmt': 'qcow2'})):
            vm.qmp.cmd('blockdev-create', job_id='c', options={
                'driver': 'file', 'filename': path, 'size': 0})
            conclude(vm)
            vm.qmp.cmd('blockdev-add', driver='file', filename=path,
                       node_name='f')
            vm.qmp.cmd('blockdev-create', job_id='c', options={
                'driver': 'qcow2', 'file': 'f', 'size': 1 << 20, **more})
            conclude(vm)
            vm.qmp.cmd('blockdev-del', node_name='f')
        vm.dump(out)
        vm.qmp.cmd('blockdev-add', driver='qcow2', node_name='q', file={
            'driver': 'file', 'filename': top})
        for path in base, top:
            before = os.stat(path).st_size
            refused(vm, f"is the file '{path}'", path)
            assert os.stat(path).st_size == before
        vm.qmp.cmd('blockdev-del', node_name='q')
        vm.dump(top)                    # not used any more
        open_dump(top)


def conclude(vm):
    while vm.qmp.wait_event('JOB_STATUS_CHANGE')['data']['status'] != \
            'concluded':
        pass
    vm.qmp.cmd('job-dismiss', id='c')


def test_own_disk_of_an_fdset(tmp_path, out):
    path = disk(tmp_path)
    fd = os.open(path, os.O_RDWR)
    with VM('-m', '16M') as vm:
        vm.qmp.cmd('add-fd', [fd], fdset_id=7)
        vm.qmp.cmd('blockdev-add', driver='file', node_name='d',
                   filename='/dev/fdset/7')
        refused(vm, "is the file '/dev/fdset/7' of the guest's block node "
                "'d'", path)
        unharmed(path)
        vm.dump(out)
    os.close(fd)


def test_own_block_device(tmp_path, loop, out):
    """By another name than QEMU's."""
    device = loop(64 << 20)
    other = str(tmp_path / 'node')
    os.mknod(other, 0o600 | stat.S_IFBLK, os.stat(device).st_rdev)
    with VM('-m', '16M', '-drive', f'if=none,format=raw,file={device}') as vm:
        refused(vm, f"is the file '{device}'", other)
        vm.dump(out)


# -- descriptors for direct I/O ------------------------------------------------------


@pytest.mark.parametrize('name', ['elf', 'kdump-zlib', 'kdump-raw-zlib'])
def test_direct(full, out, name):
    """Writes of a dump are not aligned; the O_DIRECT flag is kept."""
    fd = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_DIRECT, 0o600)
    full.qmp.getfd('out', fd)
    full.qmp.cmd('dump-guest-memory', paging=False, protocol='fd:out',
                 format=name)
    assert fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_DIRECT
    os.close(fd)
    open_dump(out)


def test_direct_position(full, out):
    with open(out, 'wb') as f:
        f.write(b'x' * 8192)
    fd = os.open(out, os.O_WRONLY | os.O_DIRECT)
    os.lseek(fd, 4096, os.SEEK_SET)
    full.qmp.getfd('out', fd)
    full.qmp.cmd('dump-guest-memory', paging=False, protocol='fd:out')
    os.close(fd)
    with open(out, 'rb') as f:
        assert f.read(4096) == b'x' * 4096
        assert f.read(4) == b'\x7fELF'


def test_direct_not_permitted(tmp_path, ram_file):
    """QEMU may not open the file itself: refused without side effects."""
    out = str(tmp_path / 'dump')
    fd = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_DIRECT, 0o600)
    with VM('-m', '16M', *as_nobody()) as vm:
        vm.qmp.getfd('out', fd)
        refused(vm, "descriptor 'out' is open with O_DIRECT",
                protocol='fd:out')
    os.close(fd)
    assert os.stat(out).st_size == 0
