# SPDX-License-Identifier: GPL-2.0-or-later
#
# Packages of the archive that this machine uses, of other suites and
# architectures too, without a change of its configuration: apt is given
# lists and folders of its own, in apt/ of the cache.
#
# 'debian.py SUITE ARCHITECTURE' prints the options for that, one a line, for
# apt-cache and apt-get; no SUITE: that of the machine.

import glob
import os
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
    with open('/etc/os-release') as f:
        m = re.search(r'(?m)^VERSION_CODENAME=(\w+)', f.read())
    return m[1] if m else None


def archive_sources():
    """(URI, suite) pairs of binary entries in the machine's configuration."""
    for name in sorted([SOURCES_LIST, *glob.glob(SOURCES_LIST + '.d/*.list'),
                        *glob.glob(SOURCES_LIST + '.d/*.sources')]):
        if not os.path.exists(name):
            continue
        with open(name, errors='replace') as f:
            text = f.read()
        for stanza in re.split(r'\n\s*\n', text):
            field = dict(re.findall(r'(?m)^([\w-]+):[ \t]*(.*)$', stanza))
            if field.get('Enabled', 'yes').lower() != 'no':
                for uri in field.get('URIs', '').split():
                    for suite in field.get('Suites', '').split():
                        yield uri, suite
        yield from re.findall(
            r'(?m)^deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)', text)


def archive_uri():
    """Where the machine gets the packages of its own release from."""
    codename = own_codename()
    sources = list(archive_sources())
    for names in ((codename,), ('stable', 'oldstable')):
        for uri, suite in sources:
            if suite in names:
                return uri
    raise Failure('this machine has no package source for its own release '
                  f'({codename}) configured')


class Archive:
    """One suite: kind 'deb' or 'deb-src'; of another architecture if that
    is given. Its lists are not older than a day."""

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
                   'Dir::Cache::Archives': f'{state}/archives',
                   'APT::Sandbox::User': 'root'}
        if arch:
            options.update({'APT::Architecture': arch,
                            'APT::Architectures': arch,
                            'Dir::State::Status': '/dev/null'})
        self.options = [word for key, value in options.items()
                        for word in ('-o', f'{key}={value}')]
        self.stamp = os.path.join(state, 'updated')
        self.update(state, os.path.join(state, 'sources.d/private.sources'),
                    f'Types: {kind}\nURIs: {archive_uri()}\nSuites: {suite}\n'
                    f'Components: main\n{SIGNED}\n')

    def update(self, state, source, stanza):
        """Read the lists, unless the stamp, which says from where, is
        new."""
        with open(source, 'w') as f:
            f.write(stanza)
        if os.path.exists(self.stamp) and \
                time.time() - os.path.getmtime(self.stamp) < LISTS_MAX_AGE:
            with open(self.stamp) as f:
                if f.read() == stanza:
                    return
        run(f'reading the package lists of {self.suite}',
            ['apt-get', *self.options, '-qq', 'update'],
            os.path.join(state, 'update.log'))
        with open(self.stamp, 'w') as f:
            f.write(stanza)

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

    def download(self, what, argv, cwd):
        try:
            run(f'downloading {what}', argv[:1] + self.options + argv[1:],
                os.path.join(cwd, 'download.log'), cwd=cwd)
        except Failure as e:
            if os.path.exists(self.stamp):
                os.unlink(self.stamp)
            if re.search(r'\b404\b|(?i:not found)', str(e)):
                raise Failure(
                    f'the archive does not have {what} any more, although '
                    'its index names it: this happens while a point release '
                    'is published. The index will be read anew at the next '
                    'try.') from e
            raise

    def source_package(self, package, version, folder):
        """The package as it is in the archive, in @folder/package, which is
        there when it is complete. Returns the path of its .dsc."""
        kept = os.path.join(folder, 'package')
        if not os.path.isdir(kept):
            part = kept + '.new'
            shutil.rmtree(part, ignore_errors=True)
            os.makedirs(part)
            self.download(f'the source of {package} {version}',
                          ['apt-get', '-qq', 'source', '--download-only',
                           f'{package}={version}'], part)
            os.rename(part, kept)
        return os.path.join(kept, *glob.glob('*.dsc', root_dir=kept))

    def unpack_source(self, package, version, folder):
        """The source as the distribution builds it, in @folder/src, which
        is there when it is complete."""
        part = os.path.join(folder, 'src.new')
        dsc = self.source_package(package, version, folder)
        shutil.rmtree(part, ignore_errors=True)
        run('unpacking and applying the patches of the distribution',
            ['dpkg-source', '--no-check', '-x', dsc, part],
            os.path.join(folder, 'unpack.log'), cwd=folder)
        os.rename(part, os.path.join(folder, 'src'))

    def unpack_package(self, package, folder):
        """The package's files in @folder, which is there when they are."""
        part = folder + '.new'
        shutil.rmtree(part, ignore_errors=True)
        os.makedirs(part)
        self.download(package, ['apt-get', '-qq', 'download', package], part)
        run(f'unpacking {package}',
            ['dpkg-deb', '-x', *glob.glob('*.deb', root_dir=part), '.'],
            os.path.join(part, 'unpack.log'), cwd=part)
        os.rename(part, folder)


if __name__ == '__main__':
    try:
        print('\n'.join(Archive(sys.argv[1] or own_codename(), 'deb',
                                sys.argv[2]).options))
    except Failure as e:
        sys.exit(f'error: {e}')
