# SPDX-License-Identifier: GPL-2.0-or-later
"""Run state, events, the migration blocker, one dump at a time."""

import os
import threading

import pytest

from qmp import QMPError
from vm import VM
from vmcore import open_dump

BUSY = 'There is a dump in process, please wait.'


class Stalled:
    """A detached dump to a pipe that nobody reads yet."""

    def __init__(self, vm, **arguments):
        self.vm = vm
        self.r, w = os.pipe()
        vm.qmp.getfd('stalled', w)
        os.close(w)
        vm.qmp.cmd('dump-guest-memory', paging=False, protocol='fd:stalled',
                   detach=True, **arguments)

    def drain(self):
        """Read it to the end; returns the completion event."""
        def work():
            while os.read(self.r, 1 << 20):
                pass
        thread = threading.Thread(target=work)
        thread.start()
        event = self.vm.qmp.wait_event('DUMP_COMPLETED')
        thread.join(60)
        os.close(self.r)
        return event


@pytest.mark.parametrize('name', ['elf', 'kdump-zlib'])
def test_run_state_running(running, name):
    dump = Stalled(running, format=name)
    assert running.status() == 'save-vm'
    assert running.qmp.cmd('query-status')['running'] is False
    q = running.qmp.cmd('query-dump')
    assert q['status'] == 'active'
    assert q['completed'] < q['total']
    event = dump.drain()
    assert event['data']['result']['status'] == 'completed'
    assert running.status() == 'running'


def test_events_in_order(running, out):
    running.dump(out)
    assert running.qmp.event_names() == ['STOP', 'RESUME', 'DUMP_COMPLETED']
    running.dump(out, detach=True)
    seen = []
    while 'DUMP_COMPLETED' not in seen:
        seen += running.qmp.event_names()
    assert seen == ['STOP', 'RESUME', 'DUMP_COMPLETED']


def test_events_of_failure(running):
    with pytest.raises(QMPError):
        running.dump('/dev/full')
    assert running.qmp.event_names() == ['STOP', 'RESUME', 'DUMP_COMPLETED']


@pytest.mark.parametrize('detach', [False, True])
def test_stopped_guest_stays_stopped(running, out, detach):
    running.qmp.cmd('stop')
    running.qmp.event_names()
    try:
        running.dump(out, detach=detach)
        running.qmp.wait_event('DUMP_COMPLETED')
        with pytest.raises(QMPError):
            running.dump('/dev/full')
        assert running.status() == 'paused'
    finally:
        running.qmp.cmd('cont')
    assert running.status() == 'running'


def test_never_started_guest_stays_so(still, out):
    still.dump(out)
    assert still.status() == 'prelaunch'
    assert still.qmp.event_names() == ['DUMP_COMPLETED']


def test_busy(running, out):
    dump = Stalled(running)
    other = running.second()
    for cmd, arguments in (
            ('dump-guest-memory', {'paging': False,
                                   'protocol': 'file:' + out}),
            ('cont', {})):
        with pytest.raises(QMPError) as e:
            other.cmd(cmd, **arguments)
        assert str(e.value) == BUSY
    assert not os.path.exists(out)
    assert running.qmp.cmd('query-dump')['status'] == 'active'
    assert dump.drain()['data']['result']['status'] == 'completed'
    running.dump(out)
    open_dump(out)


def test_migration_blocked_meanwhile(tmp_path):
    with VM('-m', '16M') as vm:
        dump = Stalled(vm)
        reasons = vm.qmp.cmd('query-migrate')['blocked-reasons']
        assert any('dump-guest-memory in progress' in r for r in reasons)
        uri = f'exec:cat > {tmp_path}/migration'
        with pytest.raises(QMPError) as e:
            vm.qmp.cmd('migrate', uri=uri)
        assert 'dump-guest-memory in progress' in str(e.value)
        dump.drain()
        assert 'blocked-reasons' not in vm.qmp.cmd('query-migrate')
        vm.qmp.cmd('migrate', uri=uri)
        while True:
            status = vm.qmp.cmd('query-migrate').get('status')
            if status in ('completed', 'failed'):
                break
        assert status == 'completed'


def test_dump_on_completion_400_times(tmp_path):
    """Defect 8: a dump asked for on DUMP_COMPLETED is never refused."""
    path = str(tmp_path / 'dump')
    with VM('-m', '2M') as vm:
        vm.dump(path, detach=True)
        for i in range(400):
            event = vm.qmp.wait_event('DUMP_COMPLETED')
            assert event['data']['result']['status'] == 'completed'
            vm.dump(path, detach=True,
                    format=['elf', 'kdump-zlib'][i % 2])
        vm.qmp.wait_event('DUMP_COMPLETED')
        open_dump(path)
        assert vm.status() == 'running'


def test_status_before_any_dump():
    with VM('-m', '16M') as vm:
        assert vm.qmp.cmd('query-dump') == {
            'status': 'none', 'completed': 0, 'total': 0}
        assert vm.qmp.hmp('info dump').strip() == 'Status: none'


def test_quit_during_dump():
    with VM('-m', '16M') as vm:
        Stalled(vm)
        vm.qmp.cmd('quit')
        assert vm.proc.wait(30) == 0


def test_progress_of_detached_dump(running):
    dump = Stalled(running)
    last = -1
    total = running.qmp.cmd('query-dump')['total']
    thread = threading.Thread(target=lambda: dump.drain())
    while True:
        q = running.second().cmd('query-dump')
        assert last <= q['completed'] <= q['total'] == total
        last = q['completed']
        if q['status'] != 'active':
            break
        if not thread.is_alive():
            thread.start()
    thread.join()
    assert q['status'] == 'completed' and last == total
