# SPDX-License-Identifier: GPL-2.0-or-later
"""The human monitor's commands."""

import os
import re

import pytest

from test_lifecycle import BUSY, Stalled
from vmcore import ElfDump, open_dump

FLAGS = {'': 'elf', '-z': 1, '-l': 2, '-s': 4, '-Z': 0x20}


@pytest.mark.parametrize('raw', ['', '-R'])
@pytest.mark.parametrize('flag', FLAGS)
def test_formats(still, out, flag, raw):
    """-R without a format is of no effect, as in QEMU 10.0."""
    assert still.qmp.hmp(f'dump-guest-memory {raw} {flag} {out}' if
                          flag == '-Z' else
                          f'dump-guest-memory {flag} {raw} {out}') == ''
    dump = open_dump(out)
    if flag:
        assert dump.status == FLAGS[flag]
        assert dump.flat == (raw == '')
    else:
        assert isinstance(dump, ElfDump)


@pytest.mark.parametrize('flags', ['-z -l', '-z -s', '-l -s', '-w -z',
                                   '-w -z -l -s', '-z -Z'])
def test_conflicting_flags(still, out, flags):
    text = still.qmp.hmp(f'dump-guest-memory {flags} {out}')
    assert "only one of '-z|-l|-s|-w|-Z' can be set" in text
    assert not os.path.exists(out)


def test_paging(still, out):
    assert still.qmp.hmp(f'dump-guest-memory -p {out}') == ''
    open_dump(out)
    text = still.qmp.hmp(f'dump-guest-memory -p -z {out}x')
    assert "doesn't support paging or filter" in text
    assert not os.path.exists(out + 'x')


def test_range(still, out):
    assert still.qmp.hmp(f'dump-guest-memory {out} 0x100000 0x2000') == ''
    assert open_dump(out).ranges() == [(0x100000, 0x2000)]
    text = still.qmp.hmp(f'dump-guest-memory {out}x 0x100000')
    assert "'length' is missing" in text
    assert not os.path.exists(out + 'x')


@pytest.mark.parametrize('numbers,word', [
    ('-4096 8192', "'begin'"), ('0 0', "'length'"), ('0 -1', "'length'"),
    ('0x10000000000 4096', "'begin'"), ('0 x', 'expression'),
])
def test_bad_range(still, out, numbers, word):
    assert word in still.qmp.hmp(f'dump-guest-memory {out} {numbers}')
    assert not os.path.exists(out)


def test_info_meanwhile(running):
    dump = Stalled(running)
    lines = running.qmp.hmp('info dump').splitlines()
    assert lines[0] == 'Status: active'
    percent = float(re.fullmatch(r'Finished: ([0-9.]+) %', lines[1])[1])
    done, total = map(int, re.fullmatch(
        r'Guest memory: (\d+) of (\d+) bytes', lines[2]).groups())
    assert 0 <= done < total
    assert abs(percent - 100 * done / total) < 0.01
    text = running.qmp.hmp('dump-guest-memory /dev/null')
    assert BUSY in text
    dump.drain()
    assert running.qmp.hmp('info dump').startswith('Status: completed')


def test_windows(still, out):
    text = still.qmp.hmp(f'dump-guest-memory -w {out}')
    assert 'no Windows crash dump of this guest' in text
    assert not os.path.exists(out)


def test_detach_and_info(still, out):
    assert still.qmp.hmp(f'dump-guest-memory -d -z {out}') == ''
    event = still.qmp.wait_event('DUMP_COMPLETED')
    total = event['data']['result']['total']
    lines = still.qmp.hmp('info dump').splitlines()
    assert lines[0] == 'Status: completed'
    assert lines[1] == 'Finished: 100.00 %'
    assert re.fullmatch(rf'Guest memory: {total} of {total} bytes', lines[2])


def test_dev_null(still):
    """What QEMU's own test-hmp runs."""
    assert still.qmp.hmp('dump-guest-memory /dev/null 0 4096') == ''
    assert still.qmp.hmp('dump-guest-memory /dev/null') == ''


def test_help(still):
    text = still.qmp.hmp('help dump-guest-memory')
    assert ('[-p] [-d] [-z|-l|-s|-w|-Z] [-R] [-t threads] filename '
            '[begin length]') in text


@pytest.mark.parametrize('threads', ['1', '3'])
def test_threads(still, out, threads):
    assert still.qmp.hmp(f'dump-guest-memory -z -t {threads} {out}') == ''
    open_dump(out)


@pytest.mark.parametrize('threads', ['0', '65', '256', '-1', 'many', '2x'])
def test_bad_threads(still, out, threads):
    text = still.qmp.hmp(f'dump-guest-memory -z -t {threads} {out}')
    assert "'threads'" in text
    assert not os.path.exists(out)
