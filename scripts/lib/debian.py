# SPDX-License-Identifier: GPL-2.0-or-later
#
# Packages of the archive that this machine uses, also of other suites and
# architectures, without changing its configuration: apt uses separate lists
# and folders, in apt/ of the cache.
#
# 'debian.py SUITE ARCHITECTURE' prints the options for this, one per line, for
# apt-cache and apt-get; an empty SUITE is the machine's.

import glob
import os
import pathlib
import platform
import re
import subprocess
import sys
import time

from common import Failure, cache_dir, complete, run

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


class Archive:
    """One suite: kind 'deb' or 'deb-src'; of another architecture if given.
    Its lists are not older than a day."""

    def __init__(self, suite, kind, arch=None):
        self.suite = suite
        state = pathlib.Path(cache_dir(), 'apt', '-'.join(
            filter(None, (suite, kind, arch))))
        for sub in ('lists/partial', 'archives/partial', 'sources.d'):
            (state / sub).mkdir(parents=True, exist_ok=True)
        options = {'Dir::Etc::SourceList': '/dev/null',
                   'Dir::Etc::SourceParts': state / 'sources.d',
                   'Dir::State::Lists': state / 'lists',
                   'Dir::Cache': state,
                   'APT::Sandbox::User': 'root'}
        if arch:
            options.update({'APT::Architecture': arch,
                            'APT::Architectures': arch,
                            'Dir::State::Status': '/dev/null'})
        self.options = [word for key, value in options.items()
                        for word in ('-o', f'{key}={value}')]
        # Its modification time is that of the last update.
        self.updated = state / 'updated'
        if self.updated.exists() and \
                time.time() - self.updated.stat().st_mtime < LISTS_MAX_AGE:
            return
        (state / 'sources.d/private.sources').write_text(
            f'Types: {kind}\nURIs: {archive_uri()}\nSuites: {suite}\n'
            f'Components: main\n{SIGNED}\n')
        run(f'downloading the package lists of {suite}',
            ['apt-get', *self.options, '-qq', 'update'], state / 'update.log')
        self.updated.touch()

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

    def download(self, what, words, folder):
        """Download @what to @folder, as apt-get does for these @words."""
        try:
            run(f'downloading {what}', ['apt-get', *self.options, '-qq',
                                        *words],
                f'{folder}/download.log', cwd=folder)
        except Failure as e:
            self.updated.unlink(missing_ok=True)
            if not re.search(r'\b404\b|(?i:not found)', str(e)):
                raise
            raise Failure(
                f'the archive does not have {what} any more, although its '
                'index lists it. This happens while a point release is '
                'being published; the next run will download the index again.'
            ) from e

    def source_package(self, package, version, folder, src):
        """Download the source package to @folder, and unpack it to @src, with
        the distribution's patches applied."""
        with complete(folder) as part:
            self.download(f'the source of {package} {version}',
                          ['source', f'{package}={version}'], part)
        os.rename(*glob.glob(f'{glob.escape(folder)}/*/'), src)

    def unpack_package(self, package, folder):
        """Unpack the package to @folder, which appears when complete."""
        with complete(folder) as part:
            self.download(package, ['download', package], part)
            run(f'unpacking {package}',
                ['dpkg-deb', '-x', *glob.glob('*.deb', root_dir=part), '.'],
                os.path.join(part, 'unpack.log'), cwd=part)


if __name__ == '__main__':
    try:
        print('\n'.join(Archive(sys.argv[1] or own_codename(), 'deb',
                                sys.argv[2]).options))
    except Failure as e:
        sys.exit(f'error: {e}')
