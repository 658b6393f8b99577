# SPDX-License-Identifier: GPL-2.0-or-later
"""Defaults for arguments that a command leaves out."""

import os
import re
import shutil
import tempfile

import pytest

import devices
from live import Before, Held, Idle, descriptors, is_old, live
from qmp import QMPError
from sweep import Sweep
from test_hmp import Client, wait_full
from test_lifecycle import Stalled
from vm import VM, as_nobody
from vmcore import ElfDump, open_dump
from wait import wait_until

MIB = 1 << 20
VALUES = {
    'format': 'kdump-lzo', 'threads': 3, 'vmcoreinfo': 'device',
    'exclude': ['cache', 'free'], 'live': 'auto', 'live-buffer': 8 * MIB,
    'max-bandwidth': 1 << 40, 'direct': False,
}
NAMES = [*list(VALUES)[:-2], 'live-fd', 'max-bandwidth', 'direct']


def set_(vm, **arguments):
    vm.qmp.cmd('dump-set-parameters', **arguments)


def query(vm):
    return vm.qmp.cmd('query-dump-parameters')


@pytest.fixture(scope='module')
def module_vm(tmp_path_factory):
    path = str(tmp_path_factory.mktemp('hmp') / 'hmp')
    with VM('-m', '16M', '-device', 'vmcoreinfo', '-chardev',
            f'socket,id=hmp,server=on,wait=off,path={path}', '-mon',
            'chardev=hmp,mode=readline') as vm:
        vm.human_path = path
        yield vm


@pytest.fixture
def vm(module_vm):
    """A running machine without defaults."""
    set_(module_vm, unset=NAMES)
    module_vm.qmp.event_names()
    return module_vm


def result(vm):
    q = vm.qmp.cmd('query-dump')
    assert q['status'] == 'completed'
    return q


def warnings(vm, about=''):
    return [w for w in result(vm).get('warnings', []) if about in w]


def dumped(vm, out, **arguments):
    vm.dump(out, detach=True, **arguments)
    event = vm.qmp.wait_event('DUMP_COMPLETED')['data']
    assert event['result']['status'] == 'completed', event
    return event['result']


# -- set and query ------------------------------------------------------------


def test_none(vm):
    assert query(vm) == {}


@pytest.mark.parametrize('name', VALUES)
def test_one(vm, name):
    set_(vm, **{name: VALUES[name]})
    assert query(vm) == {name: VALUES[name]}
    set_(vm)
    assert query(vm) == {name: VALUES[name]}
    set_(vm, unset=[name])
    assert query(vm) == {}


def test_all(vm):
    set_(vm, **VALUES)
    assert query(vm) == VALUES
    # In any monitor.
    assert vm.second().cmd('query-dump-parameters') == VALUES
    set_(vm, threads=5, exclude=[], unset=['live', 'live-buffer',
                                             'max-bandwidth', 'direct', 'live'])
    assert query(vm) == {'format': 'kdump-lzo', 'threads': 5,
                         'vmcoreinfo': 'device', 'exclude': []}


def test_nothing_resets_them(vm, out):
    set_(vm, **{**VALUES, 'exclude': ['zero']})
    before = query(vm)
    dumped(vm, out)
    with pytest.raises(QMPError):
        vm.dump('/no/such/file')
    vm.qmp.cmd('system_reset')
    vm.qmp.wait_event('RESET')
    assert query(vm) == before


def test_schema(vm):
    """Each parameter can be set and unset, and is an argument of the
    command."""
    schema = {e['name']: e for e in vm.qmp.cmd('query-qmp-schema')}

    def members(command):
        arg = schema[schema[command]['arg-type']]
        return {m['name']: m['type'] for m in arg['members']}

    settable = members('dump-set-parameters')
    element = schema[schema[settable.pop('unset')]['element-type']]
    assert set(element['values']) == set(settable) == set(NAMES)
    assert settable.items() <= members('dump-guest-memory').items()
    answer = schema[schema['query-dump-parameters']['ret-type']]
    assert {m['name']: m['type'] for m in answer['members']} == settable
    assert all('default' in m for m in answer['members'])


WRONG = [
    ({'threads': 0}, "'threads' expects a number from 1 to 64"),
    ({'threads': 65}, "'threads' expects a number from 1 to 64"),
    ({'threads': 256}, "'threads'"),
    ({'live': 'perhaps'}, "'live'"),
    ({'live-buffer': 4096}, "'live-buffer' expects 1 MiB to 1 PiB"),
    ({'live-buffer': 1 << 51}, "'live-buffer' expects 1 MiB to 1 PiB"),
    ({'format': 'kdump-foo'}, "'format'"),
    ({'format': 'kdump-raw-zlib'}, 'a seekable output'),
    ({'vmcoreinfo': 'where'}, "'vmcoreinfo'"),
    ({'exclude': ['none']}, "'none'"),
    ({'exclude': ['free'], 'format': 'win-dmp'}, "'exclude'"),
    ({'exclude': ['free'], 'vmcoreinfo': 'off'}, "'vmcoreinfo' disables"),
    ({'live-fd': 'nobody'}, "'nobody' has not been found"),
    ({'unset': ['paging']}, 'paging'),
    ({'unset': ['threads', 'format']}, "'format' cannot be both set"),
    ({'job-id': 'dump'}, "'job-id' is unexpected"),
    ({'detach': True}, "'detach' is unexpected"),
]


@pytest.mark.parametrize('arguments,text', WRONG)
def test_wrong(vm, arguments, text):
    """If one value is invalid, the others are not set either."""
    before = {'threads': 2, 'live': 'auto'}
    set_(vm, **before)
    with pytest.raises(QMPError, match=re.escape(text)):
        set_(vm, **{'format': 'kdump-lzo', 'live': 'on', **arguments})
    assert query(vm) == before


def test_contradiction_with_what_is_set(vm):
    set_(vm, exclude=['free'])
    with pytest.raises(QMPError, match="'vmcoreinfo' disables"):
        set_(vm, vmcoreinfo='off')
    assert query(vm) == {'exclude': ['free']}
    set_(vm, vmcoreinfo='off', unset=['exclude'])
    assert query(vm) == {'vmcoreinfo': 'off'}


# -- effects ------------------------------------------------------------------


def test_format(vm, out):
    set_(vm, format='kdump-lzo')
    vm.dump(out)
    assert open_dump(out).flat and open_dump(out).status == 2
    vm.dump(out, format='elf')
    assert isinstance(open_dump(out), ElfDump)
    set_(vm, unset=['format'])
    vm.dump(out)
    assert isinstance(open_dump(out), ElfDump)
    assert warnings(vm, 'default') == []


def test_exclude(vm, out):
    set_(vm, exclude=['zero'])
    vm.dump(out, format='kdump-raw-zlib')
    assert open_dump(out).dump_level == 1
    vm.dump(out, format='kdump-raw-zlib', exclude=[])
    assert open_dump(out).dump_level == 0
    assert warnings(vm, 'default') == []


def test_threads(full):
    set_(full, threads=3)
    for threads, arguments in (3, {}), (2, {'threads': 2}):
        dump = Stalled(full, format='kdump-zlib', **arguments)
        # Pages are written, so all threads have started and set their names.
        wait_full(dump.r)
        wait_until(lambda: full.threads().count('dump-worker') == threads,
                   full.threads)
        dump.drain()
    set_(full, unset=['threads'])


def test_vmcoreinfo(vm, out):
    set_(vm, vmcoreinfo='off')
    vm.dump(out)
    assert warnings(vm) == []
    vm.dump(out, vmcoreinfo='device')
    assert warnings(vm) == ['guest note is not present']


@pytest.mark.parametrize('how', ['on', 'auto'])
def test_live(vm, out, how):
    set_(vm, live=how)
    assert 'live' in dumped(vm, out)
    # As used by libvirt.
    assert 'live' in dumped(vm, out, format='kdump-zlib')
    assert 'live' not in dumped(vm, out, live='off')
    set_(vm, live='off')
    assert 'live' in dumped(vm, out, live='on')
    assert warnings(vm, 'default') == []


def test_live_buffer(out):
    """So small that the guest has to be stopped."""
    with Idle() as vm:
        set_(vm, live_buffer=MIB)
        dump = Held(vm)
        vm.overwrite(vm.pages()[:1000])
        assert live(vm)['stopped-again']
        assert dump.finish(out)['result']['status'] == 'completed'
        is_old(open_dump(out), vm.pages())


def test_live_buffer_alone(vm, out):
    """It is ignored without a warning; in a command it is an error."""
    set_(vm, live_buffer=64 * MIB)
    assert 'live' not in dumped(vm, out)
    assert warnings(vm, 'default') == []
    with pytest.raises(QMPError, match="requires 'live'"):
        vm.dump(out, live_buffer=64 * MIB, detach=True)


# -- arguments override defaults ----------------------------------------------

# Defaults, arguments of the command, the default ignored, and the reason.
CONTRADICTIONS = [
    ({'format': 'kdump-zlib'}, {'paging': True}, 'format',
     "doesn't support paging or filter"),
    ({'format': 'win-dmp'}, {'begin': 0, 'length': 4096}, 'format',
     "doesn't support paging or filter"),
    ({'exclude': ['zero']}, {'paging': True}, 'exclude', "'paging'"),
    ({'exclude': ['free']}, {'vmcoreinfo': 'off'}, 'exclude', 'VMCOREINFO'),
    ({'format': 'win-dmp'}, {'exclude': ['zero']}, 'format', "'win-dmp'"),
    ({'live': 'on'}, {'detach': False}, 'live', "without 'detach'"),
    ({'max-bandwidth': 1 << 20}, {'detach': False}, 'max-bandwidth',
     "'detach'"),
]


@pytest.mark.parametrize('defaults,arguments,name,why', CONTRADICTIONS)
def test_contradiction(vm, out, defaults, arguments, name, why):
    set_(vm, **defaults)
    vm.dump(out, **arguments)
    told = warnings(vm, 'default')
    assert len(told) == 1, told
    assert told[0].startswith(f"the default of '{name}' is not used: ")
    assert why in told[0]
    assert isinstance(open_dump(out), ElfDump)
    assert 'live' not in result(vm) and 'excluded' not in result(vm)
    # The event has the same warning.
    event = vm.qmp.wait_event('DUMP_COMPLETED')['data']['result']
    assert told[0] in event['warnings']
    assert query(vm) == defaults


@pytest.mark.parametrize('defaults,arguments,name,why', CONTRADICTIONS)
def test_contradiction_in_the_command(vm, out, defaults, arguments, name,
                                      why):
    set_(vm, unset=NAMES)
    with pytest.raises(QMPError, match=re.escape(why)):
        vm.dump(out, **defaults, **arguments)
    assert not os.path.exists(out)


def test_windows_with_exclude(vm, out):
    """The default is ignored; the guest is then refused, as it is not
    Windows."""
    set_(vm, exclude=['zero'])
    with pytest.raises(QMPError, match='no Windows crash dump'):
        vm.dump(out, format='win-dmp')


def test_vmcoreinfo_gives_way(vm, out):
    """A filter takes precedence; the guest is then refused, as it runs
    firmware."""
    set_(vm, vmcoreinfo='off')
    with pytest.raises(QMPError, match='only be excluded for'):
        vm.dump(out, exclude=['free'])


def test_two_at_once(vm, out):
    set_(vm, format='kdump-zlib', exclude=['zero'], live='on')
    vm.dump(out, paging=True)
    assert [re.search("'(.*?)'", w)[1] for w in warnings(vm, 'default')] == \
        ['format', 'exclude', 'live']


def test_live_auto_without_detach(vm, out):
    """Like 'auto' in the command."""
    set_(vm, live='auto')
    vm.dump(out)
    assert warnings(vm, "'detach'") == \
        ["a live dump is not possible without 'detach'"]


# -- a descriptor for all dumps -----------------------------------------------


@pytest.fixture
def nobody():
    """A QEMU not permitted to use userfaultfd, and a folder for its dumps."""
    with open('/proc/sys/vm/unprivileged_userfaultfd') as f:
        if int(f.read()):
            pytest.skip('unprivileged users may use userfaultfd')
    folder = tempfile.mkdtemp(prefix='dump-', dir='/tmp')
    os.chmod(folder, 0o777)
    with Sweep(16 << 20, args=as_nobody()) as vm:
        vm.dumps = folder + '/dump'
        yield vm
    shutil.rmtree(folder)


def pass_device(vm, path=devices.USERFAULTFD):
    devices.require(path)
    fd = os.open(path, os.O_RDWR)
    vm.qmp.getfd('uffd', fd)
    os.close(fd)


def test_descriptor(nobody):
    vm = nobody
    set_(vm, live='on')
    with pytest.raises(QMPError, match='not permitted to use userfaultfd'):
        dumped(vm, vm.dumps)
    before = Before(vm)
    pass_device(vm)
    set_(vm, live_fd='uffd')
    assert query(vm) == {'live': 'on', 'live-fd': 'uffd'}
    # The monitor no longer has the descriptor, and does not need it.
    with pytest.raises(QMPError, match='not been found|not found'):
        vm.qmp.cmd('closefd', fdname='uffd')
    for _ in range(2):
        assert 'live' in dumped(vm, vm.dumps)
    kept = descriptors(vm)
    # Replace it by another one.
    pass_device(vm)
    set_(vm, live_fd='uffd')
    assert 'live' in dumped(vm, vm.dumps)
    assert descriptors(vm) == kept
    # A descriptor of the command takes precedence, and is consumed.
    pass_device(vm)
    assert 'live' in dumped(vm, vm.dumps, live_fd='uffd')
    assert descriptors(vm) == kept
    set_(vm, unset=['live-fd'])
    with pytest.raises(QMPError, match='not permitted to use userfaultfd'):
        dumped(vm, vm.dumps)
    before.nothing_left()


def test_wrong_descriptor(vm, tmp_path):
    """It is consumed and closed."""
    path = tmp_path / 'file'
    path.touch()
    before = descriptors(vm)
    pass_device(vm, str(path))
    with pytest.raises(QMPError, match="'live-fd': .*/dev/userfaultfd"):
        set_(vm, live='on', live_fd='uffd')
    assert query(vm) == {}
    assert descriptors(vm) == before
    # It is not consumed if something else is invalid.
    pass_device(vm)
    with pytest.raises(QMPError, match="'threads'"):
        set_(vm, threads=0, live_fd='uffd')
    vm.qmp.cmd('closefd', fdname='uffd')


# -- the human monitor --------------------------------------------------------


def info(vm):
    """The parameters that are set."""
    lines = vm.qmp.hmp('info dump_parameters').split('\r\n')[:-1]
    shown = dict(line.split(': ', 1) for line in lines)
    assert list(shown) == NAMES
    return {k: v for k, v in shown.items() if v != 'not set'}


HMP = [
    ('format kdump-lzo', {'format': 'kdump-lzo'}, 'kdump-lzo'),
    ('threads 3', {'threads': 3}, '3'),
    ('vmcoreinfo off', {'vmcoreinfo': 'off'}, 'off'),
    ('exclude 31', {'exclude': ['zero', 'cache', 'cache-private', 'user',
                                'free']},
     'zero,cache,cache-private,user,free'),
    ('exclude user,unusable', {'exclude': ['user', 'unusable']},
     'user,unusable'),
    ('exclude 0', {'exclude': []}, ''),
    ('live auto', {'live': 'auto'}, 'auto'),
    ('live-buffer 512M', {'live-buffer': 512 * MIB}, str(512 * MIB)),
    ('max-bandwidth 9M', {'max-bandwidth': 9 * MIB}, str(9 * MIB)),
]


@pytest.mark.parametrize('line,expected,text', HMP)
def test_monitor(vm, line, expected, text):
    name = line.split()[0]
    assert vm.qmp.hmp(f'dump_set_parameter {line}') == ''
    assert query(vm) == expected
    assert info(vm) == {name: text}
    assert vm.qmp.hmp(f'dump_set_parameter {name}') == ''
    assert query(vm) == {}
    assert info(vm) == {}


@pytest.mark.parametrize('line,text', [
    ('paging on', "Invalid parameter 'paging'"),
    ('unset live', "Invalid parameter 'unset'"),
    ('threads 0', "Parameter 'threads' expects a number from 1 to 64"),
    ('threads many', "'threads'"),
    ('threads 256', "'threads'"),
    ('live perhaps', "'live'"),
    ('live-buffer much', "'live-buffer'"),
    ('exclude 32', "Parameter 'exclude' expects a dump level from 0 to 31"),
    ('exclude free,no', "'no'"),
    ('format kdump-raw-zlib', 'seek'),
])
def test_monitor_wrong(vm, line, text):
    set_(vm, threads=2)
    answer = vm.qmp.hmp(f'dump_set_parameter {line}')
    assert answer.startswith('Error: ') and text in answer
    assert query(vm) == {'threads': 2}


def test_monitor_dump(vm, out):
    """A flag overrides the default, which is used without it."""
    set_(vm, format='kdump-lzo', threads=2, exclude=['zero'])
    vm.qmp.hmp(f'dump-guest-memory {out}')
    assert open_dump(out).status == 2 and open_dump(out).dump_level == 1
    vm.qmp.hmp(f'dump-guest-memory -z -R -x 0 {out}')
    assert open_dump(out).status == 1 and open_dump(out).dump_level == 0
    text = vm.qmp.hmp(f'dump-guest-memory -p {out}')
    assert "warning: dump: the default of 'format' is not used" in text
    assert "Warning: the default of 'exclude' is not used" in \
        vm.qmp.hmp('info dump')


def test_monitor_live(vm, out):
    """A monitor that can be suspended makes live dumps without -d;
    human-monitor-command does not."""
    set_(vm, live='on')
    human = Client(vm.human_path)
    answer = human.ask(f'dump-guest-memory {out}')
    assert 'Error' not in answer and "'live'" not in answer
    assert 'live' in result(vm)
    vm.qmp.hmp(f'dump-guest-memory {out}')
    assert 'live' not in result(vm) and len(warnings(vm, "'live'")) == 1


def test_completion(vm):
    human = Client(vm.human_path)
    human.sock.sendall(b'dump_set_parameter vm\t')
    human.until('dump_set_parameter vmcoreinfo ')
    human.sock.sendall(b'off\n')
    human.until('(qemu) ')
    assert query(vm) == {'vmcoreinfo': 'off'}
    human.sock.sendall(b'dump_set_parameter live\t')
    assert human.until('live-fd').count('live-buffer') == 1
    human.sock.sendall(b'\x15\n')


def test_help(vm):
    assert 'dump_set_parameter parameter [value] -- ' in \
        vm.qmp.hmp('help dump_set_parameter')
    assert 'info dump_parameters' in vm.qmp.hmp('help info')
