# SPDX-License-Identifier: GPL-2.0-or-later
"""Incomplete dumps of a booted Linux guest, and the behaviour of the common
tools."""

import os
import resource
import subprocess

import pytest

from faults import pause, wait_for_pause
from guest import Guest, restored
from qmp import QMPError
from readers import rearranged, run
from vmcore import Bad, open_dump

pytestmark = [pytest.mark.guest, pytest.mark.once]

FORMATS = ['elf', 'kdump-zlib', 'kdump-raw-zlib', 'kdump-raw-lzo']


@pytest.fixture(scope='module')
def stopped():
    """The same memory for every dump."""
    with Guest() as g:
        g.qmp.cmd('stop')
        yield g


def dump_to_small_disk(vm, path, size):
    """To a file system of @size bytes, then copied to @path."""
    folder = path + '.disk'
    os.makedirs(folder, exist_ok=True)
    subprocess.run(['mount', '-t', 'tmpfs', '-o', f'size={size}', 'none',
                    folder], check=True)
    try:
        with pytest.raises(QMPError, match='No space left'):
            vm.dump(folder + '/dump', format='elf')
        subprocess.run(['cp', '--sparse=always', folder + '/dump', path],
                       check=True)
    finally:
        subprocess.run(['umount', '-l', folder], check=True)
    assert vm.status() == 'paused'


def dump_cut(vm, path, name, size):
    """With an output that cannot grow beyond so many bytes."""
    resource.prlimit(vm.proc.pid, resource.RLIMIT_FSIZE,
                     (size, resource.RLIM_INFINITY))
    try:
        with pytest.raises(QMPError) as e:
            vm.dump(path, format=name)
        assert 'File too large' in str(e.value)
    finally:
        resource.prlimit(vm.proc.pid, resource.RLIMIT_FSIZE,
                         (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert vm.status() == 'paused'


# Status; then a page that is present and one that is not.
KDUMPFILE = '''
import sys, kdumpfile, kdumpfile.exceptions

ctx = kdumpfile.kdumpfile(sys.argv[1])
read = lambda pfn: ctx.read(kdumpfile.KDUMP_MACHPHYSADDR, pfn * 4096, 4096)
data = read(int(sys.argv[2]))
try:
    read(int(sys.argv[3]))
    sys.exit('a missing page was read')
except kdumpfile.exceptions.NoDataException:
    pass
sys.stdout.buffer.write(data)
'''


def check_libkdumpfile(path, dump):
    """The last page that is present is correct, the next is reported
    missing."""
    last, missing = dump.pfns[-1], dump.ram[len(dump.pfns)]
    r = subprocess.run(['/usr/bin/python3', '-c', KDUMPFILE, path, str(last),
                        str(missing)], capture_output=True)
    assert r.returncode == 0, r.stderr.decode()
    assert r.stdout == dump.page(last)


def check_makedumpfile(path, tmp_path):
    """It may not find what it needs, and reports so; its output is not
    wrong."""
    out = str(tmp_path / 'dmesg')
    r = subprocess.run(['makedumpfile', '--dump-dmesg', path, out],
                       capture_output=True, text=True)
    assert r.returncode in (0, 1)
    assert r.returncode == 0 or any(
        text in r.stdout + r.stderr
        for text in ('is excluded', "Can't read the dump memory",
                     "Can't convert"))
    if os.path.exists(out):
        os.unlink(out)


def crash_says(path):
    """Output of crash for a file, without a kernel."""
    r = subprocess.run(['crash', '-s', path], capture_output=True, text=True,
                       stdin=subprocess.DEVNULL)
    return r.stdout + r.stderr


def check_cut(guest, path, name, tmp_path):
    """Returns how much of memory is readable, or None if no reader opens the
    file as a dump."""
    try:
        dump = open_dump(path, incomplete=True)
    except (Bad, ValueError):
        refused_by_all(path)
        return None
    assert run('crash', '--osrelease', path).strip() == guest.release()
    assert 'namelist argument required' in crash_says(path)
    if name == 'elf':
        check_makedumpfile(path, tmp_path)
        return len(dump.data)
    source = rearranged(path, tmp_path)
    check_makedumpfile(source, tmp_path)
    if dump.pfns and len(dump.pfns) < len(dump.ram):
        check_libkdumpfile(source, dump)
    if source != path:
        os.unlink(source)
    return len(dump.pfns)


def refused_by_all(path):
    assert 'not a supported file format' in crash_says(path)
    for argv in (['makedumpfile', '--dump-dmesg', path, path + '.out'],
                 ['/usr/bin/python3', '-c', 'import sys, kdumpfile\n'
                  "print(kdumpfile.kdumpfile(sys.argv[1]).attr['arch.name'])",
                  path]):
        r = subprocess.run(argv, capture_output=True)
        assert r.returncode != 0, argv


@pytest.mark.parametrize('name', FORMATS)
def test_twenty_places(stopped, tmp_path, name):
    path = str(tmp_path / 'dump')
    stopped.dump(path, format=name)
    size = os.path.getsize(path)
    used = os.stat(path).st_blocks * 512
    found = []
    for i in range(1, 21):
        if name == 'elf':               # an RLIMIT_FSIZE would be refused
            dump_to_small_disk(stopped, path, used * i // 20 - (i == 20) *
                               (64 << 10))
        else:
            dump_cut(stopped, path, name, size * i // 20 - (i == 20))
        found.append(check_cut(stopped, path, name, tmp_path) or 0)
    assert found == sorted(found)
    # Beyond some size the dump is usable, and in the end nearly complete.
    assert found[9] > 0
    assert found[19] > 0.9 * (size if name == 'elf' else
                              (256 << 20) // 4096)


@pytest.fixture(scope='module')
def saved(tmp_path_factory):
    """The state of a guest."""
    path = str(tmp_path_factory.mktemp('saved') / 'state')
    with Guest() as g:
        g.save(path)
    return path


@pytest.mark.parametrize('name', FORMATS[:3])
def test_killed(saved, tmp_path, faults_so, name):
    """An ELF core is marked as incomplete; of kdump nothing is readable."""
    path = str(tmp_path / 'dump')
    with restored(saved, '256M', env=pause(faults_so, path, 1 << 20)) as g:
        g.dump(path, format=name, detach=True)
        wait_for_pause(path, 1 << 20)
        assert g.qmp.cmd('query-dump')['status'] == 'active'
        g.proc.kill()
        g.proc.wait()
    if name == 'elf':
        assert open_dump(path, incomplete=True).flags == 1
    else:
        refused_by_all(path)
