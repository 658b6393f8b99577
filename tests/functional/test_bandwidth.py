# SPDX-License-Identifier: GPL-2.0-or-later
"""max-bandwidth: limit for the rate at which a dump is written."""

import os
import time

import pytest

import nodes
from qmp import QMPError
from test_cancel import cancelled, nothing_left
from vm import VM
from vmcore import open_dump

pytestmark = pytest.mark.once

FORMATS = ['elf', 'kdump-zlib', 'kdump-raw-zlib']
MIB = 1 << 20
SIZE = 16 * MIB                 # size of the guest

# So slow that no dump ends by itself.
CRAWL = 1000


def outputs(vm, kind, path):
    """The argument for an output that becomes the file @path."""
    if kind == 'node':
        open(path, 'w').close()
        nodes.add(vm, driver='file', filename=path)
        return 'node:d'
    if kind == 'fd':
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        vm.qmp.getfd('out', fd)
        os.close(fd)
        return 'fd:out'
    return 'file:' + path


def dump(vm, protocol, **arguments):
    """Returns the time in seconds, and the result."""
    vm.qmp.event_names()
    start = time.monotonic()
    vm.qmp.cmd('dump-guest-memory', paging=False, protocol=protocol,
               **{'detach': True, **arguments})
    event = vm.qmp.wait_event('DUMP_COMPLETED')['data']
    seconds = time.monotonic() - start
    assert event['result']['status'] == 'completed', event
    return seconds, event['result']


@pytest.mark.parametrize('kind,name', [
    ('file', 'elf'), ('file', 'kdump-zlib'), ('file', 'kdump-raw-zlib'),
    ('fd', 'elf'), ('node', 'elf'), ('node', 'kdump-zlib')])
def test_not_faster(full, tmp_path, kind, name):
    """N bytes take at least N / max-bandwidth seconds."""
    path = str(tmp_path / 'dump')
    protocol = outputs(full, kind, path)
    seconds, result = dump(full, protocol, format=name,
                           max_bandwidth=8 * MIB)
    assert result['max-bandwidth'] == 8 * MIB
    # The last buffer to a node may not be written in full.
    assert result['written'] > MIB
    assert seconds >= result['written'] / (8 * MIB)
    open_dump(path)
    if kind == 'node':
        nodes.delete(full)


def test_live(tmp_path):
    path = str(tmp_path / 'dump')
    with VM('-m', '64M') as vm:
        seconds, result = dump(vm, 'file:' + path, live='on',
                               max_bandwidth=4 * MIB)
        assert seconds >= result['written'] / (4 * MIB)
        assert not result['live']['stopped-again']
        open_dump(path)


def test_job(running, out):
    seconds, result = dump(running, 'file:' + out, job_id='j', detach=True,
                           max_bandwidth=4 * MIB)
    assert seconds >= result['written'] / (4 * MIB)
    running.qmp.cmd('job-dismiss', id='j')


@pytest.mark.parametrize('live', ['off', 'on'])
@pytest.mark.parametrize('name', FORMATS)
@pytest.mark.parametrize('kind', ['file', 'node'])
def test_cancel(tmp_path, kind, name, live):
    """A cancel ends the wait, and the dump is closed without another one."""
    path = str(tmp_path / 'dump')
    with VM('-m', '64M') as vm:
        protocol = outputs(vm, kind, path)
        vm.qmp.event_names()
        vm.qmp.cmd('dump-guest-memory', paging=False, detach=True, live=live,
                   protocol=protocol, format=name, max_bandwidth=CRAWL)
        time.sleep(0.3)
        q = vm.qmp.cmd('query-dump')
        assert q['status'] == 'active' and q['max-bandwidth'] == CRAWL
        assert q['written'] <= CRAWL * q['elapsed'] / 1000
        assert f'Limit: {CRAWL / MIB:g} MiB/s' in vm.qmp.hmp('info dump')
        vm.qmp.cmd('dump-cancel')
        cancelled(vm.qmp.wait_event('DUMP_COMPLETED'))
        nothing_left(vm)
        if kind == 'file' or name == 'elf':     # else no mark yet
            open_dump(path, incomplete=True)


def test_quit(tmp_path):
    with VM('-m', '64M') as vm:
        vm.dump(str(tmp_path / 'dump'), detach=True, max_bandwidth=CRAWL)
        vm.qmp.cmd('quit')
        assert vm.wait_exit() == 0


def test_none(running, out):
    """0 means no limit, as for migration, and does not need detach."""
    for arguments in {}, {'detach': True}:
        seconds, result = dump(running, 'file:' + out, max_bandwidth=0,
                               **{'detach': False, **arguments})
        assert 'max-bandwidth' not in result


def test_refused(running, out):
    with pytest.raises(QMPError) as e:
        running.dump(out, max_bandwidth=MIB)
    assert str(e.value) == \
        "Parameter 'max-bandwidth' requires 'detach'"
    assert running.qmp.event_names() == [] and not os.path.exists(out)


@pytest.mark.parametrize('flags', ['-b 4M', '-t 1 -b 4', '-x 0 -b 4096k',
                                   '-t 1 -x 0 -b 4m'])
def test_hmp(running, out, flags):
    running.qmp.hmp(f'dump-guest-memory -d -z {flags} {out}')
    event = running.qmp.wait_event('DUMP_COMPLETED')['data']
    assert event['result']['max-bandwidth'] == 4 * MIB


def test_hmp_wrong(running, out):
    for value in 'x', '-1', '4Q':
        assert "Parameter 'bandwidth' expects" in running.qmp.hmp(
            f'dump-guest-memory -d -b {value} {out}')
    assert "requires 'detach'" in running.qmp.hmp(
        f'dump-guest-memory -b 4M {out}')
    assert not os.path.exists(out)
