# SPDX-License-Identifier: GPL-2.0-or-later
"""A booted Linux guest: see scripts/guest-image."""

import os
import re
import subprocess
import time

from vm import REPO, VM, qemu_program
from wait import wait_until


# Kind, see scripts/guest-image -> (target, machine, console, arguments).
KINDS = {
    'amd64': ('x86_64', 'pc', 'ttyS0', ('-device', 'vmcoreinfo')),
    'arm64': ('aarch64', 'virt', 'ttyAMA0',
              ('-cpu', 'cortex-a57', '-device', 'vmcoreinfo')),
    'arm64-16k': ('aarch64', 'virt', 'ttyAMA0',
                  ('-cpu', 'neoverse-n1', '-device', 'vmcoreinfo')),
    # No fw_cfg, and therefore no vmcoreinfo device.
    's390x': ('s390x', 's390-ccw-virtio', 'ttysclp0', ()),
    'ppc64el': ('ppc64', 'pseries', 'hvc0', ('-cpu', 'power9')),
}


def image(kind='amd64'):
    """Paths of the kernel and the initramfs."""
    return subprocess.run([os.path.join(REPO, 'scripts/guest-image'), kind],
                          check=True, capture_output=True,
                          text=True).stdout.split()


def machine_arguments(kind, memory, device=True, append='', initrd=None):
    _, _, console, arguments = KINDS[kind]
    kernel, usual = image(kind)
    if not device:
        at = arguments.index('vmcoreinfo')
        arguments = arguments[:at - 1] + arguments[at + 1:]
    return ('-m', memory, '-smp', '2', *arguments, '-kernel', kernel,
            '-initrd', initrd or usual, '-append',
            f'console={console} quiet panic=-1 {append}'.rstrip(),
            '-serial', 'file:console')


def restored(path, memory, **kwargs):
    """A stopped VM in the state saved by Guest.save."""
    vm = VM(*machine_arguments('amd64', memory), '-S', '-incoming',
            f'exec:cat {path}', **kwargs)
    try:
        vm.qmp.sock.settimeout(None)
        wait_until(lambda: vm.status() != 'inmigrate')
    except BaseException:
        vm.close()
        raise
    return vm


class Guest(VM):
    """A VM that has booted to 'guest: ready'."""

    def __init__(self, *args, kind='amd64', memory='256M', machine=None,
                 device=True, append='', initrd=None, **kwargs):
        target, default, _, _ = KINDS[kind]
        if kind != 'amd64':
            kwargs['binary'] = qemu_program(target)
        super().__init__(*machine_arguments(kind, memory, device, append,
                                            initrd),
                         *args, machine=machine or default, **kwargs)
        try:
            self.wait_for('guest: ready')
        except BaseException:
            self.close()
            raise

    def save(self, path):
        """Stop, and write all state to a file."""
        self.qmp.cmd('stop')
        self.qmp.cmd('migrate', uri=f'exec:cat > {path}')
        self.wait_migration('completed')

    def console(self):
        try:
            with open(self.path('console'), errors='replace') as f:
                return f.read()
        except FileNotFoundError:
            return ''

    def wait_for(self, pattern, timeout=240):
        deadline = time.monotonic() + timeout
        while not re.search(pattern, self.console()):
            if self.proc.poll() is not None:
                raise RuntimeError('QEMU ended: ' + self.console() +
                                   self.stderr())
            if time.monotonic() > deadline:
                raise RuntimeError(
                    f"the guest did not print '{pattern}':\n" +
                    self.console() + self.stderr() +
                    self.qmp.hmp('info registers -a'))
            time.sleep(0.1)

    def check_runs(self):
        """Its processes are scheduled."""
        before = self.ticks()
        wait_until(lambda: self.ticks() >= before + 2,
                   'the guest does not run')

    def ticks(self):
        found = re.findall(r'guest: tick (\d+)', self.console())
        return int(found[-1]) if found else 0

    def release(self):
        return re.search(r'guest: release (\S+)', self.console())[1]

    def linux_banner(self):
        return int(re.search(r'guest: linux_banner ([0-9a-f]+)',
                             self.console())[1], 16)
