# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds for the benchmarks: QEMU, and the engine without QEMU."""

import os
import subprocess
import sys

REPO = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))


def install_packages(*groups):
    subprocess.run(['bash', '-c', '. "$0" && install_packages "$@"',
                    os.path.join(REPO, 'scripts', 'lib', 'common.sh'),
                    *groups], check=True)


def build(base, stock=False):
    """Build QEMU; returns its path. @base as for scripts/qemu-tree, None for
    its default."""
    argv = [os.path.join(REPO, 'scripts', 'qemu-tree'), 'build']
    argv += [base] if base else []
    argv += ['--stock'] if stock else []
    out = subprocess.run(argv, stdout=subprocess.PIPE, text=True)
    if out.returncode:
        sys.exit(out.returncode)
    return out.stdout.splitlines()[-1]


def codec_speed(folder, image):
    """Codec -> MiB/s on one core, and on all cores at once; builds in
    @folder."""
    build = os.path.join(folder, 'engine')
    subprocess.run(['meson', 'setup', '--buildtype=release', build, REPO],
                   check=True, stdout=subprocess.DEVNULL)
    subprocess.run(['ninja', '-C', build, 'tests/bench/codec-speed'],
                   check=True, stdout=subprocess.DEVNULL)
    out = subprocess.run([os.path.join(build, 'tests/bench/codec-speed'),
                          image, '2'], check=True, capture_output=True,
                         text=True).stdout
    return {name: (float(one), float(every)) for name, one, every, _ in
            (line.split() for line in out.splitlines())}
