# SPDX-License-Identifier: GPL-2.0-or-later
"""dump-cancel, and dumps as jobs."""

import os
import re
import socket
import time

import pytest

from qmp import QMPError
from test_lifecycle import Stalled, collected
from vm import VM
from vmcore import open_dump
from wait import HANGS, wait_until

FORMATS = ['elf', 'kdump-zlib', 'kdump-lzo', 'kdump-snappy', 'kdump-zstd']
NONE = 'There is no dump in progress'


def nothing_left(vm):
    assert vm.status() == 'running'
    assert 'blocked-reasons' not in vm.qmp.cmd('query-migrate')
    assert vm.qmp.cmd('query-dump')['status'] == 'failed'


def cancelled(event):
    assert event['data']['result']['status'] == 'failed'
    assert event['data']['error'] == 'dump: cancelled'


def test_without_a_dump(running, out):
    with pytest.raises(QMPError) as e:
        running.qmp.cmd('dump-cancel')
    assert str(e.value) == NONE
    assert NONE in running.qmp.hmp('dump-cancel')
    running.dump(out)
    with pytest.raises(QMPError):
        running.qmp.cmd('dump-cancel')
    assert running.qmp.cmd('query-dump')['status'] == 'completed'


@pytest.mark.parametrize('by', ['qmp', 'hmp', 'other'])
@pytest.mark.parametrize('name', FORMATS)
def test_stalled_pipe(full, name, by):
    """Cancel works while the dump waits for a reader that does not read."""
    dump = Stalled(full, format=name)
    assert full.status() == 'save-vm'
    if by == 'hmp':
        assert full.qmp.hmp('dump-cancel') == ''
    else:
        qmp = full.qmp if by == 'qmp' else full.second()
        assert qmp.cmd('dump-cancel') == {}
    cancelled(full.qmp.wait_event('DUMP_COMPLETED'))
    nothing_left(full)
    os.close(dump.r)


def test_stalled_socket(full):
    ours, theirs = socket.socketpair()
    full.qmp.getfd('s', theirs.fileno())
    theirs.close()
    full.qmp.cmd('dump-guest-memory', paging=False, protocol='fd:s',
                    detach=True)
    full.qmp.cmd('dump-cancel')
    cancelled(full.qmp.wait_event('DUMP_COMPLETED'))
    nothing_left(full)
    ours.close()


def test_events_and_next_dump(full, out):
    dump = Stalled(full)
    full.qmp.cmd('dump-cancel')
    try:
        full.qmp.cmd('dump-cancel')     # A second cancel is harmless
    except QMPError as e:
        assert str(e) == NONE           # or comes too late
    seen = []
    while 'DUMP_COMPLETED' not in seen:
        seen += full.qmp.event_names()
    assert seen == ['STOP', 'RESUME', 'DUMP_COMPLETED']
    os.close(dump.r)
    full.dump(out)
    open_dump(out)


def test_events_and_next_dump_late(running):
    """A cancel that comes too late is refused and changes nothing."""
    dump = Stalled(running)
    assert dump.drain()['data']['result']['status'] == 'completed'
    with pytest.raises(QMPError):
        running.qmp.cmd('dump-cancel')
    assert running.qmp.cmd('query-dump')['status'] == 'completed'


def test_to_a_file(tmp_path):
    """Most of this dump is not written; the written part is readable."""
    path = str(tmp_path / 'dump')
    with VM('-m', '1G') as vm:
        vm.dump(path, detach=True, format='kdump-raw-zlib')
        # Before that there is nothing to close.
        wait_until(lambda: vm.qmp.cmd('query-dump')['written'], interval=0)
        try:
            vm.qmp.cmd('dump-cancel')
        except QMPError as e:
            assert str(e) == NONE
        event = vm.qmp.wait_event('DUMP_COMPLETED')
        assert vm.status() == 'running'
    # On a fast machine it may have completed.
    if event['data']['result']['status'] == 'failed':
        cancelled(event)
        open_dump(path, incomplete=True)


@pytest.mark.parametrize('through', ['qmp', 'other'])
def test_synchronous_out_of_band(through):
    """The monitor that is blocked by a dump still accepts dump-cancel."""
    with VM('-m', '16M') as vm:
        vm.qmp.close()
        vm.qmp = vm.connect('qmp', oob=True)
        qmp = vm.qmp if through == 'qmp' else vm.connect('other', oob=True)
        r, w = os.pipe()
        vm.qmp.getfd('out', w)
        os.close(w)
        vm.qmp.send('dump-guest-memory', paging=False, protocol='fd:out')
        os.read(r, 1)                   # it has begun
        qmp.send('dump-cancel', out_of_band=True)
        assert qmp.reply() == {}
        with pytest.raises(QMPError) as e:
            vm.qmp.reply()
        assert str(e.value) == 'dump: cancelled'
        os.close(r)
        nothing_left(vm)


# -- an interactive monitor -----------------------------------------------------


class Human:
    """A user of a human monitor."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(path)
        self.sock.settimeout(HANGS)
        self.text = ''
        self.until('(qemu) ')

    def receive(self):
        """Drop text that the echo overwrites."""
        self.text += re.sub(r'\x1b\[[0-9;]*[A-Za-z]', '',
                            self.sock.recv(4096).decode())

    def until(self, what):
        """Text up to and with @what."""
        while what not in self.text:
            self.receive()
        before, self.text = self.text.split(what, 1)
        return before + what

    def say(self, line):
        self.sock.sendall(line.encode() + b'\n')
        self.until(line + '\r\n')

    def ask(self, line):
        self.say(line)
        return self.until('(qemu) ')


@pytest.fixture
def human_vm(tmp_path):
    path = str(tmp_path / 'hmp')
    with VM('-m', '16M', '-chardev',
            f'socket,id=hmp,server=on,wait=off,path={path}',
            '-mon', 'chardev=hmp,mode=readline') as vm:
        vm.human = Human(path)
        yield vm


def test_human_dump(human_vm, out):
    """Without -d the prompt returns when the dump is complete."""
    assert 'Error' not in human_vm.human.ask(f'dump-guest-memory {out}')
    open_dump(out)
    assert 'Status: completed' in human_vm.human.ask('info dump')
    text = human_vm.human.ask('dump-guest-memory /no/such/folder')
    assert 'No such file or directory' in text
    text = human_vm.human.ask('dump-guest-memory -z /dev/full')
    assert 'No space left on device' in text
    assert human_vm.status() == 'running'


def test_human_waits(human_vm, tmp_path):
    """QEMU's main loop runs meanwhile."""
    fifo = str(tmp_path / 'fifo')
    os.mkfifo(fifo)
    r = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    human_vm.human.say(f'dump-guest-memory {fifo}')
    human_vm.qmp.wait_event('STOP')
    assert human_vm.status() == 'save-vm'
    assert collected(human_vm)['phase'] == 'write'
    human_vm.qmp.cmd('dump-cancel')
    assert 'Error: dump: cancelled' in human_vm.human.until('(qemu) ')
    assert human_vm.status() == 'running'
    os.close(r)


# -- query-dump -------------------------------------------------------------------


def test_query(full):
    dump = Stalled(full, format='kdump-zlib')
    q = full.qmp.cmd('query-dump')
    assert q['phase'] == 'write'
    assert q['written'] >= 0 and q['elapsed'] >= 0
    text = full.qmp.hmp('info dump')
    for line in ('Status: active', 'Phase: write', 'Written: ', 'Elapsed: '):
        assert line in text
    event = dump.drain()['data']['result']
    q = full.qmp.cmd('query-dump')
    assert q == event
    assert 'phase' not in q and 'remaining' not in q
    assert 0 < q['written'] < q['total']
    # Both were rounded, and the rate is an overall average.
    assert q['rate'] * q['elapsed'] / 1000 <= q['total']
    assert q['rate'] * (q['elapsed'] + 1) / 1000 >= q['total'] * 0.99


def test_query_rate_and_remaining(tmp_path):
    """Half of a dump is read, then the rest: an estimate is reported."""
    with VM('-m', '256M') as vm:
        dump = Stalled(vm)
        total = vm.qmp.cmd('query-dump')['total']
        got = 0
        while got < total // 2:
            got += len(os.read(dump.r, 1 << 20))
        q = vm.qmp.cmd('query-dump')
        assert q['status'] == 'active'
        assert total // 3 < q['completed'] < total
        assert q['rate'] > 0
        expect = (q['total'] - q['completed']) / q['rate'] * 1000
        assert abs(q['remaining'] - expect) <= 1
        assert 'Remaining: ' in vm.qmp.hmp('info dump')
        dump.drain()


# -- jobs -----------------------------------------------------------------------


def job(vm, name):
    """State and parameters of the job."""
    return next(j for j in vm.qmp.cmd('query-jobs') if j['id'] == name)


def job_states(vm, name, last):
    """States of the job up to the last one; other events appear in between as
    'DUMP'."""
    seen = []
    while last not in seen:
        vm.qmp.cmd('query-status')
        for e in vm.qmp.events:
            if e['event'] == 'JOB_STATUS_CHANGE' and e['data']['id'] == name:
                seen.append(e['data']['status'])
            elif e['event'] == 'DUMP_COMPLETED':
                seen.append('DUMP')
        vm.qmp.events = []
        time.sleep(0.01)
    return seen


def test_job(running, out):
    running.dump(out, format='kdump-zlib', job_id='dump0')
    assert job_states(running, 'dump0', 'concluded') == [
        'created', 'running', 'DUMP', 'waiting', 'pending', 'concluded']
    j = job(running, 'dump0')
    assert j['type'] == 'dump-guest-memory'
    assert j['current-progress'] == j['total-progress'] == \
        running.qmp.cmd('query-dump')['total']
    assert 'error' not in j
    # The name is in use until the job is dismissed.
    with pytest.raises(QMPError) as e:
        running.dump(out + 'x', job_id='dump0')
    assert 'dump0' in str(e.value)
    assert not os.path.exists(out + 'x')
    running.qmp.cmd('job-dismiss', id='dump0')
    assert running.qmp.cmd('query-jobs') == []
    open_dump(out)


def test_job_only_when_asked_for(running, out):
    running.dump(out, detach=True)
    running.qmp.wait_event('DUMP_COMPLETED')
    assert running.qmp.cmd('query-jobs') == []


def test_job_cancel(full):
    dump = Stalled(full, job_id='j')
    assert job(full, 'j')['status'] == 'running'
    full.qmp.cmd('job-cancel', id='j')
    assert job_states(full, 'j', 'concluded')[-3:] == [
        'DUMP', 'aborting', 'concluded']
    assert job(full, 'j')['error'] == 'dump: cancelled'
    nothing_left(full)
    full.qmp.cmd('job-dismiss', id='j')
    os.close(dump.r)


def test_job_of_failure(running):
    running.dump('/dev/full', job_id='j')
    job_states(running, 'j', 'concluded')
    assert 'No space left on device' in job(running, 'j')['error']
    nothing_left(running)
    running.qmp.cmd('job-dismiss', id='j')


def test_job_paused(full):
    """The dump is not paused; the job reports its end when resumed."""
    dump = Stalled(full, job_id='j')
    full.qmp.cmd('job-pause', id='j')
    full.qmp.events = []
    assert dump.drain()['data']['result']['status'] == 'completed'
    assert full.status() == 'running'
    full.qmp.cmd('job-resume', id='j')
    job_states(full, 'j', 'concluded')
    full.qmp.cmd('job-dismiss', id='j')


def test_job_cancelled_too_late(full):
    """The result of the job is that of the dump."""
    dump = Stalled(full, job_id='j')
    full.qmp.cmd('job-pause', id='j')
    full.qmp.events = []
    assert dump.drain()['data']['result']['status'] == 'completed'
    full.qmp.cmd('job-cancel', id='j')
    job_states(full, 'j', 'concluded')
    assert 'error' not in job(full, 'j')
    full.qmp.cmd('job-dismiss', id='j')


@pytest.mark.parametrize('arguments,text', [
    ({'job_id': 'j', 'detach': False}, "'job-id' requires 'detach'"),
    ({'job_id': '9 lives'}, 'Invalid job ID'),
    ({'job_id': ''}, 'Invalid job ID'),
])
def test_job_refused(running, out, arguments, text):
    with pytest.raises(QMPError) as e:
        running.dump(out, **arguments)
    assert text in str(e.value)
    assert not os.path.exists(out)
    assert running.qmp.cmd('query-jobs') == []
    assert 'STOP' not in running.qmp.event_names()
    assert 'blocked-reasons' not in running.qmp.cmd('query-migrate')


# -- other events during a dump -----------------------------------------------------


def test_reset(full):
    """Unmodified QEMU aborts: no transition from save-vm to prelaunch."""
    dump = Stalled(full)
    full.qmp.cmd('system_reset')
    full.qmp.wait_event('RESET')
    assert full.status() == 'prelaunch'
    assert full.qmp.cmd('query-dump')['status'] == 'active'
    assert dump.drain()['data']['result']['status'] == 'completed'
    assert full.status() == 'running'
    assert 'the guest is reset while its memory is being dumped' in \
        full.stderr()


def test_reset_of_stopped_guest(still):
    dump = Stalled(still)
    still.qmp.cmd('system_reset')
    still.qmp.wait_event('RESET')
    assert dump.drain()['data']['result']['status'] == 'completed'
    assert still.status() == 'prelaunch'


def make_qcow2(path):
    """An empty disk that can hold snapshots."""
    with VM('-m', '16M') as vm:
        def create(**options):
            vm.qmp.cmd('blockdev-create', job_id='create', options=options)
            assert job_states(vm, 'create', 'concluded')
            assert 'error' not in job(vm, 'create')
            vm.qmp.cmd('job-dismiss', id='create')

        create(driver='file', filename=path, size=0)
        vm.qmp.cmd('blockdev-add', driver='file', filename=path,
                   node_name='file')
        create(driver='qcow2', file='file', size=64 << 20)


def test_snapshot_loaded(tmp_path):
    """The memory becomes inconsistent, so the dump must fail."""
    disk = str(tmp_path / 'disk')
    make_qcow2(disk)
    with VM('-m', '16M', '-drive', f'file={disk},format=qcow2') as vm:
        assert vm.qmp.hmp('savevm a') == ''
        vm.qmp.events = []
        dump = Stalled(vm)
        assert 'dump-guest-memory in progress' in vm.qmp.hmp('savevm b')
        assert vm.qmp.hmp('loadvm a') == ''
        event = dump.drain()['data']
        assert event['result']['status'] == 'failed'
        assert 'replaced by a snapshot' in event['error']
        assert vm.status() == 'running'


@pytest.mark.parametrize('how', ['quit', 'SIGTERM'])
@pytest.mark.parametrize('job_id', [None, 'j'])
def test_exit(tmp_path, how, job_id):
    """The dump is closed as an incomplete one, and reported as failed."""
    path = str(tmp_path / 'dump')
    with VM('-m', '2G') as vm:
        arguments = {'job_id': job_id} if job_id else {}
        vm.dump(path, format='kdump-zlib', detach=True, **arguments)
        if how == 'quit':
            vm.qmp.cmd('quit')
        else:
            vm.proc.terminate()
        event = vm.qmp.wait_event('DUMP_COMPLETED')
        assert vm.wait_exit() == 0
    if event['data']['result']['status'] == 'failed':
        cancelled(event)
        # QEMU may have exited before anything was written.
        if os.path.exists(path):
            open_dump(path, incomplete=True)
    else:
        open_dump(path)


def test_exit_with_stalled_reader():
    with VM('-m', '1G') as vm:          # more than any pipe can hold
        dump = Stalled(vm, format='kdump-zlib')
        vm.proc.terminate()
        cancelled(vm.qmp.wait_event('DUMP_COMPLETED'))
        assert vm.wait_exit() == 0
        os.close(dump.r)


def test_shutdown_without_exit():
    """With -no-shutdown the end of the dump does not resume the guest."""
    with VM('-m', '16M', '-no-shutdown') as vm:
        vm.wait_chipset()
        dump = Stalled(vm)
        # Write to the chipset's register that powers the machine off.
        vm.qmp.hmp('o /h 0x604 0x2000')
        vm.qmp.wait_event('SHUTDOWN')
        assert dump.drain()['data']['result']['status'] == 'completed'
        assert vm.status() == 'shutdown'
