# SPDX-License-Identifier: GPL-2.0-or-later
"""scripts/qemu-tree: what apply does to a tree, and what it refuses."""

import hashlib
import os
import shutil
import subprocess
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
REPO = os.path.dirname(os.path.dirname(HERE))
SCRIPT = os.path.join(REPO, 'scripts', 'qemu-tree')
sys.path.insert(0, os.path.join(REPO, 'scripts', 'lib'))
import tree_apply  # noqa: E402


def tool(*args):
    return subprocess.run([SCRIPT, *args], capture_output=True, text=True)


@pytest.fixture(scope='session', params=['7.2', '10.0'])
def source(request):
    """A pristine source tree."""
    r = tool('fetch', request.param)
    assert r.returncode == 0, r.stderr
    return r.stdout.strip()


@pytest.fixture
def tree(source, tmp_path):
    """As much of it as apply looks at, to be changed freely."""
    copy = str(tmp_path / 'tree')
    for path in [*tree_apply.MARKS, 'dump', 'include/system',
                 'include/sysemu', 'scripts/qapi', 'scripts/qapi-gen.py',
                 'qapi']:
        full, to = os.path.join(source, path), os.path.join(copy, path)
        os.makedirs(os.path.dirname(to), exist_ok=True)
        if os.path.isdir(full):
            shutil.copytree(full, to, dirs_exist_ok=True)
        elif os.path.exists(full):
            shutil.copy2(full, to)
    return copy


def digest(top):
    """Path -> hash and time, of every file."""
    out = {}
    for path in tree_apply.walk(top):
        full = os.path.join(top, path)
        with open(full, 'rb') as f:
            out[path] = (hashlib.sha256(f.read()).hexdigest(),
                         os.stat(full).st_mtime_ns)
    return out


def test_apply_twice(tree):
    r = tool('apply', tree)
    assert r.returncode == 0, r.stderr
    assert 'removed: dump/win_dump.c' in r.stderr
    first = digest(tree)
    assert 'dump/vmcore/writer-elf.c' in first
    assert 'dump/win_dump.c' not in first
    r = tool('apply', tree)
    assert r.returncode == 0, r.stderr
    assert 'nothing to do' in r.stderr
    assert digest(tree) == first


def test_apply_splices(tree):
    before = tree_apply.read(os.path.join(tree, 'hmp-commands.hx'))
    assert tool('apply', tree).returncode == 0
    after = tree_apply.read(os.path.join(tree, 'hmp-commands.hx'))
    ours = tree_apply.read(os.path.join(REPO, 'hmp-commands.hx'))
    assert ours in after
    start = before.index('    {\n        .name       = "dump-guest-memory"')
    assert after.startswith(before[:start])
    end = after.index(ours) + len(ours)
    assert before.endswith(after[end:])
    meson = tree_apply.read(os.path.join(tree, 'meson.build'))
    assert meson.count("    'dump',\n") == 1


@pytest.mark.parametrize('index,name', [
    ('docs/interop/index.rst', 'vmcore-formats'),
    ('docs/devel/index-internals.rst', 'dump'),
])
def test_apply_adds_documents(tree, index, name):
    before = tree_apply.read(os.path.join(tree, index)).splitlines()
    for _ in range(2):
        assert tool('apply', tree).returncode == 0
    after = tree_apply.read(os.path.join(tree, index)).splitlines()
    assert after.count(f'   {name}') == 1
    after.remove(f'   {name}')
    assert after == before
    document = os.path.join(os.path.dirname(index), f'{name}.rst')
    assert tree_apply.read(os.path.join(tree, document)) == \
        tree_apply.read(os.path.join(REPO, document))


def test_schema_has_documentation(tree, tmp_path):
    """The base's own generator takes our schema."""
    assert tool('apply', tree).returncode == 0
    r = subprocess.run(['/usr/bin/python3', 'scripts/qapi-gen.py', '-o',
                        str(tmp_path / 'gen'), '-b', 'qapi/qapi-schema.json'],
                       cwd=tree, capture_output=True, text=True)
    assert r.returncode == 0, r.stderr
    assert os.path.exists(tmp_path / 'gen' / 'qapi-commands-dump.h')


def test_not_a_tree(tmp_path):
    r = tool('apply', str(tmp_path))
    assert r.returncode != 0
    assert 'not a QEMU source tree' in r.stderr
    assert os.listdir(tmp_path) == []


def test_neither_base_nor_directory():
    r = tool('apply', '6.66')
    assert r.returncode != 0 and "'6.66'" in r.stderr


@pytest.mark.parametrize('version', ['6.2.0', '11.0.0', 'nonsense'])
def test_unknown_version(tree, version):
    with open(os.path.join(tree, 'VERSION'), 'w') as f:
        f.write(version + '\n')
    before = digest(tree)
    r = tool('apply', tree)
    assert r.returncode != 0 and version in r.stderr
    assert digest(tree) == before


@pytest.mark.parametrize('path,old,new', [
    ('hmp-commands.hx', '"dump-guest-memory"', '"something-else"'),
    ('hmp-commands-info.hx', '.name       = "dump"', '.name = "dump"'),
    ('MAINTAINERS', '\nDump\n', '\nDumps\n'),
    ('meson.build', "'backends/tpm'", "'backends/mpt'"),
    ('docs/interop/index.rst', 'virtio-balloon-stats', 'balloon'),
    ('docs/devel/index-internals.rst', '   clocks', '   watches'),
])
def test_missing_anchor(tree, path, old, new):
    full = os.path.join(tree, path)
    text = tree_apply.read(full)
    assert old in text
    with open(full, 'w') as f:
        f.write(text.replace(old, new))
    before = digest(tree)
    r = tool('apply', tree)
    assert r.returncode != 0
    assert f'{path}: expected' in r.stderr and '0 times' in r.stderr
    assert digest(tree) == before


def test_doubled_anchor(tree):
    full = os.path.join(tree, 'MAINTAINERS')
    with open(full, 'a') as f:
        f.write('\nDump\nS: Odd Fixes\n')
    before = digest(tree)
    r = tool('apply', tree)
    assert r.returncode != 0 and '2 times' in r.stderr
    assert digest(tree) == before


def contents(top):
    return {path: value[0] for path, value in digest(top).items()}


@pytest.mark.parametrize('stop_after', [1, 7, 20])
def test_failure_midway_is_undone(tree, monkeypatch, stop_after):
    before = contents(tree)
    real, calls = tree_apply.write, []

    def failing(*args):
        calls.append(args)
        if len(calls) > stop_after:
            raise OSError('disk full')
        real(*args)

    monkeypatch.setattr(tree_apply, 'write', failing)
    with pytest.raises(OSError):
        tree_apply.apply(tree, lambda text: None)
    assert contents(tree) == before


@pytest.mark.parametrize('stop_after', [1, 7, 20])
def test_kill_midway_is_undone_by_the_next(tree, monkeypatch, stop_after):
    whole = shutil.copytree(tree, tree + '-whole')
    tree_apply.apply(whole, lambda text: None)

    class Killed(BaseException):
        pass

    real, calls = tree_apply.write, []

    def failing(*args):
        calls.append(args)
        if len(calls) > stop_after:
            raise Killed
        real(*args)

    with monkeypatch.context() as m:
        m.setattr(tree_apply, 'write', failing)
        m.setattr(tree_apply, 'roll_back', lambda *args: None)
        with pytest.raises(Killed):
            tree_apply.apply(tree, lambda text: None)
    said = []
    tree_apply.apply(tree, said.append)
    assert any('interrupted' in s for s in said)
    assert contents(tree) == contents(whole)


def test_path_of_what_is_not_built(tree):
    r = tool('path', tree)
    assert r.returncode != 0 and 'is not built' in r.stderr
