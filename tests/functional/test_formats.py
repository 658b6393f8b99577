# SPDX-License-Identifier: GPL-2.0-or-later
"""Contents of the files of a stopped machine: formats x detach x outputs."""

import os
import socket
import subprocess
import threading

import pytest

from conftest import SIZE
from qmp import QMPError
from vm import VM
from vmcore import ElfDump, open_dump
from wait import HANGS

KDUMP = ['kdump-zlib', 'kdump-lzo', 'kdump-snappy']
RAW = ['kdump-raw-zlib', 'kdump-raw-lzo', 'kdump-raw-snappy']
ZSTD = ['kdump-zstd', 'kdump-raw-zstd']
FORMATS = ['elf', *KDUMP, *RAW, *ZSTD]


def check_ram(dump, ram_file, begin=0, size=SIZE):
    """The file has all of RAM except the PC's holes."""
    seen = 0
    with open(ram_file, 'rb') as f:
        for start, length in dump.ranges():
            a = max(start, begin)
            b = min(start + length, begin + size, SIZE)
            if a >= b:
                continue
            for at in range(a, b, 1 << 20):
                n = min(1 << 20, b - at)
                # Below 1 MiB, ROMs overlap RAM.
                if at + n <= 0xa0000 or at >= 0x100000:
                    f.seek(at)
                    assert dump.read(at, n) == f.read(n), f'{at:#x}'
            seen += b - a
    return seen


def check_all(path, ram_file, saved):
    """Compare RAM with the file, everything else with pmemsave."""
    dump = open_dump(path)
    assert check_ram(dump, ram_file) >= SIZE - (384 << 10)
    for start, data in saved.items():
        # A kdump file ends at the end of RAM.
        if start < SIZE or isinstance(dump, ElfDump):
            assert dump.read(start, len(data)) == data
    return dump


@pytest.fixture(scope='module')
def saved(still_vm, tmp_path_factory):
    """pmemsave's output for the low megabyte and the ROM below 4 GiB."""
    path = str(tmp_path_factory.mktemp('saved') / 'saved')
    pieces = {}
    for start, size in ((0, 0xa0000), (0xc0000, 0x40000),
                        (0xfffc0000, 0x40000)):
        still_vm.qmp.cmd('pmemsave', val=start, size=size, filename=path)
        with open(path, 'rb') as f:
            pieces[start] = f.read()
    return pieces


def test_capability(still):
    cap = still.qmp.cmd('query-dump-guest-memory-capability')
    assert cap['formats'] == FORMATS


@pytest.mark.parametrize('detach', [False, True])
@pytest.mark.parametrize('name', FORMATS)
def test_file(still, ram_file, saved, out, name, detach):
    still.dump(out, format=name, detach=detach)
    event = still.qmp.wait_event('DUMP_COMPLETED')['data']
    assert 'error' not in event
    assert event['result']['status'] == 'completed'
    assert event['result']['completed'] == event['result']['total'] >= SIZE
    assert still.qmp.cmd('query-dump') == event['result']
    check_all(out, ram_file, saved)


def test_file_is_private(still, out):
    still.dump(out)
    assert os.stat(out).st_mode & 0o777 == 0o600


def test_existing_file_is_replaced(still, ram_file, saved, out):
    with open(out, 'wb') as f:
        f.write(b'x' * (3 * SIZE))
    os.chmod(out, 0o640)
    still.dump(out)
    assert os.stat(out).st_mode & 0o777 == 0o640
    assert os.path.getsize(out) < 2 * SIZE
    check_all(out, ram_file, saved)


def test_same_pages_in_all_formats(still, tmp_path):
    dumps = []
    for name in FORMATS[1:]:
        path = str(tmp_path / name)
        still.dump(path, format=name)
        dumps.append(open_dump(path))
    for d in dumps[1:]:
        assert d.ram == dumps[0].ram and d.pfns == dumps[0].pfns
    for pfn in dumps[0].pfns[::37]:
        pages = {d.page(pfn) for d in dumps}
        assert len(pages) == 1


@pytest.mark.parametrize('name', FORMATS)
def test_threads(still, tmp_path, name):
    """The file does not depend on the number of threads."""
    files = set()
    for threads in (1, 2, 3, 8, 64):
        path = str(tmp_path / 'dump')
        still.dump(path, format=name, threads=threads)
        with open(path, 'rb') as f:
            data = bytearray(f.read())
        if name != 'elf':
            dump = open_dump(path)
            at = data.index(b'KDUMP   ') + 408
            assert dump.time > 0
            data[at:at + 16] = bytes(16)        # time stamp
        files.add(bytes(data))
    assert len(files) == 1


def test_flattened_records_are_large(still, out):
    """Records are large: crash's opening time grows with the number of records."""
    still.dump(out, format='kdump-zlib')
    flat = open_dump(out).source
    assert flat.size / flat.nr_records > 256 << 10


def test_elf_has_holes(still, out):
    """Zero pages take no space in a new file."""
    still.dump(out)
    st = os.stat(out)
    assert st.st_blocks * 512 < st.st_size * 0.8


def test_paging_without_paging_cpu(still, ram_file, out):
    """CPUs without paging: the dump has physical addresses."""
    still.dump(out, paging=True)
    dump = open_dump(out)
    assert check_ram(dump, ram_file) >= SIZE - (384 << 10)
    assert all(s['vaddr'] == s['paddr'] for s in dump.loads)


@pytest.mark.parametrize('detach', [False, True])
@pytest.mark.parametrize('paging', [False, True])
@pytest.mark.parametrize('begin,length', [
    (0x200000, 0x300000),           # inside
    (0x200123, 0x1235),             # not aligned
    (SIZE - 0x2000, 1 << 40),       # beyond the end
    (0, 1),
    (0x9f000, 0x70000),             # across the hole of the PC
])
def test_range(still, ram_file, out, begin, length, paging, detach):
    still.dump(out, begin=begin, length=length, paging=paging, detach=detach)
    event = still.qmp.wait_event('DUMP_COMPLETED')['data']
    assert event['result']['status'] == 'completed'
    dump = open_dump(out)
    assert check_ram(dump, ram_file, begin, length) > 0
    for start, size in dump.ranges():
        assert start >= begin and start + size <= begin + length


# -- descriptors -------------------------------------------------------------


def reader(fd, path):
    """Copy a descriptor to a file in a thread."""
    def work():
        with open(fd, 'rb', closefd=True) as src, open(path, 'wb') as dst:
            while True:
                data = src.read(1 << 16)
                if not data:
                    return
                dst.write(data)
    thread = threading.Thread(target=work)
    thread.start()
    return thread


@pytest.mark.parametrize('detach', [False, True])
@pytest.mark.parametrize('name', ['elf', *KDUMP, 'kdump-zstd'])
@pytest.mark.parametrize('kind', ['pipe', 'nonblocking', 'socket'])
def test_stream(still, ram_file, saved, out, name, kind, detach):
    if kind == 'socket':
        a, b = socket.socketpair()
        r, w = os.dup(a.fileno()), os.dup(b.fileno())
        a.close()
        b.close()
    else:
        r, w = os.pipe()
    if kind == 'nonblocking':
        os.set_blocking(w, False)
    still.qmp.getfd('out', w)
    os.close(w)
    thread = reader(r, out)
    still.qmp.cmd('dump-guest-memory', paging=False, protocol='fd:out',
                  format=name, detach=detach)
    event = still.qmp.wait_event('DUMP_COMPLETED')['data']
    assert event['result']['status'] == 'completed'
    thread.join(HANGS)
    check_all(out, ram_file, saved)


@pytest.mark.parametrize('name', FORMATS)
def test_fd_of_file(still, ram_file, saved, out, name):
    with open(out, 'wb') as f:
        still.qmp.getfd('out', f.fileno())
        still.qmp.cmd('dump-guest-memory', paging=False, protocol='fd:out',
                      format=name)
        assert os.lseek(f.fileno(), 0, os.SEEK_CUR) == os.path.getsize(out)
    check_all(out, ram_file, saved)


@pytest.mark.parametrize('name', ['elf', 'kdump-raw-zlib', 'kdump-lzo'])
def test_fd_at_a_position(still, ram_file, saved, tmp_path, out, name):
    """The dump starts at the descriptor's position, even in old contents."""
    with open(out, 'wb') as f:
        f.write(b'\xff' * (2 * SIZE))
        f.seek(12345)
        f.flush()
        still.qmp.getfd('out', f.fileno())
        still.qmp.cmd('dump-guest-memory', paging=False, protocol='fd:out',
                      format=name)
        end = os.lseek(f.fileno(), 0, os.SEEK_CUR)
    with open(out, 'rb') as f:
        assert f.read(12345) == b'\xff' * 12345
        data = f.read(end - 12345)
    inner = str(tmp_path / 'inner')
    with open(inner, 'wb') as f:
        f.write(data)
    check_all(inner, ram_file, saved)


def test_fd_append(still, ram_file, saved, tmp_path, out):
    """A file opened for appending is written front to back."""
    with open(out, 'wb') as f:
        f.write(b'x' * 4321)
    fd = os.open(out, os.O_WRONLY | os.O_APPEND)
    still.qmp.getfd('out', fd)
    os.close(fd)
    still.qmp.cmd('dump-guest-memory', paging=False, protocol='fd:out')
    inner = str(tmp_path / 'inner')
    with open(out, 'rb') as f, open(inner, 'wb') as g:
        f.seek(4321)
        g.write(f.read())
    check_all(inner, ram_file, saved)


def test_file_protocol_to_fifo(still, ram_file, saved, tmp_path, out):
    fifo = str(tmp_path / 'fifo')
    os.mkfifo(fifo)
    with subprocess.Popen(['cat', fifo], stdout=open(out, 'wb')) as cat:
        still.dump(fifo, format='kdump-zlib', detach=True)
        assert still.qmp.wait_event('DUMP_COMPLETED')['data']['result'][
            'status'] == 'completed'
        assert cat.wait(HANGS) == 0
    check_all(out, ram_file, saved)


def test_link_to_nothing(still, ram_file, saved, tmp_path, out):
    """A symlink is followed, whether its target exists or not."""
    link = str(tmp_path / 'link')
    os.symlink(out, link)
    still.dump(link)
    assert os.path.islink(link)
    assert os.stat(out).st_mode & 0o777 == 0o600
    check_all(out, ram_file, saved)


def test_relative_name(still):
    """Relative to QEMU's working directory, as in previous versions."""
    still.dump('relative')
    open_dump(still.path('relative'))
    os.unlink(still.path('relative'))


def test_links(still, ram_file, saved, tmp_path, out):
    """To a file that does not exist yet, and to one that does."""
    link = str(tmp_path / 'link')
    os.symlink(out, link)
    for _ in range(2):
        still.dump(link, format='kdump-zlib')
        assert os.path.islink(link)
        assert os.stat(out).st_mode & 0o777 == 0o600
        check_all(out, ram_file, saved)


def test_fdset_of_pipe(running, out):
    r, w = os.pipe()
    running.qmp.cmd('add-fd', [w], fdset_id=8)
    os.close(w)
    thread = reader(r, out)
    running.dump('/dev/fdset/8', format='kdump-zlib', detach=True)
    event = running.qmp.wait_event('DUMP_COMPLETED')['data']
    assert event['result']['status'] == 'completed'
    # QEMU closes the rest of the set while the guest runs.
    running.qmp.cmd('remove-fd', fdset_id=8)
    thread.join(HANGS)
    assert not thread.is_alive()
    assert len(open_dump(out).pfns) >= (16 << 20) >> 12


def test_fdset(still, ram_file, saved, out):
    with open(out, 'wb') as f:
        still.qmp.cmd('add-fd', [f.fileno()], fdset_id=7)
    still.dump('/dev/fdset/7', format='kdump-zlib')
    still.qmp.cmd('remove-fd', fdset_id=7)
    check_all(out, ram_file, saved)


def test_memory_above_4g(tmp_path, out):
    """Guest-physical addresses of more than 32 bits."""
    with VM('-m', '4G', '-S', machine='q35') as vm:
        vm.dump(out, format='kdump-raw-zlib')
        dump = open_dump(out)
        # The firmware ends where the second part of RAM begins.
        end = (4 << 30) + (2 << 30)
        assert sum(dump.ranges()[-1]) == end
        assert dump.max_mapnr == end >> 12
        try:
            vm.dump(out)
        except QMPError as e:
            assert 'space' in str(e)
            return
        assert sum(open_dump(out).ranges()[-1]) == end
