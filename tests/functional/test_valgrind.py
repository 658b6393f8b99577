# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMU under valgrind: no use of uninitialized, invalid or freed memory, and
no leaks, in stacks that contain this subsystem's functions."""

import os
import shlex
import struct
import xml.etree.ElementTree as ET

import pytest

import nodes
import qtest
from qmp import QMPError
from test_nodes import cancel, stalled
from vm import REPO, VM, qemu_binary
from vmcore import open_dump

pytestmark = [pytest.mark.slow, pytest.mark.once]

NOTE_AT = 2 << 20
FORMATS = ['elf', 'kdump-zlib', 'kdump-raw-zlib']


def our_files():
    found = set()
    for _, _, names in os.walk(os.path.join(REPO, 'dump')):
        found.update(n for n in names if n.endswith('.c'))
    return found


def is_ours(frame, files):
    folder = frame.findtext('dir', '')
    return frame.findtext('file') in files and 'dump' in folder.split('/')


def report(path):
    """Errors in valgrind's log with a frame of this subsystem."""
    tree = ET.parse(path).getroot()
    assert tree.findtext('tool') == 'memcheck'
    assert [s.findtext('state') for s in tree.iter('status')][-1] == \
        'FINISHED'
    files = our_files()
    return [ET.tostring(e, encoding='unicode') for e in tree.iter('error')
            if any(is_ours(f, files) for f in e.iter('frame'))]


@pytest.fixture
def watched(tmp_path):
    """A VM under valgrind, and the path of its log."""
    xml, run = str(tmp_path / 'xml'), str(tmp_path / 'run')
    argv = ['valgrind', '--xml=yes', f'--xml-file={xml}', '--leak-check=full',
            '--show-leak-kinds=definite', '--num-callers=40',
            '--fair-sched=yes', qemu_binary()]
    with open(run, 'w') as f:
        f.write(f'#!/bin/sh\nexec {shlex.join(argv)} "$@"\n')
    os.chmod(run, 0o755)
    with VM('-m', '4M', '-device', 'vmcoreinfo', '-S', '-qtest',
            'unix:qtest,server=on,wait=off', '-qtest-log', 'none',
            binary=run, machine='q35', accel='qtest') as vm:
        yield vm, xml


def publish(vm, text, claimed):
    """Publish a note that claims to have @claimed bytes of text."""
    q = qtest.QTest(vm.path('qtest'))
    head = struct.pack('<III', 11, claimed, 0) + b'VMCOREINFO\0\0'
    q.write(NOTE_AT, head + text)
    qtest.FwCfg(q).publish_note(NOTE_AT, len(head + text))
    q.close()


def dump_all(vm, out):
    for name in FORMATS:
        for detach in (False, True):
            vm.dump(out, format=name, detach=detach)
            event = vm.qmp.wait_event('DUMP_COMPLETED')['data']
            assert event['result']['status'] == 'completed'
    vm.dump(out, paging=True)
    vm.qmp.wait_event('DUMP_COMPLETED')
    assert open_dump(out).ranges()
    with pytest.raises(QMPError, match='No space left'):
        vm.dump('/dev/full')
    vm.qmp.wait_event('DUMP_COMPLETED')


def test_clean(watched, out):
    vm, xml = watched
    text = b'OSRELEASE=6.1.0\nPAGESIZE=4096\nSYMBOL(init_uts_ns)=' \
        b'ffffffff80100000\nOFFSET(uts_namespace.name)=0\n\0\0'
    publish(vm, text, len(text))
    dump_all(vm, out)
    publish(vm, text, 0xfffffff0)
    dump_all(vm, out)
    vm.qmp.cmd('quit')
    assert vm.wait_exit() == 0
    assert report(xml) == []


def test_node(watched, out, tmp_path):
    """Includes requests that outlive their dump."""
    vm, xml = watched
    nodes.fill_old(out, 1 << 20)
    nodes.add(vm, driver='raw', file={'driver': 'file', 'filename': out})
    for name in FORMATS:
        for detach in (False, True):
            vm.qmp.cmd('dump-guest-memory', paging=False, protocol='node:d',
                       format=name, detach=detach)
            event = vm.qmp.wait_event('DUMP_COMPLETED')['data']
            assert event['result']['status'] == 'completed'
    nodes.delete(vm)
    open_dump(out)
    server = stalled(vm, tmp_path)
    cancel(vm)
    server.go_on()
    nodes.delete_soon(vm)
    server.close()
    vm.qmp.cmd('quit')
    assert vm.wait_exit() == 0
    assert report(xml) == []
