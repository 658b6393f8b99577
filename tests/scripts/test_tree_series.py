# SPDX-License-Identifier: GPL-2.0-or-later
"""scripts/qemu-tree series: the patches, and its errors. tests/series/ checks
that each of them builds."""

import os
import re
import shutil
import subprocess

import pytest

from conftest import REPO, SCRIPT, tree_apply
import tree_series

AUTHOR = 'A U Thor <author@example.org>'

# For tests that do not depend on the base.
one_base = pytest.mark.parametrize('source', ['7.2'], indirect=True)


def make(tree, out, *args, **env):
    return subprocess.run(
        [SCRIPT, 'series', tree, '-o', str(out), *args],
        capture_output=True, text=True, env={**os.environ, **env})


def contents(folder):
    return {n: tree_apply.read(os.path.join(folder, n))
            for n in sorted(os.listdir(folder))}


def git(tree, *args):
    r = subprocess.run(['git', '-c', 'user.name=I', '-c', 'user.email=i@i',
                        *args], cwd=tree, capture_output=True, text=True)
    assert r.returncode == 0, r.stderr + r.stdout
    return r.stdout


@pytest.fixture
def checkout(tree):
    """The tree as a git checkout."""
    git(tree, 'init', '-q', '-b', 'main')
    git(tree, 'add', '--all', '--force')
    git(tree, 'commit', '-q', '-m', 'base')
    return tree


def test_series_is_apply(checkout, tmp_path):
    out = tmp_path / 'out'
    r = make(checkout, out, '--author', AUTHOR)
    assert r.returncode == 0, r.stderr
    patches = sorted(str(out / n) for n in os.listdir(out))
    git(checkout, 'am', '-q', '--empty=drop', *patches)
    got = git(checkout, 'rev-parse', 'HEAD^{tree}')
    git(checkout, 'checkout', '-q', '-f', f'HEAD~{len(patches) - 1}')
    tree_apply.apply(checkout, lambda text: None)
    shutil.rmtree(os.path.join(checkout, tree_apply.STATE))
    git(checkout, 'add', '--all', '--force')
    assert git(checkout, 'write-tree') == got


def test_no_warning_of_git(checkout, tmp_path):
    """No whitespace warnings in new files, up to the patch that switches
    over."""
    out = tmp_path / 'out'
    assert make(checkout, out, '--author', AUTHOR).returncode == 0
    patches = sorted(str(out / n) for n in os.listdir(out))
    switch = next(i for i, p in enumerate(patches) if 'switch' in p)
    git(checkout, 'am', '-q', '--empty=drop', '--whitespace=error-all',
        *patches[:switch])


@one_base
def test_same_input_same_patches(tree, tmp_path):
    """Independent of the user's git configuration and the tree's path."""
    config = tmp_path / 'config'
    config.write_text('[diff]\n noprefix = true\n algorithm = patience\n'
                      '[format]\n signature = me\n subjectPrefix = RFC\n'
                      '[core]\n autocrlf = true\n abbrev = 5\n')
    elsewhere = shutil.copytree(tree, str(tmp_path / 'elsewhere'))
    assert make(tree, tmp_path / 'a', '--author', AUTHOR).returncode == 0
    r = make(elsewhere, tmp_path / 'b', '--author', AUTHOR,
             GIT_CONFIG_GLOBAL=str(config), TZ='Asia/Tokyo', LC_ALL='C')
    assert r.returncode == 0, r.stderr
    assert contents(tmp_path / 'a') == contents(tmp_path / 'b')


@one_base
def test_names_and_dates(tree, tmp_path):
    out = tmp_path / 'out'
    r = make(tree, out, '--author', AUTHOR, SOURCE_DATE_EPOCH='1000000000')
    assert r.returncode == 0, r.stderr
    for name, text in contents(out).items():
        head = text[:text.index('\n\n')]
        assert f'From: {AUTHOR}' in head
        assert 'Date: Sun, 09 Sep 2001 01:46:40 +0000' in \
            head.replace('Sun, 9 ', 'Sun, 09 '), name
        assert re.search(r'Subject: \[PATCH \d\d/\d\d\] ', head)
        if 'cover' not in name:
            assert f'\nSigned-off-by: {AUTHOR}\n---\n' in text


@one_base
def test_author_of_git(tree, tmp_path):
    config = tmp_path / 'config'
    config.write_text('[user]\n name = Some Body\n email = s@b.example\n')
    env = {'GIT_CONFIG_GLOBAL': str(config), 'GIT_CEILING_DIRECTORIES': '/'}
    r = make(tree, tmp_path / 'out', **env)
    assert r.returncode == 0, r.stderr
    name, text = sorted(contents(tmp_path / 'out').items())[1]
    assert 'Signed-off-by: Some Body <s@b.example>\n' in text


@one_base
@pytest.mark.parametrize('text', ['', '[user]\n name = Some Body\n',
                                  '[user]\n email = some@body.org\n'])
def test_no_author(tree, tmp_path, text):
    config = tmp_path / 'config'
    config.write_text(text)
    r = make(tree, tmp_path / 'out', GIT_CONFIG_GLOBAL=str(config),
             GIT_CONFIG_SYSTEM='/dev/null')
    assert r.returncode != 0
    assert re.fullmatch("error: no author .* git's user.name and user.email, "
                        'or use --author .*; fatal: .*\n', r.stderr)
    assert not (tmp_path / 'out').exists()


@one_base
@pytest.mark.parametrize('author', ['Nobody', 'nobody@example.org', ''])
def test_bad_author(tree, tmp_path, author):
    r = make(tree, tmp_path / 'out', f'--author={author or " "}')
    assert r.returncode != 0 and 'is not NAME <ADDRESS>' in r.stderr
    assert not (tmp_path / 'out').exists()


@one_base
def test_foreign_files_are_left_alone(tree, tmp_path):
    (tmp_path / 'notes.txt').write_text('mine')
    r = make(tree, tmp_path, '--author', AUTHOR)
    assert r.returncode != 0 and 'notes.txt' in r.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ['notes.txt', 'tree']


@one_base
def test_earlier_patches_are_replaced(tree, tmp_path):
    out = tmp_path / 'out'
    out.mkdir()
    (out / '0042-of-an-earlier-run.patch').write_text('old')
    assert make(tree, out, '--author', AUTHOR).returncode == 0
    assert not (out / '0042-of-an-earlier-run.patch').exists()
    assert (out / '0000-cover-letter.patch').exists()


@one_base
def test_not_of_an_applied_tree(tree, tmp_path):
    tree_apply.apply(tree, lambda text: None)
    r = make(tree, tmp_path / 'out', '--author', AUTHOR)
    assert r.returncode != 0 and 'already has' in r.stderr
    assert not (tmp_path / 'out').exists()


@one_base
def test_not_of_what_is_not_committed(checkout, tmp_path):
    with open(os.path.join(checkout, 'hmp-commands.hx'), 'a') as f:
        f.write('HXCOMM edited\n')
    r = make(checkout, tmp_path / 'out', '--author', AUTHOR)
    assert r.returncode != 0
    assert 'uncommitted' in r.stderr and 'hmp-commands.hx' in r.stderr


# The following tests change a copy of scripts/series/ or the plan.


@pytest.fixture
def texts(tmp_path, monkeypatch):
    folder = tmp_path / 'texts'
    shutil.copytree(os.path.join(REPO, 'scripts', 'series'), folder)
    monkeypatch.setattr(tree_series, 'TEXTS', str(folder))
    return folder


def cutter(tree):
    return tree_series.Cutter(tree, tree_apply.plan(tree),
                              tree_series.load()[1])


def test_states(tree):
    """The old code exists until its removal, the new code from its patch on,
    and nothing refers to missing files."""
    c = cutter(tree)
    old = sorted(os.path.basename(p) for p in c.base if p.startswith('dump/'))
    for number in range(-1, len(c.patches)):
        files = c.state(number)
        there = sorted(os.path.basename(p) for p in files
                       if p.startswith('dump/old/'))
        assert there == (old if c.moved <= number < c.removed else [])
        for path, pattern, named in (
                ('dump/vmcore/meson.build', r"'([\w-]+\.c)'",
                 'dump/vmcore/{}'),
                ('dump/vmcore/writer.c', r'&dump_writer_(\w+)',
                 'dump/vmcore/writer-{}.c'),
                ('tests/unit/meson.build', r"'(test-dump-[\w-]+)'",
                 'tests/unit/{}.c')):
            for name in re.findall(pattern, files.get(path, '')):
                assert named.format(name) in files
        last = files
    assert last == c.plan


@one_base
def test_file_of_dump_that_stays(tree):
    """From 11.0 on, the base's Kconfig reads this file."""
    with open(os.path.join(tree, tree_apply.STAYS), 'w') as f:
        f.write('config WINDUMP\n    bool\n')
    c = cutter(tree)
    for number in range(-1, len(c.patches)):
        assert not any('Kconfig' in p for p in c.state(number))


@one_base
def test_file_in_no_patch(tree):
    plan = tree_apply.plan(tree)
    plan['dump/vmcore/brand-new.c'] = '/* new */\n'
    with pytest.raises(tree_apply.Failure,
                       match=r'brand-new\.c: in no patch'):
        tree_series.Cutter(tree, plan, tree_series.load()[1])


@one_base
def test_file_in_two_patches(tree, texts):
    path = texts / '40-pipeline'
    path.write_text(path.read_text().replace(
        'Files:', 'Files: dump/vmcore/codec.c'))
    with pytest.raises(tree_apply.Failure,
                       match=r'codec\.c: 35-codecs, 40-pipeline'):
        cutter(tree)


@one_base
def test_patch_without_files(tree, texts):
    (texts / '36-nothing').write_text('Subject: dump: nothing\n'
                                      'Files: dump/nothing.c\n\nNothing.\n')
    with pytest.raises(tree_apply.Failure, match='36-nothing changes'):
        tree_series.commits(cutter(tree), AUTHOR, 1)


@pytest.mark.parametrize('text', [
    'Files: dump/dump.c\n\nNo subject.\n', 'Subject: dump: no text\n',
    'Subject: dump: a\nFile: dump/dump.c\n\nA key that is not known.\n'])
def test_malformed_text(texts, text):
    (texts / '36-malformed').write_text(text)
    with pytest.raises(tree_apply.Failure, match='36-malformed'):
        tree_series.load()


@one_base
def test_growing_file_that_looks_otherwise(tree):
    plan = tree_apply.plan(tree)
    plan['dump/vmcore/writer.c'] = '/* no table */\n'
    c = tree_series.Cutter(tree, plan, tree_series.load()[1])
    with pytest.raises(tree_apply.Failure, match='see GROWS'):
        c.state(len(c.patches) - 1)
