# SPDX-License-Identifier: GPL-2.0-or-later
#
# Put this subsystem into a QEMU source tree.
#
# Everything is worked out before anything is written. What is replaced is
# first copied to a journal: an error rolls the tree back at once, and what a
# killed run left half done is rolled back by the next one. Of the journal
# stays what nobody else has: see known().

import contextlib
import fcntl
import filecmp
import glob
import hashlib
import importlib.util
import itertools
import os
import re
import shutil
import stat
import subprocess

REPO = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
# A folder of the tree for our own use, which git does not see.
STATE = '.guest-memory-dump'
JOURNAL = STATE + '/journal'
# What apply has put there, in the manner of sha256sum.
APPLIED = STATE + '/applied'
# What apply has replaced and nobody else has: this and a number.
REPLACED = STATE + '/replaced-'

# Files and folders of ours that go in whole.
WHOLE = ['dump', 'include/system/dump.h', 'include/system/dump-arch.h',
         'qapi/dump.json', 'docs/devel/dump.rst',
         'docs/devel/dump-faults.rst.inc',
         'docs/interop/vmcore-formats.rst',
         'docs/system/guest-memory-dump.rst', 'tests/unit/test-dump-*.c',
         'tests/unit/dump-test-*.h', 'tests/qtest/dump-test.c']
# One for QEMU's functional tests: what of ours, where to, and by what a tree
# is known that has such tests and has them there.
FUNCTIONAL = ('tests/qemu-functional/test_dump.py',
              'tests/functional/test_dump.py', 'tests/functional/test_vnc.py')
# What of a folder: an editor's leavings, say, stay out.
SOURCES = re.compile(r'(?:\.[ch]|(?:^|/)(?:meson\.build|trace-events))$')
# Folders of the tree that hold nothing but ours afterwards.
OWNED = ['dump']

# Folder in backports/ -> what tells that a tree needs it.
BACKPORTS = {'10.0': 'include/exec/memory.h',
             '7.2': 'include/sysemu/sysemu.h'}

# What tells that a directory is a QEMU tree that we know.
MARKS = ['VERSION', 'dump/meson.build', 'hmp-commands.hx',
         'hmp-commands-info.hx', 'MAINTAINERS', 'meson.build',
         'qapi/dump.json', 'qapi/job.json', 'monitor/qmp-cmds.c', 'stubs/dump.c',
         'docs/devel/index-internals.rst', 'docs/interop/index.rst',
         'docs/system/index.rst', 'meson_options.txt',
         'scripts/meson-buildoptions.sh', 'tests/qtest/meson.build',
         'tests/unit/meson.build']

# Path, a line of it, and what of ours comes after it.
AFTER = [
    ('meson_options.txt',
     "       description: 'lzfse support for DMG images')\n",
     "option('libdeflate', type : 'feature', value : 'auto',\n"
     "       description: 'libdeflate for zlib pages of memory dumps')\n"),
    ('scripts/meson-buildoptions.sh',
     "  printf \"%s\\n\" '  libdaxctl       libdaxctl support'\n",
     "  printf \"%s\\n\" '  libdeflate      libdeflate for zlib pages of "
     "memory dumps'\n"),
    ('scripts/meson-buildoptions.sh',
     '    --disable-libdaxctl) printf "%s" -Dlibdaxctl=disabled ;;\n',
     '    --enable-libdeflate) printf "%s" -Dlibdeflate=enabled ;;\n'
     '    --disable-libdeflate) printf "%s" -Dlibdeflate=disabled ;;\n'),
    ('tests/qtest/meson.build',
     "  (config_all_devices.has_key('CONFIG_SB16') ? ['fuzz-sb16-test'] : []) "
     "+                   \\\n",
     "  ['dump-test'] +" + 74 * ' ' + "\\\n"),
    ('tests/qtest/meson.build',
     "  'cdrom-test': files('boot-sector.c'),\n", "  'dump-test': zlib,\n"),
    ('tests/functional/meson.build', "  'cpu_queries',\n", "  'dump',\n"),
]

# Put into tests/unit/meson.build, in one piece without an empty line.
UNIT_TESTS = """\
# Guest memory dump
if have_system
  vmcore_inc = include_directories('../../dump/vmcore')
  vmcore_lib = static_library('vmcore', vmcore_sources, genh,
                              dependencies: [glib, vmcore_deps],
                              build_by_default: false)
  vmcore = declare_dependency(link_with: vmcore_lib,
                              include_directories: vmcore_inc,
                              dependencies: [zlib, lzo, snappy, zstd])
  tests += {
%s  }
endif

"""


class ApplyError(Exception):
    """The tree is not one that we can be put into."""


# Bytes of other encodings and line ends pass unchanged.
TEXT = {'encoding': 'utf-8', 'errors': 'surrogateescape', 'newline': ''}


def read(path):
    with open(path, **TEXT) as f:
        return f.read()


def walk(top, skip=()):
    """Paths of all files and links below @top, relative to it. @skip: names
    of folders directly in @top."""
    for folder, dirs, names in os.walk(top):
        if folder == top:
            dirs[:] = [d for d in dirs if d not in skip]
        links = [d for d in dirs if os.path.islink(os.path.join(folder, d))]
        for name in names + links:
            yield os.path.relpath(os.path.join(folder, name), top)


@contextlib.contextmanager
def locked(path, say):
    """Hold the lock on a file or folder, waiting for whoever has it."""
    fd = os.open(path, os.O_RDONLY)
    # Who kills us does not kill the ninja that we started: the lock is held
    # until that has ended, too.
    os.set_inheritable(fd, True)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f'waiting for another run to finish with {path}')
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def check_tree(tree):
    missing = [m for m in MARKS
               if not os.path.exists(os.path.join(tree, m))]
    if missing:
        raise ApplyError(f"'{tree}' is not a QEMU source tree that is known "
                         f"here: it has no {', '.join(missing)}")
    text = read(os.path.join(tree, 'VERSION')).strip()
    m = re.match(r'(\d+)\.(\d+)', text)
    # Those between would need backports of their own.
    if not m or (int(m[1]) != 10 and (m[1], m[2]) != ('7', '2')):
        raise ApplyError(f"'{tree}' is QEMU {text}; known are 7.2 and 10.x")


def backport_folders(tree):
    """The backport folders that the tree needs, by older names it has."""
    return [os.path.join(REPO, 'backports', name)
            for name, sign in BACKPORTS.items()
            if os.path.exists(os.path.join(tree, sign))]


def rewritten(files, folders):
    """@files as the folders' rewrite.py say: path -> what is replaced, and
    by what, each at one place at least."""
    for folder in folders:
        path = os.path.join(folder, 'rewrite.py')
        if not os.path.exists(path):
            continue
        spec = importlib.util.spec_from_file_location('rewrite', path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for name, pairs in module.REWRITE.items():
            for pattern, replacement in pairs:
                files[name], found = re.subn(pattern, replacement,
                                             files.get(name, ''))
                if not found:
                    raise ApplyError(f'{path}: nothing in {name} is '
                                     f'{pattern!r}')
    return files


def whole_files(folders):
    """Path in the tree -> text, for all that goes in whole."""
    files = {}
    for path in WHOLE:
        full = os.path.join(REPO, path)
        names = [os.path.join(path, sub) for sub in walk(full)
                 if SOURCES.search(sub)]
        names += [os.path.relpath(one, REPO) for one in glob.glob(full)
                  if not os.path.isdir(one)]
        if not names:
            raise ApplyError(f'{REPO} has no {path}')
        files.update((name, read(os.path.join(REPO, name))) for name in names)
    for folder in folders:
        for sub in walk(folder):
            if sub.endswith('.h'):
                files[sub] = read(os.path.join(folder, sub))
    return files


def has_functional(tree):
    return os.path.exists(os.path.join(tree, FUNCTIONAL[2]))


def splice(tree, path, pattern, replacement, what):
    """Replace the one place that @pattern finds in a file of the tree."""
    return splice_text(read(os.path.join(tree, path)), path, pattern,
                       replacement, what)


def splice_text(text, path, pattern, replacement, what):
    found = list(re.finditer(pattern, text, re.M))
    if len(found) != 1:
        raise ApplyError(f'{path}: expected {what} exactly once, found it '
                         f'{len(found)} times')
    m = found[0]
    return text[:m.start()] + replacement(m[0]) + text[m.end():]


def unit_tests():
    names = sorted(os.path.basename(p)[:-len('.c')] for p in
                   glob.glob(os.path.join(REPO, 'tests/unit/test-dump-*.c')))
    return UNIT_TESTS % ''.join(f"    '{n}': [vmcore],\n" for n in names)


def fragment(path):
    """What of ours goes into the tree's file: all but our licence line."""
    return splice(REPO, path, r'\A.*SPDX-License-Identifier.*\n',
                  lambda _: '', 'the licence line')


def job_type(tree):
    """A dump can be a job: a type more, and its documentation."""
    path = 'qapi/job.json'
    text = read(os.path.join(tree, path))
    if ",\n           'dump-guest-memory']" in text:
        return text
    return splice(
        tree, path,
        r"^#\n# Since: 1\.7\n##\n\{ 'enum': 'JobType',\n"
        r"(?:.*\n)*?.*'snapshot-delete'\]",
        lambda old: '#\n# @dump-guest-memory: guest memory dump job type '
                    '(since 10.1)\n' + old[:-1] + ",\n           'dump-guest-memory']",
        'the types of jobs')


def spliced_files(tree):
    files = {}
    # After an earlier apply there are more entries.
    for path, name, new in (
            ('hmp-commands.hx', 'dump-guest-memory',
             'dump-cancel|dump_set_parameter'),
            ('hmp-commands-info.hx', 'dump', 'vmcoreinfo|dump_parameters')):
        more = (r'(?:\n    \{\n        \.name       = "(?:' + new + r')",\n'
                r'(?:(?!^ERST$)[\s\S])*^ERST\n)*')
        ours = fragment(path)
        files[path] = splice(
            tree, path,
            r'^    \{\n        \.name       = "' + name +
            r'",\n(?:(?!^ERST$)[\s\S])*^ERST\n' + more,
            lambda _, ours=ours: ours, f'the entry of {name}')
    files['MAINTAINERS'] = splice(
        tree, 'MAINTAINERS', r'^Dump\n(?:[A-Z]: .*\n)+',
        lambda _: fragment('MAINTAINERS'),
        'the section Dump')
    files['qapi/job.json'] = job_type(tree)
    files['meson.build'] = splice(
        tree, 'meson.build',
        r"^    'backends/tpm',\n(?:    'chardev',\n)?(?:    'dump',\n)?",
        lambda old: old if "'dump'" in old else old + "    'dump',\n",
        'the list of trace event folders')
    files['tests/unit/meson.build'] = splice(
        tree, 'tests/unit/meson.build',
        r'(?:^# Guest memory dump\n(?:.+\n)+\n)?^if have_ga\b',
        lambda _: unit_tests() + 'if have_ga', 'the tests of the guest agent')
    for path, before, ours in (
            ('docs/devel/index-internals.rst', 'clocks', 'dump'),
            ('docs/interop/index.rst', 'virtio-balloon-stats',
             'vmcore-formats'),
            ('docs/system/index.rst', 'managed-startup',
             'guest-memory-dump')):
        files[path] = splice(
            tree, path, rf'^   {before}\n(?:   {ours}\n)?',
            lambda _, b=before, o=ours: f'   {b}\n   {o}\n',
            f'the entry {before}')
    for path, line, ours in AFTER:
        if path.startswith('tests/functional/') and not has_functional(tree):
            continue
        if path not in files:
            files[path] = read(os.path.join(tree, path))
        files[path] = splice_text(
            files[path], path, f'^{re.escape(line)}(?:{re.escape(ours)})?',
            lambda _, new=line + ours: new, f'the line {line.strip()!r}')
    return files


def plan(tree):
    """Path -> new text, or None to delete, of all that is ours."""
    check_tree(tree)
    folders = backport_folders(tree)
    new = rewritten(whole_files(folders), folders)
    new.update(spliced_files(tree))
    if has_functional(tree):
        new[FUNCTIONAL[1]] = read(os.path.join(REPO, FUNCTIONAL[0]))
    check_folders(tree, new)
    for owned in OWNED:
        for sub in walk(os.path.join(tree, owned)):
            new.setdefault(os.path.join(owned, sub), None)
    return new


def check_folders(tree, paths):
    for folder in sorted({os.path.join(tree, *parts[:n])
                          for parts in (path.split('/') for path in paths)
                          for n in range(1, len(parts))}):
        if os.path.lexists(folder) and not os.path.isdir(folder):
            raise ApplyError(f"'{folder}' is in the way: a folder goes there")


def differing(tree, new):
    """What of a plan is not so in @tree yet."""
    return {path: text for path, text in new.items()
            if text != (read(os.path.join(tree, path)) if
                        os.path.exists(os.path.join(tree, path)) else None)}


def replace(path, text):
    """Write a file whole or not at all."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + '.part', 'w', **TEXT) as f:
        f.write(text)
    os.replace(path + '.part', path)


def remove(path):
    # A read-only file system refuses even what is not there.
    if os.path.lexists(path):
        os.unlink(path)


def remove_empty(folder, top):
    """Remove @folder and its parents below @top that are empty."""
    with contextlib.suppress(OSError):
        while folder != top:
            os.rmdir(folder)
            folder = os.path.dirname(folder)


def manifest_line(path, text):
    data = text.encode(TEXT['encoding'], TEXT['errors'])
    return f'{hashlib.sha256(data).hexdigest()}  {path}\n'


def uncommitted(tree, paths):
    """Those of @paths that git cannot bring back: all if it knows nothing of
    the tree."""
    git = ['git', '--literal-pathspecs', 'status', '--porcelain', '-z',
           '--no-renames', '--ignored', '--untracked-files=all', '--', *paths]
    env = {k: v for k, v in os.environ.items() if not k.startswith('GIT_')}
    try:
        os.stat(os.path.join(tree, '.git'))
        out = subprocess.run(git, cwd=tree, env=env, check=True,
                             stdout=subprocess.PIPE).stdout
    except (OSError, subprocess.CalledProcessError):
        return set(paths)
    return {os.fsdecode(entry[3:]) for entry in out.split(b'\0')}


def known(tree, paths):
    """Those of @paths that need not be kept: git has them as they are, or an
    earlier apply put them there."""
    applied = os.path.join(tree, APPLIED)
    lines = set(read(applied).splitlines(True)
                if os.path.exists(applied) else [])
    ours = {p for p in paths if os.path.isfile(os.path.join(tree, p)) and
            manifest_line(p, read(os.path.join(tree, p))) in lines}
    return ours | (set(paths) - uncommitted(tree, paths))


def roll_back(tree, journal):
    """Undo what the journal has: old/ and kept/ are put back, added/
    removed."""
    for path in walk(os.path.join(journal, 'added')):
        full = os.path.join(tree, path)
        remove(full)
        remove(full + '.part')
        remove_empty(os.path.dirname(full), tree)
    for kind in 'old', 'kept':
        for path in list(walk(os.path.join(journal, kind))):
            put_back(os.path.join(journal, kind, path),
                     os.path.join(tree, path))
    shutil.rmtree(journal)
    remove_empty(os.path.dirname(journal), tree)


def put_back(copy, full):
    remove(full + '.part')
    # What could not be written to cannot be written to now either.
    same = os.path.isfile(full) and not os.path.islink(copy) and \
        filecmp.cmp(copy, full, shallow=False)
    if not same and not copy.endswith('.part'):
        os.makedirs(os.path.dirname(full), exist_ok=True)
        os.replace(copy, full)


def write(tree, path, text, journal, kind):
    """Write or remove a file. @kind: the folder of the journal that it
    belongs to."""
    full = os.path.join(tree, path)
    copy = os.path.join(journal, kind, path)
    os.makedirs(os.path.dirname(copy), exist_ok=True)
    if kind == 'added':
        with open(copy, 'w'):
            pass
    else:
        # Under a name that roll_back does not take, until it is whole.
        shutil.copy2(full, copy + '.part', follow_symlinks=False)
        os.replace(copy + '.part', copy)
    if text is None:
        os.unlink(full)
        remove_empty(os.path.dirname(full), tree)
    else:
        replace(full, text)


def write_all(tree, changes, journal):
    there = [p for p in changes if os.path.lexists(os.path.join(tree, p))]
    no_copy = known(tree, there)
    for path, text in sorted(changes.items()):
        write(tree, path, text, journal, 'added' if path not in there else
              'old' if path in no_copy else 'kept')


def finish(tree, say):
    """Set aside what is to be kept of an apply that was done."""
    done = os.path.join(tree, JOURNAL + '-done')
    kept = os.path.join(done, 'kept')
    if os.path.isdir(kept):
        aside = next(f'{tree}/{REPLACED}{n}' for n in itertools.count(1)
                     if not os.path.exists(f'{tree}/{REPLACED}{n}'))
        os.rename(kept, aside)
        say(f'kept in {aside} is what was there and is not in git: '
            f'{", ".join(sorted(walk(aside)))}')
    shutil.rmtree(done, ignore_errors=True)


def report(changes, say):
    gone = sorted(p for p, t in changes.items() if t is None)
    if gone:
        say(f'removed: {", ".join(gone)}')
    written = sorted(p for p, t in changes.items() if t is not None)
    folders = {}
    for p in written:
        folders.setdefault(os.path.dirname(p) or '.', []).append(
            os.path.basename(p))
    for folder, names in sorted(folders.items()):
        say(f'written in {folder}: {" ".join(names)}')
    if not changes:
        say('the subsystem is in place: nothing to do')


def apply(tree, say):
    """Apply to @tree. Raises ApplyError, with nothing changed."""
    with locked(tree, say):
        apply_locked(tree, say)


def apply_locked(tree, say):
    journal = os.path.join(tree, JOURNAL)
    finish(tree, say)
    if os.path.isdir(journal):
        say('undoing an apply that was interrupted')
        roll_back(tree, journal)
    new = plan(tree)
    changes = differing(tree, new)
    if changes:
        os.makedirs(journal)
        try:
            write_all(tree, changes, journal)
            replace(os.path.join(tree, STATE, '.gitignore'), '*\n')
            replace(os.path.join(tree, APPLIED), ''.join(
                manifest_line(p, t) for p, t in sorted(new.items()) if t))
        except BaseException as e:
            undo(tree, journal, e)
            raise
        # Renamed first: a journal that is half removed must undo nothing.
        os.rename(journal, journal + '-done')
    report(changes, say)
    finish(tree, say)


def undo(tree, journal, cause):
    try:
        roll_back(tree, journal)
    except OSError as e:
        raise ApplyError(f'{cause}; undoing what was done failed, too: {e}; '
                         'the next run will try again') from cause


def mirror(src, dst, new):
    """Make @dst what @src is once @new, a plan or nothing, is applied to it.

    Files that are so already keep their time, so that only what changed is
    compiled again. Left alone is what builds make: in @dst the folders
    build and build-*, what meson downloaded to subprojects, and Python's
    caches; in @src any folder that was built in. Returns what of @new had to
    be done.
    """
    before = differing(dst if os.path.isdir(dst) else src, new)
    skip = {'.git', STATE, 'build'}
    skip |= {os.path.basename(os.path.dirname(p)) for p in
             glob.glob(os.path.join(glob.escape(src), '*', 'build.ninja'))}
    theirs = {path for path in walk(src, skip) if path not in new}
    ours = {path: text for path, text in new.items() if text is not None}
    built = {os.path.basename(p) for p in
             glob.glob(os.path.join(glob.escape(dst), 'build-*'))}
    for path in list(walk(dst, {'build'} | built)):
        if path not in theirs and path not in ours and \
                not path.startswith('subprojects/') and \
                '__pycache__' not in path:
            os.unlink(os.path.join(dst, path))
    for path in theirs:
        carry(os.path.join(src, path), os.path.join(dst, path))
    for path, text in differing(dst, ours).items():
        replace(os.path.join(dst, path), text)
    return before


def carry(src, dst):
    """Copy a file or link, unless that would change nothing."""
    a = os.lstat(src)
    if not stat.S_ISREG(a.st_mode) and not stat.S_ISLNK(a.st_mode):
        return
    if os.path.lexists(dst):
        b = os.lstat(dst)
        same_kind = stat.S_IFMT(a.st_mode) == stat.S_IFMT(b.st_mode)
        if same_kind and (a.st_size, a.st_mtime_ns) == (b.st_size,
                                                        b.st_mtime_ns):
            return
        if same_kind and stat.S_ISREG(a.st_mode):
            if not filecmp.cmp(src, dst, shallow=False):
                # With the time of now: ninja must see it as new even if
                # it is an older file that has come back.
                shutil.copyfile(src, dst)
                os.chmod(dst, stat.S_IMODE(a.st_mode))
            return
        if stat.S_ISDIR(b.st_mode):
            shutil.rmtree(dst)
        else:
            os.unlink(dst)
    os.makedirs(os.path.dirname(dst), exist_ok=True)
    shutil.copy2(src, dst, follow_symlinks=False)
