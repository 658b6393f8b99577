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
from tree_apply import PIPED, PLAIN, REPO, content, git, read

TEXTS = os.path.join(REPO, 'scripts', 'series')
KEYS = {'Subject', 'Files', 'New', 'Action', 'Optional'}
BUILD, VMCORE_BUILD = 'dump/meson.build', 'dump/vmcore/meson.build'
# dump/meson.build between the patches that move the old code and that switch.
MEANWHILE = ('# SPDX-License-Identifier: GPL-2.0-or-later\n\n'
             "subdir('old')\n")

# Path -> (pattern of text that names a file, path of that file) ...: the text
# is included once the file exists.
GROWS = {
    VMCORE_BUILD: [
        (r"^  '(\S+\.c)',\n", 'dump/vmcore/{}'),
        (r"^if (?:.+\n)*?.*files\('(\S+\.c)'.*\n(?:.+\n)*?endif\n",
         'dump/vmcore/{}'),
        (r"^# .+\n(?:.+\n)*?.*files\('(\S+\.c)'\)\n(?:.+\n)*\n",
         'dump/vmcore/{}')],
    'dump/vmcore/writer.c': [
        (r'^    &dump_writer_(\w+),\n', 'dump/vmcore/writer-{}.c')],
    'tests/unit/meson.build': [
        (r"^    '(test-dump-\S+)': \[vmcore\],\n", 'tests/unit/{}.c')],
}


class Patch:
    """One patch of the series: its text, and the paths that it adds."""

    def __init__(self, name):
        self.name = name
        text = email.message_from_string(read(TEXTS, name))
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
    def takers(path, kind):
        return [i for i, patch in enumerate(patches) if any(
            fnmatch.fnmatchcase(path, g) for g in getattr(patch, kind))]

    arrives, wrong = {}, []
    for path in sorted(plan):
        found = path not in base and takers(path, 'new') \
            or takers(path, 'files')
        if len(found) == 1:
            arrives[path] = found[0]
        else:
            names = ', '.join(patches[i].name for i in found)
            wrong.append(f'\n  {path}: {names or "in no patch"}')
    if wrong:
        raise Failure('scripts/series/ must list each file in exactly one '
                      'patch:' + ''.join(wrong))
    return arrives


def grown(path, text, files):
    """@text of @path without lines that name files missing in @files."""
    for pattern, named in GROWS[path]:
        text, found = re.subn(
            pattern, lambda m: m[0] if named.format(m[1]) in files else '',
            text, flags=re.M)
        if not found:
            raise Failure(f'{path}: no match for {pattern!r}; see GROWS')
    return text.rstrip('\n') + '\n'


class Cutter:
    """The states between the base and the tree after apply."""

    def __init__(self, tree, plan, patches):
        self.plan = {p: t for p, t in plan.items() if t is not None}
        self.base = {p: text for p in plan
                     if (text := content(tree, p)) is not None}
        if VMCORE_BUILD in self.base:
            raise Failure(f"'{tree}' already has the subsystem")
        self.arrives = assign(self.plan, self.base, patches)
        self.patches = patches
        actions = [p.action for p in patches]
        self.moved = actions.index('move')
        self.removed = actions.index('remove')

    def state(self, number):
        """Path -> text after patch @number of all files that the series
        changes; -1: the base."""
        files = {}
        for path, text in self.base.items():
            if not path.startswith('dump/') or number < self.moved:
                files[path] = text
            elif number < self.removed:
                files['dump/old/' + path.removeprefix('dump/')] = text
        files.update({path: self.plan[path] for path, n in
                      self.arrives.items() if n <= number})
        for path in GROWS:
            if self.arrives.get(path, len(self.patches)) <= number:
                files[path] = grown(path, files[path], files)
        if self.moved <= number < self.arrives[BUILD]:
            files[BUILD] = MEANWHILE + (
                "subdir('vmcore')\n" if VMCORE_BUILD in files else '')
        return files


# -- git -------------------------------------------------------------------


def identity_from_git(given):
    """NAME <ADDRESS> as given, or from the user's git configuration."""
    if given:
        name, address = email.utils.parseaddr(given)
        if not name or '@' not in address:
            raise Failure(f"'{given}' is not NAME <ADDRESS>")
        return f'{name} <{address}>'
    try:
        said = git('-c', 'user.useConfigOnly=true', 'var',
                   'GIT_COMMITTER_IDENT', cwd=REPO)
    except Failure as e:
        raise Failure(
            "no author for the patches: set git's user.name and user.email, "
            f"or use --author 'NAME <ADDRESS>'; {str(e).splitlines()[-1]}"
        ) from None
    return said[:said.rindex('>') + 1]


def date_of_series():
    """The date, in seconds, of the commit that the series is made from, which
    makes the patches reproducible."""
    try:
        return int(os.environ.get('SOURCE_DATE_EPOCH') or
                   git('log', '-1', '--format=%ct', cwd=REPO))
    except Failure as e:
        raise Failure('no date for the patches: no commit, and '
                      f'SOURCE_DATE_EPOCH is not set: {e}') from None


def check_clean(tree, paths):
    """Fail if a git checkout has uncommitted changes of @paths."""
    if not os.path.exists(os.path.join(tree, '.git')):
        return
    said = git('status', '--porcelain', '--', *paths, cwd=tree)
    if said:
        raise Failure(f"'{tree}' has uncommitted changes; the series would "
                      f'apply only to a tree with them:\n{said}')


def data(text):
    return f'data {len(text.encode(**PIPED))}\n{text}\n'


def commits(cutter, identity, date):
    """The base and the patches that change something in it, one commit each,
    as git fast-import reads them."""
    made, before = [], None
    for number in range(-1, len(cutter.patches)):
        patch, files = cutter.patches[number], cutter.state(number)
        message = 'base' if number < 0 else (
            f'{patch.subject}\n\n{patch.body}\n\nSigned-off-by: {identity}\n')
        if files != before:
            made.append(
                'commit refs/heads/series\n'
                f'committer {identity} {date} +0000\n{data(message)}deleteall'
                '\n' + ''.join(f'M 644 inline {path}\n{data(text)}'
                               for path, text in files.items()))
        elif not patch.optional:
            raise Failure(f'scripts/series/{patch.name} changes nothing')
        before = files
    if before != cutter.plan:
        raise Failure("the series' result differs from that of "
                      "'qemu-tree apply': a bug in tree_series.py")
    return made


# -- the series --------------------------------------------------------------


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
    version = read(tree, 'VERSION').strip()
    made = commits(Cutter(tree, plan, patches), identity, date)
    letter = f'{cover.subject}\n\n{cover.body}\n\nFor QEMU {version}.'
    # The author of the cover letter.
    name, address = email.utils.parseaddr(identity)
    env = dict(PLAIN, GIT_COMMITTER_NAME=name, GIT_COMMITTER_EMAIL=address,
               GIT_COMMITTER_DATE=f'@{date} +0000')
    with tempfile.TemporaryDirectory() as tmp:
        git('init', '-q', '--bare', '.', cwd=tmp, **env)
        git('fast-import', '--quiet', cwd=tmp, stdin=''.join(made), **env)
        for path in replaced:
            os.unlink(path)
        git('-c', f'branch.series.description={letter}', 'format-patch', '-q',
            *options, '-o', os.path.abspath(out), '--cover-letter',
            '--cover-from-description=subject',
            f'series~{len(made) - 1}..series', cwd=tmp, **env)
    say(f'{len(made) - 1} patches and a cover letter for QEMU {version} in '
        f'{out}')


def earlier(out):
    """The patches of an earlier run in @out, which must not contain any other
    file."""
    names = sorted(os.listdir(out)) if os.path.lexists(out) else []
    foreign = [n for n in names if not re.fullmatch(r'\d{4}-.*\.patch', n)]
    if foreign:
        raise Failure(f"'{out}' has files other than patches: "
                      f'{" ".join(foreign[:5])}')
    return [os.path.join(out, n) for n in names]
