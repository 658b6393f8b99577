# SPDX-License-Identifier: GPL-2.0-or-later
"""Pages excluded by class, compared with the pages that makedumpfile removes
from a complete dump of the same guest."""

import os
import subprocess

import pytest

from guest import Guest
from qmp import QMPError
from readers import kept, rearranged, run
from test_guest import DRGN
from vm import VM
from vmcore import open_dump

pytestmark = [pytest.mark.guest, pytest.mark.once]

CLASSES = ['zero', 'cache', 'cache-private', 'user', 'free']


def classes(level):
    return [name for i, name in enumerate(CLASSES) if level >> i & 1]


@pytest.fixture(scope='module', params=['idle', 'busy', 'busy, LA57'])
def guest(request):
    """A stopped guest, so that all dumps are of the same memory."""
    args = {} if request.param == 'idle' else \
        {'memory': '512M', 'append': 'guest.busy'}
    cpu = ('-cpu', 'max') if 'LA57' in request.param else ()
    with Guest(*cpu, **args) as g:
        g.wait_for('guest: busy' if args else 'guest: tick 2')
        g.qmp.cmd('stop')
        g.is_busy, g.levels = bool(args), 5 if cpu else 4
        yield g


@pytest.fixture(scope='module')
def whole(guest, tmp_path_factory):
    path = str(tmp_path_factory.mktemp('whole') / 'dump')
    guest.dump(path, format='kdump-raw-lzo')
    return path


def excluded(guest):
    """Excluded pages of the last dump by query-dump: class -> pages."""
    result = guest.qmp.cmd('query-dump')
    assert result['status'] == 'completed' and 'warnings' not in result
    assert result['completed'] == result['total']
    return {e['class']: e['bytes'] >> 12 for e in result.get('excluded', [])}


def test_as_makedumpfile(guest, whole, tmp_path):
    """The same page frames are kept, one by one."""
    typical = guest.is_busy and guest.levels == 4
    for level in [1, 2, 4, 8, 16, 31] if typical else [8, 31]:
        check_level(guest, whole, tmp_path, level)


def check_level(guest, whole, tmp_path, level):
    path = str(tmp_path / 'dump')
    guest.dump(path, format='kdump-raw-lzo', exclude=classes(level))
    dump, all_pages = open_dump(path), open_dump(whole).pfns
    assert dump.dump_level == level
    assert int(dump.vmcoreinfo['NUMBER(pgtable_l5_enabled)']) == \
        (guest.levels == 5)
    assert dump.ram == all_pages
    assert dump.pfns == kept(whole, level, tmp_path)
    left_out = excluded(guest)
    assert sum(left_out.values()) == len(all_pages) - len(dump.pfns)
    # Cache pages, private or not, count as the requested class.
    wanted = {c for c in classes(level) if c != 'zero'}
    if guest.is_busy:
        assert set(left_out) == wanted
        for name, count in left_out.items():
            assert count > (1000 if name != 'cache-private' else 0)
    else:
        assert set(left_out) <= wanted
    for pfn in dump.pfns[::199]:
        assert dump.page(pfn) == open_whole(whole).page(pfn)


_opened = {}


def open_whole(path):
    if path not in _opened:
        _opened.clear()
        _opened[path] = open_dump(path)
    return _opened[path]


@pytest.mark.parametrize('name', ['elf', 'kdump-lzo', 'kdump-raw-zlib'])
def test_formats(guest, whole, tmp_path, name):
    """Every format has the same pages, and crash reads it."""
    path = str(tmp_path / 'dump')
    guest.dump(path, format=name, exclude=classes(31))
    left_out = excluded(guest)
    dump, pfns = open_dump(path), kept(whole, 31, tmp_path)
    end = open_whole(whole).max_mapnr
    if name == 'elf':
        ours = [p for start, size in dump.ranges()
                for p in range(start >> 12, start + size >> 12)]
        assert [p for p in ours if p < end] == pfns
    else:
        assert dump.pfns == pfns
    assert sum(left_out.values()) == len(open_whole(whole).pfns) - len(pfns)
    assert run('crash', '--osrelease', path).strip() == guest.release()
    assert os.path.getsize(path) < len(open_whole(whole).pfns) * 4096 / 2


def test_filtered_again(guest, whole, tmp_path):
    """makedumpfile filters a dump with excluded pages again, and reads the
    kernel's log from it."""
    path = str(tmp_path / 'dump')
    guest.dump(path, format='kdump-raw-lzo', exclude=['free'])
    excluded(guest)
    assert kept(path, 31, tmp_path) == kept(whole, 31, tmp_path)
    log = str(tmp_path / 'log')
    run('makedumpfile', '--dump-dmesg', rearranged(path, tmp_path), log)
    with open(log) as f:
        assert f'Linux version {guest.release()}' in f.read()


def test_drgn(guest, tmp_path):
    """Kept pages can be read; excluded ones cause an error and do not read as
    zero."""
    for name in ('elf', 'kdump-raw-lzo'):
        path = str(tmp_path / name)
        guest.dump(path, format=name, exclude=['free'])
        excluded(guest)
        dump = open_dump(str(tmp_path / 'kdump-raw-lzo')) \
            if name != 'elf' else None
        ranges = dump.pfns if dump else \
            [p for s, n in open_dump(path).ranges()
             for p in range(s >> 12, s + n >> 12)]
        there = set(ranges)
        gone = next(p for p in range(0x1000, 0x10000) if p not in there)
        pfn = next(p for p in ranges if p > 0x1000)
        for at, good in ((pfn, True), (gone, False)):
            r = subprocess.run(['/usr/bin/python3', '-c', DRGN, path,
                                str(at * 4096)], capture_output=True)
            assert (r.returncode == 0) == good, r.stderr.decode()


def test_unusable(guest, whole, tmp_path):
    """This class excludes nothing here: there are no memory errors."""
    path = str(tmp_path / 'dump')
    guest.dump(path, format='kdump-raw-lzo', exclude=['unusable'])
    assert not excluded(guest)
    dump = open_dump(path)
    assert dump.dump_level == 0 and dump.pfns == open_whole(whole).pfns


def test_range(guest, whole, tmp_path):
    """The pages of a range of memory are excluded."""
    pfns = kept(whole, 31, tmp_path)
    first = pfns[len(pfns) // 2] - 0x777
    path = str(tmp_path / 'dump')
    guest.dump(path, begin=first << 12, length=16 << 20,
               exclude=classes(31))
    excluded(guest)
    ours = [p for start, size in open_dump(path).ranges()
            for p in range(start >> 12, start + size >> 12)]
    assert ours == [p for p in pfns if first <= p < first + 0x1000]


def test_hmp(guest, tmp_path):
    path = str(tmp_path / 'dump')
    assert guest.qmp.hmp(f'dump-guest-memory -l -R -x 24 {path}') == ''
    assert open_dump(path).dump_level == 24
    left_out = excluded(guest)
    text = guest.qmp.hmp('info dump')
    assert f"Left out: {left_out['free'] << 12} bytes of class 'free'" in text
    guest.qmp.hmp(f'dump-guest-memory -z -t 2 -x 17 {path}')
    assert open_dump(path).dump_level == 17
    guest.qmp.hmp(f'dump-guest-memory -x 16 {path} 0 0x1000000')
    assert excluded(guest)['free'] > 0
    for wrong in ('32', '-1', 'x', '1x'):
        assert 'expects a dump level from 0 to 31' in guest.qmp.hmp(
            f'dump-guest-memory -x {wrong} {path}')


@pytest.fixture(scope='module')
def running():
    with Guest() as g:
        yield g


@pytest.mark.parametrize('name', ['elf', 'kdump-raw-lzo'])
def test_live(running, tmp_path, name):
    """Pages are excluded from a live dump as well."""
    path = str(tmp_path / 'dump')
    running.qmp.event_names()
    running.dump(path, format=name, detach=True, live='on',
                 exclude=classes(31))
    event = running.qmp.wait_event('DUMP_COMPLETED')['data']
    assert 'error' not in event and 'warnings' not in event['result']
    left_out = {e['class'] for e in event['result']['excluded']}
    assert {'cache', 'free'} <= left_out
    pages = sum(size for _, size in open_dump(path).ranges()) >> 12 \
        if name == 'elf' else len(open_dump(path).pfns)
    assert 5000 < pages < 0x10000 / 2
    assert run('crash', '--osrelease', path).strip() == running.release()
    running.check_runs()


# -- guests that lack VMCOREINFO ---------------------------------------------

@pytest.fixture(scope='module')
def silent():
    """A guest whose driver has not published VMCOREINFO."""
    with Guest(device=False) as g:
        yield g


def test_search(silent, tmp_path):
    """VMCOREINFO is searched for, even for a range."""
    path = str(tmp_path / 'dump')
    silent.dump(path, exclude=['free'], begin=0, length=128 << 20)
    assert excluded(silent)['free'] > 1000
    assert silent.qmp.cmd('query-dump')['vmcoreinfo'] == 'search'


@pytest.mark.parametrize('detach', [False, True])
def test_not_understood(silent, tmp_path, detach):
    """The dump fails, and the output is unchanged."""
    path = str(tmp_path / 'dump')
    with open(path, 'w') as f:
        f.write('old')
    text = 'cannot determine which pages to exclude: there is no VMCOREINFO'
    arguments = {'exclude': ['zero', 'user'], 'vmcoreinfo': 'device'}
    silent.qmp.event_names()
    if detach:
        silent.dump(path, detach=True, **arguments)
        event = silent.qmp.wait_event('DUMP_COMPLETED')
        assert text in event['data']['error']
    else:
        with pytest.raises(QMPError, match=text):
            silent.dump(path, **arguments)
    with open(path) as f:
        assert f.read() == 'old'
    assert silent.status() == 'running'


# -- refusals ---------------------------------------------------------------

@pytest.fixture(scope='module')
def bare():
    with VM('-m', '16M', '-device', 'vmcoreinfo') as vm:
        yield vm


REFUSED = [
    ({'paging': True}, "'exclude' cannot be used with 'paging'"),
    ({'format': 'win-dmp'}, "'exclude' cannot be used with"),
    ({'vmcoreinfo': 'off'}, "'exclude' requires VMCOREINFO"),
    # The CPU runs firmware, which is 32-bit code.
    ({}, 'only be excluded for aarch64 guests and for x86_64 guests in '
         '64-bit mode'),
]


@pytest.mark.parametrize('arguments,text', REFUSED)
def test_refused(bare, tmp_path, arguments, text):
    """Refused before the guest is stopped or a file is created."""
    path = str(tmp_path / 'dump')
    with pytest.raises(QMPError, match=text):
        bare.dump(path, exclude=['free'], **arguments)
    assert not os.path.exists(path)
    assert bare.status() == 'running'


@pytest.mark.parametrize('name', ['elf', 'kdump-zlib'])
def test_zero_alone(bare, tmp_path, name):
    """Does not require Linux. All memory is in the file."""
    path = str(tmp_path / 'dump')
    bare.dump(path, exclude=['zero'], format=name)
    dump = open_dump(path)
    assert sum(size for _, size in dump.ranges()) >= 16 << 20
    if name != 'elf':
        assert dump.dump_level == 1 and dump.pfns == dump.ram
    assert 'excluded' not in bare.qmp.cmd('query-dump')
