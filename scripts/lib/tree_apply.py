# SPDX-License-Identifier: GPL-2.0-or-later
#
# Put this subsystem into a QEMU source tree.
#
# All changes are computed before anything is written: see plan(). They are
# written by git, using a private repository in the tree: the state before and
# the state after are two tree objects of it, and git checks out one or the
# other. A failed run is undone at once, a killed one by the next run.

import contextlib
import glob
import itertools
import os
import re
import runpy
import shutil
import subprocess
import tempfile

from common import Failure, locked

REPO = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
# A private folder in the tree, which the user's git ignores.
STATE = '.guest-memory-dump'
# In it: the repository; the splices as applied; the name of the git tree that
# was applied; while applying, that of the state before, and the paths.
STORE, SPLICED, APPLIED, UNDO = 'git', 'splices.patch', 'applied-tree', 'undo'
# Prefix of folders with replaced files of which there is no other copy.
REPLACED = STATE + '/replaced-'

# Files of ours that are copied as they are.
WHOLE = ['dump/**/*.[ch]', 'dump/**/meson.build', 'dump/trace-events',
         'include/system/dump.h', 'include/system/dump-arch.h',
         'qapi/dump.json', 'docs/devel/dump.rst',
         'docs/devel/dump-faults.rst.inc',
         'docs/interop/vmcore-formats.rst',
         'docs/system/guest-memory-dump.rst', 'tests/unit/test-dump-*.c',
         'tests/unit/dump-test-*.h', 'tests/qtest/dump-test.c']
# Our QEMU functional test: source, destination, and a file that exists only in
# trees that have functional tests in that folder.
FUNCTIONAL = ('tests/qemu-functional/test_dump.py',
              'tests/functional/test_dump.py', 'tests/functional/test_vnc.py')
# The folder of the tree from which other files are removed, except this one,
# which the tree's Kconfig reads from 11.0 on (not tested).
OWNED, STAYS = 'dump', 'dump/Kconfig'

# Files of ours that replace one part of the tree's file of that name, and a
# pattern for this part, which also matches after an earlier apply.
ENTRY = r'    \{\n        \.name       = "%s",\n(?:(?!^ERST$)[\s\S])*^ERST\n'
HX = f'^{ENTRY}(?:\\n{ENTRY})*'
PIECES = {
    'hmp-commands.hx': HX % ('dump-guest-memory',
                             '(?:dump-cancel|dump_set_parameter)'),
    'hmp-commands-info.hx': HX % ('dump', '(?:vmcoreinfo|dump_parameters)'),
    'MAINTAINERS': r'^Dump\n(?:[A-Z]: .*\n)+',
}
# Patches for other files; the second for trees with functional tests.
SPLICES = 'scripts/splices.patch'
SPLICES_FUNCTIONAL = 'scripts/splices-functional.patch'

# Folder in backports/ -> a file, and a text in it, that only trees have that
# need this folder.
BACKPORTS = {'11.x': ('include/monitor/hmp.h', 'monitor_hmp_printf'),
             '10.0': ('include/exec/memory.h', ''),
             '7.2': ('include/sysemu/sysemu.h', '')}

# Other files that a QEMU tree must have.
MARKS = ['VERSION', 'dump/meson.build', 'qapi/dump.json',
         'monitor/qmp-cmds.c', 'stubs/dump.c']
TESTED = [(7, 2), (10, 0), (10, 1), (10, 2)]


class ApplyError(Failure):
    """This subsystem cannot be applied to the tree."""


# Preserves bytes of other encodings, and line ends.
PIPED = {'encoding': 'utf-8', 'errors': 'surrogateescape'}
TEXT = {**PIPED, 'newline': ''}
# git counts the lines, and changes need no context after them.
APPLY = ['--recount', '--unidiff-zero']
# Ignores the user's and the system's configuration of git.
PLAIN = {'GIT_CONFIG_GLOBAL': '/dev/null', 'GIT_CONFIG_NOSYSTEM': '1'}


def read(path):
    with open(path, **TEXT) as f:
        return f.read()


def replace(path, text):
    """Write a file atomically."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + '.part', 'w', **TEXT) as f:
        f.write(text)
    os.replace(path + '.part', path)


@contextlib.contextmanager
def written(files, **where):
    """A temporary folder with @files, path -> text; None: no such file."""
    with tempfile.TemporaryDirectory(**where) as top:
        for path, text in files.items():
            if text is not None:
                replace(os.path.join(top, path), text)
        yield top


def walk(top, skip=()):
    """Paths of all files and links below @top, relative to it. @skip: names
    of folders directly in @top."""
    for folder, dirs, names in os.walk(top):
        if folder == top:
            dirs[:] = [d for d in dirs if d not in skip]
        links = [d for d in dirs if os.path.islink(os.path.join(folder, d))]
        for name in names + links:
            yield os.path.relpath(os.path.join(folder, name), top)


def git(*args, cwd, stdin='', **env):
    """The output of git; it uses only the repository that @env names or of
    which @cwd is the top."""
    own = {k: v for k, v in os.environ.items()
           if not k.startswith('GIT_') or k.startswith('GIT_CONFIG')}
    own.update(GIT_CEILING_DIRECTORIES=os.path.dirname(os.path.realpath(cwd)),
               LC_ALL='C.UTF-8', **env)
    r = subprocess.run(['git', *args], cwd=cwd, env=own, input=stdin,
                       capture_output=True, **PIPED)
    if r.returncode:
        raise ApplyError(f'git {args[0]}: {(r.stderr or r.stdout).strip()}')
    return r.stdout


# -- planning -----------------------------------------------------------------


def has(tree, path, text=''):
    """True if @tree has a file with that text."""
    full = os.path.join(tree, path)
    return os.path.exists(full) and text in read(full)


def paths_of(patch):
    return re.findall(r'(?m)^\+\+\+ b/(.*)$', patch)


def marks():
    """Files that a QEMU tree must have."""
    return [*MARKS, *PIECES, *paths_of(read(os.path.join(REPO, SPLICES)))]


def version_of(tree):
    m = re.match(r'(\d+)\.(\d+)', read(os.path.join(tree, 'VERSION')))
    return tuple(map(int, m.groups())) if m else (0, 0)


def check_tree(tree, say):
    missing = [m for m in marks() if not has(tree, m)]
    if missing:
        raise ApplyError(f"'{tree}' is not a QEMU source tree of a supported "
                         f"version: it has no {', '.join(missing)}")
    text = read(os.path.join(tree, 'VERSION')).strip()
    version = version_of(tree)
    # Versions between them would need other backports.
    if version < (10, 0) and version != (7, 2):
        raise ApplyError(f"'{tree}' is QEMU {text}; supported are 7.2 and "
                         '10.x')
    if version not in TESTED:
        say(f'warning: QEMU {text} is newer than the tested versions: check '
            'that it builds')


def backports(tree):
    """The backport folders that the tree needs."""
    return [os.path.join(REPO, 'backports', name)
            for name, sign in BACKPORTS.items() if has(tree, *sign)]


def rewritten(files, folders):
    """@files with the replacements of the folders' rewrite.py: path ->
    (pattern, replacement) pairs, each of which must match at least once."""
    for folder in folders:
        path = os.path.join(folder, 'rewrite.py')
        rules = runpy.run_path(path)['REWRITE'] if os.path.exists(path) else {}
        for name, pattern, replacement in (
                (n, *pair) for n, pairs in rules.items() for pair in pairs):
            files[name], found = re.subn(pattern, replacement,
                                         files.get(name, ''))
            if not found:
                raise ApplyError(f'{path}: no match in {name} for {pattern!r}')
    return files


def texts(folder, pattern):
    """Path -> text of the files in @folder that match @pattern."""
    return {path: read(os.path.join(folder, path)) for path in
            glob.glob(pattern, root_dir=folder, recursive=True)}


def whole_files(folders):
    """Path in the tree -> text, for files that are copied as they are."""
    files = {}
    for pattern in WHOLE:
        found = texts(REPO, pattern)
        if not found:
            raise ApplyError(f'{REPO} has no {pattern}')
        files.update(found)
    for folder in folders:
        files.update(texts(folder, '**/*.h'))
    return files


def fragment(path):
    """Our part of the tree's file, without the licence line."""
    return re.sub(r'\A.*SPDX-License-Identifier.*\n', '',
                  read(os.path.join(REPO, path)))


def with_piece(tree, path):
    """The tree's file with our part."""
    text, found = re.subn(PIECES[path], lambda _: fragment(path),
                          read(os.path.join(tree, path)), flags=re.M)
    if found != 1:
        raise ApplyError(f'{path}: expected one place for our text, found '
                         f'{found} times')
    return text


def splices(tree):
    """The patch for @tree, with all unit tests listed."""
    tests = sorted(os.path.basename(p)[:-len('.c')] for p in
                   glob.glob(os.path.join(REPO, 'tests/unit/test-dump-*.c')))
    patch = read(os.path.join(REPO, SPLICES)).replace(
        '+@unit-tests@\n', ''.join(f"+    '{t}': [vmcore],\n" for t in tests))
    if has(tree, FUNCTIONAL[2]):
        more = read(os.path.join(REPO, SPLICES_FUNCTIONAL))
        patch += more[more.index('diff --git '):]
    return patch


def with_splices(tree):
    """Path -> text of the files that the patch changes, after reverting the
    patch of an earlier apply."""
    earlier = os.path.join(tree, STATE, SPLICED)
    patches = [read(earlier)] if os.path.exists(earlier) else []
    ours = splices(tree)
    paths = paths_of(ours)
    with written({p: read(os.path.join(tree, p)) for p in paths}) as tmp:
        for patch in [*patches, ours]:
            with contextlib.suppress(ApplyError):
                git('apply', *APPLY, '-R', '-', cwd=tmp, stdin=patch, **PLAIN)
                break
        else:
            if os.path.isdir(os.path.join(tree, 'dump/vmcore')):
                raise ApplyError(
                    f"'{tree}' has this subsystem in another version, "
                    'whose changes are not recorded: restore '
                    f'{", ".join(paths)}, and remove dump/vmcore')
        try:
            git('apply', *APPLY, '-', cwd=tmp, stdin=ours, **PLAIN)
        except ApplyError as e:
            raise ApplyError(f'{SPLICES} does not apply to '
                             f"'{tree}': {e}") from None
        return {p: read(os.path.join(tmp, p)) for p in paths}


def check_free(tree, path):
    """Fail if no file can be created under that name."""
    full = os.path.join(tree, path)
    if os.path.isdir(full) and not os.path.islink(full):
        raise ApplyError(f"'{full}' exists where a file is to be written")
    while full := os.path.dirname(full):
        if full == tree:
            break
        if os.path.lexists(full) and \
                (os.path.islink(full) or not os.path.isdir(full)):
            raise ApplyError(f"'{full}' exists where a folder is to be created")


def plan(tree, say=lambda text: None):
    """Path -> new text, or None to delete, of all files to change."""
    check_tree(tree, say)
    folders = backports(tree)
    new = rewritten(whole_files(folders), folders)
    new.update((path, with_piece(tree, path)) for path in PIECES)
    new.update(with_splices(tree))
    if has(tree, FUNCTIONAL[2]):
        new[FUNCTIONAL[1]] = read(os.path.join(REPO, FUNCTIONAL[0]))
    for sub in walk(os.path.join(tree, OWNED)):
        new.setdefault(os.path.join(OWNED, sub), None)
    new.pop(STAYS, None)
    for path in new:
        check_free(tree, path)
    return new


def differing(tree, new):
    """The part of a plan that @tree does not match yet."""
    return {path: text for path, text in new.items()
            if text != (read(os.path.join(tree, path)) if
                        os.path.lexists(os.path.join(tree, path)) else None)}


# -- applying ----------------------------------------------------------------


class Store:
    """A repository in a tree, for the files before and after apply. Its tree
    objects are named as in git; the index is recreated each time."""

    def __init__(self, tree):
        self.tree = tree
        self.state = os.path.join(tree, STATE)
        self.folder = os.path.join(self.state, STORE)
        self.undo = os.path.join(self.state, UNDO)

    def git(self, *args, top=None, **kwargs):
        return git(*args, cwd=top or self.tree, GIT_DIR=self.folder,
                   GIT_WORK_TREE=top or self.tree, **PLAIN, **kwargs)

    def make(self):
        os.makedirs(self.state, exist_ok=True)
        replace(os.path.join(self.state, '.gitignore'), '*\n')
        if not os.path.exists(os.path.join(self.folder, 'info/attributes')):
            git('init', '-q', '--bare', self.folder, cwd=self.state,
                **PLAIN)
            # Overrides the user's .gitattributes.
            replace(os.path.join(self.folder, 'info/attributes'),
                    '* -text -ident -filter -eol -working-tree-encoding\n')

    def record(self, paths, top=None):
        """Write those of @paths that exist, as they are on disk, to the index
        and to a tree object, which is returned."""
        for name in ('index', 'index.lock'):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(self.folder, name))
        self.git('update-index', '--add', '--remove', '-z', '--stdin',
                 top=top, stdin='\0'.join(paths))
        return self.git('write-tree', top=top).strip()

    def tree_of(self, new):
        """The tree object that a plan results in."""
        with written(new, dir=self.state) as top:
            return self.record(new, top)

    def go(self, paths, tree):
        """Check out @paths of @tree; files that match already are not
        touched."""
        self.record(paths)
        self.git('read-tree', '-u', '--reset', tree)

    def back(self, fresh=False):
        """Undo an unfinished apply, if any. @fresh: remove our folder too."""
        if os.path.exists(self.undo):
            before, *paths = read(self.undo).split('\0')
            self.go(paths, before)
            os.unlink(self.undo)
        if fresh:
            shutil.rmtree(self.state, ignore_errors=True)

    def files(self, tree):
        """The lines of git ls-tree (mode, type, object, path) of all files."""
        return set(self.git('ls-tree', '-r', '-z', tree).split('\0')[:-1])

    def save(self, paths, tree):
        """Copy @paths of @tree to a new folder; returns the folder."""
        aside = next(f'{self.tree}/{REPLACED}{n}' for n in itertools.count(1)
                     if not os.path.exists(f'{self.tree}/{REPLACED}{n}'))
        self.git('read-tree', tree)
        self.git('checkout-index', '-z', '--stdin', f'--prefix={aside}/',
                 stdin='\0'.join(paths))
        return aside


def uncommitted(tree, paths):
    """Those of @paths that the user's git cannot restore: all if the tree is
    not in a git repository."""
    try:
        out = git('--literal-pathspecs', 'status', '--porcelain', '-z',
                  '--no-renames', '--ignored', '--untracked-files=all', '--',
                  *paths, cwd=tree)
    except ApplyError:
        return set(paths)
    return {entry[3:] for entry in out.split('\0')}


def only_here(store, before, changes):
    """The replaced files that are neither in git nor from an earlier apply."""
    applied = os.path.join(store.state, APPLIED)
    ours = store.files(read(applied)) if os.path.exists(applied) else set()
    there = {entry.partition('\t')[2] for entry in
             store.files(before) - ours} & set(changes)
    return sorted(there and uncommitted(store.tree, there) & there)


def summary(paths):
    """@paths; of a folder with many of them, only the number."""
    parts = []
    for folder, group in itertools.groupby(
            sorted(paths, key=os.path.split), os.path.dirname):
        names = list(group)
        parts += [f'{folder}/ ({len(names)} files)'] if len(names) > 10 \
            else names
    return ', '.join(parts)


def report(changes, say):
    removed = [p for p, text in changes.items() if text is None]
    written = set(changes) - set(removed)
    for what, paths in ('removed', removed), ('written', written):
        if paths:
            say(f'{what}: {summary(paths)}')
    if not changes:
        say('the subsystem is up to date: nothing to do')


def apply(tree, say):
    """Apply to @tree. Raises ApplyError or OSError, with nothing changed."""
    with locked(tree):
        store = Store(tree)
        if os.path.exists(store.undo):
            say('undoing an interrupted run')
            store.back()
        new = plan(tree, say)
        changes = differing(tree, new)
        if changes:
            change(store, new, changes, say)
        report(changes, say)


def change(store, new, changes, say):
    fresh = not os.path.exists(store.state)
    try:
        store.make()
        before, after = store.record(new), store.tree_of(new)
        kept = only_here(store, before, changes)
        replace(store.undo, '\0'.join([before, *new]))
        store.go(new, after)
        if kept:
            say(f'kept in {store.save(kept, before)}: replaced files that '
                f'are not in git: {", ".join(kept)}')
        replace(os.path.join(store.state, SPLICED), splices(store.tree))
        replace(os.path.join(store.state, APPLIED), after)
        os.unlink(store.undo)
    except BaseException as e:
        try:
            store.back(fresh)
        except (OSError, ApplyError) as e2:
            raise ApplyError(f'{e}; undoing the changes also failed: {e2}; '
                             'the next run will try again') from e
        raise


def mirror(src, dst, new):
    """Make @dst a copy of @src with @new, a plan or nothing, applied.

    Unchanged files keep their modification time, and others get the current
    time, so that only changed files are recompiled. Build results are left
    alone: in @dst the folders build and build-*, meson's downloads in
    subprojects, and Python's caches; in @src any build folder. Returns the
    part of @new that had to be applied.
    """
    changes = differing(dst if os.path.isdir(dst) else src, new)
    os.makedirs(dst, exist_ok=True)
    built = [os.path.basename(os.path.dirname(p)) for p in
             glob.glob(os.path.join(glob.escape(src), '*', 'build.ninja'))]
    skip = ['.git', STATE, 'build', 'build-*', *built]
    filters = ''.join(f'- /{name}\n' for name in [*skip, *new])
    try:
        subprocess.run(
            ['rsync', '-rlp', '--checksum', '--delete', '--filter=merge -',
             '--filter=P /subprojects/**', '--filter=P __pycache__',
             f'{src}/', f'{dst}/'], input=filters, check=True,
            capture_output=True, **PIPED)
    except subprocess.CalledProcessError as e:
        raise ApplyError(f"copying '{src}': {e.stderr.strip()}") from None
    for path, text in differing(dst, new).items():
        if text is None:
            os.unlink(os.path.join(dst, path))
        else:
            replace(os.path.join(dst, path), text)
    return changes
