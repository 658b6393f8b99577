# SPDX-License-Identifier: GPL-2.0-or-later
"""A dump does not make the host allocate memory that the guest never
touched."""

import mmap
import os

import pytest

from ram import memfd_of
from vm import VM
from vmcore import open_dump

pytestmark = pytest.mark.once

SIZE = 512 << 20
HUGE = 2 << 20
NR_HUGE = '/proc/sys/vm/nr_hugepages'


def rss(vm, field='VmRSS'):
    with open(vm.proc_path('status')) as f:
        for line in f:
            if line.startswith(field + ':'):
                return int(line.split()[1]) << 10
    raise KeyError(field)


def backends(folder):
    base = f'id=ram,size={SIZE}'
    path = f'mem-path={folder}/ram'
    return {
        'anon': f'memory-backend-ram,{base}',
        'memfd': f'memory-backend-memfd,{base}',
        'shared-file': f'memory-backend-file,{base},share=on,{path}',
        'private-file': f'memory-backend-file,{base},share=off,{path}',
    }


@pytest.mark.parametrize('name', ['elf', 'kdump-zlib', 'kdump-raw-lzo',
                                  'elf-pipe'])
@pytest.mark.parametrize('kind', ['anon', 'memfd', 'shared-file',
                                  'private-file'])
def test_memory_stays_untouched(tmp_path, out, kind, name):
    with VM('-m', f'{SIZE >> 20}M', '-object', backends(tmp_path)[kind], '-S',
            machine='pc,memory-backend=ram') as vm:
        before = rss(vm)
        if name == 'elf-pipe':
            vm.dump('/dev/null')        # no holes: everything is written
        else:
            vm.dump(out, format=name)
        assert rss(vm) - before < 64 << 20
        ram = f'{tmp_path}/ram'
        if os.path.exists(ram):
            assert os.stat(ram).st_blocks * 512 < 1 << 20
        if name != 'elf-pipe':
            dump = open_dump(out)
            assert sum(n for _, n in dump.ranges()) >= SIZE - (384 << 10)
            assert not any(dump.read(0x1000000, 1 << 20))


def test_memfd_written_by_others(out):
    """Pages written by another process are not untouched."""
    with VM('-m', '64M', '-object',
            'memory-backend-memfd,id=ram,size=64M', '-S',
            machine='pc,memory-backend=ram') as vm:
        with open(memfd_of(vm), 'r+b') as f:
            for at in range(0x200000, 0x3000000, 0x123000):
                f.seek(at)
                f.write(b'%08x' % at)
        for name in ('elf', 'kdump-raw-zlib'):
            vm.dump(out, format=name)
            dump = open_dump(out)
            for at in range(0x200000, 0x3000000, 0x123000):
                assert dump.read(at, 8) == b'%08x' % at


@pytest.fixture
def huge_pages(change_host):
    """Enough huge pages for two mappings of 64 MiB, if the host has any."""
    try:
        with open(NR_HUGE) as f:
            before = f.read()
        with open(NR_HUGE, 'w') as f:
            f.write(str(int(before) + 80))
        with open(NR_HUGE) as f:
            got = int(f.read()) - int(before)
    except OSError as e:
        pytest.skip(f'no huge pages: {e}')
    try:
        if got < 66 or not os.path.exists(
                f'/sys/kernel/mm/hugepages/hugepages-{HUGE >> 10}kB'):
            pytest.skip('no free huge pages of 2 MiB')
        yield
    finally:
        with open(NR_HUGE, 'w') as f:
            f.write(before)


@pytest.mark.parametrize('name', ['elf', 'kdump-raw-zlib'])
@pytest.mark.parametrize('share', ['on', 'off'])
def test_huge_pages(out, huge_pages, share, name):
    """They are not allocated either, unless other processes use some of
    them."""
    with VM('-m', '64M', '-object', 'memory-backend-memfd,id=ram,size=64M,'
            f'hugetlb=on,hugetlbsize=2M,share={share}', '-S',
            machine='pc,memory-backend=ram') as vm:
        ram = memfd_of(vm)
        before = rss(vm, 'HugetlbPages'), os.stat(ram).st_blocks
        assert before[0] < 32 << 20     # the firmware's, if any
        vm.dump(out, format=name)
        dump = open_dump(out)
        assert not any(dump.read(0x1000000, 1 << 20))
        assert (rss(vm, 'HugetlbPages'), os.stat(ram).st_blocks) == before
        fd = os.open(ram, os.O_RDWR)
        try:
            with mmap.mmap(fd, 64 << 20) as m:
                m[0x2345678:0x2345680] = b'of other'
                vm.dump(out, format=name)
        finally:
            os.close(fd)
        assert open_dump(out).read(0x2345678, 8) == b'of other'


@pytest.mark.parametrize('kind,name', [('ram', 'elf'), ('ram', 'kdump-lzo'),
                                       ('memfd', 'elf')])
def test_left_out_as_zero(out, kind, name):
    """Long ranges are not in the file at all: here, all above 4 GiB."""
    size = 9 << 30
    with VM('-m', '9G', '-object', f'memory-backend-{kind},id=ram,'
            f'size={size},reserve=off', '-S',
            machine='pc,memory-backend=ram') as vm:
        vm.dump(out, format=name)
        whole = vm.qmp.cmd('query-dump')['total']
        vm.dump(out, format=name, exclude=['zero'])
        result = vm.qmp.cmd('query-dump')
        assert result['excluded'] == [{'class': 'zero', 'bytes': 6 << 30}]
        assert result['total'] == result['completed'] == whole - (6 << 30)
        dump = open_dump(out)
        if name == 'elf':
            assert sum(n for _, n in dump.ranges()) == result['total']
            assert all(at + n <= 4 << 30 for at, n in dump.ranges())
        else:
            assert len(dump.pfns) << 12 == result['total']
            assert dump.pfns[-1] < 1 << 20
            assert dump.dump_level == 1 and dump.ram[-1] == (10 << 18) - 1
            assert os.path.getsize(out) < (3 << 30) // 4096 * 24 + (2 << 20)
        # A page that is written to divides them.
        if kind == 'memfd':
            with open(memfd_of(vm), 'r+b') as f:
                f.seek(6 << 30)
                f.write(b'here')
            vm.dump(out, format=name, exclude=['zero'])
            dump = open_dump(out)
            assert dump.read(7 << 30, 4) == b'here'
            assert 'excluded' not in vm.qmp.cmd('query-dump')
