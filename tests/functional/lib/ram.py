# SPDX-License-Identifier: GPL-2.0-or-later
"""Guest memory with known content, in a file that QEMU maps."""

import random

PAGE = 4096


def fill(path, size, seed=1):
    """A mix of zero, text, incompressible and half-empty pages."""
    rng = random.Random(seed)
    text = b'The quick brown fox jumps over the lazy dog. ' * 92
    with open(path, 'wb') as f:
        f.truncate(size)
        for at in range(0, size, PAGE):
            kind = rng.randrange(8)
            if kind < 4:
                continue
            f.seek(at)
            if kind < 6:
                f.write((b'%016x ' % at + text)[:PAGE])
            elif kind == 6:
                f.write(rng.randbytes(PAGE))
            else:
                f.write(rng.randbytes(64))


def backend(path, size, machine='pc', share=True):
    """QEMU arguments: a stopped machine with that file as its RAM."""
    return ['-machine', f'{machine},memory-backend=ram', '-m',
            f'{size >> 20}M', '-object',
            f'memory-backend-file,id=ram,mem-path={path},size={size},'
            f'share={"on" if share else "off"}', '-S']


def memfd_of(vm):
    """Path of the memfd that backs the VM's RAM, for writing to it."""
    return next(vm.proc_path(f'fd/{fd}')
                for fd, link in vm.open_files().items()
                if 'memory-backend-memfd' in link)
