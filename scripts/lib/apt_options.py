# SPDX-License-Identifier: GPL-2.0-or-later
#
# apt_options.py SUITE ARCHITECTURE: prints the options, one a line, with
# which apt-cache and apt-get see packages that are not for this machine.

import sys

import qemu_tree

if __name__ == '__main__':
    suite, arch = sys.argv[1:]
    try:
        options, _ = qemu_tree.apt_options(
            qemu_tree.cache_dir(), suite or qemu_tree.own_codename(), 'deb',
            arch)
    except qemu_tree.Failure as e:
        sys.exit(f'error: {e}')
    print('\n'.join(options))
