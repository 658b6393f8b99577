# SPDX-License-Identifier: GPL-2.0-or-later
"""Block nodes used as outputs of dumps, and their contents afterwards."""

import os
import signal
import socket
import subprocess

import devices
from qmp import QMPError
from readers import run
from wait import wait_until

# Previous contents of a node: no zeroes anywhere.
OLD = bytes(range(1, 256)) * 257
TIME = slice(408, 424)              # struct timeval of a kdump header


def fill_old(path, size):
    with open(path, 'wb') as f:
        for at in range(0, size, len(OLD)):
            f.write(OLD[:min(len(OLD), size - at)])


def content(path):
    """A dump without the time stamp in a kdump header."""
    with open(path, 'rb') as f:
        data = bytearray(f.read())
    at = data.find(b'KDUMP   ')
    if at >= 0:
        data[at + TIME.start:at + TIME.stop] = bytes(16)
    return bytes(data)


def check_same(path, expected, wiped=True):
    """Check that the dump in @path equals @expected. If the node was not
    truncated, and zeroes can be written quickly, it is zero after the
    dump's end."""
    got, want = content(path), content(expected)
    assert len(got) >= len(want)
    assert got[:len(want)] == want
    assert not wiped or not any(got[len(want):])


def wait_listening(family, address, proc):
    def listens():
        assert proc.poll() is None
        with socket.socket(family) as s:
            return s.connect_ex(address) == 0

    wait_until(listens, proc.args)


class Server:
    """A process that listens on a unix socket."""

    def __init__(self, argv, path):
        self.socket = path
        self.proc = subprocess.Popen(argv, stdin=subprocess.DEVNULL)
        wait_listening(socket.AF_UNIX, path, self.proc)

    def stall(self):
        self.proc.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.proc.send_signal(signal.SIGCONT)

    def close(self):
        self.proc.send_signal(signal.SIGCONT)
        self.proc.kill()
        self.proc.wait()


def qemu_nbd(path, at, *args):
    return Server(['qemu-nbd', '-t', '-f', 'raw', '-k', at, *args, path], at)


def storage_daemon(path, at):
    return Server(
        ['qemu-storage-daemon',
         '--blockdev', f'driver=file,filename={path},node-name=f,'
         'discard=unmap',
         '--nbd-server', f'addr.type=unix,addr.path={at}',
         '--export', 'type=nbd,id=e,node-name=f,writable=on,name=d'], at)


def qemu_nbd_tls(path, keys):
    """A server on a free port, with a key known to both sides."""
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        port = str(s.getsockname()[1])
    proc = subprocess.Popen(
        ['qemu-nbd', '-t', '-f', 'raw', '-b', '127.0.0.1', '-p', port,
         '--object', f'tls-creds-psk,id=t,endpoint=server,dir={keys}',
         '--tls-creds', 't', path], stdin=subprocess.DEVNULL)
    wait_listening(socket.AF_INET, ('127.0.0.1', int(port)), proc)
    return proc, port


def add(vm, **options):
    """blockdev-add, as node 'd' by default."""
    options.setdefault('node_name', 'd')
    vm.qmp.cmd('blockdev-add', **options)


def add_nbd(vm, server, **options):
    add(vm, driver='nbd', server={'type': 'unix', 'path': server.socket},
        **options)


def delete(vm, name='d'):
    """blockdev-del; the node is free as soon as the dump has ended."""
    vm.qmp.cmd('blockdev-del', node_name=name)


def delete_soon(vm, name='d'):
    """blockdev-del after a cancel; waits for the last requests."""
    def deleted():
        try:
            delete(vm, name)
        except QMPError:
            return False
        return True

    wait_until(deleted, 'the node is still in use')


class Kind:
    """One kind of node: made by enter(), read back by read()."""

    grows = True                # and can be truncated
    block = 512                 # size is a multiple of this
    wiped = True                # supports fast writing of zeroes

    def __init__(self, tmp_path, size):
        self.size = size
        self.path = str(tmp_path / 'image')
        self.socket = str(tmp_path / 'socket')
        self.back = str(tmp_path / 'back')
        self.server = None

    def make(self):
        """Create the node with @size bytes of old contents."""
        fill_old(self.path, self.size)

    def convert(self, *args):
        run('qemu-img', 'convert', '-O', 'raw', *args, self.back)

    def read(self):
        """Returns the path of a file with the node's contents."""
        self.convert('-f', 'raw', self.path)
        return self.back

    def close(self):
        if self.server:
            self.server.close()


class Raw(Kind):
    def enter(self, vm):
        add(vm, driver='raw', file={'driver': 'file', 'filename': self.path})


class File(Kind):
    """The protocol node itself, without a format node."""

    def enter(self, vm):
        add(vm, driver='file', filename=self.path, discard='unmap')


class Qcow2(Kind):
    def make(self):
        raw = self.path + '.raw'
        fill_old(raw, self.size)
        run('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', raw, self.path)
        os.unlink(raw)

    def enter(self, vm):
        add(vm, driver='qcow2', discard='unmap',
            file={'driver': 'file', 'filename': self.path})

    def read(self):
        self.convert('-f', 'qcow2', self.path)
        run('qemu-img', 'check', '-f', 'qcow2', self.path)
        return self.back


class Backed(Qcow2):
    """An overlay whose backing file has the old contents."""

    def make(self):
        fill_old(self.path + '.base', self.size)
        run('qemu-img', 'create', '-f', 'qcow2', '-F', 'raw', '-b',
            self.path + '.base', self.path)


class Luks(Kind):
    SECRET = ['--object', 'secret,id=s,data=geheim']
    HEADER = 2 << 20

    def make(self):
        # Not created by qemu-img: it derives the number of iterations from
        # the CPU time that it has used, and fails if that is measured as zero.
        with open(self.path, 'wb') as f:
            f.truncate(self.HEADER + self.size)
        run('cryptsetup', 'luksFormat', '--type', 'luks1', '--batch-mode',
            '--pbkdf-force-iterations', '1000', '--key-file', '-', self.path,
            input='geheim')
        raw = self.path + '.raw'
        fill_old(raw, self.size)
        run('qemu-img', 'convert', '-n', '-f', 'raw', *self.SECRET,
            '--target-image-opts', raw, self.image())
        os.unlink(raw)

    def image(self):
        return f'driver=luks,key-secret=s,file.filename={self.path}'

    def enter(self, vm):
        vm.qmp.cmd('object-add', qom_type='secret', id='s', data='geheim')
        add(vm, driver='luks', key_secret='s',
            file={'driver': 'file', 'filename': self.path})

    def read(self):
        self.convert(*self.SECRET, '--image-opts', self.image())
        with open(self.path, 'rb') as f:
            data = f.read()
            # No data of the dump must be readable without the key.
            assert b'The quick brown fox' not in data
            assert b'KDUMP   ' not in data and b'VMCOREINFO' not in data
        return self.back


class Throttled(Kind):
    def enter(self, vm):
        vm.qmp.cmd('object-add', qom_type='throttle-group', id='g',
                   limits={'bps-write': 64 << 20, 'iops-write': 2000})
        add(vm, driver='throttle', throttle_group='g',
            file={'driver': 'file', 'filename': self.path})


class Blkdebug(Kind):
    """A node that requires alignment and limits the size of requests."""

    block = 4096

    def enter(self, vm):
        add(vm, driver='blkdebug', align=4096, max_transfer=65536,
            opt_write_zero=65536, max_write_zero=131072, max_discard=65536,
            image={'driver': 'file', 'filename': self.path})


class Direct(Kind):
    """O_DIRECT, and native AIO if available."""

    def enter(self, vm):
        add(vm, driver='raw', file={
            'driver': 'file', 'filename': self.path,
            'cache': {'direct': True}})


class Iothread(Kind):
    """A node whose requests are processed by an iothread."""

    def enter(self, vm):
        vm.qmp.cmd('object-add', qom_type='iothread', id='io')
        add(vm, driver='raw', file={'driver': 'file', 'filename': self.path})
        vm.qmp.cmd('x-blockdev-set-iothread', node_name='d', iothread='io')


class Nbd(Kind):
    grows = False
    args = ()

    def make(self):
        super().make()
        self.server = qemu_nbd(self.path, self.socket, *self.args)

    export = ''

    def enter(self, vm):
        add_nbd(vm, self.server, export=self.export)

    def read(self):
        self.convert('-f', 'raw',
                     f'nbd+unix:///{self.export}?socket={self.socket}')
        return self.back


class NbdUnmap(Nbd):
    args = ('--discard=unmap', '--detect-zeroes=unmap')


class NbdDaemon(Nbd):
    export = 'd'

    def make(self):
        fill_old(self.path, self.size)
        self.server = storage_daemon(self.path, self.socket)


class Loop(Nbd):
    """A block device."""

    wiped = False

    def __init__(self, *args):
        devices.require(devices.LOOP)
        super().__init__(*args)

    def make(self):
        fill_old(self.path, self.size)
        self.device = run('losetup', '--show', '-f', self.path).strip()

    def enter(self, vm):
        add(vm, driver='host_device', filename=self.device)

    def read(self):
        self.convert('-f', 'raw', self.device)
        return self.back

    def close(self):
        run('losetup', '-d', self.device)


KINDS = [Raw, File, Qcow2, Backed, Luks, Throttled, Blkdebug, Direct,
         Iothread, Nbd, NbdUnmap, NbdDaemon, Loop]
