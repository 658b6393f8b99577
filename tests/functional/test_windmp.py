# SPDX-License-Identifier: GPL-2.0-or-later
"""Windows crash dumps of a synthetic Windows guest, read as by a debugger."""

import os
import random
import re
import subprocess
import tempfile

import pytest

import windows
from gdbstub import SIZES, GdbStub
from qmp import QMPError
from test_errors import refused
from test_far_memory import DATA, SLOT, move
from test_lifecycle import Stalled, drained
from vm import REPO, VM
from vmcore import open_dump
from wait import wait_until
from windmp import LIVE_SYSTEM_DUMP, WinDump
from windows import MiB, Windows, note

pytestmark = pytest.mark.once

CPUS = 3
GPRS = 'rax rbx rcx rdx rsi rdi rbp rsp'.split()
GPRS64 = [f'r{i}' for i in range(8, 16)]
CODE, PARAMETERS = 0xd1, (0x11, 0x22, 0x33, 0x44)


def start(tmp_path_factory, paging, **kwargs):
    return Windows(str(tmp_path_factory.mktemp('windows')), paging,
                   cpus=CPUS, **kwargs)


@pytest.fixture(scope='module', params=['long', 'la57', 'pae', '32-bit'])
def windows_vm(request, tmp_path_factory):
    with start(tmp_path_factory, request.param) as vm:
        yield vm


@pytest.fixture(scope='module')
def one_vm(tmp_path_factory):
    """For tests that do not depend on the paging mode."""
    with start(tmp_path_factory, 'long') as vm:
        yield vm


def fresh(vm):
    vm.make()
    vm.publish()
    vm.qmp.event_names()
    vm.said = len(vm.stderr())
    return vm


@pytest.fixture
def guest(windows_vm):
    return fresh(windows_vm)


@pytest.fixture
def one(one_vm):
    return fresh(one_vm)


def warnings(vm):
    return vm.stderr()[vm.said:]


def memory_map(vm):
    """(paddr, size) of RAM, from QEMU's own view of its memory."""
    text = vm.qmp.hmp('info mtree -f')
    flat = text.split('FlatView')
    system = [f for f in flat if 'AS "memory"' in f][0]
    return [(int(a, 16), int(b, 16) - int(a, 16) + 1) for a, b, kind in
            re.findall(r'([0-9a-f]{16})-([0-9a-f]{16}) \(prio [-\d]+, '
                       r'(ram|rom)\)', system)]


def dump(vm, path, **arguments):
    """A dump, with the checks that apply to any guest."""
    before = bytes(vm.memory)
    vm.dump(path, format='win-dmp', **arguments)
    assert bytes(vm.memory) == before, "the guest's memory was changed"
    return WinDump(path, vm.paging)


def check_memory(vm, d, contexts=CPUS):
    """All memory is in the dump; only the context frames differ from the
    guest."""
    ranges = []
    for paddr, size in sorted(memory_map(vm)):
        if ranges and ranges[-1][1] == paddr:
            ranges[-1][1] += size
        else:
            ranges.append([paddr, paddr + size])
    assert [(a // 4096, (b - a) // 4096) for a, b in ranges] == d.runs
    want = bytearray(vm.memory)
    for i in range(contexts):
        for at, size in vm.pieces(vm.frame(i), d.context_size()):
            want[at:at + size] = d.physical(at, size)
    assert d.physical(0, 0xa0000) == want[:0xa0000]
    assert d.physical(MiB, windows.SIZE - MiB) == want[MiB:]


def check_live(d):
    assert d.bugcheck_code == LIVE_SYSTEM_DUMP
    assert d.bugcheck_parameters == (0, 0, 0, 0)


# -- good guests ----------------------------------------------------------------


def test_dump(guest, out):
    d = dump(guest, out)
    assert d.is64 == guest.is64
    assert d.processors == CPUS
    assert d.kdbg == guest.base + windows.KDBG
    # The kernel's values in the header are kept.
    assert d.loaded_module_list == guest.base + 0x1234
    assert (d.major_version, d.minor_version) == (15, 19041)
    check_live(d)
    check_memory(guest, d)
    for i in range(CPUS):
        assert d.context_address(i) == guest.base + guest.frame(i)
    assert d.exception_address == d.header_context()['rip']
    assert guest.qmp.event_names() == ['STOP', 'RESUME', 'DUMP_COMPLETED']
    assert guest.status() == 'running'
    assert warnings(guest) == ''


def registers_of(vm, gdb, cpu):
    """Each register that is both in CONTEXT and known to the stub."""
    names = GPRS + ['rip', 'eflags', 'cs', 'ss', 'ds', 'es', 'fs', 'gs',
                    'mxcsr'] + [f'st{i}' for i in range(8)]
    names += GPRS64 if vm.is64 else []
    names += [f'xmm{i}' for i in range(16 if vm.is64 else 8)]
    return {name: gdb.read(cpu, name) for name in names}


def set_registers(vm, gdb):
    """Set every register of every CPU to another value."""
    for cpu in range(CPUS):
        rng = random.Random(cpu)
        names = GPRS + [f'xmm{i}' for i in range(16 if vm.is64 else 8)] + \
            [f'st{i}' for i in range(8)] + (GPRS64 if vm.is64 else [])
        for name in names:
            gdb.write(cpu, name, rng.getrandbits(
                8 * SIZES.get(name, 8 if vm.is64 else 4)))
        gdb.write(cpu, 'mxcsr', 0x1f80 | cpu << 13)


def test_registers(guest, out):
    """The contexts have the CPUs' registers, as gdb sees them."""
    gdb = GdbStub(guest.path('gdb'))
    before = [registers_of(guest, gdb, cpu) for cpu in range(CPUS)]
    try:
        set_registers(guest, gdb)
        want = [registers_of(guest, gdb, cpu) for cpu in range(CPUS)]
        assert len({w['rbx'] for w in want}) == CPUS
        assert len({w['xmm7'] for w in want}) == CPUS
        assert guest.status() == 'paused'
        d = dump(guest, out)
        assert guest.status() == 'paused'
    finally:
        for cpu in range(CPUS):
            for name in GPRS + (GPRS64 if guest.is64 else []):
                gdb.write(cpu, name, before[cpu][name])
        gdb.detach()
    for cpu in range(CPUS):
        context = d.context(cpu)
        assert {name: context[name] for name in want[cpu]} == want[cpu]
    # The debugger starts with the first CPU.
    assert d.header_context() == d.context(0)
    check_memory(guest, d)


def test_debug_registers(guest, out):
    """The stub does not report these; the monitor does."""
    d = dump(guest, out)
    text = guest.qmp.hmp('info registers')
    shown = {int(n): int(v, 16) for n, v in
             re.findall(r'DR(\d)=([0-9a-f]+)', text)}
    assert sorted(shown) == [0, 1, 2, 3, 6, 7]
    for n, value in shown.items():
        assert d.context(0)[f'dr{n}'] == value


def test_order_of_processors(one, out):
    """Windows may number CPUs differently from QEMU: GS identifies the CPU."""
    order = (2, 0, 1)
    gdb = GdbStub(one.path('gdb'))
    try:
        for i, cpu in enumerate(order):
            # One CPU is in user mode, with the kernel's GS saved (swapgs).
            gdb.write(cpu, 'gs_base', 0x7ff0000 if i == 1 else one.pcr(i))
            gdb.write(cpu, 'k_gs_base', one.pcr(i) if i == 1 else 0)
            gdb.write(cpu, 'rbx', 0x1000 + cpu)
        d = dump(one, out)
        assert [d.context(i)['rbx'] for i in range(CPUS)] == \
            [0x1000 + cpu for cpu in order]
    finally:
        for cpu in range(CPUS):
            gdb.write(cpu, 'gs_base', 0)
            gdb.write(cpu, 'k_gs_base', 0)
        gdb.detach()


def test_bug_check_is_kept(guest, out):
    word = 8 if guest.is64 else 4
    for i, value in enumerate((CODE,) + PARAMETERS):
        guest.put(windows.BUGCHECK + i * word, value, word)
    d = dump(guest, out)
    assert d.bugcheck_code == CODE
    assert d.bugcheck_parameters == PARAMETERS
    check_memory(guest, d)


def test_bug_check_of_the_header_is_kept(guest, out):
    guest.publish(bugcheck_code=CODE, bugcheck_parameters=PARAMETERS)
    d = dump(guest, out)
    assert (d.bugcheck_code, d.bugcheck_parameters) == (CODE, PARAMETERS)


def test_kdbg_of_the_driver(guest, out):
    """The kernel's copy is encoded, the driver's is not."""
    guest.put_kdbg(windows.KDBG, tag=b'\x12\x34\x56\x78')
    guest.put_kdbg(windows.KDBG_COPY)
    copy = guest.base + windows.KDBG_COPY
    guest.publish(bugcheck_parameters=(copy, 0x47454150, 0x47454150,
                                       0x47454150))
    d = dump(guest, out)
    assert d.kdbg == copy
    check_live(d)
    check_memory(guest, d)


# Code for CPU 1 when all are ready.
PANIC = (b'\xb8\x01\x00\x00\x00'             # mov $1, %eax
         b'\x0f\xa2'                         # cpuid
         b'\xc1\xeb\x18'                     # shr $24, %ebx
         b'\x80\xfb\x01\x75\x0d'             # cmp $1, %bl; jne
         b'\x83\x7f\x04' + bytes([CPUS]) +  # cmpl $CPUS, 4(%edi)
         b'\x75\xfa'                         # jne, back
         b'\xb0\x01'                         # mov $1, %al
         b'\x66\xba\x05\x05'                 # mov $0x505, %dx
         b'\xee'                             # out %al, %dx: to pvpanic
         b'\xf4\xeb\xfd')                    # hlt, and again


def test_crashed_cpu_comes_first(tmp_path_factory, out):
    """The CPU that reported the crash to QEMU is the debugger's first."""
    with start(tmp_path_factory, 'long', then=PANIC, args=(
            '-device', 'pvpanic', '-action', 'panic=pause')) as vm:
        # Its event may have come before the test could listen.
        wait_until(lambda: vm.status() == 'guest-panicked', vm.status)
        vm.publish()
        d = dump(vm, out)
        assert [d.context(i)['rbx'] for i in range(CPUS)] == [0, 1, 2]
        assert d.header_context() == d.context(1)
        assert vm.status() == 'guest-panicked'


def test_far_device_memory(tmp_path_factory, out):
    """Device memory far above RAM does not make the dump larger."""
    with start(tmp_path_factory, '32-bit', args=(
            '-object', 'memory-backend-ram,id=shared,size=1M', '-device',
            f'ivshmem-plain,memdev=shared,addr={SLOT}')) as vm:
        fresh(vm)
        move(vm, 1 << 52)
        d = dump(vm, out)
        assert os.path.getsize(out) < 16 * MiB
        assert 'device memory are left out' in warnings(vm)
        assert d.header_context() == d.context(0)
        # Nearer to RAM, it is in the dump.
        move(vm, 0xe0000000)
        assert dump(vm, out).physical(0xe0000000, len(DATA)) == DATA


# -- outputs ---------------------------------------------------------------------


def test_pipe(guest, out, tmp_path):
    """Sequential output, the same bytes as in a file."""
    d = dump(guest, out)
    stalled = Stalled(guest, format='win-dmp')
    head = os.read(stalled.r, 8)
    assert head == (b'PAGEDU64' if d.is64 else b'PAGEDUMP')
    path = str(tmp_path / 'pipe')
    with subprocess.Popen(['cat'], stdin=stalled.r,
                          stdout=open(path, 'wb')) as cat:
        os.close(stalled.r)
        event = guest.qmp.wait_event('DUMP_COMPLETED')
        assert event['data']['result']['status'] == 'completed'
        assert cat.wait() == 0
    with open(path, 'rb') as f, open(out, 'rb') as g:
        assert head + f.read() == g.read()


@pytest.mark.parametrize('paging', ['long', '32-bit'])
def test_guest_runs_on(out, paging):
    """A live dump, which requires that guest memory is not in a file on a
    disk."""
    with tempfile.TemporaryDirectory(dir='/dev/shm') as folder, \
            Windows(folder, paging, cpus=CPUS) as vm:
        fresh(vm)
        before = bytes(vm.memory)
        vm.dump(out, format='win-dmp', detach=True, live='on')
        result = vm.qmp.wait_event('DUMP_COMPLETED')['data']['result']
        assert result['status'] == 'completed'
        assert not result['live']['stopped-again']
        d = WinDump(out, vm.paging)
        check_live(d)
        check_memory(vm, d)
        assert bytes(vm.memory) == before
        assert vm.status() == 'running'


def test_detach_and_progress(one, out):
    one.dump(out, format='win-dmp', detach=True)
    event = one.qmp.wait_event('DUMP_COMPLETED')
    d = WinDump(out, one.paging)
    for result in event['data']['result'], one.qmp.cmd('query-dump'):
        assert result['status'] == 'completed'
        assert result['total'] == result['completed'] == d.nr_pages * 4096
    assert one.status() == 'running'


def test_hmp(one, out):
    assert one.qmp.hmp(f'dump-guest-memory -w {out}') == ''
    check_memory(one, WinDump(out, one.paging))


def test_file_is_mostly_holes(one, out):
    dump(one, out)
    st = os.stat(out)
    assert st.st_blocks * 512 < st.st_size * 3 / 4


def test_over_an_old_file(one, out):
    with open(out, 'wb') as f:
        f.write(b'\xee' * (40 * MiB))
    check_memory(one, dump(one, out))


def test_file_knows_it(guest, out):
    d = dump(guest, out)
    said = subprocess.run(['file', '-b', out], check=True,
                          capture_output=True, text=True).stdout
    bits = 64 if guest.is64 else 32
    assert re.search(rf'^MS Windows {bits}bit crash dump.* full dump, '
                     rf'{d.nr_pages} pages', said), said


@pytest.fixture(scope='session')
def radare2():
    r = subprocess.run([os.path.join(REPO, 'scripts/radare2')],
                       capture_output=True, text=True)
    if r.returncode:
        pytest.skip(r.stderr.strip().splitlines()[-1])
    return r.stdout.strip()


def test_radare2(radare2, one, out):
    """A third-party reader: 64-bit, by guest-physical address."""
    d = dump(one, out)
    places = [(paddr, 256) for paddr in
              (0x1000, 0x9f000, MiB, one.physical(0), windows.SIZE - 4096)]
    places += [piece for i in range(CPUS) for piece in
               one.pieces(one.frame(i), d.context_size())]
    commands = '; '.join(f'p8 {n} @ {paddr:#x}' for paddr, n in places)
    said = subprocess.run([radare2, '-q', '-N', '-e', 'scr.color=0', '-c',
                           'iI~bintype; ' + commands, out], check=True,
                          capture_output=True, text=True).stdout.split()
    assert said[:2] == ['bintype', 'dmp64']
    assert said[2:] == [d.physical(paddr, n).hex() for paddr, n in places]


# -- refusals ---------------------------------------------------------------------


def listed(vm):
    return 'win-dmp' in vm.qmp.cmd('query-dump-guest-memory-capability')[
        'formats']


def not_windows(vm, text, tmp_path):
    """win-dmp is not listed, and refused without side effects."""
    old, new = str(tmp_path / 'old'), str(tmp_path / 'new')
    with open(old, 'wb') as f:
        f.write(b'precious')
    assert not listed(vm)
    said = len(vm.stderr())
    for detach in (False, True):
        refused(vm, ['no Windows crash dump of this guest', text], old,
                protocol='file:' + old, format='win-dmp', detach=detach)
        refused(vm, text, protocol='file:' + new, format='win-dmp',
                detach=detach)
    assert text in vm.qmp.hmp(f'dump-guest-memory -w {new}')
    assert not os.path.exists(new)
    assert vm.stderr()[said:] == ''


def test_no_device(running, tmp_path):
    not_windows(running, 'has not published', tmp_path)


def test_no_note(tmp_path):
    with VM('-m', '16M', '-device', 'vmcoreinfo') as vm:
        not_windows(vm, 'has not published', tmp_path)


def test_no_machine():
    """As libvirt probes capabilities."""
    with VM(machine='none') as vm:
        assert not listed(vm)


LINUX = b'OSRELEASE=6.1.0\nPAGESIZE=4096\n'


@pytest.mark.parametrize('text,data', [
    ('not a Windows', note(LINUX)),
    ('not a Windows', note(b'')),
    ('not a Windows', note(b'PAGEDU6' + bytes(0x1ff9))),
    ('is damaged', note(b'PAGEDU64', descsz=0x2000)),
    ('is damaged', note(LINUX, b'XEN\0')),
    ('is damaged', b''),
    ('8 bytes instead of 8192', note(b'PAGEDU64')),
    ('4096 bytes instead of 8192', note(b'PAGEDU64' + bytes(0xff8))),
    ('8192 bytes instead of 4096', note(b'PAGEDUMP' + bytes(0x1ff8))),
    ('type 0x1', note(b'PAGEDU64' + bytes(0x28) + b'\1' + bytes(0x1fcf))),
])
def test_note_of_another_kind(one, tmp_path, text, data):
    one.publish_raw(data)
    not_windows(one, text, tmp_path)


def test_nothing_but_signatures(one, out):
    """The machine type follows from them, and a dump is made."""
    one.publish_raw(note(b'PAGEDU64' + bytes(0x1ff8)))
    assert listed(one)
    one.dump(out, format='win-dmp')
    with open(out, 'rb') as f:
        head = f.read(0x34)
    assert head[:8] == b'PAGEDU64' and head[0x30:] == b'\x64\x86\0\0'


@pytest.mark.parametrize('machine', [0xaa64, 0x1c0, 0x200, 0xffffffff])
def test_machine_of_another_kind(guest, tmp_path, machine):
    guest.publish(machine=machine)
    not_windows(guest, f'type {machine:#x}', tmp_path)


@pytest.mark.parametrize('text,kwargs', [
    ('not in guest memory', {'at': windows.SIZE - 16}),
    ('not in guest memory', {'at': 0xfee00000}),
    ('not in guest memory', {'at': (1 << 64) - 8}),
    ('too large', {'size': 0xffffffff}),
    ('unsupported', {'kind': 2}),
    ('has not published', {'kind': 0}),
    ('is damaged', {'size': 0x1000}),
])
def test_note_out_of_reach(one, tmp_path, text, kwargs):
    one.publish_raw(note(one.header()), **kwargs)
    not_windows(one, text, tmp_path)


def test_capability_is_of_the_moment(one, tmp_path, out):
    assert listed(one)
    one.publish_raw(note(LINUX))
    assert not listed(one)
    one.publish()
    assert listed(one)
    assert listed(one), 'a query must not change anything'
    dump(one, out)
    one.memory[windows.NOTE_AT + 24] ^= 1
    not_windows(one, 'not a Windows', tmp_path)


def test_reset_forgets_the_header(tmp_path_factory, tmp_path):
    with start(tmp_path_factory, 'long') as vm:
        vm.publish()
        assert listed(vm)
        vm.qmp.cmd('system_reset')
        vm.qmp.wait_event('RESET')
        not_windows(vm, 'has not published', tmp_path)


# -- failures while writing ------------------------------------------------------


@pytest.mark.parametrize('detach', [False, True])
def test_failure_changes_nothing(guest, detach):
    """Contexts are never written to guest memory."""
    before = bytes(guest.memory)
    try:
        guest.dump('/dev/full', format='win-dmp', detach=detach)
        assert detach
    except QMPError as e:
        assert not detach and 'No space left on device' in str(e)
    event = guest.qmp.wait_event('DUMP_COMPLETED')
    assert 'No space left on device' in event['data']['error']
    assert bytes(guest.memory) == before
    assert guest.status() == 'running'


def test_memory_while_dumping(guest):
    """Not even during the dump."""
    before = bytes(guest.memory)
    stalled = Stalled(guest, format='win-dmp')
    assert guest.qmp.cmd('query-dump')['status'] == 'active'
    assert bytes(guest.memory) == before
    assert drained(guest, stalled.r)['data']['result']['status'] == \
        'completed'


def test_cut_file_is_no_dump(one, tmp_path):
    """On a full disk: the partial file has no signature, not even from old
    contents."""
    folder = str(tmp_path / 'small')
    os.mkdir(folder)
    subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=1m', 'small',
                    folder], check=True)
    try:
        with open(folder + '/dump', 'wb') as f:
            f.write(one.header())
        with open(folder + '/dump', 'r+b') as f:
            one.qmp.getfd('out', f.fileno())
        with pytest.raises(QMPError) as e:
            one.qmp.cmd('dump-guest-memory', paging=False, format='win-dmp',
                        protocol='fd:out')
        assert 'No space left on device' in str(e.value)
        assert os.path.getsize(folder + '/dump') > 0x2000
        with open(folder + '/dump', 'rb') as f:
            assert f.read(0x2000) == bytes(0x2000)
    finally:
        subprocess.run(['umount', folder], check=True)


# -- invalid data of the guest ---------------------------------------------------


@pytest.mark.parametrize('processors', [0, CPUS + 1, 1 << 31, 0xffffffff])
def test_number_of_processors(guest, out, processors):
    """The header's number of processors is not used as a size."""
    guest.publish(processors=processors)
    d = dump(guest, out)
    assert f'{processors} processors' in warnings(guest)
    assert d.processors == CPUS
    check_memory(guest, d)


def test_fewer_processors(guest, out):
    """Windows may use fewer processors than the guest has CPUs."""
    guest.publish(processors=1)
    d = dump(guest, out)
    assert d.processors == 1
    check_memory(guest, d, contexts=1)
    assert warnings(guest) == ''


@pytest.mark.parametrize('runs,pages', [
    (0, 0), (43, 43), (87, 0xffffffff), (0x7fffffff, 0x7fffffff),
    (0xffffffff, 1)])
def test_number_of_runs(guest, out, runs, pages):
    """Nor are its numbers of runs and pages: the runs describe actual RAM."""
    guest.publish(nr_runs=runs, nr_pages=pages)
    check_memory(guest, dump(guest, out))


ANYWHERE = [0, 0x7fffffff, 0xfffffffe, 0x7fffffffffff,
            0xffff800000000000, 0xfffffffffffffff8]


@pytest.mark.parametrize('field', ['kdbg', 'directory_table_base'])
@pytest.mark.parametrize('value', ANYWHERE)
def test_address_in_the_header(guest, out, field, value):
    value &= 0xffffffff if not guest.is64 else -1
    guest.publish(**{field: value})
    before = bytes(guest.memory)
    guest.dump(out, format='win-dmp')
    assert bytes(guest.memory) == before
    assert 'no KDBG' in warnings(guest)
    d = WinDump(out, guest.paging)
    check_live(d)
    check_memory(guest, d, contexts=0)


@pytest.mark.parametrize('place', ['block', 'prcb', 'frame', 'bugcheck'])
@pytest.mark.parametrize('value', ANYWHERE)
def test_address_in_the_kernel(guest, out, place, value):
    if place == 'block':
        guest.put(windows.KDBG + 0x218, value, 8)
        kept = 0
    elif place == 'bugcheck':
        guest.put(windows.KDBG + 0x88, value, 8)
        kept = CPUS
    else:
        at = {'prcb': windows.BLOCK,
              'frame': guest.prcb(0) + windows.PRCB_CONTEXT}[place]
        guest.put_pointer(at, value)
        kept = CPUS - 1
    before = bytes(guest.memory)
    guest.dump(out, format='win-dmp')
    assert bytes(guest.memory) == before
    WinDump(out, guest.paging)
    if kept < CPUS:
        assert f'{CPUS - kept} of {CPUS} processors' in warnings(guest)


def test_frame_on_a_device(guest, out):
    """Mapped, but not memory: a dump must neither write nor read there."""
    at = guest.walk(guest.base + guest.frame(0))[-1]
    old = guest.memory[at:at + guest.mode.entry]
    guest.memory[at:at + guest.mode.entry] = (0xfec00003).to_bytes(
        guest.mode.entry, 'little')
    try:
        guest.dump(out, format='win-dmp')
    finally:
        guest.memory[at:at + guest.mode.entry] = old
    assert f'1 of {CPUS} processors' in warnings(guest)


# -- fuzzing -----------------------------------------------------------------------


def mutate(vm, rng, header):
    """Change some bytes of the data that is read; returns the old ones."""
    undo = []
    tables = [at for n in (0, 5, 33) for at in vm.walk(vm.base + n * 4096)]
    for _ in range(rng.randrange(1, 10)):
        kind = rng.randrange(4)
        value = rng.choice((
            rng.getrandbits(64), vm.base + rng.randrange(0x40000),
            vm.base + 0x40000 - rng.randrange(0x600),
            rng.choice(ANYWHERE))) & 0xffffffffffffffff
        data = value.to_bytes(8, 'little')[:rng.choice((1, 2, 4, 8))]
        if kind == 0:
            at = rng.randrange(8, 0xa0)
            header[at:at + len(data)] = data
            continue
        if kind == 1:
            at = vm.physical(windows.KDBG + rng.randrange(
                windows.KDBG_SIZE - 8))
        elif kind == 2:
            at = vm.physical(rng.choice((
                windows.BLOCK + 4 * rng.randrange(6),
                vm.prcb(rng.randrange(CPUS)) + windows.PRCB_CONTEXT)))
        else:
            # The page tables, except those that map the firmware itself.
            at = rng.choice(tables)
        undo.append((at, vm.memory[at:at + len(data)]))
        vm.memory[at:at + len(data)] = data
    return undo


@pytest.mark.parametrize('seed', range(25))
def test_fuzz(guest, out, seed):
    """QEMU survives, the guest continues, its memory is unchanged; if the
    header is still valid, the dump can be read."""
    rng = random.Random(seed)
    header = bytearray(guest.header())
    undo = mutate(guest, rng, header)
    guest.publish_raw(note(bytes(header)))
    before = bytes(guest.memory)
    try:
        guest.dump(out, format='win-dmp')
        WinDump(out, guest.paging)
    except QMPError as e:
        assert 'no Windows crash dump of this guest' in str(e)
        assert not os.path.exists(out)
    finally:
        after = bytes(guest.memory)
        for at, data in reversed(undo):
            guest.memory[at:at + len(data)] = data
    assert after == before
    assert guest.status() == 'running'


# -- other formats of the same guest ------------------------------------------------


@pytest.mark.parametrize('name', ['elf', 'kdump-zlib'])
def test_other_formats(guest, out, name):
    """The header is in their notes, as elf2dmp expects; registers are not
    written to memory."""
    guest.dump(out, format=name)
    d = open_dump(out)
    assert [n[2] for n in d.notes if n[0] == 'VMCOREINFO'] == \
        [guest.header()]
    at = windows.KERNEL_AT
    assert d.read(at, MiB) == guest.memory[at:at + MiB]
