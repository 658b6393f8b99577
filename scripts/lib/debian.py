# SPDX-License-Identifier: GPL-2.0-or-later
#
# Packages of the archive that this machine uses, also of other suites and
# architectures, without changing its configuration: apt uses separate lists
# and folders, in apt/ of the cache.
#
# 'debian.py SUITE ARCHITECTURE' prints the options for this, one per line, for
# apt-cache and apt-get; an empty SUITE is the machine's.

import contextlib
import glob
import os
import platform
import re
import shutil
import subprocess
import sys
import time

from common import Failure, cache_dir, run

LISTS_MAX_AGE = 24 * 3600
SOURCES_LIST = '/etc/apt/sources.list'
SIGNED = 'Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg'


def own_codename():
    return platform.freedesktop_os_release().get('VERSION_CODENAME')


def archive_uri():
    """The archive from which the machine gets its release's packages."""
    said = subprocess.run(
        ['apt-get', '-o', f'Dir::Etc::SourceList={SOURCES_LIST}',
         '-o', f'Dir::Etc::SourceParts={SOURCES_LIST}.d', '--print-uris',
         'update'], capture_output=True, text=True).stdout
    by_suite = {suite: uri for uri, suite in
                re.findall(r"(?m)^'(\S+)/dists/(\S+)/InRelease'", said)}
    for suite in (own_codename(), 'stable', 'oldstable'):
        if suite in by_suite:
            return by_suite[suite]
    raise Failure('this machine has no package source for its own release '
                  f'({own_codename()}) configured')


@contextlib.contextmanager
def complete(folder):
    """A new folder, renamed to @folder when it is complete."""
    part = folder + '.new'
    shutil.rmtree(part, ignore_errors=True)
    os.makedirs(part)
    yield part
    os.rename(part, folder)


def unpack_source(dsc, folder):
    """Unpack the source as the distribution builds it to @folder, which
    appears when it is complete."""
    with complete(folder) as part:
        os.rmdir(part)              # dpkg-source creates it
        run('unpacking and applying the patches of the distribution',
            ['dpkg-source', '--no-check', '-x', dsc, part],
            os.path.join(os.path.dirname(folder), 'unpack.log'))


class Archive:
    """One suite: kind 'deb' or 'deb-src'; of another architecture if given.
    Its lists are not older than a day."""

    def __init__(self, suite, kind, arch=None):
        self.suite = suite
        state = os.path.join(cache_dir(), 'apt', f'{suite}-{kind}' +
                             (f'-{arch}' if arch else ''))
        for sub in ('lists/partial', 'archives/partial', 'sources.d'):
            os.makedirs(os.path.join(state, sub), exist_ok=True)
        options = {'Dir::Etc::SourceList': '/dev/null',
                   'Dir::Etc::SourceParts': f'{state}/sources.d',
                   'Dir::State::Lists': f'{state}/lists',
                   'Dir::Cache': state,
                   'APT::Sandbox::User': 'root'}
        if arch:
            options.update({'APT::Architecture': arch,
                            'APT::Architectures': arch,
                            'Dir::State::Status': '/dev/null'})
        self.options = [word for key, value in options.items()
                        for word in ('-o', f'{key}={value}')]
        self.source = f'{state}/sources.d/private.sources'
        self.update(f'{state}/update.log',
                    f'Types: {kind}\nURIs: {archive_uri()}\nSuites: {suite}\n'
                    f'Components: main\n{SIGNED}\n')

    def update(self, log, stanza):
        """Update the lists, unless they are recent. The modification time of
        the file with their @stanza is that of the update."""
        with contextlib.suppress(FileNotFoundError), open(self.source) as f:
            if f.read() == stanza and \
                    time.time() - os.path.getmtime(f.name) < LISTS_MAX_AGE:
                return
        with open(self.source, 'w') as f:
            f.write(stanza)
        self.distrust()
        run(f'downloading the package lists of {self.suite}',
            ['apt-get', *self.options, '-qq', 'update'], log)
        os.utime(self.source)

    def distrust(self):
        """Force an update of the lists next time."""
        os.utime(self.source, (0, 0))

    def source_version(self, package, prefix):
        """The newest version that starts with @prefix."""
        out = subprocess.run(['apt-cache', *self.options, 'showsrc',
                              '--only-source', package],
                             capture_output=True, text=True).stdout
        versions = re.findall(r'(?m)^Version: (.*)$', out)
        good = [v for v in versions if v.startswith(prefix)]
        if not good:
            raise Failure(f'suite {self.suite} has no {package} {prefix} '
                          'source package (found: '
                          f'{", ".join(versions) or "none"})')
        return good[-1]

    def download(self, what, argv, folder):
        try:
            run(f'downloading {what}', argv[:1] + self.options + argv[1:],
                f'{folder}/download.log', cwd=folder)
        except Failure as e:
            self.distrust()
            if not re.search(r'\b404\b|(?i:not found)', str(e)):
                raise
            raise Failure(
                f'the archive does not have {what} any more, although its '
                'index lists it. This happens while a point release is '
                'being published; the next run will download the index again.'
            ) from e

    def source_package(self, package, version, folder):
        """Download the source package to @folder, which appears when it is
        complete. Returns the path of its .dsc."""
        if not os.path.isdir(folder):
            with complete(folder) as part:
                self.download(f'the source of {package} {version}',
                              ['apt-get', '-qq', 'source', '--download-only',
                               f'{package}={version}'], part)
        return os.path.join(folder, *glob.glob('*.dsc', root_dir=folder))

    def unpack_package(self, package, folder):
        """Unpack the package to @folder, which appears when complete."""
        with complete(folder) as part:
            self.download(package, ['apt-get', '-qq', 'download', package],
                          part)
            run(f'unpacking {package}',
                ['dpkg-deb', '-x', *glob.glob('*.deb', root_dir=part), '.'],
                os.path.join(part, 'unpack.log'), cwd=part)


if __name__ == '__main__':
    try:
        print('\n'.join(Archive(sys.argv[1] or own_codename(), 'deb',
                                sys.argv[2]).options))
    except Failure as e:
        sys.exit(f'error: {e}')
