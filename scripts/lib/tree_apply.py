# SPDX-License-Identifier: GPL-2.0-or-later
#
# Put this subsystem into a QEMU source tree.
#
# plan() computes all changes before anything is written. apply() records what
# the files were in a journal in the tree, changes them, and removes the
# journal. If there still is one, the tree is restored from it: at once after
# an error, by the next run after a kill.

import contextlib
import glob
import hashlib
import itertools
import json
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
# In it: the splices as applied; the hashes of the files written; the journal;
# the journal of earlier versions of this script, which used git.
SPLICED = f'{STATE}/splices.patch'
WRITTEN = f'{STATE}/written.json'
JOURNAL = f'{STATE}/journal.json'
OLD_JOURNAL = f'{STATE}/undo'
# Prefix of folders with replaced files of which there is no other copy.
REPLACED = f'{STATE}/replaced-'

# Files of ours that are copied as they are.
WHOLE = ['dump/**/*.[ch]', 'dump/**/meson.build', 'dump/trace-events',
         'include/system/dump.h', 'include/system/dump-arch.h',
         'qapi/dump.json', 'docs/devel/dump.rst',
         'docs/interop/vmcore-formats.rst',
         'docs/system/guest-memory-dump.rst', 'tests/unit/test-dump-*.c',
         'tests/unit/dump-test-*.h', 'tests/qtest/dump-vmcore-test.c']
# Our QEMU functional test, and the folders for it in newer and older trees.
FUNCTIONAL = 'tests/qemu-functional/test_dump.py'
FUNCTIONAL_FOLDERS = ('tests/functional/x86_64', 'tests/functional')
# The folder of the tree from which other files are removed, except this one,
# which the tree's Kconfig reads from 11.0 on.
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
# A patch for other files.
SPLICES = 'scripts/splices.patch'

# Folder in backports/ -> a file, and a text in it, that only trees have that
# need this folder.
BACKPORTS = {'11.2': ('include/monitor/hmp.h', 'monitor_hmp_printf'),
             '11.1': ('include/qemu/aio.h', '\n'),
             '10.0': ('include/exec/memory.h', '\n'),
             '7.2': ('include/sysemu/sysemu.h', '\n')}

# Files that a QEMU tree must have.
MARKS = ['VERSION', 'dump/meson.build', 'qapi/dump.json',
         'monitor/qmp-cmds.c', 'stubs/dump.c', *PIECES]
TESTED = [(7, 2), (10, 0), (10, 1), (10, 2), (11, 1)]

# Preserves bytes of other encodings, and line ends.
PIPED = {'encoding': 'utf-8', 'errors': 'surrogateescape'}
TEXT = {**PIPED, 'newline': ''}
# Ignores the user's and the system's configuration of git.
PLAIN = {'GIT_CONFIG_GLOBAL': '/dev/null', 'GIT_CONFIG_NOSYSTEM': '1'}


def read(*names):
    with open(os.path.join(*names), **TEXT) as f:
        return f.read()


def content(*names):
    """The text of a file, or None if there is none of that name."""
    path = os.path.join(*names)
    if not os.path.lexists(path):
        return None
    if os.path.islink(path) or not os.path.isfile(path):
        raise Failure(f"'{path}' is not a regular file")
    return read(path)


def replace(path, text):
    """Write a file atomically; its mode is kept."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + '.part', 'w', **TEXT) as f:
        f.write(text)
    if os.path.exists(path):
        shutil.copymode(path, path + '.part')
    os.replace(path + '.part', path)


def write(top, files):
    """Make the files in @top what @files, path -> text, says; None: no such
    file, and no empty folder. Those that match are not touched."""
    for path, text in differing(top, files).items():
        full = os.path.join(top, path)
        if text is not None:
            replace(full, text)
            continue
        os.unlink(full)
        prune(full)


def prune(path):
    """Remove the folders that @path is in, from the innermost to the first one
    that is not empty."""
    while path := os.path.dirname(path):
        try:
            os.rmdir(path)
        except FileNotFoundError:
            continue
        except OSError:
            break


def differing(top, files):
    """The part of @files that @top does not match."""
    return {path: text for path, text in files.items()
            if text != content(top, path)}


def walk(top):
    """Paths of all files and links below @top, relative to it."""
    for folder, dirs, names in os.walk(top):
        links = [d for d in dirs if os.path.islink(os.path.join(folder, d))]
        for name in names + links:
            yield os.path.relpath(os.path.join(folder, name), top)


def git(*args, cwd, stdin='', **env):
    """The output of git; it uses only the repository of which @cwd is the
    top."""
    own = {k: v for k, v in os.environ.items()
           if not k.startswith('GIT_') or k.startswith('GIT_CONFIG')}
    own.update(GIT_CEILING_DIRECTORIES=os.path.dirname(os.path.realpath(cwd)),
               LC_ALL='C.UTF-8', **env)
    r = subprocess.run(['git', *args], cwd=cwd, env=own, input=stdin,
                       capture_output=True, **PIPED)
    if r.returncode:
        raise Failure(f'git {args[0]}: {(r.stderr or r.stdout).strip()}')
    return r.stdout


# -- planning -----------------------------------------------------------------


def has(*names):
    return os.path.exists(os.path.join(*names))


def paths_of(patch):
    return re.findall(r'(?m)^\+\+\+ b/(.*)$', patch)


def version_of(tree):
    m = re.match(r'(\d+)\.(\d+)', read(tree, 'VERSION'))
    return tuple(map(int, m.groups())) if m else (0, 0)


def check_tree(tree, say):
    missing = [m for m in MARKS if not has(tree, m)]
    if missing:
        raise Failure(f"'{tree}' is not a QEMU source tree of a supported "
                      f"version: it has no {', '.join(missing)}")
    text, version = read(tree, 'VERSION').strip(), version_of(tree)
    # Versions between them would need other backports.
    if version < (10, 0) and version != (7, 2):
        raise Failure(f"'{tree}' is QEMU {text}; supported are 7.2 and 10.x")
    if version not in TESTED:
        say(f'warning: QEMU {text} is newer than the tested versions: check '
            'that it builds')


def backports(tree):
    """The backport folders that the tree needs."""
    return [os.path.join(REPO, 'backports', name)
            for name, (path, sign) in BACKPORTS.items()
            if sign in (content(tree, path) or '')]


def whole_files(folders):
    """Path in the tree -> text, for files that are copied as they are."""
    files = {}
    for folder, pattern in [*((REPO, p) for p in WHOLE),
                            *((f, '**/*.h') for f in folders)]:
        paths = glob.glob(pattern, root_dir=folder, recursive=True)
        if not paths and folder == REPO:
            raise Failure(f'{folder} has no {pattern}')
        files.update((path, read(folder, path)) for path in paths)
    return files


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
                raise Failure(f'{path}: no match in {name} for {pattern!r}')
    return files


def fragment(path):
    """Our part of the tree's file, without the licence line."""
    return re.sub(r'\A.*SPDX-License-Identifier.*\n', '', read(REPO, path))


def with_piece(tree, path):
    """The tree's file with our part."""
    text, found = re.subn(PIECES[path], lambda _: fragment(path),
                          read(tree, path), flags=re.M)
    if found != 1:
        raise Failure(f'{path}: expected one place for our text, found '
                      f'{found} times')
    return text


def functional_folder(tree):
    """The folder of QEMU's functional tests, if @tree has any."""
    return next((f for f in FUNCTIONAL_FOLDERS
                 if has(tree, f, 'meson.build')), None)


def splices(tree):
    """The patch for @tree, with all unit tests listed."""
    tests = sorted(name.removesuffix('.c') for name in glob.glob(
        'test-dump-*.c', root_dir=os.path.join(REPO, 'tests/unit')))
    patch = read(REPO, SPLICES).replace(
        '+@unit-tests@\n', ''.join(f"+    '{t}': [vmcore],\n" for t in tests))
    rest, functional = re.split(r'(?m)^(?=diff --git a/tests/functional/)',
                                patch)
    folder = functional_folder(tree)
    return rest + (functional.replace(FUNCTIONAL_FOLDERS[-1], folder)
                   if folder else '')


def with_splices(tree):
    """Path -> text of the files that the patch changes, after reverting the
    patch of an earlier apply."""
    earlier, ours = content(tree, SPLICED) or '', splices(tree)
    paths = sorted({*paths_of(earlier), *paths_of(ours)})
    with tempfile.TemporaryDirectory() as tmp:
        def patch(text, *options):
            git('apply', '--recount', '--unidiff-zero', *options, '-', cwd=tmp,
                stdin=text, **PLAIN)

        write(tmp, {p: content(tree, p) for p in paths})
        for text in earlier, ours:
            with contextlib.suppress(Failure):
                patch(text, '-R')
                break
        else:
            if has(tree, 'dump/vmcore/meson.build'):
                raise Failure(f"'{tree}' has this subsystem in another "
                              'version, whose changes are not recorded: '
                              f'restore {", ".join(paths)}, and remove '
                              'dump/vmcore')
        try:
            patch(ours)
        except Failure as e:
            raise Failure(f"{SPLICES} does not apply to '{tree}': {e}"
                          ) from None
        return {p: content(tmp, p) for p in paths}


def plan(tree, say=lambda text: None):
    """Path -> new text, or None to delete, of all files to change."""
    check_tree(tree, say)
    folders = backports(tree)
    new = rewritten(whole_files(folders), folders)
    new.update((path, with_piece(tree, path)) for path in PIECES)
    new.update(with_splices(tree))
    if functional_folder(tree):
        new[f'{functional_folder(tree)}/test_dump.py'] = read(REPO, FUNCTIONAL)
    for sub in walk(os.path.join(tree, OWNED)):
        new.setdefault(os.path.join(OWNED, sub), None)
    new.pop(STAYS, None)
    return new


# -- applying ----------------------------------------------------------------


def undo(tree):
    """Undo an unfinished apply. Returns whether there was one."""
    journal = os.path.join(tree, JOURNAL)
    if has(tree, OLD_JOURNAL):
        raise Failure(f"'{tree}': a run of an earlier version of qemu-tree "
                      'was interrupted: run that version again')
    old = json.loads(content(journal) or '{}')
    write(tree, {**{path + '.part': None for path in old}, **old})
    for path in old:
        prune(os.path.join(tree, path))
    write(tree, {JOURNAL: None, JOURNAL + '.part': None})
    return bool(old)


def ours(tree):
    """The files that an earlier apply wrote, and that are unchanged."""
    written = json.loads(content(tree, WRITTEN) or '{}')
    return [p for p, of in written.items()
            if (text := content(tree, p)) is not None and digest(text) == of]


def only_here(tree, paths, known):
    """Those of @paths that are not @known, and that the user's git, if the tree
    is in one, cannot restore."""
    paths = [p for p in paths if has(tree, p) and p not in known]
    if not paths:
        return []
    try:
        said = git('--literal-pathspecs', 'status', '--porcelain', '-z',
                   '--no-renames', '--ignored', '--untracked-files=all', '--',
                   *paths, cwd=tree)
    except Failure:
        return paths
    changed = {entry[3:] for entry in said.split('\0')}
    return [p for p in paths if p in changed]


def digest(text):
    return hashlib.sha256(text.encode(**PIPED)).hexdigest()


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
    for what, gone in ('removed', True), ('written', False):
        paths = [p for p, t in changes.items() if (t is None) == gone]
        if paths:
            say(f'{what}: {summary(paths)}')
    if not changes:
        say('the subsystem is up to date: nothing to do')


def apply(tree, say):
    """Apply to @tree. Raises Failure or OSError, with nothing changed."""
    with locked(tree):
        if undo(tree):
            say('undid an interrupted run')
        known = ours(tree)
        new = {**dict.fromkeys(known), **plan(tree, say)}
        changes = differing(tree, new)
        if changes:
            kept = only_here(tree, sorted(changes), known)
            aside = next(f'{REPLACED}{n}' for n in itertools.count(1)
                         if not has(tree, f'{REPLACED}{n}'))
            hashes = {p: digest(t) for p, t in new.items() if t is not None}
            change(tree, {
                f'{STATE}/.gitignore': '*\n',
                **{f'{aside}/{p}': read(tree, p) for p in kept}, **changes,
                SPLICED: splices(tree), WRITTEN: json.dumps(hashes)})
            if kept:
                say(f'kept in {tree}/{aside}: replaced files that are not in '
                    f'git: {", ".join(kept)}')
        report(changes, say)


def change(tree, files):
    """Make all changes, or none."""
    try:
        replace(os.path.join(tree, JOURNAL),
                json.dumps({path: content(tree, path) for path in files}))
        write(tree, files)
        os.unlink(os.path.join(tree, JOURNAL))
    except BaseException as e:
        try:
            undo(tree)
        except (OSError, Failure) as e2:
            raise Failure(f'{e}; undoing the changes also failed: {e2}; '
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
    built = [os.path.dirname(p) for p in
             glob.glob('*/build.ninja', root_dir=src)]
    skip = ['.git', STATE, 'build', 'build-*', *built]
    filters = ''.join(f'- /{name}\n' for name in [*skip, *new])
    try:
        subprocess.run(
            ['rsync', '-rlp', '--checksum', '--delete', '--filter=merge -',
             '--filter=P /subprojects/**', '--filter=P __pycache__',
             f'{src}/', f'{dst}/'], input=filters, check=True,
            capture_output=True, **PIPED)
    except subprocess.CalledProcessError as e:
        raise Failure(f"copying '{src}': {e.stderr.strip()}") from None
    write(dst, new)
    return changes
