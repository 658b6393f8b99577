# SPDX-License-Identifier: GPL-2.0-or-later
"""A dump does not make the host allocate what the guest never touched."""

import os

import pytest

from vm import VM
from vmcore import open_dump

SIZE = 512 << 20


def rss(vm):
    with open(f'/proc/{vm.proc.pid}/status') as f:
        for line in f:
            if line.startswith('VmRSS'):
                return int(line.split()[1]) << 10


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
            vm.dump('/dev/null')        # no holes there: all is written
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
    """Pages that another process wrote are not untouched."""
    with VM('-m', '64M', '-object',
            'memory-backend-memfd,id=ram,size=64M', '-S',
            machine='pc,memory-backend=ram') as vm:
        fds = f'/proc/{vm.proc.pid}/fd'
        ram = next(os.path.join(fds, n) for n in os.listdir(fds)
                   if 'memory-backend-memfd' in
                   os.readlink(os.path.join(fds, n)))
        with open(ram, 'r+b') as f:
            for at in range(0x200000, 0x3000000, 0x123000):
                f.seek(at)
                f.write(b'%08x' % at)
        for name in ('elf', 'kdump-raw-zlib'):
            vm.dump(out, format=name)
            dump = open_dump(out)
            for at in range(0x200000, 0x3000000, 0x123000):
                assert dump.read(at, 8) == b'%08x' % at
