# SPDX-License-Identifier: GPL-2.0-or-later
"""drgn --qemu gets VMCOREINFO from a running QEMU by a dump of one byte to a
memfd, from which it reads the ELF notes."""

import contextlib
import os
import re

import pytest

import qtest
from firmware import Firmware
from qmp import QMPError
from qtest import note
from vmcore import open_dump

pytestmark = pytest.mark.once

MiB = 1 << 20
NAME = 'drgn-dump'
TEXT = 'OSRELEASE=6.1.0-test\nPAGESIZE=4096\nNUMBER(phys_base)=18874368\n'


@pytest.fixture(scope='module')
def vm(tmp_path_factory):
    """A running machine whose guest has published its note."""
    folder = str(tmp_path_factory.mktemp('firmware'))
    with Firmware(folder, 'long', size=16 * MiB, args=(
            '-device', 'vmcoreinfo', '-qtest',
            'unix:qtest,server=on,wait=off', '-qtest-log', 'none')) as vm:
        guest = qtest.QTest(vm.path('qtest'))
        data = note(TEXT)
        guest.write(8 * MiB, data)
        qtest.FwCfg(guest).publish_note(8 * MiB, len(data))
        assert vm.status() == 'running'
        yield vm


def first_ram(vm):
    mtree = vm.qmp.hmp('info mtree -f')
    return int(re.search(r'(?m)^ *([0-9a-f]{16})-[0-9a-f]{16} '
                         r'\(prio -?\d+, ram\)', mtree)[1], 16)


@contextlib.contextmanager
def handed_over(vm):
    vm.qmp.event_names()                # of earlier dumps
    fd = os.memfd_create(NAME)
    try:
        vm.qmp.getfd(NAME, fd)
        yield fd
    finally:
        os.close(fd)


def ask(vm, begin, length=1):
    return vm.qmp.cmd('dump-guest-memory', paging=False,
                      protocol=f'fd:{NAME}', begin=begin, length=length)


def events(vm):
    """Events before the last reply, and those after it."""
    before = [e['event'] for e in vm.qmp.events]
    vm.qmp.events = []
    return before, vm.qmp.event_names()


def closefd_finds_nothing(vm):
    """closefd returns an error, without any other effect."""
    with pytest.raises(QMPError) as e:
        vm.qmp.cmd('closefd', fdname=NAME)
    assert NAME in str(e.value)


def test_vmcoreinfo(vm):
    """Twice: drgn does this at each start."""
    for _ in range(2):
        with handed_over(vm) as fd:
            assert ask(vm, first_ram(vm)) == {}
            assert events(vm) == (['STOP', 'RESUME', 'DUMP_COMPLETED'], [])
            assert vm.status() == 'running'
            dump = open_dump(f'/proc/self/fd/{fd}')
            assert os.fstat(fd).st_size < MiB
            assert [n[2] for n in dump.notes if n[0] == 'VMCOREINFO'] == [
                TEXT.encode()]
            assert dump.nr_prstatus == 1
            assert dump.ranges() == [(first_ram(vm), 1)]
            closefd_finds_nothing(vm)


@pytest.mark.parametrize('begin,length', [(0x9fffffff000, 1), (0, 0)])
def test_refused(vm, begin, length):
    """No event, nothing written; closefd, by which drgn cleans up, finds the
    descriptor; and the next dump works normally."""
    with handed_over(vm) as fd:
        with pytest.raises(QMPError):
            ask(vm, begin, length)
        assert events(vm) == ([], [])
        assert os.fstat(fd).st_size == 0
        assert vm.qmp.cmd('closefd', fdname=NAME) == {}
    test_vmcoreinfo(vm)
