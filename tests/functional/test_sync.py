# SPDX-License-Identifier: GPL-2.0-or-later
"""A detached dump that is completed is on stable storage."""

import errno
import os

import pytest

import faults
import nodes
from qmp import QMPError
from test_cancel import cancelled, job_states, nothing_left
from test_faults import faulty, state_of_file
from vm import VM
from vmcore import open_dump
from wait import wait_until

FORMATS = ['elf', 'kdump-zlib', 'kdump-raw-zlib']


@pytest.fixture
def syncing(ram_file, faults_so, tmp_path):
    """A QEMU in which fdatasync() of the file .out hangs."""
    path = str(tmp_path / 'dump')
    with faulty(ram_file, faults_so, path, 'syncing') as vm:
        vm.out = path
        vm.qmp.event_names()
        yield vm


def begin(vm, **arguments):
    """A dump that is completely written, and waits for the disk."""
    arguments.setdefault('protocol', 'file:' + vm.out)
    vm.qmp.cmd('dump-guest-memory', paging=False, detach=True, **arguments)
    wait_until(lambda: os.path.exists(vm.out + '.sync'))


def check_phase(vm, ram_file):
    """The guest runs, and the file is not accepted as a complete dump."""
    events = vm.qmp.event_names()
    assert events[-1] == 'RESUME' and 'DUMP_COMPLETED' not in events
    dump = vm.qmp.cmd('query-dump')
    assert dump['status'] == 'active' and dump['phase'] == 'sync'
    assert dump['completed'] == dump['total']
    assert vm.status() == 'running'
    assert 'blocked-reasons' not in vm.qmp.cmd('query-migrate')
    if vm.out.startswith('/dev'):
        return
    assert state_of_file(vm.out, ram_file) == 'incomplete, and says so'


def check_end(vm, ram_file):
    faults.let_go(vm.out)
    event = vm.qmp.wait_event('DUMP_COMPLETED')['data']
    assert event['result']['status'] == 'completed', event
    assert state_of_file(vm.out, ram_file) == 'complete'
    vm.wait_threads_end('dump')


@pytest.mark.parametrize('name', FORMATS)
def test_order(syncing, ram_file, name):
    """Order: guest resumed, disk synchronized, file complete, event."""
    begin(syncing, format=name)
    check_phase(syncing, ram_file)
    with pytest.raises(QMPError, match='There is a dump in process'):
        syncing.dump(syncing.out + '2')
    check_end(syncing, ram_file)


@pytest.mark.parametrize('name', FORMATS)
def test_live(faults_so, tmp_path, name):
    path = str(tmp_path / 'dump')
    with VM('-m', '16M', env=faults.environment(faults_so, path,
                                                'syncing')) as vm:
        vm.out = path
        begin(vm, format=name, live='on')
        assert vm.qmp.cmd('query-dump')['phase'] == 'sync'
        # No resource of the snapshot is left.
        assert vm.qmp.cmd('query-dump')['live']['held'] == 0
        assert 'dump-watch' not in vm.threads()
        vm.qmp.cmd('stop')
        open_dump(path, incomplete=True)
        faults.let_go(path)
        event = vm.qmp.wait_event('DUMP_COMPLETED')['data']
        assert event['result']['status'] == 'completed', event
        open_dump(path)


def test_guest_is_free(syncing, ram_file):
    begin(syncing)
    assert 'Phase: sync' in syncing.qmp.hmp('info dump')
    for command, state in (('stop', 'paused'), ('cont', 'running'),
                           ('system_reset', 'running')):
        syncing.qmp.cmd(command)
        assert syncing.status() == state
    check_end(syncing, ram_file)


def test_job(syncing, ram_file):
    begin(syncing, job_id='j')
    assert [j['status'] for j in syncing.qmp.cmd('query-jobs')] == ['running']
    check_end(syncing, ram_file)
    job_states(syncing, 'j', 'concluded')


def add_node(vm):
    open(vm.out, 'w').close()
    nodes.add(vm, driver='file', filename=vm.out)


@pytest.mark.parametrize('name', FORMATS)
def test_node(syncing, ram_file, name):
    """The node is flushed."""
    add_node(syncing)
    begin(syncing, protocol='node:d', format=name)
    check_phase(syncing, ram_file)
    check_end(syncing, ram_file)


@pytest.mark.parametrize('by', ['path', 'append'])
def test_descriptor(syncing, ram_file, by):
    fd = os.open(syncing.out, os.O_WRONLY | os.O_CREAT |
                 (os.O_APPEND if by == 'append' else 0), 0o600)
    syncing.qmp.getfd('out', fd)
    os.close(fd)
    begin(syncing, protocol='fd:out')
    assert syncing.qmp.cmd('query-dump')['phase'] == 'sync'
    check_end(syncing, ram_file)


@pytest.mark.parametrize('name', FORMATS)
@pytest.mark.parametrize('output', ['file', 'node'])
def test_cancel(syncing, ram_file, tmp_path, output, name):
    """Cancel while the system call hangs."""
    if output == 'node':
        add_node(syncing)
    begin(syncing, format=name,
          protocol='node:d' if output == 'node' else 'file:' + syncing.out)
    syncing.qmp.cmd('dump-cancel')
    cancelled(syncing.qmp.wait_event('DUMP_COMPLETED'))
    nothing_left(syncing)
    assert state_of_file(syncing.out, ram_file) == 'incomplete, and says so'
    # To another disk.
    path = str(tmp_path / 'next')
    syncing.dump(path, detach=True)
    event = syncing.qmp.wait_event('DUMP_COMPLETED')['data']
    assert event['result']['status'] == 'completed'
    open_dump(path)
    faults.let_go(syncing.out)
    syncing.wait_threads_end('dump')
    wait_until(lambda: not is_open(syncing, syncing.out) or output == 'node')
    assert state_of_file(syncing.out, ram_file) == 'incomplete, and says so'


def is_open(vm, path):
    return path in vm.open_files().values()


@pytest.mark.parametrize('job', [{}, {'job_id': 'j'}])
def test_quit(syncing, ram_file, job):
    """QEMU waits for a limited time, then exits."""
    begin(syncing, **job)
    syncing.qmp.cmd('quit')
    assert syncing.qmp.wait_event('DUMP_COMPLETED')['data']['error'] == \
        'dump: cancelled'
    assert syncing.wait_exit() == 0
    assert state_of_file(syncing.out, ram_file) == 'incomplete, and says so'


def test_quit_in_time(syncing, ram_file):
    """A complete dump gets the time that the disk needs."""
    begin(syncing)
    syncing.qmp.send('quit')
    syncing.qmp.wait_event('SHUTDOWN')
    check_end_at_exit(syncing, ram_file)


def check_end_at_exit(vm, ram_file):
    faults.let_go(vm.out)
    event = vm.qmp.wait_event('DUMP_COMPLETED')['data']
    assert event['result']['status'] == 'completed', event
    assert vm.wait_exit() == 0
    assert state_of_file(vm.out, ram_file) == 'complete'


@pytest.mark.parametrize('number', [errno.EINVAL, errno.ENOTSUP,
                                    errno.EROFS])
def test_not_supported(ram_file, faults_so, tmp_path, number):
    """If the output does not support it, this is not an error."""
    path = str(tmp_path / 'dump')
    with faulty(ram_file, faults_so, path, f'sync:{number}') as vm:
        vm.dump(path, detach=True)
        event = vm.qmp.wait_event('DUMP_COMPLETED')['data']
        assert event['result']['status'] == 'completed', event
        assert state_of_file(path, ram_file) == 'complete'


def test_disk(ram_file, faults_so, loop):
    device = loop(64 << 20)
    with faulty(ram_file, faults_so, device, f'sync:{errno.EIO}') as vm:
        vm.dump(device, detach=True)
        event = vm.qmp.wait_event('DUMP_COMPLETED')['data']
        assert event['error'].endswith('stable storage: Input/output error')
        vm.dump(device)                 # the disk is not synchronized


def test_without_detach(ram_file, faults_so, tmp_path):
    """As in previous versions, nothing waits for the disk."""
    path = str(tmp_path / 'dump')
    with faulty(ram_file, faults_so, path, f'sync:{errno.EIO}') as vm:
        vm.dump(path)
        assert state_of_file(path, ram_file) == 'complete'


def test_no_thread(ram_file, faults_so, tmp_path):
    """If no thread can be created, the dump's own thread synchronizes."""
    path, threads = str(tmp_path / 'dump'), tmp_path / 'threads'
    with faulty(ram_file, faults_so, str(threads), 'thread') as vm:
        threads.write_text('1\n')
        vm.dump(path, detach=True)
        event = vm.qmp.wait_event('DUMP_COMPLETED')['data']
        assert event['result']['status'] == 'completed', event
        assert threads.read_text().strip() == '0'
        assert state_of_file(path, ram_file) == 'complete'
