# SPDX-License-Identifier: GPL-2.0-or-later
"""Act for a guest: port I/O and memory over QEMU's qtest protocol."""

import base64
import socket
import struct

from wait import HANGS

# The selector, data and DMA ports of fw_cfg on a PC.
FW_CFG_DMA = 0x514
FW_CFG_FILE_DIR = 0x19
DMA_READ, DMA_SELECT, DMA_WRITE = 0x02, 0x08, 0x10

VMCOREINFO_FORMAT_ELF = 1


def note(text, name=b'VMCOREINFO\0', namesz=None, descsz=None, kind=0,
         order='<'):
    """An ELF note of a guest; with other sizes it is inconsistent."""
    if isinstance(text, str):
        text = text.encode()
    return struct.pack(order + 'III', len(name) if namesz is None else namesz,
                       len(text) if descsz is None else descsz, kind) + \
        name + bytes(-len(name) % 4) + text + bytes(-len(text) % 4)


class QTest:
    """A client of '-qtest unix:PATH,server=on,wait=off'."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(HANGS)
        self.sock.connect(path)
        self.lines = self.sock.makefile('r', encoding='ascii')

    def close(self):
        self.lines.close()
        self.sock.close()

    def cmd(self, line):
        self.sock.sendall(line.encode() + b'\n')
        reply = self.lines.readline().rstrip('\n')
        if not reply.startswith('OK'):
            raise RuntimeError(f'{line[:60]}: {reply!r}')
        return reply[2:].strip()

    def outl(self, port, value):
        self.cmd(f'outl {port:#x} {value:#x}')

    def inl(self, port):
        return int(self.cmd(f'inl {port:#x}'), 0)

    def write(self, paddr, data):
        text = base64.b64encode(data).decode()
        self.cmd(f'b64write {paddr:#x} {len(data):#x} {text}')

    def read(self, paddr, size):
        return base64.b64decode(self.cmd(f'b64read {paddr:#x} {size:#x}'))

    # -- PCI ---------------------------------------------------------------

    def pci_write(self, slot, register, value):
        """Write configuration space of a device on the first bus."""
        self.outl(0xcf8, 1 << 31 | slot << 11 | register)
        self.outl(0xcfc, value)

    def pci_read(self, slot, register):
        self.outl(0xcf8, 1 << 31 | slot << 11 | register)
        return self.inl(0xcfc)


class FwCfg:
    """The driver side of fw_cfg; uses a page of guest memory.

    dma: guest-physical address of the DMA register, None for the port
    """

    def __init__(self, qtest, scratch=0x8000, dma=None):
        self.qtest = qtest
        self.scratch = scratch
        self.dma_register = dma

    def start(self):
        """Write the address of the control block in big-endian, which starts
        the transfer."""
        if self.dma_register is not None:
            self.qtest.write(self.dma_register,
                             struct.pack('>Q', self.scratch))
            return
        self.qtest.outl(FW_CFG_DMA, 0)
        self.qtest.outl(FW_CFG_DMA + 4, int.from_bytes(
            struct.pack('>I', self.scratch), 'little'))

    def dma(self, control, size):
        """One transfer from or to the data after the control block."""
        q = self.qtest
        q.write(self.scratch, struct.pack('>IIQ', control, size,
                                          self.scratch + 16))
        self.start()
        left, = struct.unpack('>I', q.read(self.scratch, 4))
        if left:
            raise RuntimeError(f'fw_cfg DMA ended with {left:#x}')

    def read(self, select, size):
        self.dma(select << 16 | DMA_SELECT | DMA_READ, size)
        return self.qtest.read(self.scratch + 16, size)

    def write(self, select, data):
        self.qtest.write(self.scratch + 16, data)
        self.dma(select << 16 | DMA_SELECT | DMA_WRITE, len(data))

    def find(self, name):
        count, = struct.unpack('>I', self.read(FW_CFG_FILE_DIR, 4))
        raw = self.read(FW_CFG_FILE_DIR, 4 + 64 * count)
        for size, select, _, entry in struct.iter_unpack('>IHH56s', raw[4:]):
            if entry.split(b'\0')[0].decode() == name:
                return select, size
        raise KeyError(name)

    def publish_note(self, paddr, size, kind=VMCOREINFO_FORMAT_ELF):
        """Pass the address of the guest's note to QEMU's vmcoreinfo device."""
        select, _ = self.find('etc/vmcoreinfo')
        self.write(select, struct.pack('<HHIQ', 1, kind, size, paddr))
