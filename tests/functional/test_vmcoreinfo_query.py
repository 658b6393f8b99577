# SPDX-License-Identifier: GPL-2.0-or-later
"""query-vmcoreinfo and 'info vmcoreinfo': the note of a running guest."""

import os
import resource
import signal
import time

import pytest

import faults
import qtest
import ram
from guest import Guest
from qmp import QMPError
from qtest import note
from test_cancel import Human
from test_faults import address_space
from test_lifecycle import Stalled
from test_vmcoreinfo_search import made_up  # noqa: F401
from test_vmcoreinfo_search import (KERNEL_MAP, MiB, put, source, text,
                                    text_of, uts)
from vm import VM
from vmcore import open_dump
from wait import wait_until

pytestmark = [pytest.mark.guest, pytest.mark.once]

BUSY = 'There is a query for VMCOREINFO in progress'
NOTHING = 'guest memory has no VMCOREINFO of a running Linux'


def query(vm, **arguments):
    return vm.qmp.cmd('query-vmcoreinfo', **arguments)


# -- real guests ----------------------------------------------------------------

@pytest.fixture(scope='module', params=['device', 'no driver', 'no device'])
def guest(request):
    """Guests with KASLR."""
    append = 'module_blacklist=qemu_fw_cfg' if request.param == 'no driver' \
        else ''
    with Guest(device=request.param != 'no device', append=append,
               memory='512M') as g:
        g.want = 'device' if request.param == 'device' else 'search'
        yield g


def test_guest(guest, tmp_path):
    """The note is the same as in a dump, and is at the reported address."""
    path, saved = str(tmp_path / 'dump'), str(tmp_path / 'saved')
    guest.qmp.event_names()
    answer = query(guest)
    assert guest.qmp.event_names() == []        # no STOP
    assert guest.status() == 'running'
    guest.check_runs()
    assert answer['source'] == guest.want
    assert 'warnings' not in answer
    assert f'OSRELEASE={guest.release()}\n' in answer['text']
    guest.dump(path)
    assert source(guest) == guest.want
    assert text_of(open_dump(path)).decode() == answer['text']
    guest.qmp.cmd('pmemsave', val=answer['address'], size=answer['size'],
                  filename=saved)
    with open(saved, 'rb') as f:
        assert f.read() == note(answer['text'])[:answer['size']]


def test_monitor(guest):
    answer = query(guest)
    lines = guest.qmp.hmp('info vmcoreinfo').splitlines()
    assert lines[:2] == [
        f'Source: {guest.want}',
        f'Note: {answer["size"]} bytes at {answer["address"]:#x}']
    assert lines[2:] == answer['text'].splitlines()


def test_no_search(guest):
    answer = query(guest, search=False)
    if guest.want == 'device':
        assert answer == query(guest)
    else:
        assert (answer['source'], 'text' in answer) == ('none', False)


def test_stopped(guest):
    """A guest that is stopped already."""
    want = query(guest)
    guest.qmp.cmd('stop')
    try:
        assert query(guest) == want
        assert guest.status() == 'paused'
    finally:
        guest.qmp.cmd('cont')


# -- synthetic guests ------------------------------------------------------------

def publish(vm, data, at=8 * MiB):
    put(vm.memory, at, data)
    fw_cfg = qtest.FwCfg(qtest.QTest(vm.path('qtest')))
    fw_cfg.publish_note(at, len(data))


def test_not_linux(made_up):  # noqa: F811
    put(made_up.memory, 4 * MiB, os.urandom(2 * MiB))
    answer = query(made_up)
    assert sorted(answer) == ['source', 'warnings']
    assert answer['source'] == 'none'
    assert answer['warnings'][0] == 'guest note is not present'
    assert answer['warnings'][1].startswith(NOTHING)
    assert NOTHING in made_up.qmp.hmp('info vmcoreinfo')


@pytest.mark.parametrize('args', [
    ('-m', '16M'), ('-m', '16M', '-device', 'vmcoreinfo')])
def test_firmware_only(args):
    with VM(*args) as vm:
        answer = query(vm)
        assert answer['source'] == 'none'
        assert answer['warnings'][-1].startswith(NOTHING)
        assert len(answer['warnings']) == len(args) // 2


def test_no_cpu():
    with VM(machine='none') as vm:
        answer = query(vm)
        assert answer['source'] == 'none'
        assert len(answer['warnings']) == 1


def test_drivers_kernel_gone(made_up):  # noqa: F811
    """kexec: a note found in memory is preferred; if there is none, this is
    reported."""
    old, new = text(KERNEL_MAP, 6 * MiB, '5.10.0'), text(KERNEL_MAP, 5 * MiB)
    publish(made_up, note(old))
    answer = query(made_up)
    assert (answer['source'], answer['text']) == ('device', old)
    assert 'does not match it' in answer['warnings'][0]
    put(made_up.memory, 9 * MiB, note(new))
    put(made_up.memory, 5 * MiB, uts('6.1.0'))
    answer = query(made_up)
    assert (answer['source'], answer['text']) == ('search', new)
    assert answer['address'] == 9 * MiB
    assert 'is used instead' in answer['warnings'][0]


def test_hostile_text(made_up):  # noqa: F811
    """Text that is not valid does not break JSON or the terminal."""
    data = b'A=\xff\xfe\nB=\x1b[2J\r"\\\nC=\0D=1\n'
    publish(made_up, note(data))
    answer = query(made_up)
    assert answer['source'] == 'device'
    assert answer['text'] == 'A=\ufffd\ufffd\nB=\x1b[2J\r"\\\nC='
    assert answer['size'] == 24 + len(data)
    lines = made_up.qmp.hmp('info vmcoreinfo').splitlines()
    assert lines[-3:] == ['A=??', 'B=?[2J?"\\', 'C=']


def test_long_text(made_up):  # noqa: F811
    publish(made_up, note('x' * 100000))
    answer = query(made_up)
    assert answer['text'] == 'x' * 65536
    assert answer['size'] == 100024


def test_note_without(made_up):  # noqa: F811
    publish(made_up, note('abc', b'OTHER\0'))
    assert 'guest note has no VMCOREINFO' in query(made_up)['warnings']
    publish(made_up, note('abc', descsz=0xffffffff))
    assert 'guest note has no VMCOREINFO' in query(made_up)['warnings']


def test_found_before_the_stop(made_up, tmp_path):  # noqa: F811
    """A dump does not search again if the note is still there: it would find
    others that cannot be distinguished."""
    memory, path = made_up.memory, str(tmp_path / 'dump')
    true = text(KERNEL_MAP, 5 * MiB)
    put(memory, 5 * MiB, uts('6.1.0'))
    put(memory, 9 * MiB, note(true))
    assert query(made_up)['source'] == 'search'
    put(memory, 8 * MiB, note(true + 'LENGTH(mem_section)=2048\n'))
    put(memory, 7 * MiB, note(true + 'LENGTH(mem_section)=1024\n'))
    made_up.dump(path)
    assert source(made_up) == 'search'
    assert text_of(open_dump(path)).decode() == true
    # It is gone: all memory is searched.
    put(memory, 9 * MiB, bytes(4096))
    made_up.dump(path)
    assert source(made_up) == 'none'
    warnings = made_up.qmp.cmd('query-dump')['warnings']
    assert 'notes of 2 kernels' in warnings[0]


def test_nothing_is_allocated(tmp_path):
    """Memory that the guest never used is not allocated."""
    path = str(tmp_path / 'ram')
    with VM(*ram.backend(path, 512 * MiB), machine=None) as vm:
        before = os.stat(path).st_blocks
        assert query(vm)['source'] == 'none'
        assert os.stat(path).st_blocks == before


# -- during a search --------------------------------------------------------------

def start(vm, human=False):
    """Begin a query, and wait until its search is held."""
    if human:
        vm.human.say('info vmcoreinfo')
    else:
        vm.qmp.send('query-vmcoreinfo')
    wait_until(lambda: os.path.exists(vm.fault + '.held'),
               'no search was started')


def monitor(folder):
    return ('-chardev', f'socket,id=hmp,server=on,wait=off,path={folder}/hmp',
            '-mon', 'chardev=hmp,mode=readline')


@pytest.fixture
def held(faults_so, tmp_path):
    """A machine in which a search is paused until .go()."""
    path, fault = str(tmp_path / 'ram'), str(tmp_path / 'fault')
    ram.fill(path, 64 * MiB)
    with VM(*ram.backend(path, 64 * MiB), *monitor(tmp_path), machine=None,
            env=faults.hold(faults_so, fault)) as vm:
        vm.human = Human(str(tmp_path / 'hmp'))
        vm.oob = vm.connect('other', oob=True)
        vm.fault, vm.go = fault, lambda: faults.let_go(fault)
        yield vm


def test_guest_goes_on(faults_so, tmp_path):
    """The guest and other monitors continue, but not QMP commands; a dump does
    not wait."""
    fault, path = str(tmp_path / 'fault'), str(tmp_path / 'dump')
    with Guest(*monitor(tmp_path), device=False,
               env=faults.hold(faults_so, fault)) as guest:
        human, guest.fault = Human(str(tmp_path / 'hmp')), fault
        start(guest)
        guest.check_runs()
        assert 'VM status: running' in human.ask('info status')
        assert 'rror' not in human.ask(f'dump-guest-memory {path}')
        assert open_dump(path).vmcoreinfo['OSRELEASE'] == guest.release()
        guest.check_runs()
        assert 'vmcoreinfo' in guest.threads()
        faults.let_go(fault)
        answer = guest.qmp.reply()
        assert answer['source'] == 'search'
        assert f'OSRELEASE={guest.release()}\n' in answer['text']
        guest.wait_threads_end('vmcoreinfo')


def test_second_query(held):
    start(held)
    assert BUSY in held.human.ask('info vmcoreinfo')
    held.go()
    assert held.qmp.reply()['source'] == 'none'
    held.wait_threads_end('vmcoreinfo')
    assert 'Source: none' in held.human.ask('info vmcoreinfo')


def test_human_waits(held):
    """Only the human monitor that sent the query is suspended."""
    start(held, human=True)
    assert held.status() == 'prelaunch'
    with pytest.raises(QMPError, match=BUSY):
        query(held)
    held.go()
    assert 'Source: none' in held.human.until('(qemu) ')
    held.wait_threads_end('vmcoreinfo')


def test_during_a_dump(running):
    dump = Stalled(running)
    with pytest.raises(QMPError, match='There is a dump in process'):
        query(running)
    assert 'There is a dump in process' in \
        running.qmp.hmp('info vmcoreinfo')
    dump.drain()
    assert query(running)['source'] == 'none'


def test_incoming():
    with VM('-m', '16M', '-incoming', 'defer') as vm:
        with pytest.raises(QMPError, match='incoming migration'):
            query(vm)


# -- end of a search ---------------------------------------------------------------

def test_cancel(held):
    start(held)
    held.oob.send('dump-cancel', out_of_band=True)
    assert held.oob.reply() == {}
    held.go()
    with pytest.raises(QMPError, match='query for VMCOREINFO was cancelled'):
        held.qmp.reply()
    held.wait_threads_end('vmcoreinfo')
    assert query(held)['source'] == 'none'
    with pytest.raises(QMPError, match='no dump in progress'):
        held.qmp.cmd('dump-cancel')


def test_cancel_human(held):
    start(held, human=True)
    held.qmp.cmd('dump-cancel')
    held.go()
    assert 'was cancelled' in held.human.until('(qemu) ')


def test_cancel_is_for_the_dump(held, tmp_path):
    """With both running, the dump is cancelled."""
    start(held, human=True)
    dump = Stalled(held)
    held.qmp.cmd('dump-cancel')
    event = dump.drain()
    assert event['data']['error'] == 'dump: cancelled'
    held.go()
    assert 'Source: none' in held.human.until('(qemu) ')


@pytest.mark.parametrize('human', [False, True])
@pytest.mark.parametrize('how', ['quit', 'signal'])
def test_exit(held, human, how):
    """The search ends early, and the client gets an error."""
    start(held, human)
    if how == 'signal':
        held.proc.send_signal(signal.SIGTERM)
    elif human:
        held.qmp.send('quit')
    else:
        held.human.say('quit')
    time.sleep(0.3)
    held.go()
    if not human:
        with pytest.raises(QMPError, match='was cancelled'):
            held.qmp.reply()
    assert held.wait_exit() == 0


def test_exit_that_cannot_wait(held):
    """Memory that hangs does not block QEMU's exit."""
    start(held)
    held.proc.send_signal(signal.SIGTERM)
    with pytest.raises(QMPError, match='exits before the query has ended'):
        held.qmp.reply()
    assert held.wait_exit() == 0


def test_no_thread():
    """This is an error and does not terminate QEMU."""
    with VM('-m', '16M', '-S') as vm:
        resource.prlimit(vm.proc.pid, resource.RLIMIT_AS,
                         (address_space(vm) + (256 << 10),
                          resource.RLIM_INFINITY))
        with pytest.raises(QMPError, match='failed to start a thread'):
            query(vm)
        resource.prlimit(vm.proc.pid, resource.RLIMIT_AS,
                         (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert query(vm)['source'] == 'none'
