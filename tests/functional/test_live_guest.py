# SPDX-License-Identifier: GPL-2.0-or-later
"""Live dumps of a busy Linux guest, opened by the common tools.

$DUMP_LIVE_ROUNDS: number of dumps (2). $DUMP_VMLINUX: the guest's kernel with
debug information (from Debian's package linux-image-VERSION-dbg), which most
commands of crash need.
"""

import os
import re
import subprocess

import pytest

from guest import Guest, image
from live import Before, Held, live
from readers import kept, rearranged, run
from test_guest import DRGN
from vmcore import open_dump
from wait import wait_until

pytestmark = pytest.mark.guest

ROUNDS = int(os.environ.get('DUMP_LIVE_ROUNDS', 2))
VMLINUX = os.environ.get('DUMP_VMLINUX')
FORMATS = ['elf', 'kdump-raw-zlib', 'kdump-lzo', 'kdump-raw-lzo']

# Runs before the image's own init: starts and ends tasks, and writes to the
# page cache and anonymous memory.
LOAD = '''#!/bin/busybox sh
b=/bin/busybox
$b mkdir -p /tmp
$b mount -t tmpfs tmp /tmp
while :; do $b dd if=/dev/zero bs=64k count=300 | $b tr '\\0' x; done \\
    > /dev/null 2>&1 &
n=0
while :; do
    n=$(((n + 1) % 4))
    $b dd if=/dev/urandom of=/tmp/$n bs=64k count=64
    $b md5sum /tmp/*
done > /dev/null 2>&1 &
while :; do $b true; done > /dev/null 2>&1 &
exec $b sh /init
'''


@pytest.fixture(scope='module')
def guest(tmp_path_factory):
    folder = tmp_path_factory.mktemp('load')
    (folder / 'load').write_text(LOAD)
    os.chmod(folder / 'load', 0o755)
    archive = subprocess.run(['cpio', '-o', '-H', 'newc', '--quiet'],
                             input=b'load\n', cwd=folder, check=True,
                             capture_output=True).stdout
    _, initrd = image()
    both = folder / 'initrd'
    with open(initrd, 'rb') as f:
        both.write_bytes(f.read() + bytes(-os.path.getsize(initrd) % 4) +
                         archive)
    with Guest('-initrd', str(both), append='rdinit=/load',
               memory='256M') as g:
        yield g


def crash(path):
    """Typical commands: is everything present, and plausible?"""
    r = subprocess.run(
        ['crash', '-s', '--no_panic', VMLINUX, path], capture_output=True,
        text=True, input='ps\nbt -a\nlog\nrunq\nkmem -i\nquit\n')
    text = r.stdout + r.stderr
    assert r.returncode == 0, text
    # crash's own messages, without the kernel's log.
    said = re.sub(r'(?m)^\[ *\d+\.\d+\] .*$', '', text)
    # On an interrupt stack crash may mistake other words for an exception
    # frame, and reports it as possibly bogus.
    said = said.replace('[exception RIP: unknown or invalid address]', '')
    for bad in ('invalid', 'cannot', 'seek error', 'read error', 'corrupt'):
        assert bad not in said, text
    assert re.search(r'\bbusybox\b|\bload\b|\bdd\b', text)
    assert text.count('PID:') >= 2 and 'Linux version' in text


def opened(guest, path, tmp_path):
    dump = open_dump(path)
    assert dump.vmcoreinfo['OSRELEASE'] == guest.release()
    plain = rearranged(path, tmp_path)
    assert run('crash', '--osrelease', path).strip() == guest.release()
    dmesg = str(tmp_path / 'dmesg')
    run('makedumpfile', '-f', '--dump-dmesg', plain, dmesg)
    with open(dmesg) as f:
        text = f.read()
    assert f'Linux version {guest.release()}' in text
    assert 'Run /load as init process' in text
    # This walks all of the kernel's memory lists.
    assert len(kept(plain, 31, tmp_path)) > 1000
    run('/usr/bin/python3', '-c', DRGN.replace(
        'sys.stdout.buffer.write', 'len'), plain, str(1 << 21))
    if VMLINUX:
        crash(path)


@pytest.mark.parametrize('turn', range(ROUNDS))
def test_guest_under_load(guest, tmp_path, turn):
    name = FORMATS[turn % len(FORMATS)]
    path = str(tmp_path / 'dump')
    before = Before(guest)
    if 'raw' in name:
        guest.dump(path, format=name, live='on', detach=True)
        event = guest.qmp.wait_event('DUMP_COMPLETED')['data']
    else:
        dump = Held(guest, format=name)
        wait_until(lambda: live(guest)['saved'] >= 500, lambda: live(guest))
        event = dump.finish(path)
    result = event['result']
    assert result['status'] == 'completed'
    assert not result['live']['stopped-again']
    opened(guest, path, tmp_path)
    before.nothing_left()


def test_guest_goes_on(guest):
    guest.check_runs()
    assert 'BUG' not in guest.console() and 'stall' not in guest.console()


def test_paging(guest, tmp_path):
    """gdb finds the kernel at its virtual address."""
    path = str(tmp_path / 'paging')
    guest.qmp.cmd('dump-guest-memory', paging=True, live='on', detach=True,
                  protocol='file:' + path)
    event = guest.qmp.wait_event('DUMP_COMPLETED')['data']
    assert event['result']['status'] == 'completed'
    out = run('gdb', '-batch', '-nx', '-ex', f'core-file {path}', '-ex',
              f'x/s {guest.linux_banner():#x}')
    assert f'Linux version {guest.release()}' in out
