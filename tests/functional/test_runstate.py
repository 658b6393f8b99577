# SPDX-License-Identifier: GPL-2.0-or-later
"""Where a dump meets QEMU's other commands, and the guest's run state."""

import os
import re
import time

import pytest

import ram
from conftest import SIZE
from qtest import QTest
from test_cancel import make_qcow2
from test_lifecycle import Stalled
from vm import VM

# Memory that the firmware does not touch.
MARK = 8 << 20


def bytes_read(vm):
    """What QEMU has read from files so far."""
    with open(f'/proc/{vm.proc.pid}/io') as f:
        return int(re.search(r'rchar: (\d+)', f.read())[1])


# -- the end of a dump while QEMU is at something else ----------------------------


@pytest.fixture
def slow_snapshot(ram_file, tmp_path):
    """A guest with a snapshot that takes seconds to load, and then another
    byte in memory."""
    disk, qtest = str(tmp_path / 'disk'), str(tmp_path / 'qtest')
    make_qcow2(disk)
    with VM(*ram.backend(ram_file, SIZE, share=False)[:-1],
            '-object', 'throttle-group,id=slow,x-bps-read=16000000',
            '-blockdev', 'qcow2,node-name=disk,file.driver=throttle,'
            'file.throttle-group=slow,file.file.driver=file,'
            f'file.file.filename={disk}',
            '-device', 'virtio-blk-pci,drive=disk', '-qtest',
            f'unix:{qtest},server=on,wait=off',
            '-trace', 'qemu_loadvm_state_post_main',
            '-trace', 'dump_resume_guest', machine=None) as vm:
        vm.qmp.close()
        vm.qmp = vm.connect('qmp', oob=True)
        vm.qtest = QTest(qtest)
        vm.qtest.write(MARK, b'saved')
        assert vm.qmp.hmp('savevm s') == ''
        vm.qtest.write(MARK, b'later')
        vm.qmp.event_names()
        yield vm
        vm.qtest.close()


def start_loading(vm, how):
    """Returns when QEMU is in the middle of it."""
    before = bytes_read(vm)
    if how == 'loadvm':
        vm.qmp.send('human-monitor-command', command_line='loadvm s')
    else:
        vm.qmp.send('snapshot-load', job_id='load', tag='s', vmstate='disk',
                    devices=['disk'])
    while bytes_read(vm) < before + (4 << 20):
        time.sleep(0.01)


@pytest.mark.parametrize('end', ['cancel', 'reader gone'])
@pytest.mark.parametrize('how', ['loadvm', 'snapshot-load'])
def test_end_while_snapshot_is_loaded(slow_snapshot, how, end):
    """The guest is not started before the snapshot is there."""
    vm = slow_snapshot
    dump = Stalled(vm)
    start_loading(vm, how)
    if end == 'cancel':
        vm.qmp.send('dump-cancel', out_of_band=True)
        assert vm.qmp.reply() == {}
    os.close(dump.r)
    assert vm.qmp.reply() == ('' if how == 'loadvm' else {})
    vm.qmp.wait_event('DUMP_COMPLETED')
    text = vm.stderr()
    assert text.index('qemu_loadvm_state_post_main') < \
        text.index('dump_resume_guest')
    assert vm.status() == 'running'
    assert vm.qtest.read(MARK, 5) == b'saved'


# -- QEMU's end ---------------------------------------------------------------


def end(vm, how):
    if how == 'quit':
        vm.qmp.cmd('quit')
    else:
        vm.proc.terminate()
    assert vm.proc.wait(30) == 0


@pytest.mark.parametrize('how', ['quit', 'SIGTERM'])
@pytest.mark.parametrize('job', [{}, {'job_id': 'j'}])
def test_exit_with_stuck_write(faults_so, tmp_path, how, job):
    """A write that does not come back keeps the dump's thread, not QEMU."""
    path = str(tmp_path / 'dump')
    with VM('-m', '16M', env={'LD_PRELOAD': faults_so,
                              'DUMP_FAULT_PATH': path,
                              'DUMP_FAULT': 'pause:1000'}) as vm:
        vm.dump(path, detach=True, **job)
        end(vm, how)


@pytest.mark.parametrize('job', [{}, {'job_id': 'j'}])
def test_exit_with_stuck_terminal(job):
    """Writing to a terminal waits in the kernel until somebody reads."""
    reader, terminal = os.openpty()
    with VM('-m', '16M') as vm:
        vm.dump(os.ttyname(terminal), detach=True, **job)
        assert vm.qmp.cmd('query-dump')['status'] == 'active'
        end(vm, 'quit')
    os.close(reader)
    os.close(terminal)
