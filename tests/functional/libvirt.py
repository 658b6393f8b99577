# SPDX-License-Identifier: GPL-2.0-or-later
"""A private libvirtd with one domain that runs the binary under test."""

import os
import shutil
import subprocess
import time

from guest import image
from vm import FIRMWARE, qemu_binary

DOMAIN = '''
<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>dump-test</name>
  <memory unit='MiB'>256</memory>
  <vcpu>2</vcpu>
  <os>
    <type arch='x86_64' machine='pc'>hvm</type>
    <kernel>{kernel}</kernel>
    <initrd>{initrd}</initrd>
    <cmdline>console=ttyS0 quiet panic=-1</cmdline>
  </os>
  <features><acpi/><vmcoreinfo state='on'/></features>
  <on_crash>destroy</on_crash>
  <devices>
    <emulator>{emulator}</emulator>
    <serial type='file'><source path='{console}'/></serial>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
  </devices>
  <seclabel type='none'/>
</domain>
'''


def running(name):
    return subprocess.run(['pgrep', '-x', name],
                          stdout=subprocess.DEVNULL).returncode == 0


class Libvirt:
    """Starts virtlogd and libvirtd if they do not run; ends what it
    started."""

    def __init__(self, folder):
        self.folder = folder
        self.console_path = os.path.join(folder, 'console')
        self.started = []
        for name in ('virtlogd', 'libvirtd'):
            if not running(name):
                self.started.append(self.start(name))
        try:
            self.wait()
            self.define()
        except BaseException:
            self.close()
            raise

    def start(self, name):
        log = open(os.path.join(self.folder, name + '.log'), 'w')
        return subprocess.Popen(['/usr/sbin/' + name], stdout=log,
                                stderr=log, stdin=subprocess.DEVNULL)

    def wait(self):
        deadline = time.monotonic() + 60
        while self.virsh('list', check=False).returncode:
            assert time.monotonic() < deadline, 'libvirtd does not answer'
            time.sleep(0.2)

    def virsh(self, *args, check=True):
        r = subprocess.run(['virsh', '-c', 'qemu:///system', *args],
                           capture_output=True, text=True)
        if check:
            assert r.returncode == 0, f'virsh {args}: {r.stdout}{r.stderr}'
        return r

    def borrow(self, path):
        """A copy where the user that libvirt runs QEMU as can read it."""
        copy = os.path.join(self.folder, os.path.basename(path))
        shutil.copy(path, copy)
        return copy

    def define(self):
        # libvirt cannot be told where the firmware is: a wrapper tells.
        emulator = os.path.join(self.folder, 'emulator')
        with open(emulator, 'w') as f:
            f.write(f'#!/bin/sh\nexec {self.borrow(qemu_binary())} '
                    f'{" ".join(FIRMWARE)} "$@"\n')
        os.chmod(emulator, 0o755)
        kernel, initrd = map(self.borrow, image())
        xml = os.path.join(self.folder, 'domain.xml')
        with open(xml, 'w') as f:
            f.write(DOMAIN.format(kernel=kernel, initrd=initrd,
                                  emulator=emulator,
                                  console=self.console_path))
        self.virsh('destroy', 'dump-test', check=False)
        self.virsh('create', xml)
        deadline = time.monotonic() + 240
        while 'guest: ready' not in self.console():
            assert time.monotonic() < deadline, self.console()
            time.sleep(0.2)

    def console(self):
        try:
            with open(self.console_path, errors='replace') as f:
                return f.read()
        except FileNotFoundError:
            return ''

    def close(self):
        self.virsh('destroy', 'dump-test', check=False)
        for proc in reversed(self.started):
            proc.terminate()
            proc.wait(30)
