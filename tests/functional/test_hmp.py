# SPDX-License-Identifier: GPL-2.0-or-later
"""The human monitor's commands."""

import array
import contextlib
import fcntl
import os
import pty
import re
import select
import subprocess
import termios
import time

import pytest

from qmp import QMPError
from test_cancel import Human
from test_lifecycle import BUSY, Stalled
from vm import VM
from vmcore import ElfDump, open_dump
from wait import HANGS, wait_until

FLAGS = {'': 'elf', '-z': 1, '-l': 2, '-s': 4, '-Z': 0x20}


@pytest.mark.parametrize('flag,raw', [
    (flag, raw) for flag in FLAGS for raw in ('', '-R') if flag or not raw])
def test_formats(still, out, flag, raw):
    assert still.qmp.hmp(f'dump-guest-memory {flag} {raw} {out}') == ''
    dump = open_dump(out)
    if flag:
        assert dump.status == FLAGS[flag]
        assert dump.flat == (raw == '')
    else:
        assert isinstance(dump, ElfDump)


@pytest.mark.parametrize('flags', ['-R', '-d -R', '-p -R', '-w -R'])
def test_raw_is_refused(still, out, flags):
    """-R with a format that has no raw form is refused, not ignored."""
    before = still.qmp.cmd('query-dump')
    assert still.qmp.hmp(f'dump-guest-memory {flags} {out}') == \
        "Error: '-R' needs one of '-z|-l|-s|-Z'\r\n"
    assert not os.path.exists(out)
    assert still.qmp.cmd('query-dump') == before


@pytest.mark.parametrize('flags', ['-z -l', '-z -s', '-l -s', '-w -z',
                                   '-w -z -l -s', '-z -l -R'])
def test_conflicting_flags(still, out, flags):
    text = still.qmp.hmp(f'dump-guest-memory {flags} {out}')
    assert text == "Error: only one of '-z|-l|-s|-w' can be set\r\n"
    assert not os.path.exists(out)


@pytest.mark.parametrize('flags', ['-z -Z', '-w -Z', '-s -Z -R'])
def test_conflicting_flags_with_zstd(still, out, flags):
    text = still.qmp.hmp(f'dump-guest-memory {flags} {out}')
    assert text == "Error: only one of '-z|-l|-s|-w|-Z' can be set\r\n"
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
    text = running.qmp.hmp('info dump')
    assert text.startswith('Status: completed')
    assert 'Finished' not in text


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
    assert lines[1] == f'Guest memory: {total} of {total} bytes'


def test_dev_null(still):
    """The commands that QEMU's own test-hmp runs."""
    assert still.qmp.hmp('dump-guest-memory /dev/null 0 4096') == ''
    assert still.qmp.hmp('dump-guest-memory /dev/null') == ''


HELP = """\
dump-guest-memory [-p] [-d] [-L] [-z|-l|-s|-w|-Z] [-R] [-n] [-D] [-t threads] [-x level] \
[-b bandwidth] filename [begin length] -- dump guest memory into file 'filename'.
-p: do paging to get guest's memory mapping.
-d: return immediately (do not wait for completion).
-L: do not stop the guest while its memory is written.
-z: dump in kdump-compressed format, with zlib compression.
-l: dump in kdump-compressed format, with lzo compression.
-s: dump in kdump-compressed format, with snappy compression.
-Z: dump in kdump-compressed format, with zstd compression.
-R: when using kdump (-z, -l, -s, -Z), use raw rather than \
makedumpfile-flattened
format
-n: 'filename' is the name of a block node.
-D: leave nothing of the file in the host's page cache.
-t: number of threads that compress pages.
-x: exclude classes of pages of a Linux guest; makedumpfile's dump level, \
0 to 31.
-b: maximum number of bytes written per second (MiB without a suffix).
-w: dump in Windows crashdump format (can be used instead of ELF-dump \
converting),
for Windows x86 and x64 guests with vmcoreinfo driver only.
begin: the starting physical address.
length: the memory size, in bytes.
"""


def test_help(still):
    """The options of the unmodified QEMU, and -L, -Z, -n, -D, -t, -x and -b."""
    text = still.qmp.hmp('help dump-guest-memory')
    assert [x.strip() for x in text.splitlines()] == HELP.splitlines()
    assert 'Display the latest dump status' in still.qmp.hmp('help info')


@pytest.mark.parametrize('threads', ['1', '3'])
def test_threads(still, out, threads):
    assert still.qmp.hmp(f'dump-guest-memory -z -t {threads} {out}') == ''
    open_dump(out)


@pytest.mark.parametrize('threads', ['0', '65', '256', '-1', 'many', '2x'])
def test_bad_threads(still, out, threads):
    text = still.qmp.hmp(f'dump-guest-memory -z -t {threads} {out}')
    assert "Parameter 'threads' expects a number from 1 to 64" in text
    assert not os.path.exists(out)


# -- what scripts may compare -------------------------------------------------

# Error messages that are identical to the unmodified QEMU's.
CONFLICT = "kdump-compressed format doesn't support paging or filter"
STOCK = [
    ('-p -z OUT', CONFLICT),
    ('-z OUT 0 4096', CONFLICT),
    ('-w OUT 0 4096', CONFLICT),
    ('OUT 0', "Parameter 'length' is missing"),
    ('""', "Could not open '': No such file or directory"),
    ('/no/such/x', "Could not open '/no/such/x': No such file or directory"),
    ('/proc', "Could not open '/proc': Is a directory"),
]
# Error messages that begin like the unmodified QEMU's but have more details.
STOCK_BEGINNINGS = [
    ('OUT -4096 8192', "Invalid parameter 'begin': "),
    ('OUT 0 0', "Invalid parameter 'length': "),
]
STOCK_QMP = [
    ({'protocol': 'file:'}, "Could not open '': No such file or directory"),
    ({'protocol': 'fd:'}, "File descriptor named '' has not been found"),
    ({'protocol': 'fd:nobody'},
     "File descriptor named 'nobody' has not been found"),
    ({'protocol': 'nonsense'}, "Invalid parameter 'protocol'"),
    ({'begin': 0}, "Parameter 'length' is missing"),
    ({'length': 4096}, "Parameter 'begin' is missing"),
    ({'begin': 0, 'length': 0}, "Invalid parameter 'length'"),
    ({'begin': -1, 'length': 4096}, "Invalid parameter 'begin'"),
    ({'format': 'kdump-lzo', 'paging': True}, CONFLICT),
    ({'format': 'win-dmp', 'begin': 0}, CONFLICT),
    ({'format': 'kdump-foo'}, "Parameter 'format' does not accept value "
     "'kdump-foo'"),
]


@pytest.mark.parametrize('arguments,text', STOCK)
def test_error_texts(still, out, arguments, text):
    line = 'dump-guest-memory ' + arguments.replace('OUT', out)
    assert still.qmp.hmp(line) == f'Error: {text}\r\n'
    assert not os.path.exists(out)


@pytest.mark.parametrize('arguments,text', STOCK_BEGINNINGS)
def test_beginnings_of_errors(still, out, arguments, text):
    line = 'dump-guest-memory ' + arguments.replace('OUT', out)
    assert still.qmp.hmp(line).startswith(f'Error: {text}')


@pytest.mark.parametrize('arguments,text', STOCK_QMP)
def test_error_texts_of_qmp(still, out, arguments, text):
    arguments = {'paging': False, 'protocol': f'file:{out}', **arguments}
    with pytest.raises(QMPError) as e:
        still.qmp.cmd('dump-guest-memory', **arguments)
    assert re.fullmatch(re.escape(text) + '(: .*)?', str(e.value))
    assert not os.path.exists(out)


def test_error_without_memory(out):
    with VM(machine='none') as vm:
        assert vm.qmp.hmp(f'dump-guest-memory {out}') == \
            'Error: dump: no guest memory to dump\r\n'


INFO = r"""Status: active
Finished: [0-9.]+ %
Guest memory: \d+ of \d+ bytes
Written: \d+ bytes
Phase: write
Elapsed: [0-9.]+ s
(Rate: [0-9.]+ MiB/s
Remaining: [0-9.]+ s
)?"""


def test_info(tmp_path):
    """The output begins with the lines of the unmodified QEMU: the status and,
    during a dump, the finished percentage."""
    with VM('-m', '16M') as vm:
        def info():
            return vm.qmp.hmp('info dump').replace('\r', '')
        assert info() == 'Status: none\n'
        dump = Stalled(vm)
        assert re.fullmatch(INFO, info())
        dump.drain()
        assert [x.split(':')[0] for x in info().splitlines()] == \
            ['Status', 'Guest memory', 'Written', 'Elapsed', 'Rate']
        with pytest.raises(QMPError):
            vm.dump('/dev/full')
        assert info().startswith('Status: failed\nGuest memory: ')
        assert info().endswith('\nError: dump: writing ELF header: No space '
                               'left on device\n')


# -- two clients ----------------------------------------------------------------


def wait_full(pipe):
    """Wait until the pipe is full of memory data, and the writer waits."""
    size = array.array('i', [0])

    def full():
        fcntl.ioctl(pipe, termios.FIONREAD, size)
        return size[0] >= 32768

    wait_until(full, size)


class Fifo:
    """A named pipe as output; it has no reader yet."""

    def __init__(self, path):
        self.path = str(path)
        os.mkfifo(self.path)
        self.r = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)

    def wait_full(self):
        wait_full(self.r)

    def drain(self, vm):
        """Read a dump to its end; returns its event."""
        os.set_blocking(self.r, True)
        with subprocess.Popen(['cat'], stdin=self.r,
                              stdout=subprocess.DEVNULL) as cat:
            os.close(self.r)
            event = vm.qmp.wait_event('DUMP_COMPLETED')
            assert cat.wait(HANGS) == 0
        return event


class Client(Human):
    """A client with timeouts, so that a hang fails the test."""

    def until(self, what):
        deadline = time.monotonic() + HANGS
        while what not in self.text:
            assert time.monotonic() < deadline, self.text
            self.receive()
        return super().until(what)


@pytest.fixture
def two(tmp_path):
    """A machine with a human monitor on a socket, beside QMP."""
    path = str(tmp_path / 'hmp')
    with VM('-m', '16M', '-chardev',
            f'socket,id=hmp,server=on,wait=off,path={path}',
            '-mon', 'chardev=hmp,mode=readline') as vm:
        vm.human = Client(path)
        vm.fifo = Fifo(tmp_path / 'fifo')
        yield vm


def begin(vm):
    """Begin a dump in the monitor that waits for its reader."""
    vm.human.say(f'dump-guest-memory {vm.fifo.path}')
    vm.qmp.wait_event('STOP')
    vm.fifo.wait_full()


def broken(vm):
    os.close(vm.fifo.r)
    return vm.qmp.wait_event('DUMP_COMPLETED')


@pytest.mark.parametrize('rest', [0, 0.7])
def test_own_error_before_another_dump(two, rest):
    """The other dump is running when the monitor reports its own error."""
    begin(two)
    time.sleep(rest)
    assert 'Broken pipe' in broken(two)['data']['error']
    other = Stalled(two)
    assert two.human.until('(qemu) ') == \
        'Error: dump: writing memory: Broken pipe\r\n(qemu) '
    assert 'Status: active' in two.human.ask('info dump')
    assert other.drain()['data']['result']['status'] == 'completed'


def test_own_error_not_anothers_success(two, out):
    begin(two)
    broken(two)
    two.dump(out)
    assert two.human.until('(qemu) ') == \
        'Error: dump: writing memory: Broken pipe\r\n(qemu) '
    assert 'Status: completed' in two.human.ask('info dump')


def test_own_success_not_anothers_error(two):
    begin(two)
    assert two.fifo.drain(two)['data']['result']['status'] == 'completed'
    with pytest.raises(QMPError):
        two.dump('/dev/full')
    assert two.human.until('(qemu) ') == '(qemu) '
    assert 'Status: failed' in two.human.ask('info dump')


def test_cancelled_by_another(two):
    begin(two)
    two.qmp.cmd('dump-cancel')
    two.qmp.wait_event('DUMP_COMPLETED')
    other = Stalled(two)
    assert two.human.until('(qemu) ') == 'Error: dump: cancelled\r\n(qemu) '
    other.drain()


def test_two_human_monitors(tmp_path):
    """Each waits for its own dump; the other's command is refused."""
    path = str(tmp_path / 'hmp-')
    with VM('-m', '16M', '-chardev',
            f'socket,id=a,server=on,wait=off,path={path}a', '-mon',
            'chardev=a', '-chardev',
            f'socket,id=b,server=on,wait=off,path={path}b', '-mon',
            'chardev=b') as vm:
        one, other = Client(path + 'a'), Client(path + 'b')
        fifo = Fifo(tmp_path / 'fifo2')
        one.say(f'dump-guest-memory {fifo.path}')
        vm.qmp.wait_event('STOP')
        assert other.ask('dump-guest-memory /dev/null') == \
            f'Error: {BUSY}\r\n(qemu) '
        assert other.ask('dump-cancel') == '(qemu) '
        assert one.until('(qemu) ') == 'Error: dump: cancelled\r\n(qemu) '
        assert other.ask('dump-guest-memory -z /dev/null') == '(qemu) '
        os.close(fifo.r)


def test_warnings(tmp_path, out):
    """In a monitor that is suspended during the dump, and through
    human-monitor-command."""
    path = str(tmp_path / 'hmp')
    with VM('-m', '16M', '-device', 'vmcoreinfo', '-chardev',
            f'socket,id=hmp,server=on,wait=off,path={path}', '-mon',
            'chardev=hmp') as vm:
        text = 'warning: dump: guest note is not present\r\n'
        assert vm.qmp.hmp(f'dump-guest-memory -z {out}') == text
        assert Client(path).ask(f'dump-guest-memory -z {out}') == \
            text + '(qemu) '
        assert '\nWarning: guest note is not present' in \
            vm.qmp.hmp('info dump')


# -- progress display -----------------------------------------------------------

# Longer than the delay before the first progress line.
WHILE = 1.6


def test_socket_is_silent(two, out):
    begin(two)
    time.sleep(WHILE)
    two.fifo.drain(two)
    assert two.human.until('(qemu) ') == '(qemu) '
    assert two.human.ask(f'dump-guest-memory -z {out}') == '(qemu) '


@pytest.mark.parametrize('mux', ['off', 'on'])
def test_standard_output_that_is_no_terminal(tmp_path, mux):
    fifo = Fifo(tmp_path / 'fifo')
    with VM('-m', '16M', '-chardev', f'stdio,id=hmp,mux={mux}', '-mon',
            'chardev=hmp', stdin=subprocess.PIPE) as vm:
        vm.proc.stdin.write(f'dump-guest-memory {fifo.path}\n'.encode())
        vm.proc.stdin.flush()
        vm.qmp.wait_event('STOP')
        time.sleep(WHILE)
        fifo.drain(vm)
        vm.proc.stdin.write(b'info dump\n')
        vm.proc.stdin.flush()
        wait_until(lambda: 'Status: completed' in vm.stderr(), vm.stderr)
        assert 'Dumped' not in vm.stderr()
        vm.proc.stdin.close()


class Terminal:
    """The user's side of a pty."""

    def __init__(self, fd):
        self.fd = fd
        self.text = ''

    def say(self, line):
        os.write(self.fd, line.encode() + b'\n')

    def until(self, what):
        while what not in self.text:
            assert select.select([self.fd], [], [], HANGS)[0], self.text
            self.text += os.read(self.fd, 4096).decode()
        before, self.text = self.text.split(what, 1)
        return before + what

    def close(self):
        os.close(self.fd)


def sees_progress(vm, terminal, fifo):
    terminal.until('(qemu) ')
    terminal.say(f'dump-guest-memory {fifo.path}')
    terminal.until('\rDumped ')
    # QEMU's main loop runs meanwhile.
    assert vm.status() == 'save-vm'
    assert vm.qmp.cmd('query-dump')['status'] == 'active'
    vm.qmp.cmd('dump-cancel')
    assert 'Error: dump: cancelled' in terminal.until('(qemu) ')
    assert vm.status() == 'running'


def test_pty(tmp_path):
    with VM('-m', '16M', '-chardev', 'pty,id=hmp', '-mon',
            'chardev=hmp') as vm:
        name = next(c['filename'] for c in vm.qmp.cmd('query-chardev')
                    if c['label'] == 'hmp')
        fd = os.open(name.removeprefix('pty:'), os.O_RDWR | os.O_NOCTTY)
        with contextlib.closing(Terminal(fd)) as terminal:
            os.set_blocking(fd, True)
            terminal.say('')
            sees_progress(vm, terminal, Fifo(tmp_path / 'fifo'))


@pytest.mark.parametrize('mux', ['off', 'on'])
def test_standard_output(tmp_path, mux):
    ours, theirs = pty.openpty()
    with contextlib.closing(Terminal(ours)) as terminal, \
            VM('-m', '16M', '-chardev', f'stdio,id=hmp,mux={mux}', '-mon',
               'chardev=hmp', stdin=theirs,
               preexec=lambda: os.dup2(theirs, 1)) as vm:
        os.close(theirs)
        sees_progress(vm, terminal, Fifo(tmp_path / 'fifo'))
