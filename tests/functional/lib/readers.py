# SPDX-License-Identifier: GPL-2.0-or-later
"""Helpers for the tools that open dumps."""

import os
import subprocess

from vmcore import KdumpDump, Raw


def run(*argv, **kwargs):
    r = subprocess.run(argv, capture_output=True, text=True, **kwargs)
    assert r.returncode == 0, f'{argv}: {r.stdout}{r.stderr}'
    return r.stdout + r.stderr


def rearranged(path, tmp_path):
    """The file itself, or for a flattened one the output of makedumpfile
    -R."""
    with open(path, 'rb') as f:
        if f.read(12) != b'makedumpfile':
            return path
    out = str(tmp_path / 'rearranged')
    with open(path, 'rb') as f:
        run('makedumpfile', '-R', out, stdin=f)
    return out


def kept(path, level, tmp_path):
    """The page frames of a dump that makedumpfile -d LEVEL keeps."""
    plain, out = rearranged(path, tmp_path), str(tmp_path / 'kept')
    run('makedumpfile', '-l', '-d', str(level), plain, out)
    pfns = KdumpDump(Raw(out), False).pfns
    os.unlink(out)
    if plain != path:
        os.unlink(plain)
    return pfns
