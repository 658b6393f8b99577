# SPDX-License-Identifier: GPL-2.0-or-later
"""Dumps by a QEMU in libvirt's seccomp sandbox: a system call that it does not
allow fails, or terminates the process."""

import os
import resource
import signal

import pytest

import ram
from conftest import SIZE
from qmp import QMPError
from sweep import Sweep, check
from test_cancel import job_states
from test_formats import FORMATS, check_ram
from test_lifecycle import Stalled
from vm import VM
from vmcore import open_dump
from windmp import WinDump
from windows import Windows

SANDBOX = ('-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,'
           'resourcecontrol=deny')
FILTERED = 2            # Seccomp in /proc/PID/status


@pytest.fixture(scope='module')
def vm(ram_file):
    """Shared by the tests, none of which terminates it."""
    with VM(*ram.backend(ram_file, SIZE), *SANDBOX, machine=None) as vm:
        with open(vm.proc_path('status')) as f:
            assert f'Seccomp:\t{FILTERED}\n' in f.read()
        yield vm


def dump(vm, detach=True, **arguments):
    """Dump; returns the error, or 'completed'."""
    vm.qmp.event_names()                # of earlier dumps
    try:
        vm.qmp.cmd('dump-guest-memory', paging=False, detach=detach,
                   **arguments)
    except QMPError:
        pass                            # the event has the same error
    event = vm.qmp.wait_event('DUMP_COMPLETED')['data']
    assert vm.qmp.cmd('query-status')['running'] is False
    return event.get('error', event['result']['status'])


def test_sandbox_denies():
    """Effect of the sandbox: QEMU is killed; for fork, newer versions only
    return EPERM."""
    with VM('-m', '16M', '-S', *SANDBOX) as vm:
        try:
            vm.qmp.cmd('migrate', uri='exec:true')
        except QMPError as e:
            assert 'Operation not permitted' in str(e)
        except ConnectionError:
            assert vm.wait_exit() == -signal.SIGSYS
        else:
            pytest.fail('QEMU could start a process')


@pytest.mark.parametrize('detach', [False, True])
@pytest.mark.parametrize('name', FORMATS)
def test_file(vm, ram_file, out, name, detach):
    assert dump(vm, detach, protocol='file:' + out,
                format=name) == 'completed'
    assert check_ram(open_dump(out), ram_file) > SIZE * 0.9


@pytest.mark.parametrize('threads', [1, 4])
@pytest.mark.parametrize('name', FORMATS[1:])
def test_threads(vm, ram_file, out, name, threads):
    assert dump(vm, protocol='file:' + out, format=name,
                threads=threads) == 'completed'
    assert check_ram(open_dump(out), ram_file) > SIZE * 0.9


@pytest.mark.parametrize('name', ['elf', 'kdump-zlib', 'kdump-zstd'])
def test_pipe(vm, name):
    stalled = Stalled(vm, format=name)
    assert stalled.drain()['data']['result']['status'] == 'completed'


@pytest.mark.parametrize('name', ['elf', 'kdump-zlib', 'kdump-zstd'])
def test_cancel(vm, name):
    stalled = Stalled(vm, format=name)
    vm.qmp.cmd('dump-cancel')
    event = vm.qmp.wait_event('DUMP_COMPLETED')['data']
    assert event['error'] == 'dump: cancelled'
    os.close(stalled.r)


def test_reader_gone(vm):
    os.close(Stalled(vm).r)
    event = vm.qmp.wait_event('DUMP_COMPLETED')['data']
    assert 'Broken pipe' in event['error']


@pytest.mark.parametrize('detach', [False, True])
@pytest.mark.parametrize('name', FORMATS)
def test_file_size_limit(vm, out, name, detach):
    """SIGXFSZ is handled as well."""
    limit = resource.prlimit(vm.proc.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(vm.proc.pid, resource.RLIMIT_FSIZE,
                     (1 << 20, limit[1]))
    try:
        if name == 'elf':               # detected in advance, and refused
            with pytest.raises(QMPError, match='File too large'):
                vm.dump(out, format=name, detach=detach)
        else:
            assert 'File too large' in dump(
                vm, detach, protocol='file:' + out, format=name)
    finally:
        resource.prlimit(vm.proc.pid, resource.RLIMIT_FSIZE, limit)


def test_disk_full(vm):
    assert 'No space left' in dump(vm, protocol='file:/dev/full')


def test_paging(vm, ram_file, out):
    vm.dump(out, paging=True)
    assert check_ram(open_dump(out), ram_file) > SIZE * 0.9


def test_job(vm, out):
    vm.dump(out, job_id='job')
    assert job_states(vm, 'job', 'concluded')
    vm.qmp.cmd('job-dismiss', id='job')
    open_dump(out)


@pytest.mark.parametrize('detach', [False, True])
def test_windows(tmp_path, out, detach):
    with Windows(str(tmp_path), 'long', args=SANDBOX) as vm:
        vm.make()
        vm.publish()
        vm.dump(out, format='win-dmp', detach=detach)
        event = vm.qmp.wait_event('DUMP_COMPLETED')['data']
        assert event['result']['status'] == 'completed'
        assert len(WinDump(out, vm.paging).runs) > 0


@pytest.mark.parametrize('kind', ['anon', 'memfd'])
def test_live(out, kind):
    """userfaultfd and the other system calls of a live dump."""
    with Sweep(32 << 20, kind=kind, args=SANDBOX) as vm:
        vm.dump(out, format='kdump-raw-zlib', detach=True, live='on')
        event = vm.qmp.wait_event('DUMP_COMPLETED')['data']
        assert event['result']['status'] == 'completed', event
        assert 'live' in event['result']
        check(open_dump(out), vm)
