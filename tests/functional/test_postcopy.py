# SPDX-License-Identifier: GPL-2.0-or-later
"""The destination of a postcopy migration lacks pages that a dump would wait
for: the dump is refused, and works when all pages have arrived."""

import os

import pytest

import ram
from qmp import QMPError
from vm import VM
from vmcore import open_dump
from wait import wait_until

SIZE = 64 << 20


class Pair:
    """A source and a destination; the guest runs at the latter, and the
    remaining pages are sent at 64 KiB/s."""

    def __init__(self, folder):
        self.memory = os.path.join(folder, 'memory')
        uri = f'unix:{folder}/migration'
        ram.fill(self.memory, SIZE)
        self.source = VM(*ram.backend(self.memory, SIZE))
        self.destination = VM(
            '-machine', 'pc,memory-backend=ram', '-m', f'{SIZE >> 20}M',
            '-object', f'memory-backend-ram,id=ram,size={SIZE}', '-S',
            '-incoming', uri)
        for vm in self.source, self.destination:
            vm.qmp.cmd('migrate-set-capabilities', capabilities=[
                {'capability': 'postcopy-ram', 'state': True}])
        self.limit(65536)
        self.source.qmp.cmd('migrate', uri=uri)
        self.source.wait_migration('active')
        self.source.qmp.cmd('migrate-start-postcopy')
        self.source.wait_migration('postcopy-active')
        wait_until(lambda: self.destination.status() != 'inmigrate')

    def limit(self, rate):
        self.source.qmp.cmd('migrate-set-parameters', **{
            'max-bandwidth': rate, 'max-postcopy-bandwidth': rate})

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        for vm in self.source, self.destination:
            vm.__exit__(*exc)


@pytest.fixture
def pair(tmp_path):
    if os.geteuid():
        pytest.skip('postcopy requires root')
    with Pair(str(tmp_path)) as found:
        yield found


def check_refused(vm, path, **arguments):
    before = vm.status(), vm.qmp.cmd('query-migrate')['status']
    with pytest.raises(QMPError) as e:
        vm.dump(path, **arguments)
    assert 'postcopy' in str(e.value)
    assert not os.path.exists(path)
    assert vm.qmp.cmd('query-dump')['status'] == 'none'
    assert before == (vm.status(), vm.qmp.cmd('query-migrate')['status'])


def test_refused_until_all_pages_have_come(pair, out):
    vm = pair.destination
    check_refused(vm, out, detach=True)
    check_refused(vm, out, format='kdump-zlib')
    pair.limit(0)
    pair.source.wait_migration('completed')
    vm.wait_migration('completed')
    vm.dump(out)
    with open(pair.memory, 'rb') as f:
        # Above the memory that the firmware may have written.
        f.seek(1 << 20)
        assert open_dump(out).read(1 << 20, 8 << 20) == f.read(8 << 20)


def test_refused_without_source(pair, out):
    """The pages could not be sent, and a waiting dump could not be
    cancelled."""
    vm = pair.destination
    pair.source.close()
    vm.wait_migration('postcopy-paused')
    check_refused(vm, out, detach=True)
