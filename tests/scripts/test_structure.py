# SPDX-License-Identifier: GPL-2.0-or-later
"""The #includes in dump/ match the layers in docs/devel/dump.rst, and only one
place loads from guest memory. Functions that use the block graph say so."""

import fnmatch
import functools
import graphlib
import os
import re

import pytest

from conftest import REPO, tree_apply

# Files that compute with addresses of guest memory. Only pages*.c, whatever
# the full name, may load from them.
DOORS = ['dump/vmcore/pages*.c', 'dump/vmcore/guest-ram.c',
         'dump/vmcore/untouched.c']

# Known uses of a run's host pointer elsewhere: an address, as a number or as
# the end of a range, or a size.
SIZES = [
    r'run\.host - rb->host',
    r'MIN\(\*start, run->host\) : run->host',
    r'MAX\(\*end, run->host \+ run->size\)',
    r'!guest_ram_host\([\w>.-]+, \w+, &[\w.]+\)\) \{',
    r'\.host = block->host_addr',
    r'\.start = rb->host',
]


@functools.cache
def all_sources():
    texts = {}
    for path in tree_apply.walk(os.path.join(REPO, 'dump')):
        if path.endswith(('.c', '.h')) and path != 'trace.h':
            text = tree_apply.read(os.path.join(REPO, 'dump', path))
            texts[f'dump/{path}'] = re.sub(r'(?s)/\*.*?\*/', '', text)
    return texts


def sources():
    """Path -> text without comments; a copy that tests may modify."""
    return dict(all_sources())


def documented_layers():
    """Name of a file, or pattern -> its layer, and whether it is in the
    engine."""
    text = tree_apply.read(os.path.join(REPO, 'docs/devel/dump.rst'))
    layers, number, engine = {}, None, False
    for line in re.search(r'(?m)^    L4  commands(?:.*\n)*?(?=\S)',
                          text)[0].splitlines():
        engine = engine or 'vmcore/' in line
        head = re.match(r'    L(\d)  ', line)
        number = int(head[1]) if head else number
        for name in re.findall(r'(?<!\S)[\w*-]+\.(?:c|h|\[ch\])(?!\S)', line):
            layers[name] = (number, engine)
    return layers


def layer(path, layers):
    folder, name = os.path.split(path)
    found = {n for pattern, n in layers.items()
             if fnmatch.fnmatchcase(name, pattern)
             and n[1] == (folder == 'dump/vmcore')}
    assert len(found) == 1, f'{path}: must be in one layer, is in {found}'
    return found.pop()[0]


def includes(texts):
    """Pairs of paths in dump/: including and included file."""
    for path, text in texts.items():
        for name in re.findall(r'(?m)^\s*#\s*include\s+"(.*)"', text):
            for folder in (os.path.dirname(path), 'dump'):
                target = os.path.normpath(os.path.join(folder, name))
                if target in texts:
                    yield path, target
                    break


def upward(texts):
    layers = documented_layers()
    where = {p: layer(p, layers) for p in texts}
    return [f'{a} -> {b}' for a, b in includes(texts) if where[a] < where[b]]


def circle(texts):
    """A cycle of modules (NAME.c and NAME.h are one), or None."""
    graph = {}
    for a, b in includes(texts):
        a, b = (os.path.splitext(p)[0] for p in (a, b))
        if a != b:
            graph.setdefault(a, set()).add(b)
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as e:
        return e.args[1]
    return None


def loads(texts):
    """Uses of pointers into guest memory, except known harmless ones."""
    found = []
    for path, text in texts.items():
        if path.endswith('.h') or any(fnmatch.fnmatchcase(path, d)
                                      for d in DOORS):
            continue
        for known in SIZES:
            text = re.sub(known, '', text)
        found += [f'{path}: {line}' for line in text.splitlines()
                  if re.search(r'guest_ram_host\(|(?:\.|->)host\b', line)]
    return found


def test_layers():
    texts = sources()
    assert len(list(includes(texts))) > 100
    assert upward(texts) == []


def test_no_circle():
    assert circle(sources()) is None


def test_one_door():
    assert loads(sources()) == []


def test_nothing_is_known_in_vain():
    """Each known harmless use exists."""
    everything = ''.join(sources().values())
    assert [s for s in SIZES if not re.search(s, everything)] == []


@pytest.mark.parametrize('path,line', [
    ('dump/vmcore/deflate.c', '#include "writer.h"'),
    ('dump/vmcore/writer.h', '#include "dump-job.h"'),
    ('dump/vmcore/sink.h', '  #  include "analyse.h"'),
])
def test_upward_is_seen(path, line):
    texts = sources()
    texts[path] += f'\n{line}\n'
    assert len(upward(texts)) == 1


@pytest.mark.parametrize('path,line', [
    ('dump/vmcore/guest-ram.c', '#include "pages.h"'),
    ('dump/guest-types.h', '#include "guest-memory.h"'),
])
def test_circle_is_seen(path, line):
    texts = sources()
    texts[path] += f'\n{line}\n'
    assert circle(texts)


def test_new_file_is_seen():
    texts = sources()
    texts['dump/vmcore/brand-new.c'] = ''
    with pytest.raises(AssertionError, match='brand-new.c'):
        upward(texts)
    # A name that is in the list, but for another folder.
    with pytest.raises(AssertionError, match='dump/pages.c'):
        upward({'dump/pages.c': ''})


@pytest.mark.parametrize('line', [
    'memcpy(buf, run->host, n);',
    'x = *guest_ram_run(ram, 0)->host;',
    'p = guest_ram_host(ram, paddr, &len);',
    'y = !guest_ram_host(ram, paddr, &len)[0];',
])
def test_load_is_seen(line):
    for path in ('dump/vmcore/writer-elf.c', 'dump/guest-x86.c'):
        texts = sources()
        texts[path] += f'\n{line}\n'
        assert len(loads(texts)) == 1


def unlocked(texts):
    """Functions that use links of the block graph and neither take its lock
    nor say that their callers do: clang 18 and later, as QEMU calls it,
    rejects them."""
    return [f'{path}: {head.split("(")[0].split()[-1]}'
            for path, text in texts.items()
            for head, body in re.findall(
                r'(?m)^(\w[^;{}]*\([^;{}]*\))\n\{\n((?:.*\n)*?)\}$', text)
            if re.search(r'\bbs->(?:children|parents|backing|file)\b', body)
            and 'GRAPH_RDLOCK' not in head + body]


def test_graph_lock():
    assert unlocked(sources()) == []


@pytest.mark.parametrize('path,text', [
    ('dump/block-queue.c', 'GRAPH_RDLOCK '),
    ('dump/output-block.c', '    GRAPH_RDLOCK_GUARD_MAINLOOP();\n'),
])
def test_missing_graph_lock_is_seen(path, text):
    texts = sources()
    assert texts[path].count(text) == 1
    texts[path] = texts[path].replace(text, '')
    assert len(unlocked(texts)) == 1
