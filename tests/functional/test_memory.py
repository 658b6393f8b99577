# SPDX-License-Identifier: GPL-2.0-or-later
"""Little memory: the dump works or fails with an error; QEMU survives.

QEMU's address space is limited to its present size and a little more. Each
thread that QEMU itself starts takes 8 MiB of it.
"""

import re
import resource

import pytest

from qmp import QMPError
from test_faults import start, state_of_file, state_of_guest

pytestmark = pytest.mark.once

MIB = 1 << 20
THREADS = [1, None, 64]


def limit(vm, more):
    """Limit the address space to @more bytes above its size; None: no limit."""
    if more is None:
        size = resource.RLIM_INFINITY
    else:
        with open(vm.proc_path('status')) as f:
            size = more + (int(re.search(r'VmSize:\s+(\d+)', f.read())[1])
                           << 10)
    resource.prlimit(vm.proc.pid, resource.RLIMIT_AS,
                     (size, resource.RLIM_INFINITY))


def dump(vm, path, detach, threads, name):
    """Returns the dump's error, None if there is none."""
    arguments = {} if threads is None else {'threads': threads}
    vm.qmp.event_names()
    try:
        vm.dump(path, format=name, detach=detach, **arguments)
    except QMPError as e:
        return str(e)
    finally:
        assert vm.proc.poll() is None, vm.stderr()
    return vm.qmp.wait_event('DUMP_COMPLETED')['data'].get('error')


def limited_dump(ram_file, path, more, *how):
    """Make a dump with a limit, whose error or None is returned, and one
    without, which must succeed."""
    with start(ram_file) as vm:
        limit(vm, more)
        error = dump(vm, path, *how)
        state = state_of_file(path, ram_file)
        assert error or state == 'complete'
        assert state_of_guest(vm) == 'running'
        limit(vm, None)
        assert dump(vm, path, *how) is None
        assert state_of_file(path, ram_file) == 'complete'
    return error


@pytest.mark.parametrize('threads', THREADS)
@pytest.mark.parametrize('detach', [False, True])
@pytest.mark.parametrize('more', [4, 6, 9, 12, 16, 24, 40, 64])
def test_little(ram_file, out, more, detach, threads):
    assert limited_dump(ram_file, out, more * MIB, detach, threads,
                        'kdump-zlib') is None


@pytest.mark.parametrize('threads', THREADS)
@pytest.mark.parametrize('detach', [False, True])
@pytest.mark.parametrize('more', [0, 256, 512, 768, 1024, 1536, 2048])
def test_hardly_any(ram_file, out, more, detach, threads):
    """@more is in KiB; whether it is enough depends on QEMU's free memory."""
    error = limited_dump(ram_file, out, more << 10, detach, threads,
                         'kdump-zlib')
    assert error is None or 'no memory' in error or \
        'failed to start a thread' in error


@pytest.mark.parametrize('name', [
    'elf', 'kdump-lzo', 'kdump-snappy', 'kdump-zstd', 'kdump-raw-zlib'])
@pytest.mark.parametrize('more', [4, 24])
def test_formats(ram_file, out, name, more):
    assert limited_dump(ram_file, out, more * MIB, True, 64, name) is None
