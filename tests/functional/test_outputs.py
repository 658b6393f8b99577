# SPDX-License-Identifier: GPL-2.0-or-later
"""Outputs that are no plain file: named pipes, terminals, fdsets."""

import os
import subprocess
import threading
import tty

import pytest

from qmp import QMPError
from test_cancel import cancelled, nothing_left
from vm import VM
from vmcore import open_dump


def completed(vm):
    event = vm.qmp.wait_event('DUMP_COMPLETED')
    assert event['data']['result']['status'] == 'completed', event
    assert vm.status() == 'running'


def ended(vm, signal=False):
    """QEMU ends when it is asked to."""
    if signal:
        vm.proc.terminate()
    else:
        vm.qmp.cmd('quit')
    assert vm.proc.wait(10) == 0


def cancelled_out_of_band(**dump):
    """A dump without detach, which keeps all of QEMU busy."""
    with VM('-m', '16M') as vm:
        vm.qmp.close()
        vm.qmp = vm.connect('qmp', oob=True)
        other = vm.connect('other', oob=True)
        vm.qmp.send('dump-guest-memory', paging=False, **dump)
        # It may not have begun yet.
        for _ in range(600):
            try:
                other.send('dump-cancel', out_of_band=True)
                assert other.reply() == {}
                break
            except QMPError:
                pass
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
    """QEMU goes on, and so does the guest after a cancel."""
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
    assert reader.wait(60) == 0
    open_dump(out)


@pytest.mark.parametrize('detach', [False, True])
def test_fifo_early_reader(full, fifo, out, detach):
    full.qmp.event_names()
    reader = cat(fifo, out)
    full.dump(fifo, detach=detach, format='kdump-lzo')
    completed(full)
    assert reader.wait(60) == 0
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
    assert reader.wait(60) == 0


def test_fifo_reader_stalls(full, fifo):
    """It has the pipe open and reads nothing: a cancel gets through."""
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    dump_to_fifo(full, fifo)
    full.qmp.cmd('dump-cancel')
    cancelled(full.qmp.wait_event('DUMP_COMPLETED'))
    os.close(reader)
    nothing_left(full)


def test_fifo_cannot_seek(full, fifo):
    with pytest.raises(QMPError) as e:
        full.dump(fifo, format='kdump-raw-zlib')
    assert 'need an output that can seek' in str(e.value)


# -- terminals -------------------------------------------------------------------


END = b'all is read'


class Terminal:
    """A pair of terminals, of which one is written to."""

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
    """With a job, which QEMU waits for at its end."""
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
    """As with a serial line: all that is written arrives as it is."""
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
        reader.join(60)
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
