# SPDX-License-Identifier: GPL-2.0-or-later
"""A private libvirtd with one domain that runs the binary under test.

It is a session daemon (qemu:///session) with all its folders in a temporary
one, so that it does not interact with the machine's own libvirt or with
another run of the tests. libvirt has no session for root, so the user nobody
is used then.
"""

import json
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time

import devices
from guest import image
from vm import FIRMWARE, qemu_binary

NAME = 'dump-test'
DOMAIN = '''
<domain type='qemu'>
  <name>{name}</name>
  <memory unit='MiB'>256</memory>
  <vcpu>2</vcpu>
  <os>
    <type arch='x86_64' machine='pc'>hvm</type>
    <kernel>{kernel}</kernel>
    <initrd>{initrd}</initrd>
    <cmdline>console=ttyS0 quiet panic=-1</cmdline>
  </os>
  <features><acpi/><vmcoreinfo state='on'/></features>
  <on_crash>coredump-restart</on_crash>
  <devices>
    <emulator>{emulator}</emulator>
    <serial type='file'><source path='{console}'/></serial>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
    <panic model='isa'/>
  </devices>
  <seclabel type='none'/>
</domain>
'''


class Libvirt:
    """Starts virtlogd and libvirtd, ends them with the domain."""

    def __init__(self):
        # A short path: the names of libvirt's sockets get long.
        self.folder = tempfile.mkdtemp(prefix='dump-lv-', dir='/tmp')
        # Keep virsh from starting a daemon while this one is not ready.
        self.env = dict(os.environ, HOME=self.folder, LC_ALL='C',
                        LIBVIRT_AUTOSTART='0',
                        PATH='/usr/sbin:/usr/bin:/sbin:/bin')
        for var in ('XDG_RUNTIME_DIR', 'XDG_CONFIG_HOME', 'XDG_CACHE_HOME',
                    'XDG_DATA_HOME', 'XDG_STATE_HOME'):
            self.env[var] = self.folder
        self.who = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam('nobody')
            self.who = {'user': nobody.pw_uid, 'group': nobody.pw_gid,
                        'extra_groups': []}
            os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
        self.daemons = []
        try:
            for name in ('virtlogd', 'libvirtd'):
                self.start(name)
            self.wait('libvirtd does not answer', 60,
                      lambda: self.virsh('list', check=False).returncode == 0)
            self.boot()
        except BaseException:
            self.close()
            raise

    def path(self, name):
        return os.path.join(self.folder, name)

    def read(self, name):
        try:
            with open(self.path(name), errors='replace') as f:
                return f.read()
        except FileNotFoundError:
            return ''

    def console(self):
        return self.read('console')

    def start(self, name):
        with open(self.path(name + '.log'), 'w') as log:
            self.daemons.append(subprocess.Popen(
                ['/usr/sbin/' + name], stdout=log, stderr=log, env=self.env,
                stdin=subprocess.DEVNULL, cwd=self.folder, **self.who))

    def wait(self, what, seconds, condition):
        deadline = time.monotonic() + seconds
        while not condition():
            dead = [d.args[0] for d in self.daemons if d.poll() is not None]
            if dead or time.monotonic() > deadline:
                raise RuntimeError(f'{what}; {dead} ended\n' + '\n'.join(
                    self.read(n) for n in ('virtlogd.log', 'libvirtd.log',
                                           f'libvirt/qemu/log/{NAME}.log',
                                           'console')))
            time.sleep(0.1)

    def start_virsh(self, *args, **kwargs):
        """Start virsh in the background."""
        return subprocess.Popen(['virsh', '-c', 'qemu:///session', *args],
                                stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True,
                                env=self.env, cwd=self.folder, **self.who,
                                **kwargs)

    def virsh(self, *args, check=True, **kwargs):
        p = self.start_virsh(*args, **kwargs)
        out, err = p.communicate()
        if check:
            assert p.returncode == 0, f'virsh {args}: {out}{err}'
        return subprocess.CompletedProcess(args, p.returncode, out, err)

    def qmp(self, execute, fd=None, **arguments):
        """Send a command to QEMU, optionally with a descriptor."""
        command = {'execute': execute, 'arguments': {
            k.replace('_', '-'): v for k, v in arguments.items()}}
        fds = ('--pass-fds', str(fd)) if fd is not None else ()
        reply = json.loads(self.virsh(
            'qemu-monitor-command', NAME, *fds, json.dumps(command),
            pass_fds=() if fd is None else (fd,)).stdout)
        assert 'return' in reply, reply
        return reply['return']

    def set_defaults(self, **arguments):
        """Set these defaults for dumps, and no others."""
        parameters = self.qmp('query-dump-parameters')
        self.qmp('dump-set-parameters', **arguments, unset=[
            name for name in parameters
            if name.replace('-', '_') not in arguments])

    def pass_userfaultfd(self):
        """Pass a descriptor that libvirt's QEMU may not open itself."""
        devices.require(devices.USERFAULTFD)
        fd = os.open(devices.USERFAULTFD, os.O_RDWR)
        self.qmp('getfd', fd, fdname='uffd')
        os.close(fd)

    def make_fifo(self, name):
        """A named pipe that is writable by the user that libvirt runs as."""
        path = self.path(name)
        os.mkfifo(path)
        os.chmod(path, 0o666)
        return path

    def is_free(self):
        """libvirt has no job for the domain, and has released its lock."""
        assert 'None' in self.virsh('domjobinfo', NAME).stdout
        self.virsh('suspend', NAME)
        assert self.state() == 'paused'
        self.virsh('resume', NAME)
        return self.state() == 'running'

    def watch(self):
        """Collect events from now on, until seen() is called."""
        self.watcher = self.start_virsh('event', NAME, '--all', '--loop')
        time.sleep(0.5)                 # until virsh is listening

    def seen(self):
        self.watcher.send_signal(signal.SIGINT)
        return self.watcher.communicate()[0].splitlines()

    def state(self):
        return self.virsh('domstate', NAME, check=False).stdout.strip()

    def borrow(self, path):
        """Make a copy that is readable by the user that libvirt runs QEMU
        as."""
        copy = self.path(os.path.basename(path))
        shutil.copy(path, copy)
        os.chmod(copy, 0o755)
        return copy

    def boot(self):
        # libvirt has no option for the firmware's location: use a wrapper.
        emulator = self.path('emulator')
        with open(emulator, 'w') as f:
            f.write(f'#!/bin/sh\nexec {self.borrow(qemu_binary())} '
                    f'{" ".join(FIRMWARE)} "$@"\n')
        os.chmod(emulator, 0o755)
        kernel, initrd = map(self.borrow, image())
        xml = self.path('domain.xml')
        with open(xml, 'w') as f:
            f.write(DOMAIN.format(name=NAME, kernel=kernel, initrd=initrd,
                                  emulator=emulator,
                                  console=self.path('console')))
        self.virsh('create', xml)
        self.wait('the domain does not boot', 240, self.is_up)

    def is_up(self):
        if self.state() != 'running':
            raise RuntimeError('the domain ended: ' + self.read(
                f'libvirt/qemu/log/{NAME}.log') + self.console())
        return 'guest: ready' in self.console()

    def close(self):
        self.virsh('destroy', NAME, check=False)
        for daemon in reversed(self.daemons):
            daemon.terminate()
            daemon.wait(30)
        shutil.rmtree(self.folder, ignore_errors=True)
