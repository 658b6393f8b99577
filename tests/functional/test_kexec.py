# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest that has started another kernel by kexec: the vmcoreinfo device
still has the note of the first one."""

import os

import pytest

from kexec import KexecGuest
from readers import run
from test_vmcoreinfo_search import source, text_of
from vmcore import open_dump

pytestmark = [pytest.mark.guest, pytest.mark.once]

MiB = 1 << 20


def places(answer):
    """Physical address and size of the kernel's note and utsname."""
    info = dict(line.split('=', 1) for line in answer['text'].split())
    uts = int(info['SYMBOL(init_uts_ns)'], 16) - 0xffffffff80000000 + \
        int(info['NUMBER(phys_base)'])
    return (answer['address'], answer['size']), (uts, 6 * 65)


def keep(answer):
    """Arguments that keep the second kernel from overwriting them."""
    return ' '.join(f'memmap=64K${at & ~0xffff:#x}'
                    for at, _ in places(answer))


def contents(path, answer):
    return [open_dump(path).read(*place) for place in places(answer)]


def log_of(path, tmp_path):
    out = str(tmp_path / 'dmesg')
    if os.path.exists(out):
        os.unlink(out)
    run('makedumpfile', '--dump-dmesg', path, out)
    with open(out, errors='replace') as f:
        return f.read()


def large(memory):
    return pytest.param('pc', memory, False, marks=pytest.mark.skipif(
        not os.environ.get('CHECK_ALL_TARGETS'),
        reason='takes a long time; set CHECK_ALL_TARGETS'))


@pytest.mark.parametrize('machine,memory,kept', [
    ('pc', '512M', True), large('1G'), large('2G'), large('4G'),
    # Also memory above 4 GiB.
    ('pc,max-ram-below-4g=1G', '1536M', False)])
def test_kexec(tmp_path, machine, memory, kept):
    """Whether the first kernel is still in memory or not: it does not run."""
    path = str(tmp_path / 'dump')
    # The loader and the decompressor of the second kernel do not know which
    # memory to keep, and use its end. The first kernel must not be there.
    with KexecGuest(str(tmp_path), machine=machine, memory=memory,
                    append='nokaslr' if kept else '') as guest:
        before = guest.qmp.cmd('query-vmcoreinfo')
        assert before['source'] == 'device'
        guest.dump(path, format='kdump-raw-lzo')
        assert source(guest) == 'device'
        assert ' second ' not in log_of(path, tmp_path)
        old = contents(path, before)

        guest.kexec('module_blacklist=qemu_fw_cfg ' +
                    (keep(before) if kept else ''))
        after = guest.qmp.cmd('query-vmcoreinfo')
        assert after['source'] == 'search'
        assert after['text'] != before['text']
        guest.dump(path, format='kdump-raw-lzo')
        assert source(guest) == 'search'
        dump = open_dump(path)
        assert text_of(dump).decode() == after['text']
        assert dump.phys_base == int(dump.vmcoreinfo['NUMBER(phys_base)'])
        assert dump.release == guest.release()
        assert run('crash', '--osrelease', path).strip() == guest.release()
        assert ' second ' in log_of(path, tmp_path)
        warnings = guest.qmp.cmd('query-dump').get('warnings', [])
        if kept and contents(path, before) != old:
            pytest.skip("the loader has overwritten the first kernel's note")
        if kept:
            assert len(warnings) == 1
            assert 'no CPU runs its kernel' in warnings[0]
            assert after['warnings'] == warnings
        # The device has the old kernel's note, or an incomplete one.
        guest.dump(path, vmcoreinfo='device')
        texts = [n[2] for n in open_dump(path).notes if n[0] == 'VMCOREINFO']
        assert after['text'].encode() not in texts
        assert not kept or texts == [before['text'].encode()]
