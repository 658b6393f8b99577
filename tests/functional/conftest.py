# SPDX-License-Identifier: GPL-2.0-or-later
"""Machines shared by the tests."""

import contextlib
import fcntl
import os
import subprocess

import pytest

import devices
import ram
from vm import HERE, VM

SIZE = 32 << 20


@contextlib.contextmanager
def locked(path, how):
    with open(path, 'w') as f:
        fcntl.flock(f, how)
        yield


@pytest.fixture(autouse=True)
def room(request, tmp_path_factory):
    """Hold off tests of other workers while one changes the host."""
    if 'PYTEST_XDIST_WORKER' not in os.environ:
        yield
        return
    top = tmp_path_factory.getbasetemp().parent
    alone = 'change_host' in request.fixturenames
    with contextlib.ExitStack() as held:
        # Whoever waits for the room holds the door, so others wait behind it.
        with locked(top / 'door.lock', fcntl.LOCK_EX):
            held.enter_context(locked(
                top / 'room.lock', fcntl.LOCK_EX if alone else fcntl.LOCK_SH))
        yield


@pytest.fixture(scope='module')
def ram_file(tmp_path_factory):
    path = str(tmp_path_factory.mktemp('ram') / 'ram')
    ram.fill(path, SIZE)
    return path


@pytest.fixture(scope='module')
def still_vm(ram_file):
    with VM(*ram.backend(ram_file, SIZE), machine=None) as vm:
        yield vm


@pytest.fixture
def still(still_vm):
    """A machine that was never started, with known RAM contents."""
    still_vm.qmp.event_names()
    return still_vm


@pytest.fixture(scope='module')
def running_vm():
    with VM('-m', '16M') as vm:
        yield vm


@pytest.fixture
def running(running_vm):
    """A machine that runs its firmware, which finds nothing to boot."""
    running_vm.qmp.event_names()
    return running_vm


@pytest.fixture(scope='module')
def full_vm(ram_file):
    with VM(*ram.backend(ram_file, SIZE, share=False)[:-1],
            machine=None) as vm:
        yield vm


@pytest.fixture
def full(full_vm):
    """A running machine with more memory than fits in a pipe."""
    full_vm.qmp.event_names()
    return full_vm


@pytest.fixture(scope='session')
def faults_so(tmp_path_factory):
    """Path of the library to preload; see faults.py."""
    path = str(tmp_path_factory.mktemp('faults') / 'faults.so')
    subprocess.run(['cc', '-shared', '-fPIC', '-O1', '-o', path,
                    os.path.join(HERE, 'faults.c')], check=True)
    return path


@pytest.fixture(scope='session')
def change_host():
    """For tests that change global settings of the host, such as the number of
    huge pages. They restore them, unless they are killed, and run alone."""
    if os.environ.get('DUMP_CHANGE_HOST') != '1':
        pytest.skip('changes host settings; set DUMP_CHANGE_HOST=1')


@pytest.fixture
def out(tmp_path):
    return str(tmp_path / 'dump')


@pytest.fixture
def loop(tmp_path):
    """A function that attaches a loop device of that size."""
    devices.require(devices.LOOP)
    made = []

    def attach(size):
        path = str(tmp_path / f'disk{len(made)}')
        with open(path, 'wb') as f:
            f.truncate(size)
        made.append(subprocess.run(
            ['losetup', '--show', '-f', path], check=True,
            capture_output=True, text=True).stdout.strip())
        return made[-1]

    yield attach
    for device in made:
        subprocess.run(['losetup', '-d', device], check=True)
