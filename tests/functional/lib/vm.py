# SPDX-License-Identifier: GPL-2.0-or-later
"""Start and stop a QEMU."""

import os
import shutil
import subprocess
import tempfile
import time

from qmp import QMP

HERE = os.path.dirname(os.path.abspath(__file__))
REPO = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
FIRMWARE = ['-L', '/usr/share/seabios', '-L', '/usr/share/qemu']


def qemu_binary():
    """The binary under test: $DUMP_QEMU, or what scripts/qemu-tree built."""
    path = os.environ.get('DUMP_QEMU')
    if path:
        return path
    return subprocess.run([os.path.join(REPO, 'scripts/qemu-tree'), 'path'],
                          check=True, capture_output=True,
                          text=True).stdout.strip()


def qemu_program(target):
    """The QEMU of another target, built beside the one under test."""
    return os.path.join(os.path.dirname(qemu_binary()),
                        f'qemu-system-{target}')


def as_nobody():
    """Options that make QEMU drop its privileges after startup."""
    text = subprocess.run([qemu_binary(), '-help'], check=True,
                          capture_output=True, text=True).stdout
    if 'user=username' in text:         # since 9.1; -runas is gone in 10.0
        return ['-run-with', 'user=nobody']
    return ['-runas', 'nobody']


def in_root(folder):
    """Options that make QEMU change its root after startup."""
    text = subprocess.run([qemu_binary(), '-help'], check=True,
                          capture_output=True, text=True).stdout
    if 'chroot=' in text:
        return ['-run-with', f'chroot={folder}']
    return ['-chroot', folder]


class VM:
    """A QEMU with two monitors: .qmp, and .other for a second client."""

    def __init__(self, *args, binary=None, machine='pc', stdin=None,
                 accel='tcg', preexec=None, env=None):
        self.dir = tempfile.mkdtemp(prefix='dump-test-')
        self.log = open(self.path('stderr'), 'w+')
        argv = [binary or qemu_binary(), *FIRMWARE, '-nodefaults',
                '-display', 'none', '-accel', accel]
        if machine:
            argv += ['-machine', machine]
        for name in ('qmp', 'other'):
            argv += ['-chardev', f'socket,id={name},server=on,wait=off,'
                     f'path={self.path(name)}',
                     '-mon', f'chardev={name},mode=control']
        self.proc = None
        try:
            self.proc = subprocess.Popen(
                argv + list(args), stdin=stdin or subprocess.DEVNULL,
                stdout=self.log, stderr=self.log, preexec_fn=preexec,
                cwd=self.dir, env={**os.environ, **(env or {})})
            self.qmp = self.connect('qmp')
            self.other = None
        except BaseException:
            self.close()
            raise

    def path(self, name):
        return os.path.join(self.dir, name)

    def connect(self, name, **options):
        deadline = time.monotonic() + 30
        while True:
            try:
                return QMP(self.path(name), **options)
            # Refused, or QEMU exited just after it accepted the connection.
            except (FileNotFoundError, ConnectionError):
                if self.proc.poll() is not None or \
                        time.monotonic() > deadline:
                    raise RuntimeError('QEMU did not start: ' +
                                       self.stderr()) from None
                time.sleep(0.02)

    def second(self):
        if not self.other:
            self.other = self.connect('other')
        return self.other

    def stderr(self):
        self.log.flush()
        with open(self.path('stderr'), errors='replace') as f:
            return f.read()

    def status(self):
        return self.qmp.cmd('query-status')['status']

    def threads(self):
        """Names of all threads."""
        names = []
        for task in os.listdir(f'/proc/{self.proc.pid}/task'):
            try:
                with open(f'/proc/{self.proc.pid}/task/{task}/comm') as f:
                    names.append(f.read().strip())
            except FileNotFoundError:
                pass
        return names

    def threads_end(self, prefix):
        """Wait until no thread of that name is left, as a thread that was
        joined may still be listed for a moment. False after a timeout."""
        for _ in range(100):
            if not any(name.startswith(prefix) for name in self.threads()):
                return True
            time.sleep(0.02)
        return False

    def dump(self, path, **arguments):
        """Dump to a file, synchronously."""
        arguments.setdefault('paging', False)
        return self.qmp.cmd('dump-guest-memory', protocol='file:' + path,
                            **arguments)

    def close(self):
        if self.proc:
            self.proc.kill()
            self.proc.wait()
        self.log.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if exc[0]:
            print(self.stderr())
        self.close()
