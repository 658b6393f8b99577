# SPDX-License-Identifier: GPL-2.0-or-later
"""Guest memory that the host cannot provide: QEMU survives, the dump has the
rest, and reports the number of lost bytes."""

import contextlib
import os
import signal
import subprocess

import pytest

import faults
from ram import memfd_of
from vm import VM, as_nobody, in_root
from vmcore import open_any
from wait import wait_until

pytestmark = pytest.mark.once

SIZE = 64 << 20
CUT = 24 << 20                  # remainder of a truncated file
FORMATS = ['elf', 'kdump-zlib', 'kdump-raw-zlib', 'kdump-raw-lzo',
           'kdump-raw-snappy', 'kdump-raw-zstd']
NR_HUGE = '/proc/sys/vm/nr_hugepages'


def memory(path, *more):
    return ['-m', f'{SIZE >> 20}M', '-object',
            ','.join([f'memory-backend-file,id=ram,size={SIZE}',
                      f'mem-path={path}', *more]), '-S']


@contextlib.contextmanager
def mounted(kind, folder, *options):
    os.makedirs(folder, exist_ok=True)
    subprocess.run(['mount', '-t', kind, *options, 'none', folder],
                   check=True)
    try:
        os.chmod(folder, 0o777)
        yield folder
    finally:
        subprocess.run(['umount', '-l', folder], check=True)


def fill(path, size=SIZE, step=4096):
    """Write a word at the beginning of each page, so that all are in use."""
    with open(path, 'r+b') as f:
        for at in range(0, size, step):
            f.seek(at)
            f.write(b'%016x' % at)


def result_of(vm, out, name, detach):
    """The dump's result, by query-dump and in the event."""
    args = {'format': name, 'paging': False, 'protocol': f'file:{out}'}
    if out == '/dev/null':          # with a different root directory
        with open(out, 'wb') as f:
            vm.qmp.getfd('out', f.fileno())
        args['protocol'] = 'fd:out'
    if detach:
        args['detach'] = True
    vm.qmp.cmd('dump-guest-memory', **args)
    event = vm.qmp.wait_event('DUMP_COMPLETED')['data']
    assert 'error' not in event, event
    result = vm.qmp.cmd('query-dump')
    assert result == event['result']
    return result


def check_told(result, lost):
    assert result['status'] == 'completed'
    assert result.get('lost', 0) == lost
    warnings = [w for w in result.get('warnings', []) if 'could not' in w]
    assert len(warnings) == (1 if lost else 0)
    if lost:
        assert warnings[0].startswith(f'{lost} bytes of guest memory could '
                                      'not be read')


def check_pages(out, lost, good):
    """Pages have their words. Pages in @lost, which are lists of all of them,
    have no data in an ELF core; in other formats these pages, and no others,
    are missing."""
    dump = open_any(out)
    for at in good:
        assert dump.read(at, 16) == b'%016x' % at
    if hasattr(dump, 'pfns'):
        dump.check_descriptors()
        assert set(dump.ram) - set(dump.pfns) == {at >> 12 for at in lost}
    else:
        dump.check_complete()
        for at in lost:
            assert not any(dump.read(at, 4096))


def answers(vm):
    assert vm.status()


@pytest.mark.parametrize('detach', [False, True])
@pytest.mark.parametrize('name', FORMATS)
@pytest.mark.parametrize('kind', ['ramfs', 'tmpfs'])
def test_truncated(tmp_path, out, kind, name, detach):
    with mounted(kind, f'{tmp_path}/ram') as folder:
        path = f'{folder}/ram'
        with VM(*memory(path, 'share=on'),
                machine='pc,memory-backend=ram') as vm:
            fill(path)
            os.truncate(path, CUT)
            result = result_of(vm, out, name, detach)
            answers(vm)
        # The BIOS's shadow of the area from 640 KiB to 1 MiB is elsewhere.
        check_told(result, SIZE - CUT)
        check_pages(out, range(CUT, SIZE, 4096),
                    range(0x100000, CUT, 0x91000))


@pytest.mark.parametrize('name', ['elf', 'kdump-zlib'])
def test_whole_again(tmp_path, out, name):
    """The next dump, with intact memory, has no warning."""
    with mounted('tmpfs', f'{tmp_path}/ram') as folder:
        path = f'{folder}/ram'
        with VM(*memory(path, 'share=on'),
                machine='pc,memory-backend=ram') as vm:
            fill(path)
            check_told(result_of(vm, out, name, True), 0)
            os.truncate(path, CUT)
            check_told(result_of(vm, out, name, True), SIZE - CUT)
            os.truncate(path, SIZE)
            check_told(result_of(vm, out, name, True), 0)


def rights(user):
    """Options that make QEMU drop its privileges, or change its root."""
    return {'root': list, 'runas': as_nobody,
            'chroot': lambda: in_root('/var')}[user]()


@pytest.fixture
def few_huge_pages(change_host):
    """A pool with twelve more huge pages than others use."""
    with open(NR_HUGE) as f:
        before = int(f.read())
    with open(NR_HUGE, 'w') as f:
        f.write(str(before + 12))
    with open(NR_HUGE) as f:
        got = int(f.read()) - before
    try:
        if got != 12:
            pytest.skip('no free huge pages of 2 MiB')
        yield
    finally:
        with open(NR_HUGE, 'w') as f:
            f.write(str(before))


@pytest.mark.parametrize('name', ['elf', 'kdump-zlib', 'kdump-raw-lzo'])
@pytest.mark.parametrize('user', ['root', 'runas', 'chroot'])
def test_huge_pages_exhausted(tmp_path, few_huge_pages, user, name):
    """More guest memory than huge pages; most of it was never touched."""
    output = '/dev/null'
    with mounted('hugetlbfs', f'{tmp_path}/huge', '-o',
                 'pagesize=2M') as folder:
        with VM(*memory(f'{folder}/ram', 'share=on', 'prealloc=off',
                        'reserve=off'), *rights(user),
                machine='pc,memory-backend=ram') as vm:
            result = result_of(vm, output, name, True)
            answers(vm)
    check_told(result, 0)


@pytest.mark.parametrize('name', ['elf', 'kdump-zlib', 'kdump-raw-lzo'])
@pytest.mark.parametrize('user', ['root', 'runas', 'chroot'])
@pytest.mark.parametrize('share', ['on', 'off'])
def test_full_tmpfs(tmp_path, share, user, name):
    """The file system cannot hold all of the guest's memory."""
    with mounted('tmpfs', f'{tmp_path}/ram', '-o', 'size=24M') as folder:
        with VM(*memory(f'{folder}/ram', f'share={share}', 'reserve=off'),
                *rights(user), machine='pc,memory-backend=ram') as vm:
            before = os.stat(f'{folder}/ram').st_blocks
            result = result_of(vm, '/dev/null', name, True)
            answers(vm)
            assert os.stat(f'{folder}/ram').st_blocks == before
    check_told(result, 0)


def host_address(vm, at):
    """QEMU's address of guest memory, from its monitor."""
    return int(vm.qmp.hmp(f'gpa2hva {at:#x}').split()[-1], 16)


def protect(vm, path, addresses):
    """Make these pages inaccessible."""
    with open(path + '.new', 'w') as f:
        f.writelines(f'{host_address(vm, at):#x}\n' for at in addresses)
    os.rename(path + '.new', path)
    os.kill(vm.proc.pid, signal.SIGUSR2)
    wait_until(lambda: not os.path.exists(path))


@pytest.mark.parametrize('name', FORMATS)
def test_protected(tmp_path, out, faults_so, name):
    """By mprotect(), as a debugger does, and in place of a page with a memory
    error, which requires a kernel with CONFIG_MEMORY_FAILURE."""
    path = f'{tmp_path}/protect'
    with VM('-m', f'{SIZE >> 20}M', '-object',
            f'memory-backend-memfd,id=ram,size={SIZE}', '-S',
            machine='pc,memory-backend=ram',
            env=faults.environment(faults_so, path, 'protect')) as vm:
        fill(memfd_of(vm))
        bad = [0x300000, 0x1234000, SIZE - 4096]
        protect(vm, path, bad)
        result = result_of(vm, out, name, True)
        answers(vm)
    check_told(result, 4096 * len(bad))
    check_pages(out, bad, [at + 4096 for at in bad[:-1]])
