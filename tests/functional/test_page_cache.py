# SPDX-License-Identifier: GPL-2.0-or-later
"""direct: how much of a dump is in the host's page cache."""

import errno
import os
import subprocess

import pytest

import nodes
from conftest import SIZE
from qmp import QMPError
from test_faults import (FORMATS, Paused, faulty, small,  # noqa: F401
                         state_of_file)
from vm import VM
from vmcore import open_dump

pytestmark = pytest.mark.once


def completed(vm):
    event = vm.qmp.wait_event('DUMP_COMPLETED')['data']
    assert event['result']['status'] == 'completed', event
    assert vm.status() == 'running'


def cached(path):
    """Bytes of a file that are in the page cache."""
    return int(subprocess.run(['fincore', '-bnr', '-o', 'RES', path],
                              check=True, capture_output=True,
                              text=True).stdout)


@pytest.fixture
def on_disk(out):
    kind = subprocess.run(['stat', '-f', '-c', '%T', os.path.dirname(out)],
                          check=True, capture_output=True, text=True).stdout
    if 'tmpfs' in kind:
        pytest.skip('temporary files are on tmpfs, not on disk')
    return out


@pytest.mark.parametrize('name', FORMATS)
def test_nothing_left(full, on_disk, ram_file, name):
    full.dump(on_disk, detach=True, format=name)
    completed(full)
    assert cached(on_disk) > 1 << 20
    full.dump(on_disk, detach=True, format=name, direct=True)
    completed(full)
    assert cached(on_disk) == 0
    assert state_of_file(on_disk, ram_file) == 'complete'


def is_direct(vm, path):
    """True if QEMU has the file open for direct I/O."""
    for fd, link in vm.open_files().items():
        if link == path:
            with open(vm.proc_path(f'fdinfo/{fd}')) as f:
                flags = int(f.read().split('flags:')[1].split()[0], 8)
            if flags & os.O_DIRECT:
                return True
    return False


@pytest.mark.parametrize('direct', [False, True])
def test_direct(ram_file, faults_so, on_disk, direct):
    """Memory is not cached, not even temporarily."""
    with Paused(ram_file, faults_so, on_disk, 'elf', dump={
            'direct': direct}) as paused:
        assert is_direct(paused.vm, on_disk) == direct
        assert (cached(on_disk) < 1 << 20) == direct
        assert paused.end() == 'completed'
        assert state_of_file(on_disk, ram_file) == 'complete'


@pytest.mark.parametrize('name', FORMATS)
def test_without_detach(full, out, ram_file, name):
    full.dump(out, format=name, direct=True)
    assert state_of_file(out, ram_file) == 'complete'


@pytest.mark.parametrize('name', FORMATS)
def test_live(out, name):
    with VM('-m', '64M') as vm:
        vm.dump(out, detach=True, format=name, direct=True, live='on',
                max_bandwidth=64 << 20)
        completed(vm)
        open_dump(out)


def test_disk(full, loop):
    device = loop(64 << 20)
    full.dump(device, detach=True, direct=True)
    completed(full)
    open_dump(device)


@pytest.mark.parametrize('name', FORMATS)
def test_disk_full(full, small, ram_file, name):    # noqa: F811
    path = small(SIZE // 8)
    full.dump(path, detach=True, format=name, direct=True)
    event = full.qmp.wait_event('DUMP_COMPLETED')['data']
    assert 'No space left on device' in event['error']
    assert state_of_file(path, ram_file) == 'incomplete, and says so'


@pytest.mark.parametrize('name', FORMATS)
@pytest.mark.parametrize('fault', [f'error:{errno.EINVAL}:99999999',
                                   'short:40000', 'eintr'])
def test_faults(ram_file, faults_so, out, fault, name):
    """Short writes leave the rest unaligned."""
    with faulty(ram_file, faults_so, out, fault) as vm:
        vm.dump(out, detach=True, format=name, direct=True)
        completed(vm)
        assert state_of_file(out, ram_file) == 'complete'


def test_refused(running, tmp_path, out):
    fifo = str(tmp_path / 'fifo')
    os.mkfifo(fifo)
    nodes.add(running, driver='null-co', read_zeroes=True)
    append = os.open(str(tmp_path / 'append'),
                     os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    running.qmp.getfd('out', append)
    os.close(append)
    for protocol in 'file:' + fifo, 'file:/dev/null', 'fd:out', 'node:d':
        with pytest.raises(QMPError, match="^Parameter 'direct' "):
            running.qmp.cmd('dump-guest-memory', paging=False, direct=True,
                            protocol=protocol)
    assert running.qmp.event_names() == []
    nodes.delete(running)


def test_hmp(running, on_disk):
    running.qmp.hmp(f'dump-guest-memory -d -z -D -t 1 {on_disk}')
    completed(running)
    assert cached(on_disk) == 0
