# SPDX-License-Identifier: GPL-2.0-or-later
"""Errors during live dumps: the guest must not be left stopped, in a fault, or
with write-protected memory."""

import errno
import os
import resource
import signal
import time

import pytest

import faults
from live import Before, Held, Idle
from qmp import QMPError
from sweep import PAGE, Sweep, check
from test_live_refused import refused, stopped
from vmcore import open_dump
from wait import wait_until

MIB = 1 << 20

# -- userfaultfd fails --------------------------------------------------------


def faulty(faults_so, fault, **kwargs):
    return Sweep(env=faults.environment(faults_so, '/nowhere', fault),
                 **kwargs)


REFUSED = [
    ('open', errno.EPERM, 'sysctl vm.unprivileged_userfaultfd'),
    ('open', errno.ENOSYS, 'userfaultfd'),
    ('open', errno.EMFILE, 'Too many open files'),
    ('api', errno.EINVAL, 'userfaultfd'),
    ('register', errno.EINVAL, 'memory'),
    ('register', errno.ENOMEM, 'memory'),
]


@pytest.mark.parametrize('step,error,text', REFUSED)
def test_refused(faults_so, out, step, error, text):
    with faulty(faults_so, f'uffd-{step}:{error}') as vm:
        refused(vm, out, text)
        stopped(vm, out, text)
        vm.sweep_on(1)


@pytest.mark.parametrize('step', ['device', 'new', 'syscall'])
def test_there_is_another_way(faults_so, out, step):
    with faulty(faults_so, f'uffd-{step}:{errno.ENOENT}') as vm:
        dump = Held(vm, live_buffer=2 * vm.size)
        vm.sweep_on(2)
        assert dump.finish(out)['result']['status'] == 'completed'
        check(open_dump(out), vm)


def dump_somehow(vm, out, **arguments):
    """A live dump; returns the text of its failure, or None."""
    vm.qmp.event_names()
    try:
        vm.dump(out, live='on', detach=True, **arguments)
    except QMPError as e:
        assert vm.qmp.event_names() == []
        return str(e)
    data = vm.qmp.wait_event('DUMP_COMPLETED')['data']
    assert ('error' in data) == (data['result']['status'] == 'failed')
    return data.get('error')


LATER = [
    # Not all of these are called in each dump: then it completes.
    ('register', errno.ENOMEM, 2, 'anon-4k'),
    ('register', errno.ENOMEM, 3, 'memfd'),
    ('protect', errno.ENOMEM, 1, 'memfd'),
    ('protect', errno.ENOMEM, 2, 'anon-4k'),
    ('protect', errno.EFAULT, 5, 'memfd'),
    ('unprotect', errno.ENOMEM, 1, 'anon-4k'),
    ('unprotect', errno.ENOMEM, 1, 'memfd'),
    ('unprotect', errno.EFAULT, 20, 'anon-4k'),
    ('zero', errno.ENOMEM, 1, 'anon-4k'),
    ('copy', errno.ENOMEM, 1, 'memfd'),
    ('copy', errno.EFAULT, 9, 'memfd'),
    ('read', errno.EIO, 1, 'memfd'),
    ('read', errno.EIO, 20, 'anon-4k'),
    ('wake', errno.EINVAL, 1, 'anon-4k'),
]


def first_event(vm, names):
    """Wait for the first of these events; others are dropped."""
    while True:
        vm.qmp.cmd('query-status')
        while vm.qmp.events:
            event = vm.qmp.events.pop(0)
            if event['event'] in names:
                return event
        time.sleep(0.005)


def dump_of_everything(vm, out):
    """A live dump to a pipe; after the moment, if it is reached, all of memory
    is written to. Returns the text of its failure, or None."""
    r, w = os.pipe()
    vm.qmp.getfd('later', w)
    os.close(w)
    vm.qmp.event_names()
    try:
        vm.qmp.cmd('dump-guest-memory', paging=False, protocol='fd:later',
                   live='on', detach=True, live_buffer=2 * vm.size)
    except QMPError as e:
        os.close(r)
        try:
            vm.qmp.cmd('closefd', fdname='later')
        except QMPError:
            pass                        # the descriptor is consumed
        return str(e)
    event = first_event(vm, ('RESUME', 'DUMP_COMPLETED'))
    vm.go()
    vm.sweep_on(2)
    # Start reading the pipe.
    with open(out, 'wb') as f:
        while data := os.read(r, 1 << 20):
            f.write(data)
    os.close(r)
    if event['event'] == 'RESUME':
        event = first_event(vm, ('DUMP_COMPLETED',))
    data = event['data']
    assert ('error' in data) == (data['result']['status'] == 'failed')
    return data.get('error')


@pytest.mark.parametrize('step,error,n,kind', LATER)
def test_later(faults_so, out, step, error, n, kind):
    """The dump fails with an error, or uses another method and is correct.
    Nothing waits for it."""
    with faulty(faults_so, f'uffd-{step}:{error}:{n}', kind=kind,
                warm=0.5) as vm:
        before = Before(vm)
        failed = dump_of_everything(vm, out)
        if failed:
            assert 'dump: ' in failed
        else:
            check(open_dump(out), vm)
        vm.sweep_on(2)
        before.nothing_left()
        # A dump of a stopped guest does not need it.
        vm.dump(out)
        check(open_dump(out), vm)


# -- no thread, no memory -----------------------------------------------------


def test_no_thread(faults_so, tmp_path, out):
    """The creation of each of the dump's threads fails once."""
    allowed = tmp_path / 'allowed'
    with Sweep(env=faults.environment(faults_so, str(allowed),
                                      'thread')) as vm:
        before = Before(vm)
        answers = []
        for n in range(8):
            allowed.write_text(f'{n:<14}\n')
            answers.append(dump_somehow(vm, out, format='kdump-raw-zlib',
                                        threads=2))
            allowed.unlink()
            vm.sweep_on(1)
            before.nothing_left()
        assert answers[0] and answers[1]
        assert all(a is None or 'thread' in a for a in answers)
        # There may be fewer compression threads.
        assert answers[-1] is None
        check(open_dump(out), vm)


def test_no_memory_for_pages(out):
    """No memory for saved pages: the dump fails, and nothing waits."""
    with Sweep(256 * MIB, kind='memfd') as vm:
        before = Before(vm)
        # Their buffer may already be reserved by then.
        dump = Held(vm, live_buffer=1 << 40)
        with open(vm.proc_path('statm')) as f:
            size = int(f.read().split()[0]) * PAGE
        resource.prlimit(vm.proc.pid, resource.RLIMIT_AS,
                         (size + 8 * MIB, resource.RLIM_INFINITY))
        vm.sweep_on(2)
        resource.prlimit(vm.proc.pid, resource.RLIMIT_AS,
                         (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        event = dump.finish(out)
        if event['result']['status'] == 'completed':
            check(open_dump(out), vm)
        else:
            assert 'memory' in event['error']
        vm.sweep_on(1)
        before.nothing_left()


# -- lost write protection ----------------------------------------------------


def host_address(vm, paddr):
    text = vm.qmp.hmp(f'gpa2hva {paddr:#x}')
    return int(text.split()[-1], 0)


@pytest.mark.parametrize('kind,name', [
    ('anon-4k', 'elf'), ('anon', 'kdump-zlib'), ('memfd', 'elf'),
    ('memfd', 'kdump-zlib')])
def test_protection_lost(faults_so, tmp_path, out, kind, name):
    """A page that may have been changed is not taken for the original."""
    path = tmp_path / 'pages'
    with Idle(kind=kind, env=faults.environment(
            faults_so, str(path), 'unwatch')) as vm:
        before = Before(vm)
        dump = Held(vm, format=name, threads=1) if name != 'elf' else Held(vm)
        # Near the end of memory, which is not written yet.
        path.write_text(f'{host_address(vm, vm.size - 20 * PAGE):#x}\n')
        vm.proc.send_signal(signal.SIGUSR2)
        wait_until(lambda: not path.exists())
        # This write causes no fault.
        vm.overwrite([vm.size - 20 * PAGE])
        event = dump.finish(out)
        assert event['result']['status'] == 'failed'
        assert 'protection' in event['error']
        before.nothing_left()
        # The next dump is not affected.
        dump = Held(vm)
        assert dump.finish(out)['result']['status'] == 'completed'
