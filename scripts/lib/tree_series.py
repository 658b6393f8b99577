# SPDX-License-Identifier: GPL-2.0-or-later
#
# Split the changes made by tree_apply into a series of patches.
#
# Each file in scripts/series/ is a patch, in the order of their names:
#
#     Subject: of the patch
#     Files: globs of the paths that it adds or changes
#     New: the same, only for paths that the base does not have
#     Action: move or remove the base's own files in dump/
#     Optional: yes, if some bases do not need the patch
#
#     Text of the commit message.
#
# Exactly one patch must name each path of the plan. Some files grow: lines
# that name a file which no patch has added yet are left out until then; see
# GROWS.
#
# checkpatch.pl warns for each file that is added, moved or deleted that
# MAINTAINERS may need updating: 'get_maintainer.pl -f' finds all of them.

import email
import email.utils
import fnmatch
import os
import re
import tempfile

import tree_apply
from common import Failure
from tree_apply import PLAIN, git

TEXTS = os.path.join(tree_apply.REPO, 'scripts', 'series')
KEYS = {'Subject', 'Files', 'New', 'Action', 'Optional'}
OLD = 'dump/old'
BUILD = 'dump/meson.build'
MEANWHILE = """\
# SPDX-License-Identifier: GPL-2.0-or-later

subdir('old')
"""

# Path -> (pattern of text that names a file, path of that file) ...: the text
# is included once the file exists.
GROWS = {
    'dump/vmcore/meson.build': [
        (r"(?m)^  '(\S+\.c)',\n", 'dump/vmcore/{}'),
        (r"(?m)^if (?:.+\n)*?  vmcore_sources \+= files\('(\S+)'\)\n"
         r'(?:.+\n)*?endif\n', 'dump/vmcore/{}'),
        (r"(?m)^if .+\n  codec_zlib = files\('(\S+)'.*\)\n"
         r'(?:.+\n)*?endif\n', 'dump/vmcore/{}'),
        (r"(?m)^# zlib pages (?:.+\n)*?codec_zlib = files\('(\S+)'\)\n"
         r'(?:.+\n)*\n', 'dump/vmcore/{}'),
    ],
    'dump/vmcore/writer.c': [
        (r'(?m)^    &dump_writer_(\w+),\n', 'dump/vmcore/writer-{}.c'),
    ],
    'tests/unit/meson.build': [
        (r"(?m)^    '(test-dump-\S+)': \[vmcore\],\n", 'tests/unit/{}.c'),
    ],
}


class Patch:
    """One patch of the series: its text, and the paths that it adds."""

    def __init__(self, name):
        self.name = name
        text = email.message_from_string(
            tree_apply.read(os.path.join(TEXTS, name)))
        self.subject, self.action = text['Subject'], text['Action']
        self.body = text.get_payload().strip()
        self.files = text.get('Files', '').split()
        self.new = text.get('New', '').split()
        self.optional = 'Optional' in text
        unknown = sorted(set(text) - KEYS)
        if unknown or not self.subject or not self.body:
            raise Failure(f'scripts/series/{name}: no text, no Subject, '
                             f'or unknown keys: {unknown}')


def load():
    """The cover letter and the patches."""
    cover, *patches = [Patch(n) for n in sorted(os.listdir(TEXTS))
                       if re.fullmatch(r'\d\d-[\w-]+', n)]
    return cover, patches


def assign(plan, base, patches):
    """Path -> number of the patch that adds or changes it."""
    def takers(path, globs):
        return [i for i, patch in enumerate(patches) if any(
            fnmatch.fnmatchcase(path, g) for g in globs(patch))]

    arrives, wrong = {}, []
    for path in sorted(p for p, text in plan.items() if text is not None):
        found = path not in base and takers(path, lambda patch: patch.new) \
            or takers(path, lambda patch: patch.files)
        arrives[path] = found[0] if found else None
        if len(found) != 1:
            names = ', '.join(patches[i].name for i in found)
            wrong.append(f'{path}: {names or "in no patch"}')
    if wrong:
        raise Failure('scripts/series/ must list each file in exactly '
                         'one patch:\n  ' + '\n  '.join(wrong))
    return arrives


def base_files(tree, plan):
    """Path -> text of those paths of a plan that the base has."""
    return {p: tree_apply.read(os.path.join(tree, p)) for p in plan
            if os.path.lexists(os.path.join(tree, p))}


def grown(path, text, files):
    """@text of @path without lines that name files missing in @files."""
    for pattern, named in GROWS.get(path, []):
        matches = list(re.finditer(pattern, text))
        if not matches:
            raise Failure(f'{path}: no match for {pattern!r}; '
                             'see GROWS')
        for m in reversed(matches):
            if named.format(*m.groups()) not in files:
                text = text[:m.start()] + text[m.end():]
    return text.rstrip('\n') + '\n'


class Cutter:
    """The states between the base and the tree after apply."""

    def __init__(self, tree, plan, patches):
        self.base = base_files(tree, plan)
        if 'dump/vmcore/meson.build' in self.base:
            raise Failure(f"'{tree}' already has the subsystem")
        self.plan = plan
        self.arrives = assign(plan, self.base, patches)
        self.patches = patches
        actions = [p.action for p in patches]
        self.moved = actions.index('move')
        self.removed = actions.index('remove')

    def old(self, number):
        """The base's files in dump/ as of patch @number."""
        if number >= self.removed:
            return {}
        own = {p: t for p, t in self.base.items() if p.startswith('dump/')}
        if number < self.moved:
            return own
        return {OLD + p[len('dump'):]: t for p, t in own.items()}

    def state(self, number):
        """Path -> text after patch @number of all files that the series
        changes; -1: the base."""
        files = {p: t for p, t in self.base.items()
                 if not p.startswith('dump/')}
        files.update(self.old(number))
        files.update({p: self.plan[p] for p, n in self.arrives.items()
                      if n <= number})
        for path in GROWS:
            if path in files and self.arrives.get(path, number) <= number:
                files[path] = grown(path, files[path], files)
        if number >= self.moved and self.arrives[BUILD] > number:
            files[BUILD] = MEANWHILE
            if 'dump/vmcore/meson.build' in files:
                files[BUILD] += "subdir('vmcore')\n"
        return files


# -- git -------------------------------------------------------------------


class Scratch:
    """A repository whose commits depend only on their contents, @identity and
    @date."""

    def __init__(self, folder, identity, date):
        name, address = email.utils.parseaddr(identity)
        self.folder = folder
        self.env = dict(
            PLAIN, GIT_AUTHOR_DATE=date, GIT_COMMITTER_DATE=date,
            GIT_AUTHOR_NAME=name, GIT_AUTHOR_EMAIL=address,
            GIT_COMMITTER_NAME=name, GIT_COMMITTER_EMAIL=address)
        os.makedirs(folder)
        self.git('init', '-q', '--bare', '-b', 'series', '.')

    def git(self, *args, **kwargs):
        return git(*args, **{'cwd': self.folder, **self.env, **kwargs})

    def commit(self, files, message):
        """Commit a tree of exactly @files."""
        with tempfile.TemporaryDirectory() as top:
            tree_apply.write(top, files)
            where = {'cwd': top, 'GIT_DIR': self.folder, 'GIT_WORK_TREE': top}
            self.git('add', '--all', '--force', **where)
            self.git('commit', '-q', '--allow-empty', '-F', '-',
                     stdin=message, **where)


def identity_from_git(given):
    """NAME <ADDRESS> as given, or from the user's git configuration."""
    if given:
        name, address = email.utils.parseaddr(given)
        if not name or '@' not in address:
            raise Failure(f"'{given}' is not NAME <ADDRESS>")
        return f'{name} <{address}>'
    try:
        said = git('-c', 'user.useConfigOnly=true', 'var',
                   'GIT_COMMITTER_IDENT', cwd=tree_apply.REPO)
    except Failure as e:
        raise Failure(
            "no author for the patches: set git's user.name and user.email, "
            f"or use --author 'NAME <ADDRESS>'; {str(e).splitlines()[-1]}"
        ) from None
    return said[:said.rindex('>') + 1]


def date_of_series():
    """The date of the commit that the series is made from, which makes the
    patches reproducible."""
    epoch = os.environ.get('SOURCE_DATE_EPOCH')
    try:
        epoch = epoch or git('log', '-1', '--format=%ct', cwd=tree_apply.REPO)
    except Failure as e:
        raise Failure('no date for the patches: no commit, and '
                         f'SOURCE_DATE_EPOCH is not set: {e}') from None
    return f'@{epoch.strip()} +0000'


def check_clean(tree, paths):
    """Fail if a git checkout has uncommitted changes of @paths."""
    if not os.path.exists(os.path.join(tree, '.git')):
        return
    said = git('status', '--porcelain', '--', *paths, cwd=tree)
    if said:
        raise Failure(f"'{tree}' has uncommitted changes; the series "
                         f'would apply only to a tree with them:\n{said}')


# -- the series --------------------------------------------------------------


def commit_all(scratch, cutter, identity):
    """Returns the number of patches that change something in this base."""
    before = cutter.state(-1)
    scratch.commit(before, 'base')
    scratch.git('tag', 'base')
    used = 0
    for number, patch in enumerate(cutter.patches):
        files = cutter.state(number)
        if files != before:
            scratch.commit(files, f'{patch.subject}\n\n{patch.body}\n\n'
                           f'Signed-off-by: {identity}\n')
            used, before = used + 1, files
        elif not patch.optional:
            raise Failure(f'scripts/series/{patch.name} changes nothing')
    if before != {p: t for p, t in cutter.plan.items() if t is not None}:
        raise Failure("the series' result differs from that of "
                         "'qemu-tree apply': a bug in tree_series.py")
    return used


# Options of git format-patch, for readability.
FORMAT = ['-n', '--zero-commit', '--no-signature', '--full-index',
          '--find-copies=100%', '--break-rewrites=20%/60%', '--stat=78',
          '--diff-algorithm=myers']


def make(tree, out, identity, say, options=FORMAT):
    """Write the series for @tree to the folder @out; @options are passed to
    git format-patch."""
    identity, date = identity_from_git(identity), date_of_series()
    replaced = earlier(out)
    cover, patches = load()
    plan = tree_apply.plan(tree)
    check_clean(tree, sorted(plan))
    cutter = Cutter(tree, plan, patches)
    version = tree_apply.read(os.path.join(tree, 'VERSION')).strip()
    with tempfile.TemporaryDirectory() as tmp:
        scratch = Scratch(os.path.join(tmp, 'git'), identity, date)
        used = commit_all(scratch, cutter, identity)
        scratch.git('config', 'branch.series.description',
                    f'{cover.subject}\n\n{cover.body}\n\n'
                    f'For QEMU {version}.')
        for path in replaced:
            os.unlink(path)
        scratch.git('format-patch', '-q', *options, '-o',
                    os.path.abspath(out), '--cover-letter',
                    '--cover-from-description=subject', 'base..series')
    say(f'{used} patches and a cover letter for QEMU {version} in {out}')


def earlier(out):
    """The patches of an earlier run in @out, which must not contain any other
    file."""
    names = sorted(os.listdir(out)) if os.path.lexists(out) else []
    foreign = [n for n in names if not re.fullmatch(r'\d{4}-.*\.patch', n)]
    if foreign:
        raise Failure(f"'{out}' has files other than patches: "
                         f'{" ".join(foreign[:5])}')
    return [os.path.join(out, n) for n in names]
