# SPDX-License-Identifier: GPL-2.0-or-later
"""A small synchronous QMP client for unix sockets."""

import array
import json
import socket
import time

from wait import HANGS


class QMPError(Exception):
    """An error reply; str() is its text."""


class QMP:
    """One monitor connection.

    Events that arrive while waiting for something else are kept in order and
    returned by wait_event and in .events.
    """

    def __init__(self, path, oob=False):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(path)
        self.sock.settimeout(HANGS)
        self.buf = b''
        self.events = []
        # A monitor that is being opened may send an event before its greeting.
        # The test does not expect events yet: drop it.
        while 'event' in (greeting := self._read()):
            pass
        assert 'QMP' in greeting
        self.cmd('qmp_capabilities', **({'enable': ['oob']} if oob else {}))

    def close(self):
        self.sock.close()

    def _read(self):
        while b'\n' not in self.buf:
            data = self.sock.recv(65536)
            if not data:
                raise ConnectionError('QEMU closed the monitor')
            self.buf += data
        line, self.buf = self.buf.split(b'\n', 1)
        return json.loads(line)

    def send(self, execute, fds=(), out_of_band=False, **arguments):
        """Send a command and do not wait for the reply."""
        msg = {'exec-oob' if out_of_band else 'execute': execute}
        if arguments:
            msg['arguments'] = {k.replace('_', '-'): v
                                for k, v in arguments.items()}
        ancillary = []
        if fds:
            ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                          array.array('i', fds))]
        self.sock.sendmsg([json.dumps(msg).encode() + b'\n'], ancillary)

    def reply(self):
        while True:
            msg = self._read()
            if 'event' in msg:
                self.events.append(msg)
            elif 'error' in msg:
                raise QMPError(msg['error']['desc'])
            else:
                return msg['return']

    def cmd(self, execute, fds=(), **arguments):
        self.send(execute, fds, **arguments)
        return self.reply()

    def hmp(self, line):
        return self.cmd('human-monitor-command', command_line=line)

    def getfd(self, name, fd):
        return self.cmd('getfd', [fd], fdname=name)

    def wait_event(self, name, timeout=HANGS):
        """Wait for the next event of that name; earlier others are dropped."""
        return self.events_to(name, timeout)[-1]

    def events_to(self, name, timeout=HANGS):
        """All events up to the next of that name."""
        deadline = time.monotonic() + timeout
        seen = []
        while True:
            while self.events:
                seen.append(self.events.pop(0))
                if seen[-1]['event'] == name:
                    return seen
            self.sock.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                msg = self._read()
            finally:
                self.sock.settimeout(HANGS)
            if 'event' not in msg:
                raise AssertionError(f'unexpected {msg}')
            self.events.append(msg)

    def event_names(self):
        """Names of the events received so far; they are consumed."""
        # All earlier events have been received when the reply arrives.
        self.cmd('query-status')
        names = [e['event'] for e in self.events]
        self.events = []
        return names
