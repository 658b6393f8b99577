# SPDX-License-Identifier: GPL-2.0-or-later
"""Build our documents and the texts of the schema and the monitor with the
base's Sphinx configuration: there must be no warning, and the text must be
present.

The manual is reduced to them, as a complete build takes minutes;
configuration, extensions and theme are the base's.
"""

import fnmatch
import html
import os
import re
import shutil
import subprocess

import pytest

from conftest import REPO, tree_apply

pytestmark = pytest.mark.slow

INDEX = '''\
Manual
======

.. toctree::

   system/guest-memory-dump
   system/monitor
   interop/vmcore-formats
   interop/qemu-qmp-ref
   devel/dump
'''
MONITOR = '''\
.. _QEMU monitor:

Monitor
=======

.. hxtool-doc:: hmp-commands.hx

.. hxtool-doc:: hmp-commands-info.hx
'''
SCHEMA = '''\
##
# = Schema
##

{ 'include': 'pragma.json' }
{ 'include': 'dump.json' }
'''


def only_ours(text, names):
    """The entries @names of a .hx file."""
    entries = re.findall(r'(?m)^    \{\n        \.name       = "('
                         + '|'.join(names) +
                         r')",\n((?:(?!^ERST$)[\s\S])*^ERST\n)', text)
    assert {name for name, _ in entries} == set(names)
    return ''.join(f'{{\n{rest}' for _, rest in entries)


@pytest.fixture
def manual(source, tree):
    """The applied tree, with a manual reduced to our documents."""
    tree_apply.apply(tree, lambda text: None)
    docs = os.path.join(tree, 'docs')
    for name in os.listdir(os.path.join(source, 'docs')):
        full, to = (os.path.join(top, name) for top in
                    (os.path.join(source, 'docs'), docs))
        if name in ('sphinx', 'sphinx-static', '_templates'):
            shutil.copytree(full, to)
        elif name in ('conf.py', 'defs.rst.inc'):
            shutil.copy2(full, to)
    shutil.copytree(os.path.join(source, 'ui/icons'),
                    os.path.join(tree, 'ui/icons'))
    reference = tree_apply.read(os.path.join(
        source, 'docs/interop/qemu-qmp-ref.rst'))
    schema = 'qapi/reduced.json'
    assert 'qapi/qapi-schema.json' in reference
    for path, text in {
            'docs/index.rst': INDEX, 'docs/system/monitor.rst': MONITOR,
            'docs/interop/qemu-qmp-ref.rst': reference.replace(
                'qapi/qapi-schema.json', schema),
            schema: SCHEMA}.items():
        tree_apply.replace(os.path.join(tree, path), text)
    for path, names in (
            ('hmp-commands.hx', ['dump-guest-memory', 'dump-cancel',
                                 'dump_set_parameter']),
            ('hmp-commands-info.hx', ['dump', 'vmcoreinfo',
                                      'dump_parameters'])):
        full = os.path.join(tree, path)
        tree_apply.replace(full, only_ours(tree_apply.read(full), names))
    for index in ('docs/system/index.rst', 'docs/interop/index.rst',
                  'docs/devel/index-internals.rst'):
        os.unlink(os.path.join(tree, index))
    return tree


def build(manual, out):
    r = subprocess.run(
        ['/usr/bin/python3', '-m', 'sphinx', '-q', '-W', '--keep-going',
         '-b', 'html', '-d', str(out) + '-doctrees', 'docs', str(out)],
        cwd=manual, capture_output=True, text=True)
    return r.returncode, r.stdout + r.stderr


def test_manual_without_warnings(manual, tmp_path):
    out = tmp_path / 'html'
    assert build(manual, out) == (0, '')
    pages = {p: html.unescape(tree_apply.read(str(out / f'{p}.html')))
             for p in ('system/guest-memory-dump', 'system/monitor',
                       'interop/vmcore-formats', 'interop/qemu-qmp-ref',
                       'devel/dump')}
    for page, text in (('system/guest-memory-dump', 'Choosing a format'),
                       ('system/monitor', 'dump-guest-memory'),
                       ('interop/vmcore-formats', 'Page descriptors'),
                       ('interop/qemu-qmp-ref', 'DUMP_COMPLETED'),
                       ('devel/dump', 'Adding a codec')):
        assert text in pages[page], page


@pytest.mark.parametrize('path,mistake', [
    ('docs/system/guest-memory-dump.rst', '\n:ref:`no-such-label`\n'),
    ('docs/devel/dump.rst', '\n``no end\n'),
])
def test_warnings_are_seen(manual, tmp_path, path, mistake):
    """Check that the test above can fail."""
    with open(os.path.join(manual, path), 'a') as f:
        f.write(mistake)
    code, said = build(manual, tmp_path / 'html')
    assert code != 0 and path in said


def test_every_file_has_a_layer():
    """docs/devel/dump.rst describes each file."""
    text = tree_apply.read(os.path.join(REPO, 'docs/devel/dump.rst'))
    layers = re.search(r'(?m)^    L4  commands(?:.*\n)*?(?=\S)', text)[0]
    named = re.findall(r'(?<!\S)[\w*-]+\.(?:c|h|\[ch\])(?!\S)', layers)
    assert len(named) > 20
    files = [os.path.basename(p) for p in
             tree_apply.walk(os.path.join(REPO, 'dump'))
             if p.endswith(('.c', '.h')) and p != 'trace.h']
    assert [f for f in files if not any(
        fnmatch.fnmatchcase(f, n) for n in named)] == []
    assert [n for n in named if not fnmatch.filter(files, n)] == []


def test_named_files_exist(source):
    """What goes into QEMU's tree does not name files that stay here."""
    if not tree_apply.functional_folder(source):
        pytest.skip('the texts are for newer trees')
    plan = tree_apply.plan(source)
    named = {(path, name) for path, text in tree_apply.whole_files([]).items()
             for name in re.findall(r'(?<![\w./-])(?:tests|scripts|backports|'
                                    r'docs)/[\w./*-]*\w', text)}
    assert len(named) > 5
    assert [(path, name) for path, name in sorted(named)
            if not fnmatch.filter(plan, name.replace('NAME', '*'))
            and not os.path.exists(os.path.join(source, name))] == []


def test_schema_is_narrow():
    """QEMU 10.2 limits documentation to column 70, except in examples; the
    bases used here do not."""
    text = tree_apply.read(os.path.join(REPO, 'qapi/dump.json'))
    text = re.sub(r'(?m)^# \.\. qmp-example::\n(?:#.*\n)*?(?=^##$)', '', text)
    lines = re.findall(r'(?m)^#.*$', text)
    assert len(lines) > 100
    assert [x for x in lines if len(x) > 70] == []
