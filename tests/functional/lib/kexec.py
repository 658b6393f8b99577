# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest that starts another kernel by kexec on request."""

import os
import socket
import subprocess

from guest import Guest, image
from vm import HERE

# Replaces the image's init; the second kernel runs the image's own.
INIT = '''#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
exec >/dev/console 2>&1 </dev/console
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox insmod /lib/qemu_fw_cfg.ko || echo "guest: no fw_cfg"
echo "guest: release $(/bin/busybox uname -r)"
echo "guest: ready"
read -r line < /dev/ttyS1
/kexec /kernel /initrd "$line"
'''


def initrd(folder):
    """The image, plus files to start a second kernel, whose command line is
    read from the second serial port."""
    kernel, first = image()
    root = os.path.join(folder, 'root')
    os.mkdir(root)
    subprocess.run(['cc', '-static', '-Os', '-o', root + '/kexec',
                    os.path.join(HERE, 'kexec.c')], check=True)
    os.symlink(kernel, root + '/kernel')
    os.symlink(first, root + '/initrd')
    with open(root + '/init', 'w') as f:
        f.write(INIT)
    os.chmod(root + '/init', 0o755)
    path = os.path.join(folder, 'initrd')
    with open(path, 'wb') as f:
        with open(first, 'rb') as more:
            f.write(more.read())
        # An archive must begin at a multiple of four.
        f.write(bytes(-f.tell() % 4))
        f.flush()
        subprocess.run(['cpio', '-o', '-L', '-H', 'newc', '--quiet'],
                       cwd=root, input=b'init\nkexec\nkernel\ninitrd\n',
                       stdout=f, check=True)
    return path


class KexecGuest(Guest):
    """A guest that has booted to 'guest: ready' once."""

    def __init__(self, folder, *args, **kwargs):
        self.control = os.path.join(folder, 'control')
        super().__init__('-serial', f'unix:{self.control},server=on,wait=off',
                         *args, initrd=initrd(folder), **kwargs)

    def kexec(self, append=''):
        """Start another kernel of the same kind."""
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(self.control)
            s.sendall(f'console=ttyS0 quiet panic=-1 second {append}\n'
                      .encode())
            self.wait_for('(?s)guest: ready.*guest: ready')
