#!/usr/bin/env python3
#
# SPDX-License-Identifier: GPL-2.0-or-later
"""Dumps of a guest that runs its firmware under TCG: compare the memory and
registers in ELF cores, made in several ways, with those of the guest.

The other formats are read back by tests/qtest/dump-vmcore-test.c.
"""

import os
import re
import struct
import threading

from qemu_test import QemuSystemTest

NT_PRSTATUS = 1
PT_LOAD, PT_NOTE = 1, 4
# Size of struct elf_prstatus -> format and offset of the instruction pointer;
# the smaller one is written for a CPU that is not in long mode.
INSTRUCTION_POINTER = {336: ('<Q', 112 + 16 * 8), 144: ('<I', 72 + 12 * 4)}


def parse_elf(data):
    """The segments (physical address -> bytes) and notes of an x86_64 core."""
    segments, notes = {}, []
    assert data[:6] == b'\x7fELF\x02\x01'
    phoff, = struct.unpack_from('<Q', data, 32)
    phnum, = struct.unpack_from('<H', data, 56)
    for i in range(phnum):
        kind, _, offset, _, paddr, size = struct.unpack_from(
            '<IIQQQQ', data, phoff + 56 * i)
        part = data[offset:offset + size]
        assert len(part) == size
        if kind == PT_LOAD:
            segments[paddr] = part
        elif kind == PT_NOTE:
            notes += parse_notes(part)
    return segments, notes


def parse_notes(part):
    at = 0
    while at < len(part):
        name_size, size, kind = struct.unpack_from('<III', part, at)
        name = part[at + 12:at + 12 + name_size].rstrip(b'\0').decode()
        at += 12 + (name_size + 3) // 4 * 4
        yield name, kind, part[at:at + size]
        at += (size + 3) // 4 * 4


def read_file(path):
    with open(path, 'rb') as f:
        return f.read()


class GuestDump(QemuSystemTest):

    def launch(self):
        self.require_accelerator('tcg')
        self.set_machine('q35')
        self.vm.add_args('-accel', 'tcg', '-m', '32M', '-smp', '2',
                         '-nodefaults')
        self.vm.launch()

    def dump(self, **arguments):
        """Returns the content of an ELF core."""
        path = self.scratch_file('dump')
        self.vm.cmd('dump-guest-memory', paging=False,
                    protocol='file:' + path, **arguments)
        data = read_file(path)
        os.unlink(path)
        return data

    def check_memory(self, data):
        """Compare with guest memory; the guest must have been stopped."""
        segments, _ = parse_elf(data)
        self.assertGreaterEqual(sum(map(len, segments.values())), 32 << 20)
        path = self.scratch_file('memory')
        for start, part in segments.items():
            self.vm.cmd('pmemsave', val=start, size=len(part), filename=path)
            self.assertTrue(read_file(path) == part, f'memory at {start:#x}')

    def test_memory_and_registers(self):
        self.launch()
        self.vm.cmd('stop')
        data = self.dump()
        self.check_memory(data)
        registers = self.vm.cmd('human-monitor-command',
                                command_line='info registers -a')
        _, notes = parse_elf(data)
        found = []
        for name, kind, desc in notes:
            if (name, kind) == ('CORE', NT_PRSTATUS):
                fmt, at = INSTRUCTION_POINTER[len(desc)]
                found += struct.unpack_from(fmt, desc, at)
        self.assertEqual(len(found), 2)
        self.assertEqual(found, [int(ip, 16) for ip in
                                 re.findall(r'\b[RE]IP=([0-9a-f]+)',
                                            registers)])
        self.assertEqual([name for name, _, _ in notes].count('QEMU'), 2)
        # A stopped guest is not resumed.
        self.assertEqual(self.vm.cmd('query-status')['status'], 'paused')

    def test_range(self):
        self.launch()
        self.vm.cmd('stop')
        data = self.dump(begin=1 << 20, length=1 << 20)
        segments, _ = parse_elf(data)
        self.assertEqual({a: len(s) for a, s in segments.items()},
                         {1 << 20: 1 << 20})

    def test_running_guest_goes_on(self):
        self.launch()
        self.dump()
        self.assertTrue(self.vm.cmd('query-status')['running'])
        for event in 'STOP', 'RESUME', 'DUMP_COMPLETED':
            self.assertTrue(self.vm.event_wait(event, timeout=60), event)

    def test_detached_to_named_pipe(self):
        self.launch()
        self.vm.cmd('stop')
        path = self.scratch_file('pipe')
        os.mkfifo(path)
        got = []
        reader = threading.Thread(target=lambda: got.append(read_file(path)))
        reader.start()
        self.vm.cmd('dump-guest-memory', paging=False,
                    protocol='file:' + path, detach=True)
        event = self.vm.event_wait('DUMP_COMPLETED', timeout=60)
        self.assertNotIn('error', event['data'])
        reader.join(timeout=60)
        self.check_memory(got[0])

    def test_monitor(self):
        self.launch()
        path = self.scratch_file('dump')
        said = self.vm.cmd('human-monitor-command',
                           command_line=f'dump-guest-memory -z {path}')
        self.assertEqual(said, '')
        self.assertIn('completed', self.vm.cmd(
            'human-monitor-command', command_line='info dump'))
        self.assertEqual(read_file(path)[:12], b'makedumpfile')


if __name__ == '__main__':
    QemuSystemTest.main()
