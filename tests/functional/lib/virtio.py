# SPDX-License-Identifier: GPL-2.0-or-later
"""The driver side of a virtio PCI device, over QEMU's qtest protocol.

For a guest that does not run: nothing else has set up the device, and a
request is complete when notify() returns.
"""

import struct

from wait import wait_until

CAP_COMMON, CAP_NOTIFY, CAP_DEVICE = 1, 2, 4
ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK = 1, 2, 4, 8
VERSION_1 = 1 << 32
INDIRECT_DESC = 1 << 28
DESC_NEXT, DESC_WRITE, DESC_INDIRECT = 1, 2, 4
QUEUE_SIZE = 8

# Free addresses on a PC's PCI bus for the device's registers.
REGISTERS = 0xfe000000


class VirtioDevice:
    """A device on the first bus; its queues are in guest memory."""

    def __init__(self, qtest, slot, memory, features=VERSION_1):
        self.qtest, self.slot = qtest, slot
        self.caps = dict(self.find_caps())
        base = REGISTERS + slot * 0x10000
        self.address = {kind: base + offset
                        for kind, (offset, _) in self.caps.items()}
        # Registers are in the fifth BAR, which has 64 bits.
        qtest.pci_write(slot, 0x20, base)
        qtest.pci_write(slot, 0x24, 0)
        qtest.pci_write(slot, 0x04, 0x6)    # memory, bus master
        self.status(ACKNOWLEDGE | DRIVER)
        for half in (0, 1):
            self.common(0x08, '<I', half)
            self.common(0x0c, '<I', features >> 32 * half & 0xffffffff)
        self.status(ACKNOWLEDGE | DRIVER | FEATURES_OK)
        self.memory = memory
        self.queues = {}

    def find_caps(self):
        at = self.qtest.pci_read(self.slot, 0x34) & 0xff
        while at:
            head = self.qtest.pci_read(self.slot, at)
            kind = head >> 24
            if head & 0xff == 0x09 and kind in (CAP_COMMON, CAP_NOTIFY,
                                                CAP_DEVICE):
                assert self.qtest.pci_read(self.slot, at + 4) & 0xff == 4
                yield kind, (self.qtest.pci_read(self.slot, at + 8),
                             self.qtest.pci_read(self.slot, at + 16))
            at = head >> 8 & 0xff

    def common(self, register, form, value):
        self.qtest.write(self.address[CAP_COMMON] + register,
                         struct.pack(form, value))

    def status(self, value):
        self.common(0x14, '<B', value)

    def config(self, form, offset):
        """Read the device's configuration."""
        data = self.qtest.read(self.address[CAP_DEVICE] + offset,
                               struct.calcsize(form))
        return struct.unpack(form, data)[0]

    def start(self, queues):
        for n in range(queues):
            base = self.memory + n * 0x1000
            self.common(0x16, '<H', n)
            self.common(0x18, '<H', QUEUE_SIZE)
            for register, offset in ((0x20, 0), (0x28, 0x400), (0x30, 0x800)):
                self.common(register, '<Q', base + offset)
            self.common(0x1c, '<H', 1)
            self.queues[n] = 0
        self.status(ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK)

    def request(self, queue, out, answer=0):
        """Send bytes to the device; returns its reply of up to that size."""
        base = self.memory + queue * 0x1000
        data = base + 0xc00
        back = data + len(out)
        self.qtest.write(data, out)
        self.qtest.write(base, struct.pack(
            '<QIHHQIHH', data, len(out), DESC_NEXT if answer else 0, 1,
            back, answer, DESC_WRITE, 0))
        n = self.queues[queue]
        self.queues[queue] = n + 1
        self.qtest.write(base + 0x400 + 4 + n % QUEUE_SIZE * 2,
                         struct.pack('<H', 0))
        self.qtest.write(base + 0x402, struct.pack('<H', n + 1))
        _, factor = self.caps[CAP_NOTIFY]
        self.qtest.write(self.address[CAP_NOTIFY] + queue * factor,
                         struct.pack('<H', queue))
        used, = struct.unpack('<H', self.qtest.read(base + 0x802, 2))
        assert used == n + 1
        return self.qtest.read(back, answer) if answer else b''


class VirtioMem(VirtioDevice):
    """Memory that is plugged by blocks."""

    PLUG, UNPLUG = 0, 1

    def __init__(self, qtest, slot, memory):
        super().__init__(qtest, slot, memory, VERSION_1 | 1 << 1)
        self.start(1)
        self.block = self.config('<Q', 0)
        self.base = self.config('<Q', 16)

    def ask(self, kind, first, count):
        answer = self.request(0, struct.pack(
            '<H6xQH6x', kind, self.base + first * self.block, count), 16)
        assert answer[:2] == b'\0\0', answer

    def plug(self, first, count):
        self.ask(self.PLUG, first, count)


class Balloon(VirtioDevice):
    def __init__(self, qtest, slot, memory):
        super().__init__(qtest, slot, memory)
        self.start(2)

    def inflate(self, *addresses):
        self.request(0, b''.join(struct.pack('<I', a >> 12)
                                 for a in addresses))


class Disk(VirtioDevice):
    """virtio-blk; reads to any address in guest memory.

    Up to four requests at a time; done() returns how many are complete.
    """

    READ = 0
    SECTOR = 512

    def __init__(self, qtest, slot, memory):
        super().__init__(qtest, slot, memory, VERSION_1 | INDIRECT_DESC)
        self.start(1)
        self.started = 0

    def begin_read(self, offset, paddr, size):
        base, n = self.memory, self.started
        first = n % (QUEUE_SIZE // 2) * 2           # of two descriptors
        head = base + 0xc00 + first * 32
        self.qtest.write(head, struct.pack('<IIQB', self.READ, 0,
                                           offset // self.SECTOR, 0xff))
        # The last byte of the reply is next to the request's header.
        self.chain(first, head, paddr, size)
        self.qtest.write(base + 0x404 + n % QUEUE_SIZE * 2,
                         struct.pack('<H', first))
        self.started = n + 1
        self.qtest.write(base + 0x402, struct.pack('<H', self.started))
        self.qtest.write(self.address[CAP_NOTIFY], struct.pack('<H', 0))

    def chain(self, first, head, paddr, size):
        """Header, data and status; the third descriptor is in a separate
        table, as the queue has two for each request."""
        table = self.memory + 0xe00 + first * 32
        self.qtest.write(table, struct.pack(
            '<QIHHQIHHQIHH', head, 16, DESC_NEXT, 1,
            paddr, size, DESC_NEXT | DESC_WRITE, 2,
            head + 16, 1, DESC_WRITE, 0))
        self.qtest.write(self.memory + first * 16, struct.pack(
            '<QIHH', table, 48, DESC_INDIRECT, 0))

    def done(self):
        return struct.unpack('<H', self.qtest.read(self.memory + 0x802, 2))[0]

    def wait(self):
        wait_until(lambda: self.done() == self.started, interval=0.001)
