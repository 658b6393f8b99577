# SPDX-License-Identifier: GPL-2.0-or-later
"""The benchmark: its guest, and the correctness of its figures."""

import json
import os
import subprocess
import sys
import zlib
from xml.etree import ElementTree

import pytest

from vm import REPO, qemu_binary

BENCH = os.path.join(REPO, 'tests', 'bench')
sys.path.insert(0, BENCH)
import memory_image  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.once]

MIB = 1 << 20
MEASURES = ('seconds', 'cpu_seconds', 'bytes', 'bytes_on_disk', 'rss_growth')


def bench(*args):
    return subprocess.run([os.path.join(BENCH, 'dump-bench'), *args],
                          capture_output=True, text=True)


@pytest.fixture(scope='module')
def image(tmp_path_factory):
    path = tmp_path_factory.mktemp('bench') / 'image'
    memory_image.fill(path, 20 * MIB)
    return path


def test_plot(tmp_path):
    """One bar for each of the two, of the correct length."""
    report = {'summary': {'elf': {'seconds': {
        'stock': {'min': 2, 'median': 3, 'max': 4},
        'ours': {'min': 1, 'median': 1.5, 'max': 2}}},
        'kdump-zstd': {'seconds': {'ours': {'min': 1, 'median': 1,
                                            'max': 1}}}}}
    path = tmp_path / 'report'
    path.write_text(json.dumps(report))
    svg = ElementTree.fromstring(subprocess.run(
        [os.path.join(BENCH, 'dump-plot'), path], capture_output=True,
        check=True).stdout)
    name = '{http://www.w3.org/2000/svg}'
    widths = [float(r.get('width')) for r in svg.iter(name + 'rect')
              if r.get('height') == '14']
    assert len(widths) == 2
    assert abs(widths[0] - 2 * widths[1]) < 0.2
    assert {'3.00 s', '1.50 s', 'elf'} <= {t.text for t in
                                            svg.iter(name + 'text')}


def shrunk(piece):
    return len(zlib.compress(piece, 1)) / len(piece)


def test_mix():
    order = memory_image.kinds(1000, seed=1)
    for kind, share in memory_image.MIX.items():
        assert order.count(kind) == share * 10
    assert order != memory_image.kinds(1000, seed=2)
    assert order != sorted(order)


def test_image_is_what_the_mix_says(image):
    order = memory_image.kinds(20, seed=1)
    data = image.read_bytes()
    assert len(data) == 20 * MIB
    for i, kind in enumerate(order):
        piece = data[i * MIB:(i + 1) * MIB]
        if kind == 'zero':
            assert not any(piece)
        elif kind == 'random':
            assert shrunk(piece) > 0.99
        else:
            assert 0 < shrunk(piece) < 0.9
    assert {'zero', 'random', 'program', 'text'} == set(order)


def test_image_is_repeatable(image, tmp_path):
    again = tmp_path / 'again'
    memory_image.fill(again, 20 * MIB)
    assert again.read_bytes() == image.read_bytes()


@pytest.fixture(scope='module')
def report(tmp_path_factory):
    """Compare the binary under test with itself."""
    folder = tmp_path_factory.mktemp('out')
    binary = qemu_binary()
    r = bench('--stock', binary, '--ours', binary, '--size', '32M',
              '--rounds', '2', '--formats', 'elf,kdump-raw-lzo',
              '--out-dir', str(folder), '--json', '-')
    assert r.returncode == 0, r.stderr
    assert not os.listdir(folder)
    return json.loads(r.stdout)


def test_measures_every_round(report):
    assert report['size'] == 32 * MIB and report['rounds'] == 2
    assert list(report['measurements']) == ['elf', 'kdump-raw-lzo']
    for by_name in report['measurements'].values():
        assert list(by_name) == ['stock', 'ours']
        for name, measurements in by_name.items():
            assert len(measurements) == 2
            for m in measurements:
                assert set(m) == {*MEASURES, 'copy_seconds'} - (
                    {'copy_seconds'} if name == 'stock' else set())
                assert m['seconds'] > 0
                assert m.get('copy_seconds', 1) > 0


def test_codecs_alone(report):
    assert report['summary']['elf']['codec_seconds'] is None
    assert 0 < report['summary']['kdump-raw-lzo']['codec_seconds'] < 10


def test_sizes_are_those_of_the_files(report):
    for fmt, by_name in report['measurements'].items():
        sizes = {m['bytes'] for ms in by_name.values() for m in ms}
        assert len(sizes) == 1
        assert report['summary'][fmt]['size_ratio'] == 1
    elf = report['measurements']['elf']['ours'][0]
    # Two fifths of the memory are zero and cost nothing.
    assert elf['bytes'] > 32 * MIB > elf['bytes_on_disk'] > 12 * MIB
    kdump = report['measurements']['kdump-raw-lzo']['ours'][0]
    assert 4 * MIB < kdump['bytes'] < 24 * MIB


def test_ratios_are_taken_pair_by_pair(report):
    for fmt, by_name in report['measurements'].items():
        pairs = [a['seconds'] / b['seconds']
                 for a, b in zip(by_name['stock'], by_name['ours'])]
        ratio = report['summary'][fmt]['speed_ratio']
        assert ratio['min'] == min(pairs) and ratio['max'] == max(pairs)


def test_table(tmp_path):
    binary = qemu_binary()
    r = bench('--stock', binary, '--ours', binary, '--size', '16M',
              '--rounds', '1', '--formats', 'kdump-zlib',
              '--out-dir', str(tmp_path))
    assert r.returncode == 0, r.stderr
    head, line = r.stdout.splitlines()[:2]
    assert head.split()[0] == 'format'
    assert line.split()[0] == 'kdump-zlib'


@pytest.mark.parametrize('args, text', [
    (('--size', '1'), 'not a size'),
    (('--size', '0M'), 'not a size'),
    (('--rounds', '0'), 'not a number above 0'),
    (('--size', '99999999G'), 'MiB free'),
])
def test_bad_arguments(args, text):
    r = bench('--stock', '/bin/true', '--ours', '/bin/true', *args)
    assert r.returncode != 0
    assert text in r.stderr


def test_a_format_that_is_not_there(tmp_path):
    binary = qemu_binary()
    r = bench('--stock', binary, '--ours', binary, '--size', '16M',
              '--formats', 'win-dmp', '--out-dir', str(tmp_path))
    assert r.returncode == 1
    assert 'win-dmp' in r.stderr and 'elf' in r.stderr
    assert not os.listdir(tmp_path)
