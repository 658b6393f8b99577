# SPDX-License-Identifier: GPL-2.0-or-later
"""Guest memory for benchmarks: the mix of a machine in use.

Each MiB is of one kind, chosen at random with a fixed seed. Programs and text
are files of the machine that runs the benchmark, so images of two machines
differ, while those of one machine are the same.
"""

import os
import random

MIB = 1 << 20

# Kind -> its share of all MiB.
MIX = {'zero': 45, 'program': 35, 'text': 10, 'random': 10}

PROGRAM_FOLDERS = ('/usr/bin', '/usr/lib')
TEXT_FOLDERS = ('/usr/lib/python3', '/usr/lib/python3.11', '/usr/share/perl',
                '/usr/share/doc')
TEXT_SUFFIXES = ('.py', '.pm', '.pl', '.pod', '.txt', '.html', 'copyright')


def _files(folders):
    for top in folders:
        for folder, dirs, names in os.walk(top):
            dirs.sort()
            for name in sorted(names):
                path = os.path.join(folder, name)
                if os.path.isfile(path) and not os.path.islink(path):
                    yield path


def _is_program(path):
    with open(path, 'rb') as f:
        return f.read(4) == b'\x7fELF'


def _is_text(path):
    return path.endswith(TEXT_SUFFIXES)


def read_files(folders, wanted, limit):
    """Bytes of the files that @wanted picks, up to @limit of them."""
    data = bytearray()
    for path in _files(folders):
        if len(data) >= limit:
            break
        try:
            if wanted(path):
                with open(path, 'rb') as f:
                    data += f.read(limit - len(data))
        except OSError:
            continue            # no permission
    if len(data) < MIB:
        raise RuntimeError(f'less than 1 MiB of files found in '
                           f'{", ".join(folders)}')
    return bytes(data)


def kinds(mib, seed):
    """The kind of each MiB; the shares are exact except for rounding."""
    order = []
    for kind, share in MIX.items():
        order += [kind] * (mib * share // 100)
    order += ['zero'] * (mib - len(order))
    random.Random(seed).shuffle(order)
    return order


def _take(data, index):
    """The @index-th MiB of @data, wrapping around."""
    start = index * MIB % len(data)
    piece = data[start:start + MIB]
    return piece + data[:MIB - len(piece)]


def fill(path, size, seed=1):
    """Write an image of @size bytes, a multiple of 1 MiB."""
    order = kinds(size // MIB, seed)
    sources = {
        'program': read_files(PROGRAM_FOLDERS, _is_program,
                              order.count('program') * MIB or MIB),
        'text': read_files(TEXT_FOLDERS, _is_text,
                           order.count('text') * MIB or MIB),
    }
    used = dict.fromkeys(sources, 0)
    rng = random.Random(seed)
    with open(path, 'wb') as f:
        f.truncate(size)
        for i, kind in enumerate(order):
            if kind == 'zero':
                continue
            f.seek(i * MIB)
            if kind == 'random':
                f.write(rng.randbytes(MIB))
            else:
                f.write(_take(sources[kind], used[kind]))
                used[kind] += 1
