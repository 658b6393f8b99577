# SPDX-License-Identifier: GPL-2.0-or-later
"""scripts/qemu-tree deb: the distribution's source package with the series.

Building its binary packages is not tested, as that takes half an hour and
needs all build dependencies of the distribution's package.
"""

import os
import re
import shutil
import subprocess
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
REPO = os.path.dirname(os.path.dirname(HERE))
SCRIPT = os.path.join(REPO, 'scripts', 'qemu-tree')
sys.path.insert(0, os.path.join(REPO, 'scripts', 'lib'))
import qemu_deb  # noqa: E402
import tree_apply  # noqa: E402

AUTHOR = 'A U Thor <author@example.org>'


def tool(*args, **kwargs):
    return subprocess.run([SCRIPT, 'deb', *args], capture_output=True,
                          text=True, **kwargs)


@pytest.fixture(scope='module')
def package(source, tmp_path_factory):
    """(.dsc, folder)"""
    out = str(tmp_path_factory.mktemp('deb'))
    version = tree_apply.read(os.path.join(source, 'VERSION'))
    base = '.'.join(version.split('.')[:2])
    r = tool(base, '-o', out, '--author', AUTHOR)
    assert r.returncode == 0, r.stderr
    yield r.stdout.strip(), out
    shutil.rmtree(out)          # two QEMU trees


def test_source_package(package, source):
    """The unpacked package, with its patches applied, equals the result of
    apply."""
    dsc, out = package
    top = os.path.join(out, 'again')
    subprocess.run(['dpkg-source', '--no-check', '-x', dsc, top], check=True,
                   capture_output=True)
    plan = tree_apply.plan(source)
    assert len(plan) > 100
    for path, text in plan.items():
        full = os.path.join(top, path)
        if text is None:
            assert not os.path.exists(full), path
        else:
            assert tree_apply.read(full) == text, path
    changelog = tree_apply.read(os.path.join(top, 'debian/changelog'))
    before = tree_apply.read(os.path.join(source, 'debian/changelog'))
    version = re.match(r'qemu \((\S+)\)', before)[1]
    assert changelog.startswith(f'qemu ({version}{qemu_deb.SUFFIX}) ')
    assert changelog.endswith(before)
    # The version is newer than the distribution's, so that apt installs it,
    # but older than the distribution's next one.
    subprocess.run(['dpkg', '--compare-versions', version + qemu_deb.SUFFIX,
                    'gt', version], check=True)
    subprocess.run(['dpkg', '--compare-versions', version + qemu_deb.SUFFIX,
                    'lt', version + '.1'], check=True)


def test_codecs_are_turned_on(package):
    """Tested with the package's script that passes options to
    debian/rules."""
    _, out = package
    options = subprocess.run(
        ['sh', 'debian/extract-config-opts', 'linux-amd64', 'debian/control'],
        cwd=os.path.join(out, 'qemu'), capture_output=True, text=True,
        check=True).stdout.split()
    for name in ('lzo', 'snappy', 'zstd'):
        assert f'--enable-{name}' in options
    control = tree_apply.read(os.path.join(out, 'qemu/debian/control'))
    assert 'liblzo2-dev' in control and 'libsnappy-dev' in control


def test_packages_of_one_version(package):
    """The packages that are built do not require the same version of others,
    as apt could not install them then."""
    top = os.path.join(package[1], 'qemu')
    built, others = qemu_deb.packages(top)
    control = tree_apply.read(os.path.join(top, 'debian/control'))
    needed = set()
    for paragraph in control.split('\n\n'):
        name = re.search(r'(?m)^Package: (\S+)', paragraph)
        if name and name[1] in built:
            # The first of alternatives; ignoring virtual packages.
            needed |= set(re.findall(
                r'(?<!\|)\b(qemu-[\w-]+) \(= \$\{binary:Version\}\)',
                paragraph))
    assert 'qemu-system-common' in needed
    assert needed.isdisjoint(others), needed


# What debhelper's program does, as far as debian/rules uses it.
LISTPACKAGES = '''#!/bin/sh
sed -n 's/^Package: //p' debian/control | while read name; do
    case " $DH_OPTIONS " in
    *" -N$name "*) ;;
    *) echo $name ;;
    esac
done
'''


def test_packages_of_x86(package, tmp_path):
    """debian/rules installs the binaries of x86, as others are not built, and
    builds the documentation that the packages contain."""
    top = os.path.join(package[1], 'qemu')
    (tmp_path / 'dh_listpackages').write_text(LISTPACKAGES)
    (tmp_path / 'dh_listpackages').chmod(0o755)
    env = qemu_deb.build_environment(top)
    said = subprocess.run(
        ['make', '-s', '-f', 'debian/rules', '--eval',
         'show: ; @echo $(system-packages) $(systems), $(qemu-builds)',
         'show'], cwd=top, capture_output=True, text=True,
        env=dict(env, PATH=f'{tmp_path}:{env["PATH"]}'))
    systems, builds = map(str.split, said.stdout.split(','))
    assert systems == ['x86'], said
    install = ''.join(
        tree_apply.read(path) for path in
        (os.path.join(top, f'debian/{name}.install')
         for name in qemu_deb.packages(top)[0]) if os.path.exists(path))
    docs = ['man', 'html'] if 'b/docs/' in install else []
    assert builds == ['qemu', 'microvm', *docs]


def test_folder_of_somebody(tmp_path):
    (tmp_path / 'precious').write_text('mine')
    r = tool('7.2', '-o', str(tmp_path), '--author', AUTHOR)
    assert r.returncode == 1
    assert 'is not empty' in r.stderr
    assert os.listdir(tmp_path) == ['precious']


def test_author(monkeypatch, tmp_path):
    """On a new machine git is not configured."""
    config = tmp_path / 'config'
    monkeypatch.setenv('GIT_CONFIG_GLOBAL', str(config))
    monkeypatch.setenv('GIT_CONFIG_SYSTEM', '/dev/null')
    monkeypatch.setenv('LOGNAME', 'somebody')
    monkeypatch.setattr(qemu_deb.socket, 'gethostname', lambda: 'here')
    config.write_text('')
    assert qemu_deb.author(None) == 'somebody <somebody@here>'
    config.write_text('[user]\n name = Some Body\n email = s@b.example\n')
    assert qemu_deb.author(None) == 'Some Body <s@b.example>'
    assert qemu_deb.author(AUTHOR) == AUTHOR
    with pytest.raises(qemu_deb.Failure):
        qemu_deb.author('Nobody')


def test_only_a_known_base(tmp_path):
    r = tool(str(tmp_path), '-o', str(tmp_path / 'out'))
    assert r.returncode == 1
    assert 'packages can be made only of 7.2, 10.0' in r.stderr


def test_build_needs_the_release(tmp_path):
    """Packages of trixie are not built on bookworm, and vice versa."""
    other = {'bookworm': '10.0', 'trixie': '7.2'}
    with open('/etc/os-release') as f:
        name = re.search(r'(?m)^VERSION_CODENAME=(\w+)', f.read())[1]
    r = tool(other[name], '-o', str(tmp_path / 'out'), '--build')
    assert r.returncode == 1
    assert 'must be built as root on Debian ' in r.stderr
    assert not os.path.exists(tmp_path / 'out')


@pytest.mark.parametrize('text', ['nothing', '# --enable-zstd\n' * 2,
                                  '# --enable-zstd\n# --enable-snappy\n'])
def test_another_package(tmp_path, text):
    """A control file in which a text is not found, or found more than once."""
    (tmp_path / 'debian').mkdir()
    for name in qemu_deb.CONTROL:
        (tmp_path / name).write_text(text)
    with pytest.raises(qemu_deb.Failure, match='debian/control differs'):
        qemu_deb.splice_codecs(str(tmp_path))
    assert (tmp_path / 'debian/control').read_text() == text
