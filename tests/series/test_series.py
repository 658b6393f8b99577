# SPDX-License-Identifier: GPL-2.0-or-later
"""The patches of 'scripts/qemu-tree series', one by one, applied to a git
import of the base of DUMP_QEMU.

The sources that a patch changes are compiled as of that patch, with the flags
of the build of DUMP_QEMU; unit tests are linked with the engine as of that
patch, and run. After the last patch, the tree must be identical to the one
from which DUMP_QEMU was built.
"""

import fnmatch
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import zlib

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
REPO = os.path.dirname(os.path.dirname(HERE))
SCRIPT = os.path.join(REPO, 'scripts', 'qemu-tree')
sys.path.insert(0, os.path.join(REPO, 'scripts', 'lib'))
sys.path.insert(0, os.path.join(REPO, 'tests', 'functional'))
import qemu_tree  # noqa: E402
import tree_apply  # noqa: E402
from vm import VM  # noqa: E402
from vmcore import open_dump  # noqa: E402

# The zlib codec before and after the last patch.
ZLIB = 'dump/vmcore/codec-zlib.c'
DEFLATE = 'dump/vmcore/codec-deflate.c'
AUTHOR = 'A U Thor <author@example.org>'
MAINTAINERS_QUESTION = 'added, moved or deleted file(s), does MAINTAINERS'


def run(argv, cwd, **kwargs):
    r = subprocess.run(argv, cwd=cwd, capture_output=True, text=True,
                       errors='replace', **kwargs)
    assert r.returncode == 0, f'{argv}: {r.stderr}{r.stdout}'
    return r.stdout


class Import:
    """A git repository of the base, with the series on top."""

    def __init__(self, top, build):
        self.built, self.build = os.path.split(build)
        self.src = os.path.join(os.path.dirname(self.built), 'src')
        self.top = os.path.join(top, 'tree')
        self.patches = os.path.join(top, 'patches')
        version = tree_apply.read(os.path.join(self.src, 'VERSION'))
        self.base = '.'.join(version.split('.')[:2])
        shutil.copytree(self.src, self.top, symlinks=True,
                        ignore=shutil.ignore_patterns('.pc', 'roms'))
        self.git('init', '-q', '-b', 'series')
        for key, value in (('user.name', 'I'), ('user.email', 'i@i.example'),
                           ('core.compression', '0'), ('gc.auto', '0')):
            self.git('config', key, value)
        self.commit('base')
        run([SCRIPT, 'series', self.base, '-o', self.patches,
             '--author', AUTHOR], top)
        names = sorted(os.listdir(self.patches))
        self.files = [os.path.join(self.patches, n) for n in names]
        self.git('am', '-q', '--empty=drop', *self.files)
        self.commits = self.git('rev-list', '--reverse',
                                'base..series').split()

    def git(self, *args):
        return run(['git', *args], self.top)

    def commit(self, name):
        self.git('add', '--all', '--force')
        self.git('commit', '-q', '-m', name)
        self.git('tag', name)

    def changed(self, commit, kinds):
        """Paths that @commit adds (A), modifies (M) or renames to (R)."""
        return self.git('diff', '--name-only', '-M100%',
                        f'--diff-filter={kinds}', f'{commit}^',
                        commit).split('\n')[:-1]

    def checkout(self, commit):
        self.git('checkout', '-q', '--detach', commit)


@pytest.fixture(scope='module')
def series(tmp_path_factory):
    build = os.path.dirname(os.path.realpath(os.environ['DUMP_QEMU']))
    return Import(str(tmp_path_factory.mktemp('series')), build)


def test_ends_in_what_apply_makes(series):
    """The tree after the last patch is the one that was built."""
    series.checkout('base')
    run([SCRIPT, 'apply', series.top], '/')
    shutil.rmtree(os.path.join(series.top, tree_apply.STATE))
    series.git('add', '--all', '--force')
    applied = series.git('write-tree')
    series.git('reset', '-q', '--hard', 'series')
    assert applied == series.git('rev-parse', 'series^{tree}')
    changed = series.git(
        'diff', '--name-only', '--no-renames', 'base', 'series').split()
    assert len(changed) > 60
    for path in changed:
        ours = os.path.join(series.top, path)
        built = os.path.join(series.built, path)
        assert os.path.exists(ours) == os.path.exists(built), path
        if os.path.exists(ours):
            assert tree_apply.read(ours) == tree_apply.read(built), path


def test_cover_letter(series):
    assert os.path.basename(series.files[0]) == '0000-cover-letter.patch'
    assert len(series.files) == len(series.commits) + 1
    text = tree_apply.read(series.files[0])
    for subject in series.git('log', '--format=%s',
                              'base..series').splitlines():
        assert f'\n  {subject}\n' in text
    stat = series.git('diff', '--shortstat', '-M', '-B', 'base', 'series')
    assert stat in text


def test_signed_off(series):
    for commit in series.commits:
        said = series.git('log', '-1', '--format=%an <%ae>%n%(trailers)',
                          commit).split('\n')
        assert said[:2] == [AUTHOR, f'Signed-off-by: {AUTHOR}']


def test_checkpatch(series):
    """The only warnings are those about MAINTAINERS and new files, which the
    next test checks."""
    script = os.path.join(series.src, 'scripts/checkpatch.pl')
    for patch in series.files:
        r = subprocess.run(['perl', script, '--terse', '--no-summary', patch],
                           cwd=series.src, capture_output=True, text=True)
        said = [x for x in (r.stdout + r.stderr).splitlines()
                if MAINTAINERS_QUESTION not in x]
        assert said == [], patch


def maintained(text):
    """The file patterns of the Dump section."""
    return re.findall(r'(?m)^F: (\S+)$', re.search(
        r'(?m)^Dump\n(?:[A-Z]: .*\n)+', text)[0])


def test_each_file_has_a_maintainer(series):
    """As of the patch that adds it; forwarding headers are in folders of other
    maintainers."""
    for commit in series.commits:
        patterns = maintained(series.git('show', f'{commit}:MAINTAINERS'))
        for path in series.changed(commit, 'AR'):
            if re.match(r'include/(system|qobject)/(?!dump)', path):
                continue
            assert any(fnmatch.fnmatchcase(path, p) or p[-1] == '/' and
                       path.startswith(p) for p in patterns), path


def link_command(program, build):
    """As a list of words, those of response files included."""
    commands = json.loads(run(['ninja', '-t', 'compdb', '-x'], build))
    return [shlex.split(c['command']) for c in commands
            if c['output'] == program][0]


class Compiler:
    """Compiles and links as of one commit, with the flags of the built tree.
    @gen: headers generated from the schema of that commit."""

    def __init__(self, series, out):
        self.top, self.out = series.top, out
        self.old = series.built
        self.flags = {}
        self.env = {**os.environ, **qemu_tree.ccache(
            os.path.join(self.old, '..', '..'), self.top)}
        build = os.path.join(self.old, series.build)
        with open(os.path.join(build, 'compile_commands.json')) as f:
            for c in json.load(f):
                path = os.path.relpath(os.path.join(build, c['file']),
                                       self.old)
                self.flags.setdefault(path, c['command'])
        self.build = os.path.join(self.top, series.build)
        os.makedirs(self.build)
        for name in os.listdir(build):
            if name != 'qapi':
                os.symlink(os.path.join(build, name),
                           os.path.join(self.build, name))
        self.link = [self.here(word) for word in
                     link_command('tests/unit/test-dump-sink', build)]
        os.makedirs(out)

    def here(self, command):
        return command.replace(self.old + '/', self.top + '/') \
            .replace(self.old + ' ', self.top + ' ')

    def generate(self):
        """Generate the headers of the schema of this commit."""
        shutil.rmtree(os.path.join(self.build, 'qapi'), ignore_errors=True)
        run(['/usr/bin/python3', 'scripts/qapi-gen.py', '-o',
             os.path.join(self.build, 'qapi'), '-b',
             'qapi/qapi-schema.json'], self.top)

    def compile(self, path, like):
        argv = shlex.split(self.here(self.flags[like]))
        obj = os.path.join(self.out, path.replace('/', '_') + '.o')
        argv[argv.index('-MF') + 1] = obj + '.d'
        argv[argv.index('-o') + 1] = obj
        argv[-1] = os.path.join('..', path)
        # Without -Werror, so that what was built before is in ccache.
        said = subprocess.run(argv, cwd=self.build, env=self.env,
                              capture_output=True, text=True)
        assert (said.returncode, said.stderr) == (0, ''), path
        return obj

    def program(self, obj, engine):
        """Link a unit test with the engine as of this commit."""
        program = obj[:-len('.o')]
        argv = []
        for word in self.link:
            if word.endswith('test-dump-sink.c.o'):
                argv.append(obj)
            elif word == 'tests/unit/libvmcore.a':
                argv += engine
            else:
                argv.append(word)
        argv[argv.index('-o') + 1] = program
        run(argv, self.build)
        return program


def like(path, flags):
    """The source in the built tree with whose flags @path is compiled."""
    if path.startswith('dump/old/'):
        return 'target/i386/arch_dump.c'    # compiled per target or once
    if path == ZLIB:
        return 'dump/vmcore/codec.c'        # replaced by the last patch
    return path if path in flags else None


def meson_sources(series):
    """Sources listed in dump/vmcore/meson.build."""
    text = tree_apply.read(os.path.join(series.top,
                                        'dump/vmcore/meson.build'))
    return {f'dump/vmcore/{n}' for n in re.findall(r"'([\w-]+\.c)'", text)}


def test_each_patch_compiles(series, tmp_path):
    compiler = Compiler(series, str(tmp_path / 'objects'))
    engine, tests = {}, 0
    for commit in series.commits:
        series.checkout(commit)
        if commit == series.commits[0] or \
                any(p.startswith('qapi/') for p in
                    series.changed(commit, 'AMR')):
            compiler.generate()
        sources = [p for p in series.changed(commit, 'AMR')
                   if p.endswith('.c')]
        objects = {}
        for path in sources:
            as_built = like(path, compiler.flags)
            if as_built is None:            # not in the built tree
                assert path.startswith('dump/vmcore/codec-') or \
                    path.endswith('-win32.c')
                continue
            objects[path] = compiler.compile(path, as_built)
        engine.update({p: o for p, o in objects.items()
                       if p.startswith('dump/vmcore/')})
        if DEFLATE in engine:
            engine.pop(ZLIB, None)
        for path, obj in objects.items():
            if path.startswith('tests/unit/'):
                program = compiler.program(obj, list(engine.values()))
                run([program, '--tap'], str(tmp_path))
                tests += 1
        if engine:
            assert meson_sources(series) >= set(engine)
            assert all(os.path.exists(os.path.join(series.top, p))
                       for p in meson_sources(series))
    assert len(engine) > 15 and tests > 15
    shutil.rmtree(compiler.build)


def test_after_the_switch(series):
    """The patches after it change nothing that is compiled, except the last,
    which changes only the zlib codec."""
    switch = next(c for c in series.commits
                  if 'qapi/dump.json' in series.changed(c, 'M'))
    later = series.git('diff', '--name-only', '--no-renames', switch,
                       'series^').split()
    assert later
    assert [p for p in later if not re.match(
        r'dump/old/|docs/|MAINTAINERS$|tests/(qtest|functional)/', p)] == []
    assert series.git('ls-tree', '-r', '--name-only', 'series',
                      'dump/old') == ''
    assert "'old'" not in series.git('show', f'{switch}:dump/meson.build')


def test_without_the_last(series, tmp_path):
    """The patch that adds our own deflate can be left out: otherwise it changes
    only two lists of files. QEMU without it, with another codec, writes zlib
    dumps that can be read."""
    files = ['codec-deflate.c', 'deflate.c', 'deflate.h']
    assert series.changed('series', 'A') == [
        *(f'dump/vmcore/{f}' for f in files),
        'tests/unit/test-dump-deflate.c']
    assert series.changed('series', 'MDR') == [
        'dump/vmcore/meson.build', 'tests/unit/meson.build']
    before = series.git('grep', '-h', 'deflate', 'series^', '--', 'dump')
    assert 'libdeflate.h' in before
    assert 'dump_deflate' not in before and '"deflate.h"' not in before
    series.checkout('series^')
    compiler = Compiler(series, str(tmp_path / 'objects'))
    compiler.generate()
    codec = compiler.compile(ZLIB, like(ZLIB, compiler.flags))
    objects = {f'dump_vmcore_{name}.c.o': to for name, to in
               (('codec-deflate', [codec]), ('deflate', []))}
    build = os.path.join(compiler.old, series.build)
    argv = link_command('qemu-system-x86_64', build)
    names = [os.path.basename(word) for word in argv]
    assert all(names.count(o) == 1 for o in objects)
    argv = [word for old, name in zip(argv, names)
            for word in objects.get(name, [old])]
    program = str(tmp_path / 'qemu-system-x86_64')
    argv[argv.index('-o') + 1] = program
    run(argv, build)
    path = str(tmp_path / 'dump')
    saved = str(tmp_path / 'saved')
    with VM('-m', '64', '-S', binary=program) as vm:
        vm.qmp.cmd('pmemsave', val=0, size=1 << 20, filename=saved)
        with open(saved, 'rb') as f:
            memory = f.read()
        for name in ('kdump-zlib', 'kdump-raw-zlib'):
            vm.dump(path, format=name)
            check_zlib_pages(open_dump(path), memory)
    shutil.rmtree(compiler.build)


def check_zlib_pages(dump, memory):
    """The pages match guest memory and zlib's output."""
    assert dump.read(0xc0000, 0x40000) == memory[0xc0000:]
    compressed = 0
    for pfn in range(0xc0, 0x100):
        offset, size, flags = dump.descs[pfn]
        if flags:
            z = zlib.compressobj(1, wbits=15, memLevel=6)
            data = memory[pfn << 12:(pfn + 1) << 12]
            assert dump.source.read(offset, size) == \
                z.compress(data) + z.flush()
            compressed += 1
    assert compressed > 16
