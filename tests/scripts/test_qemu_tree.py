# SPDX-License-Identifier: GPL-2.0-or-later
"""scripts/qemu-tree: what apply does to a tree, and what it refuses."""

import fcntl
import hashlib
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import time

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
REPO = os.path.dirname(os.path.dirname(HERE))
SCRIPT = os.path.join(REPO, 'scripts', 'qemu-tree')
sys.path.insert(0, os.path.join(REPO, 'scripts', 'lib'))
import debian  # noqa: E402
import qemu_tree  # noqa: E402
import tree_apply  # noqa: E402


def tool(*args):
    return subprocess.run([SCRIPT, *args], capture_output=True, text=True)


def digest(top):
    """Path -> hash and modification time of every file."""
    out = {}
    for path in tree_apply.walk(top):
        full = os.path.join(top, path)
        if path.startswith(tree_apply.STATE):
            continue
        if os.path.islink(full):
            value = os.readlink(full)
        else:
            with open(full, 'rb') as f:
                value = hashlib.sha256(f.read()).hexdigest()
        out[path] = (value, os.lstat(full).st_mtime_ns)
    return out


def test_apply_over_an_earlier_one(tree):
    """An earlier apply of a version with fewer commands."""
    assert tool('apply', tree).returncode == 0
    for name, last in (('hmp-commands.hx', 'dump_set_parameter'),
                       ('hmp-commands-info.hx', 'dump_parameters')):
        path = os.path.join(tree, name)
        text = tree_apply.read(path)
        earlier, cut = re.subn(r'\n    \{\n        \.name       = "' + last +
                               r'",\n(?:(?!^ERST$)[\s\S])*^ERST\n', '', text,
                               flags=re.M)
        assert cut == 1
        tree_apply.replace(path, earlier)
        assert tool('apply', tree).returncode == 0
        assert tree_apply.read(path) == text


def test_apply_twice(tree):
    r = tool('apply', tree)
    assert r.returncode == 0, r.stderr
    assert 'removed: dump/win_dump.c' in r.stderr
    assert re.search(r'written: .*hmp-commands.hx,.* dump/vmcore/ \(\d+ ',
                     r.stderr)
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
    ours = tree_apply.fragment('hmp-commands.hx')
    assert 'SPDX' not in ours
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
    ('docs/system/index.rst', 'guest-memory-dump'),
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
    """The base's own generator accepts our schema."""
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


@pytest.mark.parametrize('version', ['6.2.0', '8.2.2', '9.2.0', 'nonsense'])
def test_unknown_version(tree, version):
    with open(os.path.join(tree, 'VERSION'), 'w') as f:
        f.write(version + '\n')
    before = digest(tree)
    r = tool('apply', tree)
    assert r.returncode != 0 and version in r.stderr
    assert digest(tree) == before


@pytest.mark.parametrize('version,warned', [
    ('7.2.22', False), ('10.2.2', False), ('11.1.3', False),
    ('11.2.0', True)])
def test_newer_version(tree, version, warned):
    """It is accepted, with a warning that it is not tested. From 11.0 on,
    the tree's Kconfig reads a file in dump/."""
    with open(os.path.join(tree, 'dump/Kconfig'), 'w') as f:
        f.write('config WINDUMP\n    bool\n')
    with open(os.path.join(tree, 'VERSION'), 'w') as f:
        f.write(version + '\n')
    r = tool('apply', tree)
    assert r.returncode == 0, r.stderr
    assert (f'warning: QEMU {version} is newer' in r.stderr) == warned
    assert 'dump/Kconfig' in contents(tree)
    assert 'dump/vmcore/writer-elf.c' in contents(tree)


def test_monitor_of_its_own(tree):
    """After 11.1, commands of the human monitor are passed a MonitorHMP."""
    with open(os.path.join(tree, 'VERSION'), 'w') as f:
        f.write('11.2.0\n')
    os.makedirs(os.path.join(tree, 'include/monitor'))
    with open(os.path.join(tree, 'include/monitor/hmp.h'), 'w') as f:
        f.write('int monitor_hmp_printf(MonitorHMP *mon, ...);\n')
    plan = tree_apply.plan(tree)
    handlers = re.findall(r'(?m)^(?:static )?void hmp_\w+\((.*)qdict\)$',
                          plan['dump/dump-hmp-cmds.c'])
    assert len(handlers) > 3
    assert set(handlers) == {'MonitorHMP *hmp, const QDict *'}
    assert 'monitor_hmp_printf' in plan['dump/monitor/hmp.h']


@pytest.mark.parametrize('path,old,new', [
    ('hmp-commands.hx', '"dump-guest-memory"', '"something-else"'),
    ('hmp-commands-info.hx', '.name       = "dump"', '.name = "dump"'),
    ('MAINTAINERS', '\nDump\n', '\nDumps\n'),
    ('meson.build', "'ebpf'", "'bpf'"),
    ('tests/unit/meson.build', 'test_env =', 'env ='),
    ('docs/interop/index.rst', 'virtio-balloon-stats', 'balloon'),
    ('docs/devel/index-internals.rst', '   clocks', '   watches'),
    ('docs/system/index.rst', '   managed-startup', '   startup'),
    ('qapi/job.json', "'enum': 'JobType'", "'enum': 'TypeOfJob'"),
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
    assert re.search(rf'{path}: expected .* 0 times|'
                     rf'splices.patch does not apply to .*: {path}', r.stderr,
                     re.S)
    assert digest(tree) == before


REWRITES = [(folder, path) for folder in ('7.2', '11.1', '11.2') for path in
            sorted(runpy.run_path(os.path.join(
                REPO, 'backports', folder, 'rewrite.py'))['REWRITE'])]


@pytest.mark.parametrize('folder,path', REWRITES)
def test_nothing_to_rewrite(folder, path):
    """A pattern of a backport does not match any more, or its file has been
    renamed."""
    folders = [os.path.join(REPO, 'backports', folder)]
    files = {p: tree_apply.read(os.path.join(REPO, p))
             for f, p in REWRITES if f == folder}
    rewritten = tree_apply.rewritten(dict(files), folders)
    assert all(rewritten[p] != files[p] for p in files)
    for changed in ({**files, path: 'something else\n'},
                    {p: t for p, t in files.items() if p != path}):
        with pytest.raises(tree_apply.Failure, match=f'in {path} for'):
            tree_apply.rewritten(changed, folders)


def test_no_file_of_ours(tree, monkeypatch):
    """A pattern of WHOLE that does not match any file."""
    monkeypatch.setattr(tree_apply, 'WHOLE', ['dump/*.c', 'tests/unit/tset-*.c'])
    with pytest.raises(tree_apply.Failure, match='no tests/unit/tset'):
        tree_apply.plan(tree)


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


class Steps:
    """Counts the replacements and removals of files, and new folders, in
    @tree, of which each apply consists, and calls @action instead of number
    @last (from 0)."""

    def __init__(self, monkeypatch, tree, last=-1, action=None):
        self.count = 0
        for name in 'replace', 'unlink', 'mkdir':
            real = getattr(os, name)

            def step(*args, real=real, **kwargs):
                if not args[0].startswith(f'{tree}/'):
                    return real(*args, **kwargs)
                self.count += 1
                return action() if self.count - 1 == last else real(*args)

            monkeypatch.setattr(tree_apply.os, name, step)


def fail():
    raise tree_apply.Failure('disk full')


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def apply_quietly(tree):
    tree_apply.apply(tree, lambda text: None)


def killed(tree, monkeypatch, step):
    """Apply, and be killed before that step."""
    child = os.fork()
    if child == 0:
        Steps(monkeypatch, tree, step, kill)
        apply_quietly(tree)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL


def steps_of(tree, monkeypatch):
    """The number of steps to apply to @tree; for a copy."""
    with monkeypatch.context() as m:
        steps = Steps(m, tree)
        apply_quietly(tree)
        return steps.count


@pytest.fixture
def whole(tree):
    """The result of a complete apply."""
    copy = shutil.copytree(tree, tree + '-whole')
    apply_quietly(copy)
    return copy


# Negative: counted from the end. The first steps write the journal in a new
# folder, the next ones copies of the files to be kept (7: a folder in a new
# folder), the last one removes the journal.
STEPS = [0, 1, 7, 70, -30, -1]


@pytest.mark.parametrize('step', STEPS)
def test_failure_midway_is_undone(tree, monkeypatch, step):
    before = everything(tree)
    if step < 0:
        step += steps_of(shutil.copytree(tree, tree + '-copy'), monkeypatch)
    Steps(monkeypatch, tree, step, fail)
    with pytest.raises(tree_apply.Failure, match='^disk full$'):
        apply_quietly(tree)
    assert everything(tree) == before


@pytest.mark.parametrize('step', STEPS)
def test_kill_midway_is_undone_by_the_next(tree, monkeypatch, step):
    before, old = everything(tree), contents(tree)
    whole = shutil.copytree(tree, tree + '-whole')
    count = steps_of(whole, monkeypatch)
    killed(tree, monkeypatch, step % count)
    assert (contents(tree) == old) == (step in (0, 1, 7))
    undone = shutil.copytree(tree, tree + '-undone')
    assert tree_apply.undo(undone) == (step not in (0, 1))
    assert everything(undone) == before
    said = []
    tree_apply.apply(tree, said.append)
    assert any('interrupted' in s for s in said) == \
        (step not in (0, 1))
    assert everything(tree) == everything(whole)


def test_killed_again(tree, monkeypatch, whole):
    """Killed while undoing what the first kill left."""
    killed(tree, monkeypatch, 150)
    killed(tree, monkeypatch, 20)
    apply_quietly(tree)
    assert everything(tree) == everything(whole)


def test_kill_keeps_the_users_files(tree, monkeypatch, whole):
    """Killed when everything is done except removing the journal: apply is
    repeated, and the user's files are still kept."""
    mine = edit(tree, 'dump/meson.build')
    count = steps_of(shutil.copytree(tree, tree + '-copy'), monkeypatch)
    killed(tree, monkeypatch, count - 1)
    assert contents(tree) == contents(whole)
    assert tool('apply', tree).returncode == 0
    assert contents(tree) == contents(whole)
    assert kept(tree)['dump/meson.build'] == mine and kept(tree, 2) == {}


def test_failure_that_cannot_be_undone(tree, monkeypatch, whole):
    """Both errors, of apply and of undoing it, are reported; the next run
    undoes the rest."""
    calls = []

    def undo(tree):
        calls.append(tree)
        if len(calls) > 1:          # the first one is that of a new run
            raise OSError('disk gone')

    with monkeypatch.context() as m:
        Steps(m, tree, 70, fail)
        m.setattr(tree_apply, 'undo', undo)
        with pytest.raises(tree_apply.Failure,
                           match='disk full; .*disk gone'):
            apply_quietly(tree)
    apply_quietly(tree)
    assert contents(tree) == contents(whole)


def test_interrupted_earlier_version(tree):
    """Versions of qemu-tree that had a git repository in the state folder."""
    state = os.path.join(tree, tree_apply.STATE)
    os.mkdir(state)
    with open(os.path.join(state, 'undo'), 'w') as f:
        f.write('8e1b706\0dump/dump.c')
    before = everything(tree)
    r = tool('apply', tree)
    assert r.returncode != 0 and 'earlier version' in r.stderr
    assert everything(tree) == before


@pytest.mark.parametrize('path', ['dump/link.c', 'MAINTAINERS'])
def test_link(tree, path):
    """A link is not replaced."""
    full = os.path.join(tree, path)
    if os.path.exists(full):
        os.rename(full, full + '.real')
    os.symlink(full + '.real', full)
    before = digest(tree)
    r = tool('apply', tree)
    assert r.returncode != 0
    assert f"'{full}' is not a regular file" in r.stderr
    assert digest(tree) == before


def test_state_is_lost(tree, monkeypatch, tmp_path):
    """Without our state, our splices are recognized, those of another version
    refused."""
    assert tool('apply', tree).returncode == 0
    shutil.rmtree(os.path.join(tree, tree_apply.STATE))
    r = tool('apply', tree)
    assert r.returncode == 0 and 'nothing to do' in r.stderr
    edit(tree, 'qapi/misc.json')
    path = os.path.join(tree, 'tests/unit/meson.build')
    text = tree_apply.read(path)
    with open(path, 'w') as f:
        f.write(text.replace("    'test-dump-sink': [vmcore],\n", ''))
    before = everything(tree)
    r = tool('apply', tree)
    assert r.returncode != 0 and 'in another version' in r.stderr
    assert everything(tree) == before


def test_after_other_splices(tree, monkeypatch, tmp_path, whole):
    """Splices of an earlier version are reverted, and the user's changes next
    to them kept."""
    repo = str(tmp_path / 'repo')
    shutil.copytree(REPO, repo, ignore=shutil.ignore_patterns('.git'))
    os.unlink(os.path.join(repo, 'tests/unit/test-dump-sink.c'))
    with monkeypatch.context() as m:
        m.setattr(tree_apply, 'REPO', repo)
        tree_apply.apply(tree, lambda text: None)
    path = 'tests/unit/meson.build'
    assert 'dump-sink' not in tree_apply.read(os.path.join(tree, path))
    for top in (tree, whole):
        edit(top, path)
    tree_apply.apply(tree, lambda text: None)
    assert contents(tree) == contents(whole)


# Trees that cannot be written to, or with conflicting files.


def everything(top):
    """Names of all files and folders, and contents, including our state."""
    return {os.path.relpath(os.path.join(folder, name), top):
            os.path.isfile(os.path.join(folder, name)) and
            tree_apply.read(os.path.join(folder, name))
            for folder, dirs, names in os.walk(top) for name in dirs + names}


def as_anybody(*argv):
    """Run without root's privileges, which would allow writing to
    anything."""
    drop = ['setpriv', '--inh-caps=-all', '--bounding-set=-all']
    return subprocess.run([*(drop if os.geteuid() == 0 else []), *argv],
                          capture_output=True, text=True)


def test_read_only_mount(tree):
    before = everything(tree)
    shell = ('mount -o bind,ro "$1" "$1" && exec "$0" apply "$1"')
    r = subprocess.run(['unshare', '-m' if os.geteuid() == 0 else '-rm',
                        'sh', '-c', shell, SCRIPT, tree],
                       capture_output=True, text=True)
    assert r.returncode != 0
    assert r.stderr == ("error: [Errno 30] Read-only file system: "
                        f"'{tree}/{tree_apply.STATE}'\n")
    assert everything(tree) == before


@pytest.mark.parametrize('path', ['', 'dump', 'qapi', 'tests/unit'])
def test_no_right_to_write(tree, tmp_path, path):
    """No permission for the tree, or for a folder in it: reported, and
    undone. The home directory is not writable, either."""
    before = everything(tree)
    folder = os.path.join(tree, path)
    os.chmod(folder, 0o555)
    home = tmp_path / 'home'
    home.mkdir(mode=0o555)
    r = as_anybody('env', f'HOME={home}', 'XDG_CACHE_HOME=', SCRIPT, 'apply',
                   tree)
    assert r.returncode != 0
    assert 'Permission denied' in r.stderr and path in r.stderr
    assert 'undoing' not in r.stderr
    os.chmod(folder, 0o755)
    assert everything(tree) == before


@pytest.mark.parametrize('way', ['include/system', 'dump/vmcore',
                                 'tests/unit/test-dump-layout.c'])
@pytest.mark.parametrize('earlier', [False, True])
def test_something_in_the_way(tree, way, earlier):
    """A file in place of one of our folders, or a folder in place of a
    file."""
    full = os.path.join(tree, way)
    if earlier:
        assert tool('apply', tree).returncode == 0
    if way.endswith('.c'):
        if earlier:
            os.unlink(full)
        os.mkdir(full)
    else:
        shutil.rmtree(full, ignore_errors=True)
        with open(full, 'w') as f:
            f.write('\n')
    before = everything(tree)
    r = tool('apply', tree)
    assert r.returncode != 0 and f"'{full}'" in r.stderr
    assert everything(tree) == before
    os.rmdir(full) if way.endswith('.c') else os.unlink(full)
    r = tool('apply', tree)
    assert r.returncode == 0, r.stderr


# Files that are replaced.


def git(tree, *args):
    subprocess.run(['git', '-c', 'user.name=N', '-c', 'user.email=n@a.org',
                    *args], cwd=tree, check=True, capture_output=True)


def checkout(tree):
    """Turn the tree into a git checkout."""
    git(tree, 'init', '-q')
    git(tree, 'add', '--all', '--force')
    git(tree, 'commit', '-q', '-m', 'base')


def edit(tree, path):
    """Make a user's change; returns the file's new text."""
    with open(os.path.join(tree, path), 'a') as f:
        f.write('# edited\n')
    return tree_apply.read(os.path.join(tree, path))


def kept(tree, number=1):
    top = f'{tree}/{tree_apply.REPLACED}{number}'
    return {p: tree_apply.read(os.path.join(top, p))
            for p in tree_apply.walk(top)}


def names_of_kept(said):
    m = re.search(r'(?m)^== kept in \S+: .*: (.*)$', said)
    return set(m[1].split(', ')) if m else set()


# Replaced, spliced and new files.
EDITS = ['dump/meson.build', 'qapi/dump.json', 'MAINTAINERS', 'dump/own.c',
         'dump/notes']


def test_local_changes_are_kept(tree):
    """In a git checkout, only uncommitted changes are kept, including ignored
    files."""
    with open(os.path.join(tree, '.gitignore'), 'w') as f:
        f.write('notes\n')
    checkout(tree)
    mine = {path: edit(tree, path) for path in EDITS}
    git(tree, 'add', 'dump/own.c')
    r = tool('apply', tree)
    assert r.returncode == 0, r.stderr
    assert kept(tree) == mine
    assert names_of_kept(r.stderr) == set(mine)
    assert not os.path.exists(os.path.join(tree, 'dump/own.c'))
    # Once more, for one file of a tree that was applied before.
    mine = {'dump/dump.c': edit(tree, 'dump/dump.c')}
    r = tool('apply', tree)
    assert kept(tree, 2) == mine and names_of_kept(r.stderr) == set(mine)


def test_nothing_to_keep(tree, monkeypatch, tmp_path):
    """Not kept: committed files, and files of an earlier apply, even if the
    subsystem has changed since."""
    checkout(tree)
    r = tool('apply', tree)
    assert r.returncode == 0 and 'kept' not in r.stderr
    status = subprocess.run(['git', 'status', '--porcelain'], cwd=tree,
                            capture_output=True, text=True).stdout
    assert 'dump/dump.c' in status and tree_apply.STATE not in status
    repo = str(tmp_path / 'repo')
    shutil.copytree(REPO, repo, ignore=shutil.ignore_patterns('.git'))
    edit(repo, 'dump/meson.build')
    gone = ['dump/vmcore/elf-notes.h', 'tests/unit/dump-test-guest.h']
    for path in gone:
        os.unlink(os.path.join(repo, path))
    monkeypatch.setattr(tree_apply, 'REPO', repo)
    said = []
    tree_apply.apply(tree, said.append)
    assert f'removed: {", ".join(gone)}' in said
    assert not any('kept' in s for s in said)
    assert kept(tree) == {}


def test_package_is_kept(tree):
    """Without git, the first apply keeps all files, later ones only changed
    files."""
    before = contents(tree)
    r = tool('apply', tree)
    assert r.returncode == 0, r.stderr
    after = contents(tree)
    gone = {p for p in before if after.get(p) != before[p]}
    assert 'dump/dump.c' in gone and 'MAINTAINERS' in gone
    assert set(kept(tree)) == gone == names_of_kept(r.stderr)
    mine = {'dump/trace-events': edit(tree, 'dump/trace-events')}
    r = tool('apply', tree)
    assert kept(tree, 2) == mine and names_of_kept(r.stderr) == set(mine)
    assert contents(tree) == after


def test_kept_is_not_built(tree, tmp_path):
    assert tool('apply', tree).returncode == 0
    copy = str(tmp_path / 'copy')
    make_copy(tree, copy)
    assert tree_apply.STATE not in os.listdir(copy)


def test_path_of_what_is_not_built(tree):
    r = tool('path', tree)
    assert r.returncode != 0 and 'is not built' in r.stderr


def test_path_of_what_was_never_fetched(tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    r = tool('path', '7.2')
    assert r.returncode != 0 and 'is not built' in r.stderr


@pytest.mark.parametrize('text,names,folder', [
    ('x86_64', ['x86_64'], 'build'),
    ('x86_64-softmmu', ['x86_64'], 'build'),
    ('s390x', ['s390x'], 'build-s390x'),
    # In a fixed order, so that each set of targets has one folder.
    ('s390x,x86_64', ['x86_64', 's390x'], 'build-x86_64-s390x'),
    ('all', list(qemu_tree.DEVICES), 'build-all'),
])
def test_targets(tree, tmp_path, monkeypatch, text, names, folder):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    assert qemu_tree.target_list(text) == names
    built = qemu_tree.Tree(tree).binary(False, names)
    assert built.endswith(f'ours/{folder}/qemu-system-{names[0]}')


@pytest.mark.parametrize('text', ['', 'vax', 'x86_64,vax'])
def test_unknown_target(text):
    r = tool('build', '--targets', text)
    assert r.returncode != 0 and 'known: x86_64, ' in r.stderr


def test_devices_are_of_the_tree(source):
    """All devices in DEVICES exist, so that minikconf accepts them."""
    known = set()
    for folder in ('hw', 'semihosting'):
        for path in tree_apply.walk(os.path.join(source, folder)):
            if os.path.basename(path) == 'Kconfig':
                known |= set(re.findall(
                    r'(?m)^config (\w+)', tree_apply.read(
                        os.path.join(source, folder, path))))
    for target, devices in qemu_tree.DEVICES.items():
        assert set(devices.split()) <= known
        assert os.path.exists(os.path.join(
            source, 'configs/targets', f'{target}-softmmu.mak'))


def test_unit_tests_are_listed(tree):
    assert tool('apply', tree).returncode == 0
    meson = tree_apply.read(os.path.join(tree, 'tests/unit/meson.build'))
    names = [n[:-len('.c')] for n in
             os.listdir(os.path.join(tree, 'tests/unit'))
             if n.startswith('test-dump-')]
    assert len(names) > 10
    for name in names:
        assert meson.count(f"'{name}': [vmcore]") == 1


def test_leavings_stay_out(tree, monkeypatch, tmp_path):
    """Files of an editor or a build in dump/ are not copied to a tree, and do
    no harm in the tree."""
    repo = str(tmp_path / 'repo')
    shutil.copytree(REPO, repo, ignore=shutil.ignore_patterns('.git'))
    for folder in (os.path.join(repo, 'dump'), os.path.join(tree, 'dump')):
        with open(os.path.join(folder, '.dump.c.swp'), 'wb') as f:
            f.write(b'\xff\x00\x80')
    monkeypatch.setattr(tree_apply, 'REPO', repo)
    tree_apply.apply(tree, lambda text: None)
    assert not os.path.exists(os.path.join(tree, 'dump', '.dump.c.swp'))


def test_foreign_bytes_are_kept(tree):
    """Bytes that are not UTF-8, and line ends, in the tree's files."""
    full = os.path.join(tree, 'MAINTAINERS')
    with open(full, 'ab') as f:
        f.write(b'\nNobody\nM: Andr\xe9\r\n')
    assert tool('apply', tree).returncode == 0
    with open(full, 'rb') as f:
        assert f.read().endswith(b'\nNobody\nM: Andr\xe9\r\n')


def test_two_at_once(tree):
    runs = [subprocess.Popen([SCRIPT, 'apply', tree], text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            for _ in range(3)]
    said = [r.communicate()[1] for r in runs]
    assert [r.returncode for r in runs] == [0, 0, 0]
    assert sum('nothing to do' in s for s in said) == 2
    assert not any('interrupted' in s for s in said)


LIB = os.path.join(REPO, 'scripts', 'lib')


def test_lock_outlives_a_kill(tmp_path):
    """A step that still runs after its script was killed holds the lock."""
    log, gate = tmp_path / 'log', tmp_path / 'gate'
    os.mkfifo(gate)
    code = (f'import sys; sys.path.insert(0, {LIB!r}); import qemu_tree\n'
            f'with qemu_tree.locked({str(tmp_path)!r}):\n'
            f'    qemu_tree.run("step", ["sh", "-c", "echo up; cat {gate}"],'
            f' {str(log)!r})\n')
    script = subprocess.Popen(['/usr/bin/python3', '-c', code])
    while not log.exists() or not log.read_text():
        assert script.poll() is None
        time.sleep(0.01)
    script.kill()
    script.wait()
    fd = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(BlockingIOError):
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(os.open(gate, os.O_WRONLY))        # ends the step
    fcntl.flock(fd, fcntl.LOCK_EX)
    os.close(fd)


def runs(pid):
    """Not if it has ended and its parent has not noticed yet."""
    try:
        with open(f'/proc/{pid}/stat') as f:
            return f.read().rpartition(')')[2].split()[0] not in 'ZX'
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGKILL])
def test_signal_ends_the_step(tmp_path, number):
    code = (f'import sys; sys.path.insert(0, {LIB!r}); import qemu_tree\n'
            'sys.argv[1:] = ["path"]\n'
            'qemu_tree.execute = lambda args: qemu_tree.run("step", '
            '["sh", "-c", "echo $$; exec sleep 1000"], '
            f'{str(tmp_path / "log")!r})\n'
            'qemu_tree.main()\n')
    script = subprocess.Popen(['/usr/bin/python3', '-c', code])
    log = tmp_path / 'log'
    while not log.exists() or not log.read_text().endswith('\n'):
        assert script.poll() is None
        time.sleep(0.01)
    script.send_signal(number)
    assert script.wait() == (-number if number == signal.SIGKILL else
                             128 + number)
    for _ in range(6000):
        if not runs(int(log.read_text())):
            return
        time.sleep(0.01)
    pytest.fail('the step still runs')


# The copies in which QEMU is built.


@pytest.fixture
def pair(tree, tmp_path):
    """A tree with links as in QEMU's, and the path for its copy."""
    os.makedirs(os.path.join(tree, 'subprojects/lib'))
    os.symlink('../../qapi', os.path.join(tree, 'subprojects/lib/qapi'))
    os.symlink('../VERSION', os.path.join(tree, 'subprojects/v'))
    return tree, str(tmp_path / 'copy')


def make_copy(src, dst):
    return tree_apply.mirror(src, dst, tree_apply.plan(src))


def test_copy_is_an_applied_tree(pair):
    src, dst = pair
    before = digest(src)
    changes = make_copy(src, dst)
    assert changes['dump/win_dump.c'] is None and 'dump/dump.c' in changes
    assert digest(src) == before
    tree_apply.apply(src, lambda text: None)
    assert contents(dst) == contents(src)
    assert os.readlink(os.path.join(dst, 'subprojects/lib/qapi')) == \
        '../../qapi'


def test_copy_again_touches_nothing(pair):
    src, dst = pair
    make_copy(src, dst)
    before = digest(dst)
    assert make_copy(src, dst) == {}
    assert digest(dst) == before


def test_copy_follows_the_tree(pair):
    """The user's edits, also in spliced files, are copied; the modification
    times of other files do not change."""
    src, dst = pair
    make_copy(src, dst)
    before = digest(dst)
    for path in ('hmp-commands.hx', 'qapi/misc.json', 'MAINTAINERS'):
        with open(os.path.join(src, path), 'a') as f:
            f.write('# edited\n')
    with open(os.path.join(src, 'new.c'), 'w') as f:
        f.write('/* new */\n')
    os.unlink(os.path.join(src, 'qapi/char.json'))
    make_copy(src, dst)
    after = digest(dst)
    assert {p for p in before.keys() | after.keys()
            if before.get(p) != after.get(p)} == {
                'hmp-commands.hx', 'qapi/misc.json', 'MAINTAINERS', 'new.c',
                'qapi/char.json'}
    for path in ('hmp-commands.hx', 'MAINTAINERS'):
        text = tree_apply.read(os.path.join(dst, path))
        assert text.endswith('# edited\n')
        assert tree_apply.fragment(path) in text


def test_copy_of_an_older_file_is_new(pair):
    """An old version restored with its old time must be recompiled."""
    src, dst = pair
    make_copy(src, dst)
    path = 'qapi/misc.json'
    built = os.stat(os.path.join(dst, path)).st_mtime_ns
    with open(os.path.join(src, path), 'a') as f:
        f.write('# older\n')
    os.utime(os.path.join(src, path), (1, 1))
    make_copy(src, dst)
    assert os.stat(os.path.join(dst, path)).st_mtime_ns > built
    before = digest(dst)
    make_copy(src, dst)
    assert digest(dst) == before


def test_copy_drops_what_we_no_longer_have(pair):
    src, dst = pair
    make_copy(src, dst)
    for path in ('dump/vmcore/gone.c', 'include/system/gone.h'):
        os.makedirs(os.path.dirname(os.path.join(dst, path)), exist_ok=True)
        with open(os.path.join(dst, path), 'w') as f:
            f.write('int gone;\n')
    make_copy(src, dst)
    assert not os.path.exists(os.path.join(dst, 'dump/vmcore/gone.c'))
    assert not os.path.exists(os.path.join(dst, 'include/system/gone.h'))


def test_copy_mends_what_was_interrupted(pair):
    src, dst = pair
    make_copy(src, dst)
    before = contents(dst)
    with open(os.path.join(dst, 'qapi/misc.json'), 'w') as f:
        f.write('half')
    with open(os.path.join(dst, 'dump/dump.c'), 'w') as f:
        f.write('half')
    os.unlink(os.path.join(dst, 'MAINTAINERS'))
    make_copy(src, dst)
    assert contents(dst) == before


def test_copy_leaves_builds_alone(pair):
    src, dst = pair
    for path in ('build/x.o', 'other/build.ninja', 'other/y.o', '.git/HEAD'):
        os.makedirs(os.path.dirname(os.path.join(src, path)), exist_ok=True)
        with open(os.path.join(src, path), 'w') as f:
            f.write('theirs')
    make_copy(src, dst)
    assert not {'build', 'other', '.git'} & set(os.listdir(dst))
    for path in ('build/z.o', 'build-all/z.o', 'scripts/__pycache__/a.pyc',
                 'subprojects/fetched/meson.build'):
        os.makedirs(os.path.dirname(os.path.join(dst, path)), exist_ok=True)
        with open(os.path.join(dst, path), 'w') as f:
            f.write('made')
    before = contents(dst)
    make_copy(src, dst)
    assert contents(dst) == before


def test_stock_copy_is_the_tree(pair):
    src, dst = pair
    assert tree_apply.mirror(src, dst, {}) == {}
    assert contents(dst) == contents(src)


def test_no_stock_of_an_applied_tree(tree, tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    assert tool('apply', tree).returncode == 0
    r = tool('build', tree, '--stock')
    assert r.returncode != 0 and 'no unmodified tree' in r.stderr


# The archive.


DEB822 = """\
# the machine's own
Types: deb
URIs: http://one.example/debian
Suites: {off}
Components: main
Enabled: no

Types: deb deb-src
URIs: http://two.example/debian
Suites: {name}-updates {name}
Components: main
"""

ONE_LINE = """\
# deb http://no.example/debian {name} main
deb [arch=amd64 signed-by=/x.gpg] http://two.example/debian {name} main
deb http://three.example/debian-security {name}-security main
"""


@pytest.mark.parametrize('file,text,name', [
    ('sources.list.d/debian.sources', DEB822, 'bookworm'),
    ('sources.list', ONE_LINE, 'bookworm'),
    ('sources.list.d/a.list', ONE_LINE, 'bookworm'),
    ('sources.list.d/a.list', ONE_LINE, 'stable'),
])
def test_archive_of_the_machine(tmp_path, monkeypatch, file, text, name):
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(text.format(name=name, off='bookworm'))
    monkeypatch.setattr(debian, 'SOURCES_LIST',
                        str(tmp_path / 'sources.list'))
    monkeypatch.setattr(debian, 'own_codename', lambda: 'bookworm')
    assert debian.archive_uri() == 'http://two.example/debian'


def test_no_archive(tmp_path, monkeypatch):
    monkeypatch.setattr(debian, 'SOURCES_LIST',
                        str(tmp_path / 'sources.list'))
    with pytest.raises(qemu_tree.Failure, match='no package source'):
        debian.archive_uri()


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """A source archive in a folder, with a package qemu of one file, and a
    separate cache. Returns the folder."""
    top = tmp_path / 'archive'
    folder = top / 'dists/bookworm/main/source'
    folder.mkdir(parents=True)
    (top / 'pool').mkdir()
    tar = top / 'pool/qemu_7.2.tar.xz'
    (tmp_path / 'qemu-7.2/debian').mkdir(parents=True)
    (tmp_path / 'qemu-7.2/VERSION').write_text('7.2.0\n')
    (tmp_path / 'qemu-7.2/debian/control').write_text('Source: qemu\n')
    subprocess.run(['tar', '-C', tmp_path, '-cJf', tar, 'qemu-7.2'],
                   check=True)
    sums = f' {sha256(tar)} {tar.stat().st_size} {tar.name}\n'
    dsc = top / 'pool/qemu_7.2.dsc'
    dsc.write_text('Format: 3.0 (native)\nSource: qemu\nBinary: qemu\n'
                   'Architecture: any\nVersion: 1:7.2\n'
                   'Maintainer: Nobody <nobody@example.org>\n'
                   f'Checksums-Sha256:\n{sums}'
                   f'Files:\n {md5(tar)} {tar.stat().st_size} {tar.name}\n')
    index = folder / 'Sources'
    index.write_text('Package: qemu\nFormat: 3.0 (native)\nBinary: qemu\n'
                     'Architecture: any\nVersion: 1:7.2\nDirectory: pool\n'
                     'Checksums-Sha256:\n'
                     f' {sha256(dsc)} {dsc.stat().st_size} {dsc.name}\n{sums}'
                     'Files:\n'
                     f' {md5(dsc)} {dsc.stat().st_size} {dsc.name}\n'
                     f' {md5(tar)} {tar.stat().st_size} {tar.name}\n\n')
    (top / 'dists/bookworm/Release').write_text(
        'Suite: bookworm\nCodename: bookworm\nComponents: main\nSHA256:\n'
        f' {sha256(index)} {index.stat().st_size} main/source/Sources\n')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.setattr(debian, 'archive_uri', lambda: f'file:{top}')
    # The archive of this test is not signed.
    monkeypatch.setattr(debian, 'SIGNED', 'Trusted: yes')
    return top


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


def test_fetch(archive, capsys):
    tree = qemu_tree.Tree('7.2')
    tree.fetch()
    assert os.path.basename(tree.home) == '1_7.2'
    assert tree_apply.read(os.path.join(tree.src, 'VERSION')) == '7.2.0\n'
    assert sorted(os.listdir(tree.home)) == ['package', 'src']
    assert 'qemu_7.2.dsc' in os.listdir(f'{tree.home}/package')
    # Once more, and as in another run.
    capsys.readouterr()
    qemu_tree.Tree('7.2').fetch()
    assert 'downloading' not in capsys.readouterr().err
    assert qemu_tree.Tree('7.2').src == os.path.realpath(tree.src)


def test_file_gone_from_archive(archive):
    (archive / 'pool/qemu_7.2.tar.xz').unlink()
    tree = qemu_tree.Tree('7.2')
    with pytest.raises(qemu_tree.Failure, match='does not have the source of '
                       'qemu 1:7.2 any more'):
        tree.fetch()
    assert not os.path.exists(os.path.join(tree.home, 'src'))
    assert qemu_tree.Tree('7.2').home is None


def test_base_not_in_archive(archive):
    index = archive / 'dists/bookworm/main/source/Sources'
    release = archive / 'dists/bookworm/Release'
    old = sha256(index)
    index.write_text(index.read_text().replace('1:7.2', '1:8.8'))
    release.write_text(release.read_text().replace(old, sha256(index)))
    with pytest.raises(qemu_tree.Failure, match='no qemu 1:7.2 .*1:8.8'):
        qemu_tree.Tree('7.2').fetch()


def test_archive_out_of_reach(archive, monkeypatch, capsys):
    """The source fetched before is used; without it, the error is
    reported."""
    qemu_tree.Tree('7.2').fetch()
    monkeypatch.setattr(debian, 'LISTS_MAX_AGE', -1)
    os.rename(archive, str(archive) + '-away')
    tree = qemu_tree.Tree('7.2')
    tree.fetch()
    assert os.path.isdir(tree.src)
    assert 'the source fetched before' in capsys.readouterr().err
    shutil.rmtree(tree.cache)
    with pytest.raises(qemu_tree.Failure, match='package lists'):
        qemu_tree.Tree('7.2').fetch()
