# SPDX-License-Identifier: GPL-2.0-or-later
"""Run state, events, the migration blocker, one dump at a time."""

import os
import threading

import pytest

from qmp import QMPError
from vm import VM
from vmcore import open_dump
from wait import HANGS, wait_until

BUSY = 'There is a dump in process, please wait.'


def drained(vm, r):
    """Read a dump to its end; returns the completion event."""
    def work():
        while os.read(r, 1 << 20):
            pass
    thread = threading.Thread(target=work)
    thread.start()
    event = vm.qmp.wait_event('DUMP_COMPLETED')
    thread.join(HANGS)
    os.close(r)
    return event


def collected(vm):
    """Wait until the dump is being written, or has ended; returns
    query-dump."""
    def after():
        q = vm.qmp.cmd('query-dump')
        return q if q.get('phase') != 'collect' else None

    return wait_until(after)


class Stalled:
    """A detached dump to a pipe without a reader; memory is being written."""

    def __init__(self, vm, **arguments):
        self.vm = vm
        self.r, w = os.pipe()
        vm.qmp.getfd('stalled', w)
        os.close(w)
        vm.qmp.cmd('dump-guest-memory', paging=False, protocol='fd:stalled',
                   detach=True, **arguments)
        collected(vm)

    def drain(self):
        return drained(self.vm, self.r)


@pytest.mark.parametrize('name', ['elf', 'kdump-zlib'])
def test_run_state_running(full, name):
    dump = Stalled(full, format=name)
    assert full.status() == 'save-vm'
    assert full.qmp.cmd('query-status')['running'] is False
    q = full.qmp.cmd('query-dump')
    assert q['status'] == 'active'
    assert q['completed'] < q['total']
    event = dump.drain()
    assert event['data']['result']['status'] == 'completed'
    assert full.status() == 'running'


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
    """A dump started on DUMP_COMPLETED is never refused."""
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


def test_refused_while_migrating(tmp_path):
    path = str(tmp_path / 'dump')
    with VM('-m', '16M') as vm:
        r, w = os.pipe()
        vm.qmp.getfd('migration', w)
        os.close(w)
        vm.qmp.cmd('migrate', uri='fd:migration')
        vm.wait_migration('active')
        vm.qmp.event_names()
        with pytest.raises(QMPError) as e:
            vm.dump(path)
        assert 'migration' in str(e.value)
        assert not os.path.exists(path)
        assert vm.qmp.event_names() == []
        assert vm.qmp.cmd('query-dump')['status'] == 'none'
        vm.qmp.cmd('migrate_cancel')
        os.close(r)
        vm.wait_migration('cancelled')
        vm.dump(path)
        open_dump(path)
        assert vm.status() == 'running'


def test_only_migratable(tmp_path):
    """A dump is short: it does not count as a permanent blocker."""
    path = str(tmp_path / 'dump')
    with VM('-m', '16M', '-only-migratable') as vm:
        vm.dump(path)
        open_dump(path)


def test_stop_during_dump(running):
    """Refused like 'cont', as the dump's end would undo it."""
    dump = Stalled(running)
    with pytest.raises(QMPError) as e:
        running.second().cmd('stop')
    assert str(e.value) == BUSY
    dump.drain()
    assert running.status() == 'running'


def test_client_goes_away(running):
    """The dump continues after the client that started it has disconnected."""
    r, w = os.pipe()
    client = running.second()
    client.getfd('out', w)
    os.close(w)
    client.cmd('dump-guest-memory', paging=False, protocol='fd:out',
               detach=True)
    client.close()
    running.other = None
    assert running.qmp.cmd('query-dump')['status'] == 'active'
    running.qmp.events = []
    event = drained(running, r)
    assert event['data']['result']['status'] == 'completed'
    assert running.status() == 'running'


def test_other_commands_meanwhile(running):
    """Commands that do not need a running guest work during a detached
    dump."""
    dump = Stalled(running)
    assert 'CPU#0' in running.qmp.hmp('info registers -a')
    running.qmp.cmd('system_powerdown')
    with pytest.raises(QMPError):
        running.qmp.cmd('system_wakeup')
    assert running.status() == 'save-vm'
    assert dump.drain()['data']['result']['status'] == 'completed'
    assert running.status() == 'running'


def test_status_before_any_dump():
    with VM('-m', '16M') as vm:
        assert vm.qmp.cmd('query-dump') == {
            'status': 'none', 'completed': 0, 'total': 0}
        assert vm.qmp.hmp('info dump').strip() == 'Status: none'


def test_quit_during_dump():
    with VM('-m', '16M') as vm:
        Stalled(vm)
        vm.qmp.cmd('quit')
        assert vm.wait_exit() == 0


def test_progress_of_detached_dump(running):
    dump = Stalled(running)
    last = -1
    total = running.qmp.cmd('query-dump')['total']
    thread = threading.Thread(target=dump.drain)
    while True:
        q = running.second().cmd('query-dump')
        assert last <= q['completed'] <= q['total'] == total
        last = q['completed']
        if q['status'] != 'active':
            break
        if thread.ident is None:
            thread.start()
    thread.join()
    assert q['status'] == 'completed' and last == total
