# SPDX-License-Identifier: GPL-2.0-or-later
#
# Put this subsystem into a QEMU source tree.
#
# Everything is worked out before anything is written. What is written is
# first moved aside into a journal, so that an interrupted run is rolled
# back by the next one: a tree is never left half applied.

import importlib.util
import os
import re
import shutil

REPO = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
JOURNAL = '.guest-memory-dump-journal'

# Files and folders of ours that go in whole.
WHOLE = ['dump', 'include/system/dump.h', 'include/system/dump-arch.h',
         'qapi/dump.json', 'docs/interop/vmcore-formats.rst',
         'docs/devel/dump.rst']
# Folders of the tree that hold nothing but ours afterwards.
OWNED = ['dump']

# What tells that a directory is a QEMU tree that we know.
MARKS = ['VERSION', 'dump/meson.build', 'hmp-commands.hx',
         'hmp-commands-info.hx', 'MAINTAINERS', 'meson.build',
         'qapi/dump.json', 'monitor/qmp-cmds.c', 'stubs/dump.c',
         'docs/interop/index.rst', 'docs/devel/index-internals.rst']
VERSIONS = ((7, 2), (10, 99))


class ApplyError(Exception):
    """The tree is not one that we can be put into."""


def read(path):
    with open(path, encoding='utf-8') as f:
        return f.read()


def walk(top):
    """Paths of all files below @top, relative to it."""
    for folder, _, names in os.walk(top):
        for name in names:
            yield os.path.relpath(os.path.join(folder, name), top)


def check_tree(tree):
    missing = [m for m in MARKS
               if not os.path.exists(os.path.join(tree, m))]
    if missing:
        raise ApplyError(f"'{tree}' is not a QEMU source tree that is known "
                         f"here: it has no {', '.join(missing)}")
    text = read(os.path.join(tree, 'VERSION')).strip()
    m = re.match(r'(\d+)\.(\d+)', text)
    version = m and (int(m[1]), int(m[2]))
    if not version or not VERSIONS[0] <= version <= VERSIONS[1]:
        raise ApplyError(f"'{tree}' is QEMU {text}; known are 7.2 to 10.x")


def backport(tree):
    """The backport folder that the tree needs, by what it lacks."""
    if os.path.isdir(os.path.join(tree, 'include/sysemu')) and \
            os.path.exists(os.path.join(tree, 'include/sysemu/sysemu.h')):
        return os.path.join(REPO, 'backports', '7.2')
    return None


def load_rewrite(folder):
    if not folder:
        return lambda path, text: text
    spec = importlib.util.spec_from_file_location(
        'rewrite', os.path.join(folder, 'rewrite.py'))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.rewrite


def whole_files(folder):
    """Path in the tree -> text, for all that goes in whole."""
    files = {}
    for path in WHOLE:
        full = os.path.join(REPO, path)
        if os.path.isdir(full):
            for sub in walk(full):
                files[os.path.join(path, sub)] = read(os.path.join(full, sub))
        else:
            files[path] = read(full)
    if folder:
        for sub in walk(folder):
            if sub.endswith('.h'):
                files[sub] = read(os.path.join(folder, sub))
    return files


def splice(tree, path, pattern, replacement, what):
    """Replace the one place that @pattern finds in a file of the tree."""
    text = read(os.path.join(tree, path))
    found = list(re.finditer(pattern, text, re.M))
    if len(found) != 1:
        raise ApplyError(f'{path}: expected {what} exactly once, found it '
                         f'{len(found)} times')
    m = found[0]
    return text[:m.start()] + replacement(m[0]) + text[m.end():]


def spliced_files(tree):
    files = {}
    for path, name in (('hmp-commands.hx', 'dump-guest-memory'),
                       ('hmp-commands-info.hx', 'dump')):
        ours = read(os.path.join(REPO, path))
        files[path] = splice(
            tree, path,
            r'^    \{\n        \.name       = "' + name +
            r'",\n(?:(?!^ERST$)[\s\S])*^ERST\n',
            lambda _, ours=ours: ours, f'the entry of {name}')
    files['MAINTAINERS'] = splice(
        tree, 'MAINTAINERS', r'^Dump\n(?:[A-Z]: .*\n)+',
        lambda _: read(os.path.join(REPO, 'MAINTAINERS')),
        'the section Dump')
    files['meson.build'] = splice(
        tree, 'meson.build',
        r"^    'backends/tpm',\n(?:    'chardev',\n)?(?:    'dump',\n)?",
        lambda old: old if "'dump'" in old else old + "    'dump',\n",
        'the list of trace event folders')
    # Index of documents, entry that ours goes behind, our entry.
    for path, before, name in (
            ('docs/interop/index.rst', 'virtio-balloon-stats',
             'vmcore-formats'),
            ('docs/devel/index-internals.rst', 'clocks', 'dump')):
        files[path] = splice(
            tree, path, rf'^   {before}\n(?:   {name}\n)?',
            lambda _, both=f'   {before}\n   {name}\n': both,
            f'the entry {before}')
    return files


def plan(tree):
    """Path -> new text, or None to delete; only what differs."""
    check_tree(tree)
    folder = backport(tree)
    rewrite = load_rewrite(folder)
    new = {path: rewrite(path, text)
           for path, text in whole_files(folder).items()}
    new.update(spliced_files(tree))
    for owned in OWNED:
        for sub in walk(os.path.join(tree, owned)):
            new.setdefault(os.path.join(owned, sub), None)
    return {path: text for path, text in new.items()
            if text is None or not os.path.exists(os.path.join(tree, path)) or
            read(os.path.join(tree, path)) != text}


def roll_back(tree, journal):
    """Undo what the journal has: old/ is put back, added/ removed."""
    for path in list(walk(os.path.join(journal, 'added'))):
        full = os.path.join(tree, path)
        if os.path.exists(full):
            os.unlink(full)
    for path in list(walk(os.path.join(journal, 'old'))):
        os.replace(os.path.join(journal, 'old', path),
                   os.path.join(tree, path))
    shutil.rmtree(journal)


def write(tree, path, text, journal):
    full = os.path.join(tree, path)
    kind = 'old' if os.path.exists(full) else 'added'
    kept = os.path.join(journal, kind, path)
    os.makedirs(os.path.dirname(kept), exist_ok=True)
    if kind == 'old':
        shutil.copy2(full, kept + '.part')
        os.replace(kept + '.part', kept)
    else:
        with open(kept, 'w'):
            pass
    if text is None:
        os.unlink(full)
        return
    os.makedirs(os.path.dirname(full), exist_ok=True)
    with open(full + '.part', 'w', encoding='utf-8') as f:
        f.write(text)
    os.replace(full + '.part', full)


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


def apply(tree, say):
    """Apply to @tree. Raises ApplyError, with nothing changed."""
    journal = os.path.join(tree, JOURNAL)
    if os.path.isdir(journal):
        say('undoing an apply that was interrupted')
        roll_back(tree, journal)
    changes = plan(tree)
    if not changes:
        say('the subsystem is in place: nothing to do')
        return
    try:
        os.makedirs(journal)
        for path, text in sorted(changes.items()):
            write(tree, path, text, journal)
    except BaseException:
        roll_back(tree, journal)
        raise
    # Renamed first: a journal that is half removed must undo nothing.
    os.rename(journal, journal + '-done')
    shutil.rmtree(journal + '-done')
    report(changes, say)


def mirror(src, dst):
    """Make @dst a copy of @src, but for what the builds and apply made.

    Files that are the same keep their time, so that they are not compiled
    again; those that apply will replace are left for it to compare.
    """
    skip = {'.git', 'build', JOURNAL}
    ours = set(whole_files(backport(src))) | set(spliced_files(src))
    seen = set()
    for folder, dirs, names in os.walk(src):
        rel = os.path.relpath(folder, src)
        if rel == '.':
            dirs[:] = [d for d in dirs if d not in skip]
        os.makedirs(os.path.join(dst, rel), exist_ok=True)
        for name in names:
            path = os.path.normpath(os.path.join(rel, name))
            seen.add(path)
            to = os.path.join(dst, path)
            if os.path.lexists(to) and path in ours:
                continue
            copy_if_newer(os.path.join(src, path), to)
    for path in list(walk(dst)):
        if path.split(os.sep)[0] not in skip and path not in seen and \
                path not in ours:
            os.unlink(os.path.join(dst, path))


def copy_if_newer(src, dst):
    a = os.lstat(src)
    if os.path.lexists(dst):
        b = os.lstat(dst)
        if a.st_size == b.st_size and a.st_mtime == b.st_mtime:
            return
    shutil.copy2(src, dst, follow_symlinks=False)
