# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's source package of QEMU with this subsystem in it.

Added to the package are the patches of the series at the end of
debian/patches/series, the build dependencies for the dump's compression
libraries, and an entry in debian/changelog. The original archives are those of
the distribution.
"""

import email.utils
import getpass
import os
import re
import shutil
import socket
import tempfile

import tree_series
from common import Failure, run, say

SUFFIX = '+guestdump1'
# Without renames, which dpkg-source does not support.
FORMAT = ['--no-numbered', '--zero-commit', '--no-signature', '--no-renames',
          '--no-stat']
# debian/rules passes the options in the comments of debian/control to
# configure; control is generated from control-in, and the package has both.
CONTROL = ('debian/control', 'debian/control-in')
BEFORE = '# --enable-zstd\n'
CODECS = ('# --enable-lzo\n liblzo2-dev,\n'
          '# --enable-snappy\n libsnappy-dev,\n')
# qemu-system-x86 and the packages that must have the same version, as far as
# the release has them. (Building qemu-system makes debian/rules build them.)
BINARY = ('qemu-system-x86', 'qemu-system-common', 'qemu-system-gui',
          'qemu-system-modules-opengl', 'qemu-system-modules-spice',
          'qemu-block-extra', 'qemu-utils')
X86 = 'i386-softmmu,x86_64-softmmu'
# Values of make's variables with which debian/rules builds only these: where
# there is no control.mk (Debian 12), and where there is.
VARIABLES = 'systems=x86 qemu-builds=qemu\\ microvm'
VARIABLES_MK = 'system-packages=x86'


def read(path):
    with open(path, encoding='utf-8') as f:
        return f.read()


def write(path, text):
    with open(path, 'w', encoding='utf-8') as f:
        f.write(text)


def author(given):
    """As for the series; but if git is not configured, this user, as the
    packages are normally for this host."""
    try:
        return tree_series.identity_from_git(given)
    except Failure:
        if given:
            raise
        user = getpass.getuser()
        return f'{user} <{user}@{socket.gethostname()}>'


def splice_codecs(top):
    for name in CONTROL:
        path = os.path.join(top, name)
        text = read(path)
        if text.count(BEFORE) != 1 or '--enable-snappy' in text:
            raise Failure(f'{name} differs from that of known versions: '
                           'expected one line "# --enable-zstd" and no '
                           '"--enable-snappy"')
        write(path, text.replace(BEFORE, CODECS + BEFORE))


def add_changelog(top, identity, date):
    path = os.path.join(top, 'debian/changelog')
    text = read(path)
    m = re.match(r'(\S+) \((\S+)\) ([^;]+); ', text)
    if not m:
        raise Failure('cannot parse the first line of debian/changelog')
    name, version, suite = m.groups()
    version += SUFFIX
    when = email.utils.formatdate(date)
    write(path, f'{name} ({version}) {suite}; urgency=medium\n\n'
          '  * The guest memory dump of this build is the one of\n'
          '    debian/patches/guest-memory-dump.\n'
          '  * Build with lzo and snappy, for dumps.\n\n'
          f' -- {identity}  {when}\n\n{text}')
    return version


def add_patches(top, tree, identity):
    with tempfile.TemporaryDirectory() as tmp:
        made = os.path.join(tmp, 'patches')
        tree_series.make(tree, made, identity, lambda text: None, FORMAT)
        names = sorted(n for n in os.listdir(made) if not n.startswith('0000'))
        folder = os.path.join(top, 'debian/patches/guest-memory-dump')
        os.makedirs(folder)
        for name in names:
            shutil.copyfile(os.path.join(made, name),
                            os.path.join(folder, name))
    series = os.path.join(top, 'debian/patches/series')
    text = read(series)
    write(series, text + ('' if text.endswith('\n') else '\n') +
          ''.join(f'guest-memory-dump/{n}\n' for n in names))


def make_source(dsc, tree, out, identity):
    """Unpack @dsc to a folder in @out, add this subsystem as patches for
    @tree, and pack it. Returns the paths of the new .dsc and of the folder."""
    identity = author(identity)
    if os.path.isdir(out) and os.listdir(out):
        raise Failure(f"'{out}' is not empty")
    os.makedirs(out, exist_ok=True)
    for name in os.listdir(os.path.dirname(dsc)):
        if re.search(r'\.orig(-\w+)?\.tar\.\w+(\.asc)?$', name):
            shutil.copyfile(os.path.join(os.path.dirname(dsc), name),
                            os.path.join(out, name))
    top = os.path.join(out, 'qemu')
    run('unpacking the source package',
        ['dpkg-source', '--no-check', '-x', dsc, top],
        os.path.join(out, 'unpack.log'), cwd=out)
    add_patches(top, tree, identity)
    splice_codecs(top)
    version = add_changelog(top, identity, tree_series.date_of_series())
    # This applies each patch, or fails.
    run('applying the patches', ['dpkg-source', '--before-build', 'qemu'],
        os.path.join(out, 'patch.log'), cwd=out)
    run('packing the source package', ['dpkg-source', '-b', 'qemu'],
        os.path.join(out, 'pack.log'), cwd=out)
    made = [n for n in os.listdir(out) if n.endswith('.dsc')]
    if len(made) != 1:
        raise Failure(f"no source package in '{out}'")
    say(f'qemu {version}')
    return os.path.join(out, made[0]), top


def packages(top):
    """The names of the binary packages to build, and of all others."""
    names = re.findall(r'(?m)^Package: (\S+)',
                       read(os.path.join(top, 'debian/control')))
    built = [name for name in BINARY if name in names]
    return built, [n for n in names if n not in ('qemu-system', *built)]


def build_environment(top):
    # -p would not leave others out where debian/rules has -a.
    options = ' '.join(f'-N{name}' for name in packages(top)[1])
    new = os.path.exists(os.path.join(top, 'debian/control.mk'))
    env = dict(os.environ, QEMU_CONFIGURE_OPTIONS=f'--target-list={X86}',
               DH_OPTIONS=options,
               MAKEFLAGS=f'-- {VARIABLES_MK if new else VARIABLES}')
    env.setdefault('DEB_BUILD_OPTIONS', 'nocheck noautodbgsym '
                   f'parallel={os.cpu_count()}')
    return env


def build_binary(top):
    """Build the packages BINARY in the folder above @top. The package's build
    dependencies must be installed. Returns the paths of the packages."""
    out = os.path.dirname(top)
    run('building the packages (takes a long time)',
        ['dpkg-buildpackage', '-B', '-uc', '-us'],
        os.path.join(out, 'build.log'), cwd=top, env=build_environment(top))
    built = packages(top)[0]
    debs = []
    for name in sorted(n for n in os.listdir(out) if n.endswith('.deb')):
        path = os.path.join(out, name)
        if name.split('_')[0] in built:
            debs.append(path)
        else:
            os.unlink(path)     # qemu-system depends on packages not built
    if len(debs) != len(built):
        raise Failure('some of these packages were not built: '
                       f'{", ".join(built)}; see {out}/build.log')
    return debs


def build_depends(top):
    """Install the package's build dependencies; requires root."""
    run('installing the build dependencies of the package',
        ['apt-get', '-y', '-qq', '--no-install-recommends', 'build-dep',
         '--arch-only', top],
        os.path.join(os.path.dirname(top), 'build-dep.log'), cwd=top,
        env=dict(os.environ, DEBIAN_FRONTEND='noninteractive'))
