# SPDX-License-Identifier: GPL-2.0-or-later
"""Start and stop a QEMU."""

import os
import shutil
import subprocess
import tempfile

from qmp import QMP
from wait import HANGS, wait_until

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
        def connected():
            try:
                return QMP(self.path(name), **options)
            # Refused, or QEMU exited just after it accepted the connection.
            except (FileNotFoundError, ConnectionError):
                if self.proc.poll() is not None:
                    raise RuntimeError('QEMU did not start: ' +
                                       self.stderr()) from None

        return wait_until(connected, self.stderr)

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

    def proc_path(self, name):
        return f'/proc/{self.proc.pid}/{name}'

    def open_files(self):
        """{descriptor: link}; files may be closed meanwhile."""
        folder, links = self.proc_path('fd'), {}
        for fd in os.listdir(folder):
            try:
                links[int(fd)] = os.readlink(f'{folder}/{fd}')
            except FileNotFoundError:
                pass
        return links

    def threads(self):
        """Names of all threads."""
        folder, names = self.proc_path('task'), []
        for task in os.listdir(folder):
            try:
                with open(f'{folder}/{task}/comm') as f:
                    names.append(f.read().strip())
            # It ended before open(), or before read().
            except (FileNotFoundError, ProcessLookupError):
                pass
        return names

    def wait_threads_end(self, prefix):
        """Wait until no thread of that name is left, as a thread that was
        joined may still be listed for a moment."""
        wait_until(lambda: not any(name.startswith(prefix)
                                   for name in self.threads()),
                   lambda: f'a thread is left: {self.threads()}')

    def wait_migration(self, status):
        def current():
            return self.qmp.cmd('query-migrate').get('status')

        def reached():
            now = current()
            assert now != 'failed'
            return now == status

        wait_until(reached, current)

    def wait_chipset(self):
        """Wait until the firmware has set up the power management
        registers."""
        wait_until(lambda: '0000604-' in self.qmp.hmp('info mtree'))

    def wait_exit(self):
        """Wait until QEMU exits, and return its exit code."""
        return self.proc.wait(HANGS)

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
