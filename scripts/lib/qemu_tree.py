# SPDX-License-Identifier: GPL-2.0-or-later
#
# The body of scripts/qemu-tree. Cache layout:
#
#   CACHE/apt/SUITE/             private package lists and archives
#   CACHE/tools/PACKAGE/         Python packages that QEMU's configure needs
#   CACHE/VERSION/src/           pristine source, never built in
#   CACHE/VERSION/{stock,ours}/  copies that are built; ours has been applied
#     build/, build-TARGETS/     x86_64 with all devices; others with few
#   CACHE/base-BASE              link to the VERSION fetched last
#
# VERSION is the full version of the source package, or a hash of the path of a
# user's directory. src and tools appear under their names only when they are
# complete; before each build, the copies are compared with the expected
# contents.

import argparse
import glob
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import qemu_deb  # noqa: E402
import tree_apply  # noqa: E402
import tree_series  # noqa: E402
from common import (Failure, cache_dir, catch_signals, locked,  # noqa: E402
                    run, say)
from debian import Archive, own_codename  # noqa: E402

# Base -> (suite, version prefix of its source package).
BASES = {'7.2': ('bookworm', '1:7.2'), '10.0': ('trixie', '1:10.0'),
         '10.2': ('sid', '1:10.2'), '11.1': ('sid', '1:11.1')}
DEFAULT_TARGETS = 'x86_64'
# Target -> the devices enabled in its build, apart from their dependencies.
# With several targets, boards and devices would take most of the build time.
DEVICES = {
    'x86_64': 'I440FX Q35 E1000_PCI VIRTIO_PCI VIRTIO_BALLOON VIRTIO_BLK '
              'VIRTIO_MEM NVDIMM PVPANIC_ISA ISA_DEBUG USB_UHCI VGA_PCI',
    'i386': 'I440FX',
    # All but boards are for 7.2, which does not link or start without them.
    'aarch64': 'ARM_VIRT ARM_V7M ARM_COMPATIBLE_SEMIHOSTING',
    'arm': 'ARM_VIRT ARM_V7M ARM_COMPATIBLE_SEMIHOSTING',
    'ppc64': 'PSERIES USB_OHCI_PCI NVDIMM',
    'ppc': 'PPC440',
    's390x': 'S390_CCW_VIRTIO',
    'riscv64': 'RISCV_VIRT ARM_COMPATIBLE_SEMIHOSTING',
    'riscv32': 'RISCV_VIRT ARM_COMPATIBLE_SEMIHOSTING',
    'loongarch64': 'LOONGARCH_VIRT',
    # Two targets without dump support.
    'm68k': 'M68K_VIRT SEMIHOSTING',
    'or1k': 'OR1K_SIM',
}
# First QEMU version -> Python packages, and their suites, that configure needs
# and Debian 12 does not have.
PYTHON_PACKAGES = {(10, 0): {'meson': 'trixie'},
                   (11, 0): {'python3-pycotap': 'trixie',
                             'python3-qemu-qmp': 'trixie-backports'}}

# No C++ is compiled. 7.2 turns _FORTIFY_SOURCE off if c++, its default, is
# clang's, as it is once scripts/fuzz has installed clang and g++ is missing.
# More debugging information than for backtraces takes a fifth of the time.
CONFIGURE = [
    '--cxx=g++', '--disable-debug-info', '--extra-cflags=-g1',
    '--without-default-features', '--enable-tcg', '--enable-kvm',
    '--enable-slirp', '--enable-lzo', '--enable-snappy', '--enable-zstd',
    '--enable-fdt=system', '--enable-seccomp', '--enable-gnutls',
    '--enable-linux-aio', '--enable-linux-io-uring', '--enable-vhost-user',
    '--enable-vhost-net',
    '--disable-werror', '--disable-install-blobs',
]


class Tree:
    """A base and its folders."""

    def __init__(self, base):
        self.base, self.cache = base, cache_dir()
        self.is_dir = base not in BASES
        # The version fetched last, if any.
        self.link = f'{self.cache}/base-{base}'
        self.home = self.src = None
        if self.is_dir:
            if not os.path.isdir(base):
                raise Failure(f"'{base}' is neither a known base "
                              f"({', '.join(BASES)}) nor a directory")
            self.src = os.path.abspath(base)
            key = hashlib.sha256(self.src.encode()).hexdigest()[:16]
            self.home = f'{self.cache}/dir-{key}'
        elif os.path.isdir(self.link):
            self.home = os.path.realpath(self.link)
            self.src = f'{self.home}/src'

    def fetch(self):
        """Fetch the newest version of a known base. If the archive cannot be
        reached, the version fetched before is used."""
        if self.is_dir:
            return
        suite, prefix = BASES[self.base]
        with locked(self.cache):
            try:
                archive = Archive(suite, 'deb-src')
                version = archive.source_version('qemu', prefix)
            except Failure as e:
                if not self.src:
                    raise
                say(f'{e}\n== using the source fetched before')
                return
            name = re.sub(r'[^\w.+~-]', '_', version)
            self.home = f'{self.cache}/{name}'
            self.src = f'{self.home}/src'
            if not os.path.isdir(self.src):
                archive.source_package('qemu', version,
                                       f'{self.home}/package', self.src)
            subprocess.run(['ln', '-sfn', name, self.link], check=True)

    def work(self, stock):
        return f'{self.home}/{"stock" if stock else "ours"}'

    def build_dir(self, stock, targets):
        names = ['all'] if targets == list(DEVICES) else targets
        if targets == [DEFAULT_TARGETS]:
            names = []
        return f'{self.work(stock)}/' + '-'.join(['build', *names])

    def binary(self, stock, targets):
        return f'{self.build_dir(stock, targets)}/qemu-system-{targets[0]}'

    def prepare(self, stock):
        """Update the copy that is built, and return its path."""
        work, new = self.work(stock), {}
        if not os.path.isdir(work):
            say(f'copying the source to {work}')
        if not stock:
            new = tree_apply.plan(self.src, say)
        elif os.path.isdir(f'{self.src}/dump/vmcore'):
            raise Failure(f"'{self.src}' already has the subsystem: no "
                          'unmodified tree to build')
        changes = tree_apply.mirror(self.src, work, new)
        if not stock:
            tree_apply.report(changes, say)
        return work

    def environment(self, work):
        env = {**os.environ, **ccache(self.cache, work)}
        # Also for ninja, which reruns meson when its input has changed.
        env['PYTHONPATH'] = ':'.join(
            python_package(self.cache, name, suite)
            for since, packages in PYTHON_PACKAGES.items()
            if tree_apply.version_of(self.src) >= since
            for name, suite in packages.items())
        return env

    def configure(self, stock, targets):
        work, build = self.work(stock), self.build_dir(stock, targets)
        version = tree_apply.version_of(self.src)
        argv = ['../configure', '--cc=ccache gcc', *CONFIGURE, '--target-list='
                + ','.join(f'{t}-softmmu' for t in targets)]
        lists = {} if targets == [DEFAULT_TARGETS] else {
            t: DEVICES[t].split() for t in targets}
        if lists:
            # Relative to configs/devices/TARGET-softmmu/.
            argv += ['--without-default-devices'] + [
                f'--with-devices-{t}=../../../{os.path.basename(build)}/{t}'
                for t in lists]
        if version >= (8, 1) and not self.is_dir:
            # A checkout may need to download subprojects, a package has them.
            argv.append('--disable-download')
        if version < (10, 0):
            argv.append('--meson=/usr/bin/meson')
        key = json.dumps([argv, lists, self.src, build_packages()])
        if tree_apply.content(build, 'configured-as') == key:
            return
        shutil.rmtree(build, ignore_errors=True)
        os.makedirs(build)
        tree_apply.write(build, {
            f'{target}.mak': ''.join(f'CONFIG_{d}=y\n' for d in devices)
            for target, devices in lists.items()})
        run(f'configuring {os.path.basename(work)}', argv,
            f'{work}-configure.log', cwd=build, env=self.environment(work))
        tree_apply.write(build, {'configured-as': key})

    def build(self, stock, targets):
        self.fetch()
        with locked(self.home):
            work = self.prepare(stock)
            self.configure(stock, targets)
            programs = [f'qemu-system-{t}' for t in targets]
            run(f'building {", ".join(programs)} '
                f'({os.path.basename(work)} of {self.base})',
                ['ninja', '-C', self.build_dir(stock, targets), *programs],
                f'{work}-build.log', env=self.environment(work))
            for warning in re.findall(r'(?m)^\S*\bdump/.*: warning: .*',
                                      tree_apply.read(f'{work}-build.log')):
                say(warning)
        return self.binary(stock, targets)


def ccache(cache, top):
    """The environment in which the tree in @top is compiled."""
    return {'CCACHE_DIR': f'{cache}/ccache', 'CCACHE_MAXSIZE': '4G',
            'CCACHE_BASEDIR': top, 'CCACHE_NOHASHDIR': '1',
            # The names of all targets' devices, for a check only. Nothing else
            # differs in code common to all targets.
            'CCACHE_IGNOREHEADERS': 'config-poison.h'}


def build_packages():
    """The versions of compiler and libraries; a change forces a new build."""
    names = re.findall(r'(?m)^build:(.*)$', tree_apply.read(
        tree_apply.REPO, 'scripts/packages'))
    return subprocess.run(['dpkg-query', '-W', *' '.join(names).split()],
                          capture_output=True, text=True).stdout


def python_package(cache, name, suite):
    """The folder for PYTHONPATH of a package of another suite."""
    folder = f'{cache}/tools/{name}'
    with locked(cache):
        if not os.path.isdir(folder):
            Archive(suite, 'deb').unpack_package(name, folder)
    return f'{folder}/usr/lib/python3/dist-packages'


def execute(args):
    """Yields the lines to print."""
    tree = Tree(args.base)
    match args.command:
        case 'fetch':
            tree.fetch()
            yield tree.src
        case 'apply' if tree.is_dir:
            tree_apply.apply(tree.src, say)
        case 'apply':
            tree.fetch()
            with locked(tree.home):
                yield tree.prepare(stock=False)
        case 'series':
            tree.fetch()
            tree_series.make(tree.src, args.output, args.author, say)
        case 'deb':
            yield from make_deb(tree, args)
        case 'build':
            yield tree.build(args.stock, args.targets)
        case 'path':
            binary = tree.home and tree.binary(args.stock, args.targets)
            if not binary or not os.path.exists(binary):
                again = f'build {args.base}{" --stock" if args.stock else ""}'
                raise Failure(f'{args.base} is not built; run '
                              f'scripts/qemu-tree {again}')
            yield binary


def make_deb(tree, args):
    if tree.is_dir:
        raise Failure(f'packages can be made only of {", ".join(BASES)}')
    suite = BASES[tree.base][0]
    if args.build and (own_codename() != suite or os.geteuid()):
        raise Failure(f'packages of QEMU {tree.base} must be built as root on '
                      f'Debian {suite}')
    tree.fetch()
    dsc, = glob.glob(f'{glob.escape(tree.home)}/package/*.dsc')
    made, top = qemu_deb.make_source(
        dsc, tree.src, os.path.abspath(args.output), args.author)
    yield made
    if args.build:
        qemu_deb.build_depends(top)
        yield from qemu_deb.build_binary(top)


def target_list(text):
    """The argument of --targets as a list, in the order of DEVICES."""
    names = list(DEVICES) if text == 'all' else [
        t.removesuffix('-softmmu') for t in text.split(',')]
    unknown = set(names) - set(DEVICES)
    if unknown:
        raise argparse.ArgumentTypeError(
            f'unknown: {", ".join(sorted(unknown))}; known: '
            f'{", ".join(DEVICES)}')
    return [t for t in DEVICES if t in names]


COMMANDS = {
    'fetch': 'fetch the source and print its directory',
    'apply': 'add the subsystem to the tree; local changes to replaced files '
             'of a directory are saved',
    'series': 'make a patch series that adds the subsystem',
    'deb': "add the subsystem to the distribution's source package",
    'build': 'build the tree with the subsystem and print the path of the '
             'binary',
    'path': 'print the path of the built binary'}


def arguments():
    parser = argparse.ArgumentParser(
        prog='qemu-tree', description='Fetch a QEMU source tree, add this '
        'subsystem to it, build it. README.md describes the commands.')
    commands = parser.add_subparsers(dest='command', required=True)
    own = [base for base, how in BASES.items() if how[0] == own_codename()]
    for name, text in COMMANDS.items():
        p = commands.add_parser(name, help=text, description=text)
        p.add_argument('base', nargs='?', default=[*own, '7.2'][0],
                       help=f'{", ".join(BASES)} or a directory with a QEMU '
                       'tree (default: %(default)s)')
        if name in ('build', 'path'):
            p.add_argument('--stock', action='store_true',
                           help='use the unmodified tree')
            p.add_argument('--targets', default=DEFAULT_TARGETS,
                           type=target_list, metavar='LIST',
                           help='comma-separated, or "all" (default: '
                           '%(default)s, with all devices; other lists are '
                           'built with few devices, in a separate folder). '
                           'The binary of the first target is printed.')
        if name in ('series', 'deb'):
            p.add_argument('-o', '--output', metavar='DIR', required=True,
                           help='an empty folder; that of a series may have '
                           'patches of an earlier run, which are replaced')
            p.add_argument('--author', metavar='NAME <ADDRESS>',
                           help='author, for From: and Signed-off-by: '
                           "(default: git's user.name and user.email" +
                           (')' if name == 'series' else
                            '; else this user and host)'))
        if name == 'deb':
            p.add_argument('--build', action='store_true',
                           help='also build the binary packages (requires '
                           'root, to install the build dependencies)')
    return parser.parse_args()


def main():
    catch_signals()
    try:
        for line in execute(arguments()):
            print(line)
    except (Failure, OSError) as e:
        sys.exit(f'error: {e}')
    except KeyboardInterrupt:
        sys.exit('error: interrupted')


if __name__ == '__main__':
    main()
