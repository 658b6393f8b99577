# SPDX-License-Identifier: GPL-2.0-or-later
"""Live dumps that are paused, and checks that they leave nothing behind."""

import os
import random
import re
import threading

import faults
from qtest import QTest
from sweep import PAGE, memory, no_huge_pages
from vm import VM
from wait import HANGS

FLAGS = ('um', 'uw')            # VmFlags of memory watched by userfaultfd


def running(vm):
    return vm.qmp.cmd('query-status')['running']


def live(vm):
    """The part of query-dump that is specific to live dumps."""
    return vm.qmp.cmd('query-dump')['live']


def moment(vm):
    """Wait until the guest has been stopped and runs again."""
    vm.qmp.wait_event('STOP')
    vm.qmp.wait_event('RESUME')


class Held:
    """A live dump to a pipe without a reader, after its moment."""

    def __init__(self, vm, **arguments):
        self.vm = vm
        self.r, w = os.pipe()
        vm.qmp.getfd('held', w)
        os.close(w)
        arguments.setdefault('live', 'on')
        vm.qmp.cmd('dump-guest-memory', paging=False, protocol='fd:held',
                   detach=True, **arguments)
        moment(vm)

    def finish(self, path):
        """Write the dump to the file; returns the data of DUMP_COMPLETED."""
        with open(path, 'wb') as f:
            thread = threading.Thread(target=self.copy, args=(f,))
            thread.start()
            event = self.vm.qmp.wait_event('DUMP_COMPLETED')['data']
            thread.join(HANGS)
        return event

    def copy(self, f):
        while data := os.read(self.r, 1 << 20):
            f.write(data)
        self.close()

    def close(self):
        os.close(self.r)


class Paused:
    """A live dump to a file, in a QEMU that pauses writing by
    faults.pause()."""

    def __init__(self, vm, path, **arguments):
        self.vm, self.path = vm, path
        arguments.setdefault('live', 'on')
        vm.dump(path, detach=True, **arguments)
        moment(vm)
        faults.wait_for_pause(path, 1)

    def finish(self, _):
        with open(self.path + '.go', 'w'):
            pass
        event = self.vm.qmp.wait_event('DUMP_COMPLETED')['data']
        os.unlink(self.path + '.go')
        return event

    def close(self):
        with open(self.path + '.go', 'w'):
            pass


def held(vm, out, output, **arguments):
    """A paused dump to a pipe or a file."""
    return Held(vm, **arguments) if output == 'pipe' else \
        Paused(vm, out, **arguments)


# -- cleanup checks -----------------------------------------------------------


def descriptors(vm):
    return sorted(vm.open_files().values())


def mappings(vm):
    """(start of a mapping, its size, VmFlags)"""
    with open(vm.proc_path('smaps')) as f:
        for line in f:
            if head := re.match('([0-9a-f]+)-([0-9a-f]+) ', line):
                start, end = (int(n, 16) for n in head.groups())
            elif line.startswith('VmFlags:'):
                yield start, end - start, line.split()[1:]


def watched(vm):
    """Number of bytes of memory watched by userfaultfd."""
    return sum(size for _, size, flags in mappings(vm)
               if any(f in flags for f in FLAGS))


def mergeable(vm):
    """Number of bytes of memory that the host may merge."""
    return sum(size for _, size, flags in mappings(vm) if 'mg' in flags)


class Before:
    """State of QEMU before a live dump, to be compared later."""

    def __init__(self, vm):
        self.vm = vm
        self.descriptors = descriptors(vm)
        self.mergeable = mergeable(vm)
        self.blocked = self.migration_blocked()

    def migration_blocked(self):
        return self.vm.qmp.cmd('query-migrate').get('blocked-reasons')

    def nothing_left(self, status='running'):
        vm = self.vm
        assert vm.status() == status
        vm.wait_threads_end('dump')
        assert watched(vm) == 0
        assert mergeable(vm) == self.mergeable
        assert descriptors(vm) == self.descriptors
        assert self.migration_blocked() == self.blocked
        assert vm.qmp.cmd('query-jobs') == []
        assert vm.qmp.cmd('query-dump')['status'] != 'active'


def migrates(vm):
    """Migrate to a null device. With a guest that writes this would not
    converge, unless 'background-snapshot' is set."""
    vm.qmp.cmd('migrate', uri='exec:cat > /dev/null')
    vm.wait_migration('completed')


# -- an idle guest ------------------------------------------------------------


def old_page(paddr):
    """Contents of memory before a dump; cannot be compressed."""
    return random.Random(paddr).randbytes(PAGE)


class Idle(VM):
    """A running machine whose CPUs are idle.

    The test writes to its memory in QEMU's main thread with the BQL held, as a
    device does. The contents of memory from 'start' on are known.
    """

    def __init__(self, size=16 << 20, kind='anon', args=(), start=1 << 20,
                 **kwargs):
        self.size, self.start = size, start
        if kind == 'anon-4k':
            kwargs['preexec'] = no_huge_pages
        super().__init__(
            *memory(kind, size), '-qtest', 'unix:qtest,server=on,wait=off',
            '-qtest-log', 'none', *args, machine=None, accel='qtest',
            **kwargs)
        try:
            self.qtest = QTest(self.path('qtest'))
            for at in range(start, size, 1 << 20):
                self.qtest.write(at, b''.join(
                    map(old_page, range(at, at + (1 << 20), PAGE))))
        except BaseException:
            self.close()
            raise

    def pages(self):
        return range(self.start, self.size, PAGE)

    def overwrite(self, pages=None, between=lambda: None):
        """Change every page; optionally do something in between."""
        for i, paddr in enumerate(pages or self.pages()):
            self.qtest.cmd(f'writeb {paddr:#x} 0xff')
            if i % 1000 == 0:
                between()

    def is_new(self, pages=None):
        return all(self.qtest.read(paddr, 1) == b'\xff'
                   for paddr in pages or self.pages())


def is_old(dump, pages):
    """Check that these pages have their original contents."""
    wrong = [hex(p) for p in pages if dump.read(p, PAGE) != old_page(p)]
    assert not wrong, f'{len(wrong)} of {len(pages)} pages: {wrong[:8]}'
