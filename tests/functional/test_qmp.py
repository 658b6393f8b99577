# SPDX-License-Identifier: GPL-2.0-or-later
"""The QMP client of these tests."""

import json
import socket
import threading

from qmp import QMP

EVENT = {'event': 'RESUME', 'timestamp': {}}
GREETING = {'QMP': {'version': {}, 'capabilities': []}}


def test_event_before_greeting(tmp_path):
    """QEMU may send one if it starts its guest while a client connects."""
    path = str(tmp_path / 'qmp')
    asked = []

    def serve(server):
        with server.accept()[0] as client:
            def send(message):
                client.sendall(json.dumps(message).encode() + b'\n')

            send(EVENT)
            send(GREETING)
            for _ in range(2):
                asked.append(json.loads(client.recv(4096))['execute'])
                send(EVENT)
                send({'return': {'answer': len(asked)}})

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        thread = threading.Thread(target=serve, args=(server,))
        thread.start()
        qmp = QMP(path)
        assert qmp.cmd('query-status') == {'answer': 2}
        thread.join()
    assert asked == ['qmp_capabilities', 'query-status']
    assert qmp.events == [EVENT, EVENT]         # those that followed it
    qmp.close()
