# SPDX-License-Identifier: GPL-2.0-or-later
"""Refused dumps, and that they leave nothing behind."""

import os
import subprocess

import pytest

from qmp import QMPError
from vm import VM

CONFLICT = "kdump-compressed format doesn't support paging or filter"


def refused(vm, text, old_file=None, **arguments):
    """The command fails with the text and has no side effects."""
    status = vm.status()
    before = vm.qmp.cmd('query-dump')
    vm.qmp.event_names()
    arguments.setdefault('paging', False)
    with pytest.raises(QMPError) as e:
        vm.qmp.cmd('dump-guest-memory', **arguments)
    if isinstance(text, str):
        text = [text]
    for t in text:
        assert t in str(e.value)
    assert vm.qmp.event_names() == [], 'the guest was stopped'
    assert vm.status() == status
    assert vm.qmp.cmd('query-dump') == before
    # No migration blocker is left.
    assert 'blocked-reasons' not in vm.qmp.cmd('query-migrate')
    if old_file:
        with open(old_file, 'rb') as f:
            assert f.read() == b'precious'
    return str(e.value)


@pytest.fixture
def old(tmp_path):
    """A file that a refused dump must not touch."""
    path = str(tmp_path / 'old')
    with open(path, 'wb') as f:
        f.write(b'precious')
    return path


BAD_ARGUMENTS = [
    (CONFLICT, {'format': 'kdump-zlib', 'paging': True}),
    (CONFLICT, {'format': 'kdump-lzo', 'begin': 0, 'length': 4096}),
    (CONFLICT, {'format': 'kdump-raw-snappy', 'begin': 0}),
    (CONFLICT, {'format': 'win-dmp', 'paging': True}),
    ('no Windows crash dump of this guest', {'format': 'win-dmp'}),
    ("'length' is missing", {'begin': 0}),
    ("'begin' is missing", {'length': 4096}),
    ("'length'", {'begin': 0, 'length': 0}),
    ("'length'", {'begin': 0, 'length': -4096}),
    # The end overflows, as an unsigned and as a signed number.
    ("'begin'", {'begin': -4096, 'length': 8192}),
    ("'begin'", {'begin': (1 << 63) - 4096, 'length': (1 << 63) - 1}),
    ("'begin'", {'begin': 1 << 40, 'length': 4096}),
    ("'begin'", {'begin': 0xe0000000, 'length': 4096}),
    ('kdump-foo', {'format': 'kdump-foo'}),
    ("'threads'", {'format': 'kdump-zlib', 'threads': 0}),
    ("'threads'", {'format': 'kdump-zlib', 'threads': 65}),
    ('threads', {'format': 'kdump-zlib', 'threads': -1}),
    ('threads', {'format': 'kdump-zlib', 'threads': 256}),
]


@pytest.mark.parametrize('text,arguments', BAD_ARGUMENTS)
def test_bad_arguments(running, old, text, arguments):
    """Detected before anything is changed."""
    refused(running, text, old, protocol='file:' + old, **arguments)


@pytest.mark.parametrize('text,arguments', BAD_ARGUMENTS)
def test_bad_arguments_create_nothing(running, out, text, arguments):
    refused(running, text, protocol='file:' + out, **arguments)
    assert not os.path.exists(out)


def test_length_missing_in_kdump_is_a_conflict(running, out):
    refused(running, CONFLICT, protocol='file:' + out, format='kdump-zlib',
            length=5)


@pytest.mark.parametrize('protocol', ['', 'nonsense', 'tcp:localhost:1',
                                      'file', 'File:x'])
def test_bad_protocol(running, protocol):
    refused(running, 'protocol', protocol=protocol)


@pytest.mark.parametrize('protocol,text', [
    ('file:', "Could not open '': No such file or directory"),
    ('fd:', "File descriptor named '' has not been found")])
def test_no_name(running, protocol, text):
    refused(running, text, protocol=protocol)


def test_directory(running, tmp_path):
    refused(running, 'Is a directory', protocol=f'file:{tmp_path}')


def test_no_such_folder(running, tmp_path):
    refused(running, 'No such file or directory',
            protocol=f'file:{tmp_path}/a/b')


def test_unwritable_file_system(running, tmp_path):
    subprocess.run(['mount', '-t', 'tmpfs', '-o', 'ro', 'sealed',
                    str(tmp_path)], check=True)
    try:
        refused(running, 'Read-only file system',
                protocol=f'file:{tmp_path}/dump')
    finally:
        subprocess.run(['umount', str(tmp_path)], check=True)


def test_unknown_fd(running):
    refused(running, 'nobody', protocol='fd:nobody')


def test_read_only_fd(running, old):
    with open(old, 'rb') as f:
        running.qmp.getfd('in', f.fileno())
    refused(running, 'not open for writing', old, protocol='fd:in')


@pytest.mark.parametrize('name', ['kdump-raw-zlib', 'kdump-raw-lzo',
                                  'kdump-raw-snappy'])
def test_raw_needs_seeking(running, tmp_path, name):
    r, w = os.pipe()
    running.qmp.getfd('out', w)
    os.close(w)
    refused(running, 'seek', protocol='fd:out', format=name)
    assert os.read(r, 1) == b'', 'something was written'
    os.close(r)


def test_refused_in_incoming_migration(out):
    with VM('-m', '16M', '-incoming', 'defer') as vm:
        with pytest.raises(QMPError) as e:
            vm.dump(out)
        assert str(e.value) == 'Dump not allowed during incoming migration.'
        assert vm.status() == 'inmigrate'
        assert not os.path.exists(out)


# -- failures while writing -------------------------------------------------


FORMATS = ['elf', 'kdump-zlib', 'kdump-lzo', 'kdump-snappy',
           'kdump-raw-zlib']


def failed(vm, event, text):
    assert event['data']['result']['status'] == 'failed'
    assert text in event['data']['error']
    assert vm.status() == 'running'
    assert vm.qmp.cmd('query-dump')['status'] == 'failed'
    assert 'blocked-reasons' not in vm.qmp.cmd('query-migrate')


@pytest.mark.parametrize('name', FORMATS)
def test_dev_full(running, name):
    """The error says that the disk is full, and where."""
    with pytest.raises(QMPError) as e:
        running.dump('/dev/full', format=name)
    assert 'No space left on device' in str(e.value)
    assert str(e.value).startswith('dump: writing ')
    event = running.qmp.wait_event('DUMP_COMPLETED')
    failed(running, event, str(e.value))


@pytest.mark.parametrize('name', FORMATS)
def test_dev_full_detached(running, name):
    running.dump('/dev/full', format=name, detach=True)
    event = running.qmp.wait_event('DUMP_COMPLETED')
    failed(running, event, 'No space left on device')


def test_dev_full_hmp(running):
    text = running.qmp.hmp('dump-guest-memory -z /dev/full')
    assert 'No space left on device' in text
    assert 'Status: failed' in running.qmp.hmp('info dump')


@pytest.mark.parametrize('detach', [False, True])
@pytest.mark.parametrize('name', FORMATS[:4])
def test_reader_goes_away(full, name, detach):
    running = full
    r, w = os.pipe()
    running.qmp.getfd('out', w)
    os.close(w)
    with subprocess.Popen(['head', '-c', '10000'], stdin=r,
                          stdout=subprocess.DEVNULL):
        os.close(r)
        try:
            running.qmp.cmd('dump-guest-memory', paging=False,
                            protocol='fd:out', format=name, detach=detach)
            assert detach
        except QMPError as e:
            assert not detach and 'Broken pipe' in str(e)
        event = running.qmp.wait_event('DUMP_COMPLETED')
    failed(running, event, 'Broken pipe')


@pytest.mark.parametrize('detach', [False, True])
def test_small_file_system(running, tmp_path, detach):
    """A file system that is really full, after some megabytes."""
    folder = str(tmp_path / 'small')
    os.mkdir(folder)
    subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=128k', 'small',
                    folder], check=True)
    try:
        try:
            running.dump(folder + '/dump', detach=detach)
            assert detach
        except QMPError as e:
            assert not detach and 'No space left on device' in str(e)
        event = running.qmp.wait_event('DUMP_COMPLETED')
        failed(running, event, 'No space left on device')
    finally:
        subprocess.run(['umount', folder], check=True)


def test_stdin_closed(out):
    """Descriptor 0 is treated like any other."""
    with VM('-m', '16M', preexec=lambda: os.close(0)) as vm:
        vm.dump(out)
        with pytest.raises(QMPError):
            vm.dump('/dev/full')
        with pytest.raises(QMPError):
            vm.dump('/no/such/folder')
        vm.dump(out, format='kdump-zlib')
