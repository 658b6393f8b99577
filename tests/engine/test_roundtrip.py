# SPDX-License-Identifier: GPL-2.0-or-later
"""Dumps of generated memory, written by the engine and read independently.

vmcore-make (tests/unit/) writes them; the reader in tests/functional/ shares
no code with the writers. $VMCORE_MAKE is the path of the program.
"""

import os
import random
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))), 'functional', 'lib'))
from vmcore import Bad, ElfDump, open_dump  # noqa: E402

MAKE = os.environ.get('VMCORE_MAKE')
pytestmark = pytest.mark.skipif(not MAKE, reason='VMCORE_MAKE is not set')

# class, big-endian, EM_*, name in utsname.machine
TARGETS = {
    'x86_64': (64, 0, 62), 'i686': (32, 0, 3), 'armv7l': (32, 0, 40),
    'aarch64': (64, 0, 183), 's390x': (64, 1, 22), 'ppc64': (64, 1, 21),
    'ppc': (32, 1, 20), 'riscv64': (64, 0, 243),
}
CODECS = {0: 'zlib', 1: 'lzo', 2: 'snappy', 3: 'zstd'}

LAYOUTS = {
    'plain': [(0, 0x300000)],
    'holes': [(0, 0xa0000), (0x100000, 0x133000), (0xfffc0000, 0x40000)],
    'adjacent': [(0x10000, 0x5000), (0x15000, 0x8000), (0x1d000, 0x1000)],
    # Unaligned runs; two share a page; the last is partial.
    'partial': [(0x1800, 0x100), (0x1a00, 0x2700), (0x7fff, 2),
                (0x10000, 0x10001)],
    'tiny': [(0x123456, 1)],
    'many': [(i * 0x30000, 0x3000 + i * 16) for i in range(200)],
}


def make(tmp_path, runs, name='dump', ok=True, **options):
    out, ram = str(tmp_path / name), str(tmp_path / 'ram')
    argv = [MAKE, f'out={out}', f'ram={ram}']
    argv += [f'run={a:#x}:{n:#x}' for a, n in runs]
    argv += [f'{k}={v}' for k, v in options.items()]
    r = subprocess.run(argv, capture_output=True, text=True)
    if not ok:
        assert r.returncode == 1, r.stderr
        return r.stderr
    assert r.returncode == 0, r.stderr
    with open(ram, 'rb') as f:
        content = f.read()
    return out, content


def target(name):
    klass, be, machine = TARGETS[name]
    return {'class': klass, 'be': be, 'machine': machine}


def check(dump, runs, content):
    """Check that every byte of every run is correct, and all others zero."""
    pos = 0
    for start, size in runs:
        assert dump.read(start, size) == content[pos:pos + size], f'{start:#x}'
        pos += size


def check_kdump(dump, runs, content, page):
    check(dump, runs, content)
    assert dump.block_size == page
    want = set()
    for start, size in runs:
        want |= set(range(start // page, (start + size - 1) // page + 1))
    assert set(dump.ram) == want == set(dump.pfns)
    assert dump.max_mapnr == max(want) + 1
    # The rest of a partial page is zero.
    for pfn in want:
        data = bytearray(dump.page(pfn))
        for start, size in runs:
            a = max(start - pfn * page, 0)
            b = min(start + size - pfn * page, page)
            if a < b:
                data[a:b] = bytes(b - a)
        assert not any(data), f'page {pfn:#x}'
    assert (dump.phys_base, dump.nr_cpus) == (-4096, 3) or not dump.is64
    assert abs(dump.time - 1700000000.123456) < 1e-6


@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize('name', TARGETS)
@pytest.mark.parametrize('stream', [0, 1])
def test_elf(tmp_path, name, layout, stream):
    runs = LAYOUTS[layout]
    path, content = make(tmp_path, runs, stream=stream, **target(name))
    dump = open_dump(path)
    assert dump.machine == TARGETS[name][2]
    assert dump.is64 == (TARGETS[name][0] == 64)
    assert dump.order == '<>'[TARGETS[name][1]]
    assert dump.notes == [('CORE', 1, b'registers')] * 3
    check(dump, runs, content)
    assert all(s['vaddr'] == s['paddr'] for s in dump.loads)
    if layout == 'adjacent':
        assert dump.ranges() == [(0x10000, 0xe000)]


@pytest.mark.parametrize('layout,page', [
    (layout, page) for layout in LAYOUTS for page in (4096, 16384, 65536)
    if layout != 'many' or page == 4096])
@pytest.mark.parametrize('name', TARGETS)
def test_kdump(tmp_path, name, layout, page):
    runs = LAYOUTS[layout]
    path, content = make(tmp_path, runs, kdump=1, page=page, **target(name))
    dump = open_dump(path)
    assert dump.machine == name
    check_kdump(dump, runs, content, page)


@pytest.mark.parametrize('flat,stream', [(0, 0), (1, 0), (1, 1)])
@pytest.mark.parametrize('codec', CODECS)
def test_codecs(tmp_path, codec, flat, stream):
    runs = LAYOUTS['holes']
    path, content = make(tmp_path, runs, kdump=1, codec=codec, flat=flat,
                         stream=stream)
    dump = open_dump(path)
    assert dump.status in (1, 2, 4, 0x20)
    assert dump.status == {0: 1, 1: 2, 2: 4, 3: 0x20}[codec]
    check_kdump(dump, runs, content, 4096)
    kinds = {d[2] for d in dump.descs.values()}
    assert kinds == {0, dump.status}, 'raw and compressed pages expected'
    zero = [d for p, d in dump.descs.items() if not any(dump.page(p))]
    assert len(zero) > 10 and len(set(zero)) == 1, 'zero pages must share one'


@pytest.mark.parametrize('codec', CODECS)
@pytest.mark.parametrize('flat', [0, 1])
def test_threads_make_the_same_file(tmp_path, codec, flat):
    files = set()
    for threads in (1, 2, 3, 8):
        path, _ = make(tmp_path, LAYOUTS['plain'], kdump=1, codec=codec,
                       flat=flat, threads=threads)
        with open(path, 'rb') as f:
            files.add(f.read())
    assert len(files) == 1


@pytest.mark.parametrize('kdump', [0, 1])
def test_vmcoreinfo(tmp_path, kdump):
    text = 'OSRELEASE=1.2.3\nPAGESIZE=4096\n'
    path, _ = make(tmp_path, LAYOUTS['plain'], kdump=kdump, vmcoreinfo=text)
    dump = open_dump(path)
    assert dump.vmcoreinfo == {'OSRELEASE': '1.2.3', 'PAGESIZE': '4096'}


@pytest.mark.parametrize('name', ['x86_64', 'i686', 's390x', 'ppc'])
@pytest.mark.parametrize('maps', [1, 7, 65533, 65534, 66000])
def test_mappings_and_many_headers(tmp_path, name, maps):
    """One segment per mapping, clipped to RAM; more than e_phnum can hold."""
    runs = [(0x100000, 0x3000), (0x200000, 0x1000)]
    path, content = make(tmp_path, runs, maps=maps, **target(name))
    dump = open_dump(path)
    assert isinstance(dump, ElfDump)
    assert dump.phnum == maps + 1
    assert (dump.shnum > 0) == (maps + 1 > 65534)
    for i in (0, maps // 2, maps - 1):
        s = dump.segments[1 + i]
        assert s['vaddr'] == (0xc0000000 + i * 0x2000) % (1 << (
            64 if dump.is64 else 32))
        assert (s['paddr'], s['memsz']) == (0x102000, 0x1000)
    assert dump.read_virtual(dump.segments[-1]['vaddr'], 0x1000) == \
        content[0x2000:0x3000]
    # All memory is in the file, whether mapped or not.
    assert content[:0x3000] in dump.data[:]


@pytest.mark.parametrize('name', ['s390x', 'x86_64', 'ppc'])
def test_sections_of_the_target(tmp_path, name):
    """With sections, program headers do not move; sections have data."""
    runs = LAYOUTS['holes']
    path, content = make(tmp_path, runs, sections=3, **target(name))
    dump = open_dump(path)
    names = [dump.section_name(s) for s in dump.sections]
    assert names == ['', 'extra0', 'extra1', 'extra2', '.shstrtab']
    data = [dump.data[s['offset']:s['offset'] + s['size']]
            for s in dump.sections[1:4]]
    assert data == [b'01', b'23', b'45']
    check(dump, runs, content)


def test_readelf_agrees(tmp_path):
    path, _ = make(tmp_path, LAYOUTS['holes'], sections=2, maps=66000)
    out = subprocess.run(['readelf', '-hlW', path], capture_output=True,
                         text=True)
    assert out.returncode == 0
    assert 'arning' not in out.stdout + out.stderr
    assert '65535 (66001)' in out.stdout


def test_too_large_for_32_bits(tmp_path):
    text = make(tmp_path, [(1 << 33, 4096)], ok=False, **target('i686'))
    assert 'too large for an ELF32 core' in text


@pytest.mark.parametrize('kdump', [0, 1])
def test_no_memory(tmp_path, kdump):
    assert 'no guest memory' in make(tmp_path, [], ok=False, kdump=kdump)


def test_too_large_for_kdump(tmp_path):
    text = make(tmp_path, [((1 << 64) - 4096, 4096)], ok=False, kdump=1)
    assert 'too large' in text


def test_large_addresses(tmp_path):
    runs = [(0, 4096), (1 << 46, 8192)]
    path, content = make(tmp_path, runs, kdump=0)
    check(open_dump(path), runs, content)


def test_random_layouts(tmp_path):
    rng = random.Random(20261125)
    for _ in range(60):
        at, runs = 0, []
        for _ in range(rng.randrange(1, 9)):
            at += rng.choice([0, 1, 4095, 4096, 4097, 65536,
                              rng.randrange(1 << 20)])
            size = rng.choice([1, 4095, 4096, 4097, rng.randrange(1, 200000)])
            runs.append((at, size))
            at += size
        name = rng.choice(list(TARGETS))
        page = rng.choice([4096, 16384, 65536])
        path, content = make(tmp_path, runs, stream=1, **target(name))
        check(open_dump(path), runs, content)
        path, content = make(tmp_path, runs, kdump=1, page=page,
                             flat=rng.randrange(2), codec=rng.randrange(4),
                             threads=rng.randrange(1, 4), **target(name))
        check_kdump(open_dump(path), runs, content, page)


def test_cut_file_is_no_dump(tmp_path):
    """A truncated file is not accepted as a dump."""
    for flat in (0, 1):
        path, _ = make(tmp_path, LAYOUTS['plain'], kdump=1, flat=flat)
        size = os.path.getsize(path)
        for part in range(1, 20):
            os.truncate(path, size * (20 - part) // 20)
            with pytest.raises((Bad, ValueError)):
                open_dump(path)
