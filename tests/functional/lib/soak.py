#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Random dumps, cancels and faults, for a given time.

    tests/functional/lib/soak.py [MINUTES [SEED]]

One QEMU ($DUMP_QEMU, or the one built by scripts/qemu-tree) executes one step
after the other. After each, the guest must be in its run state, nothing may
prevent the next dump, and the output must be as QEMU reported. At the end QEMU
must have as many descriptors and threads as at the beginning, and its memory
must not have grown.
"""

import collections
import os
import random
import re
import resource
import shutil
import sys
import tempfile
import threading
import time

import ram
from qmp import QMPError
from vm import VM
from vmcore import Bad, open_dump

SIZE = 64 << 20
FORMATS = ['elf', 'kdump-zlib', 'kdump-lzo', 'kdump-snappy', 'kdump-zstd']
RAW = ['kdump-raw-zlib', 'kdump-raw-lzo', 'kdump-raw-snappy',
       'kdump-raw-zstd']
UNLIMITED = resource.RLIM_INFINITY
CANCELLED = 'dump: cancelled'
# Added to it during the last flush.
WHOLE = '; the output is complete, but may not be on stable storage'

# Limit for the growth of QEMU's memory by the end of the run.
GROWTH = 48 << 20


class Wrong(AssertionError):
    """A failure, and the step that caused it."""


class Soak:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.done = collections.Counter()
        self.answers = collections.Counter()
        # A live dump of memory in a file on a disk is not possible.
        self.dir = tempfile.mkdtemp(prefix='dump-soak-', dir='/dev/shm')
        ram.fill(self.path('ram'), SIZE)
        self.vm = VM(*ram.backend(self.path('ram'), SIZE, share=False)[:-1],
                     machine=None)
        self.running = True

    def close(self):
        self.vm.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.dir, name)

    def need(self, condition, *what):
        if not condition:
            raise Wrong(*what, f'after {dict(self.done)}')

    # -- looking at QEMU -------------------------------------------------------

    def proc(self, name):
        with open(self.vm.proc_path(name)) as f:
            return f.read()

    def memory(self):
        """QEMU's own memory, without guest memory and TCG's translated
        code."""
        total, counts = 0, False
        for line in self.proc('smaps').splitlines():
            if re.match('[0-9a-f]+-', line):
                counts = 'x' not in line.split()[1] and \
                    self.path('ram') not in line
            elif counts and line.startswith('Anonymous:'):
                total += int(line.split()[1]) << 10
        return total

    def descriptors(self):
        return len(self.vm.open_files())

    def check(self):
        status = self.vm.status()
        self.need(status == ('running' if self.running else 'paused'), status)
        self.need('blocked-reasons' not in self.vm.qmp.cmd('query-migrate'),
                  'a blocker is left')
        self.vm.wait_threads_end('dump')

    # -- one dump ----------------------------------------------------------------

    def arguments(self, formats):
        r = self.random
        args = {'format': r.choice(formats), 'paging': False}
        if args['format'] != 'elf' and r.random() < 0.5:
            args['threads'] = r.randint(1, 8)
        if args['format'] == 'elf' and r.random() < 0.3:
            args['begin'] = r.randrange(SIZE // 4096) * 4096
            args['length'] = r.randint(1, SIZE)
        elif args['format'] == 'elf' and r.random() < 0.2:
            args['paging'] = True
        args['detach'] = r.random() < 0.7
        if args['detach'] and r.random() < 0.3:
            args['job_id'] = 'soak'
        if args['detach'] and r.random() < 0.5:
            args['live'] = r.choice(['on', 'auto'])
        return args

    def dump(self, meanwhile=None, **args):
        """Run one dump; returns the text of its failure, or None."""
        self.vm.qmp.events = []
        error = None
        try:
            self.vm.qmp.cmd('dump-guest-memory', **args)
        except QMPError as e:
            error = str(e)
            self.need('in progress' not in error and 'in process' not in error
                      and 'blocker' not in error, 'a dump was refused', error)
        if meanwhile:
            meanwhile()
        data = self.vm.qmp.wait_event('DUMP_COMPLETED')['data']
        failed = data.get('error')
        self.need((failed is None) ==
                  (data['result']['status'] == 'completed'), data)
        self.need(args['detach'] or failed == error, error, data)
        if 'job_id' in args:
            self.dismiss(failed)
        self.answers[failed or 'completed'] += 1
        self.check()
        return failed

    def dismiss(self, failed):
        while True:
            job, = self.vm.qmp.cmd('query-jobs')
            if job['status'] == 'concluded':
                break
            time.sleep(0.005)
        self.need(job.get('error') == failed, job, failed)
        self.vm.qmp.cmd('job-dismiss', id=job['id'])

    def whole(self, path):
        dump = open_dump(path)
        self.need(not dump.incomplete)
        os.unlink(path)

    def not_whole(self, path):
        """An incomplete dump is marked as incomplete, or not readable."""
        try:
            open_dump(path)
        except (Bad, ValueError, FileNotFoundError):
            pass
        else:
            self.need(False, 'a failed dump looks like a whole one')
        if os.path.exists(path):
            os.unlink(path)

    # -- what may happen ------------------------------------------------------------

    def do_file(self):
        path = self.path('dump')
        failed = self.dump(protocol='file:' + path,
                           **self.arguments(FORMATS + RAW))
        self.need(failed is None, failed)
        self.whole(path)

    def do_cancel(self):
        path = self.path('dump')
        args = self.arguments(FORMATS + RAW)
        args['detach'] = True

        def cancel():
            time.sleep(self.random.random() ** 3)
            try:
                self.vm.second().cmd('dump-cancel')
            except QMPError as e:
                self.need(str(e) == 'There is no dump in progress', str(e))

        failed = self.dump(cancel, protocol='file:' + path, **args)
        self.need(failed in (None, CANCELLED, CANCELLED + WHOLE), failed)
        (self.not_whole if failed == CANCELLED else self.whole)(path)

    def do_full_device(self):
        failed = self.dump(protocol='file:/dev/full',
                           **self.arguments(FORMATS + RAW))
        self.need('No space left on device' in failed, failed)

    def do_limit(self):
        """A file size limit. (ELF would be refused: its size is known.)"""
        path = self.path('dump')
        limit = self.random.randrange(1, 8 << 20)
        args = self.arguments([f for f in FORMATS + RAW if f != 'elf'])
        resource.prlimit(self.vm.proc.pid, resource.RLIMIT_FSIZE,
                         (limit, UNLIMITED))
        try:
            failed = self.dump(protocol='file:' + path, **args)
        finally:
            resource.prlimit(self.vm.proc.pid, resource.RLIMIT_FSIZE,
                             (UNLIMITED, UNLIMITED))
        self.need(failed is None or 'File too large' in failed, failed)
        (self.not_whole if failed else self.whole)(path)

    def do_pipe(self):
        """To a pipe whose reader may close it, or stall until the cancel."""
        r, w = os.pipe()
        self.vm.qmp.getfd('soak', w)
        os.close(w)
        after = self.random.choice([None, 0, self.random.randrange(8 << 20)])
        stall = after is not None and self.random.random() < 0.5
        args = self.arguments(FORMATS)
        args['detach'] = True

        def read():
            got = 0
            while after is None or got < after:
                data = os.read(r, 1 << 20)
                if not data:
                    break
                got += len(data)
            if not stall:
                os.close(r)

        thread = threading.Thread(target=read)

        def meanwhile():
            thread.start()
            thread.join()
            if stall:
                try:
                    self.vm.second().cmd('dump-cancel')
                except QMPError as e:
                    self.need('no dump in progress' in str(e), str(e))

        failed = self.dump(meanwhile, protocol='fd:soak', **args)
        if stall:
            os.close(r)
        allowed = ('Broken pipe', CANCELLED)
        self.need(failed is None or any(a in failed for a in allowed), failed)
        self.need(after is not None or failed is None, failed)

    def do_refused(self):
        path = self.path('refused')
        bad = self.random.choice([
            {'format': 'kdump-zlib', 'paging': True},
            {'format': 'elf', 'paging': False, 'begin': 4096},
            {'format': 'elf', 'paging': False, 'begin': 1 << 50,
             'length': 4096},
            {'format': 'kdump-lzo', 'paging': False, 'threads': 0},
            {'format': 'elf', 'paging': False, 'job_id': 'not one'},
        ])
        try:
            self.vm.qmp.cmd('dump-guest-memory', protocol='file:' + path,
                            **bad)
            self.need(False, 'not refused', bad)
        except QMPError:
            pass
        self.need(not os.path.exists(path), 'a refused dump left a file')
        self.check()

    def do_stop(self):
        self.vm.qmp.cmd('stop' if self.running else 'cont')
        self.running = not self.running
        self.check()

    def do_reset(self):
        """Reset, during a stalled dump or without one."""
        self.vm.qmp.cmd('system_reset')
        self.vm.qmp.wait_event('RESET')
        if not self.running:
            self.vm.qmp.cmd('cont')
            self.running = True
        self.check()

    ACTIONS = [(do_file, 6), (do_cancel, 6), (do_full_device, 1),
               (do_limit, 3), (do_pipe, 6), (do_refused, 2), (do_stop, 2),
               (do_reset, 1)]

    def step(self):
        actions, weights = zip(*self.ACTIONS)
        action, = self.random.choices(actions, weights)
        self.done[action.__name__[3:]] += 1
        action(self)

    def run(self, seconds):
        """Run steps for that time, at least one of each; returns a summary."""
        for action, _ in self.ACTIONS:
            action(self)
        fds, memory = self.descriptors(), self.memory()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.step()
        self.check()
        self.need(self.descriptors() == fds, 'descriptors', fds,
                  self.descriptors())
        self.need(self.memory() < memory + GROWTH, 'memory', memory,
                  self.memory())
        return (f'{sum(self.done.values())} steps: {dict(self.done)}; '
                f'{self.memory() - memory:+d} bytes')


def main():
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 60
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else int(time.time())
    print(f'{minutes:g} minutes, seed {seed}')
    soak = Soak(seed)
    try:
        print(soak.run(minutes * 60))
        for answer, n in soak.answers.most_common():
            print(f'{n:6} {answer}')
    finally:
        soak.close()


if __name__ == '__main__':
    main()
