# SPDX-License-Identifier: GPL-2.0-or-later
"""Access to registers of a guest's CPUs through QEMU's gdb stub."""

import re
import socket

from wait import HANGS

# Numbers in the order used by the stub of qemu-system-x86_64.
NAMES = ('rax rbx rcx rdx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 '
         'rip eflags cs ss ds es fs gs fs_base gs_base k_gs_base '
         'cr0 cr2 cr3 cr4 cr8 efer').split()
NUMBERS = {name: i for i, name in enumerate(NAMES)}
NUMBERS.update({f'st{i}': 33 + i for i in range(8)})
NUMBERS.update({f'xmm{i}': 49 + i for i in range(16)})
NUMBERS['mxcsr'] = 65
SIZES = {**{f'st{i}': 10 for i in range(8)},
         **{f'xmm{i}': 16 for i in range(16)}}


class GdbStub:
    """A client of '-gdb unix:PATH,server=on,wait=off'.

    The guest is stopped while the client is connected, until detach().
    """

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(HANGS)
        self.sock.connect(path)
        self.buf = b''
        self.cmd('?')
        # 7.2 reads single registers only for clients with this feature.
        self.cmd('qXfer:features:read:target.xml:0,ffb')

    def close(self):
        self.sock.close()

    def detach(self):
        self.cmd('D')
        self.close()

    def byte(self):
        if not self.buf:
            self.buf = self.sock.recv(65536)
            if not self.buf:
                raise ConnectionError('the gdb stub closed the connection')
        c, self.buf = self.buf[:1], self.buf[1:]
        return c

    def send(self, text):
        data = text.encode()
        self.sock.sendall(b'$%b#%02x' % (data, sum(data) & 0xff))

    def cmd(self, text):
        self.send(text)
        reply = self.reply()
        while reply.startswith('T') and text != '?':
            # 7.2 reports unasked that the guest has stopped.
            reply = self.reply()
        return reply

    def reply(self):
        while self.byte() != b'$':
            pass
        reply = b''
        while (c := self.byte()) != b'#':
            reply += c
        self.byte()
        self.byte()
        self.sock.sendall(b'+')
        return reply.decode()

    def select(self, cpu):
        assert self.cmd(f'Hg{cpu + 1:x}') == 'OK'

    def read(self, cpu, name):
        self.select(cpu)
        reply = bytes.fromhex(self.cmd(f'p{NUMBERS[name]:x}'))
        return int.from_bytes(reply[:SIZES.get(name, 8)], 'little')

    def write(self, cpu, name, value):
        self.select(cpu)
        size = SIZES.get(name, 8)
        reply = self.cmd(f'P{NUMBERS[name]:x}=' +
                         value.to_bytes(size, 'little').hex())
        assert reply == 'OK', reply


class TargetStub(GdbStub):
    """The same for any target: names, numbers and sizes of registers come from
    its description. order: 'little' or 'big'."""

    def __init__(self, path, order):
        super().__init__(path)
        self.order = order
        self.registers = self.describe()

    def document(self, name):
        text, more = '', True
        while more:
            reply = self.cmd(f'qXfer:features:read:{name}:{len(text):x},ffb')
            assert reply[:1] in ('m', 'l'), f'{name}: {reply}'
            text += re.sub('}(.)', lambda m: chr(ord(m[1]) ^ 0x20),
                           reply[1:], flags=re.S)
            more = reply[0] == 'm'
        return text

    def describe(self):
        """Name -> (number, bytes)."""
        registers, number = {}, 0
        target = self.document('target.xml')
        for part in [target] + [self.document(name) for name in
                                re.findall(r'<xi:include href="([^"]+)"',
                                           target)]:
            for text in re.findall(r'<reg\b[^>]*>', part):
                reg = dict(re.findall(r'([\w-]+)="([^"]*)"', text))
                number = int(reg.get('regnum', number))
                registers.setdefault(reg['name'],
                                     (number, int(reg['bitsize']) // 8))
                number += 1
        return registers

    def read(self, cpu, name):
        self.select(cpu)
        reply = self.cmd(f'p{self.registers[name][0]:x}')
        return int.from_bytes(bytes.fromhex(reply), self.order)

    def write(self, cpu, name, value):
        self.select(cpu)
        number, size = self.registers[name]
        data = value.to_bytes(size, self.order)
        reply = self.cmd(f'P{number:x}={data.hex()}')
        assert reply == 'OK', f'{name}: {reply}'
