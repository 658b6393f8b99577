# SPDX-License-Identifier: GPL-2.0-or-later
#
# The body of scripts/demo: boot, dump in every format, run the readers.

import os
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(
    os.path.dirname(os.path.abspath(__file__)), '..', '..', 'tests',
    'functional', 'lib'))
from common import catch_signals, say  # noqa: E402
from guest import Guest  # noqa: E402
from qmp import QMPError  # noqa: E402

MEMORY = '512M'


def run(*argv, **kwargs):
    """(ok, output); a missing tool is reported in the output."""
    try:
        r = subprocess.run(argv, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True,
                           errors='replace', **kwargs)
    except FileNotFoundError:
        return False, f'{argv[0]} is not installed'
    return r.returncode == 0, r.stdout


def progress(name, q):
    part = q['completed'] / q['total'] if q['total'] else 0
    bar = '#' * int(30 * part)
    sys.stderr.write(f'\r   {name:19} [{bar:30}] {100 * part:5.1f} %')
    sys.stderr.flush()


def stood_still(events):
    """Stop time: milliseconds between STOP and RESUME, by the events' timestamps."""
    when = {e['event']: e['timestamp']['seconds'] * 1000 +
            e['timestamp']['microseconds'] / 1000 for e in events}
    return when['RESUME'] - when['STOP']


def dump(guest, path, **arguments):
    """Dump detached, showing the progress; returns seconds, and the
    milliseconds for which the guest was stopped."""
    guest.qmp.event_names()
    start = time.monotonic()
    arguments.setdefault('protocol', f'file:{path}')
    arguments.setdefault('paging', False)
    guest.qmp.cmd('dump-guest-memory', detach=True, **arguments)
    while True:
        q = guest.qmp.cmd('query-dump')
        if sys.stderr.isatty() or q['status'] != 'active':
            progress(os.path.basename(path), q)
        if q['status'] != 'active':
            break
        time.sleep(0.02)
    seconds = time.monotonic() - start
    events = guest.qmp.events_to('DUMP_COMPLETED')
    event = events[-1]['data']
    sys.stderr.write(f'  {event["result"]["status"]}\n')
    if 'error' in event:
        sys.exit(f'error: {path}: {event["error"]}')
    return seconds, stood_still(events)


def dump_to_node(guest, path, **arguments):
    """Like dump(), but to a block node, here of a file."""
    with open(path, 'wb'):
        pass
    guest.qmp.cmd('blockdev-add', driver='file', filename=path,
                  node_name='dump-out')
    figures = dump(guest, path, protocol='node:dump-out', **arguments)
    guest.qmp.cmd('blockdev-del', node_name='dump-out')
    return figures


# Each reader returns None if it does not support this file, else whether it
# found what it should, and an extract of its output.

def ask_crash(path, guest, _):
    ok, out = run('crash', '--osrelease', path)
    return ok and out.strip() == guest.release(), out


def dmesg(path, guest, folder):
    log = os.path.join(folder, 'dmesg')
    ok, out = run('makedumpfile', '--dump-dmesg', path, log)
    if not ok:
        # "Try `make USEZSTD=on` when building"
        return None if 'when building' in out else (False, out)
    with open(log, errors='replace') as f:
        ok = f'Linux version {guest.release()}' in f.read()
    os.unlink(log)
    return ok, out


def ask_makedumpfile(path, guest, folder):
    """The kernel's log, read using page tables, phys_base and page data."""
    if path.endswith('elf-paging'):
        return None
    with open(path, 'rb') as f:
        if f.read(12) != b'makedumpfile':
            return dmesg(path, guest, folder)
    plain = os.path.join(folder, 'rearranged')
    with open(path, 'rb') as f:
        ok, out = run('makedumpfile', '-R', plain, stdin=f)
    if not ok:
        return False, out
    answer = dmesg(plain, guest, folder)
    os.unlink(plain)
    return answer


def ask_gdb(path, guest, _):
    """A kernel string at its virtual address; only dumps with paging."""
    if not path.endswith('elf-paging'):
        return None
    ok, out = run('gdb', '-batch', '-nx', '-ex', f'core-file {path}', '-ex',
                  f'x/s {guest.linux_banner():#x}')
    return ok and f'Linux version {guest.release()}' in out, out


def ask_readelf(path, _, __):
    if 'elf' not in os.path.basename(path):
        return None
    ok, out = run('readelf', '-h', '-l', '-n', path)
    return ok and 'arning' not in out and 'VMCOREINFO' in out, out


READERS = [('crash', ask_crash), ('makedumpfile', ask_makedumpfile),
           ('gdb', ask_gdb), ('readelf', ask_readelf)]


def verdict(answer):
    if answer is None:
        return '-'
    return 'ok' if answer[0] else 'FAILED'


def last_words(out, lines=8):
    return '\n'.join('    ' + line for line in out.splitlines()[-lines:])


def table(rows):
    head = ['dump', 'bytes', 'seconds', 'stopped ms'] + [r for r, _ in READERS]
    rows = [head] + rows
    widths = [max(len(r[i]) for r in rows) for i in range(len(head))]
    for row in rows:
        print('  '.join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w)
                        in enumerate(zip(row, widths))))


def memory_mib(guest):
    return guest.qmp.cmd('query-memory-size-summary')['base-memory'] >> 20


# In addition to one dump of each format.
WAYS = [
    ('elf-paging', {'paging': True}),
    ('elf-live', {'live': 'on'}),
    ('kdump-raw-lzo-live', {'format': 'kdump-raw-lzo', 'live': 'on'}),
    ('kdump-zlib-few', {'format': 'kdump-zlib', 'live': 'on', 'exclude':
                        ['zero', 'cache-private', 'user', 'free']}),
]


def dump_all(guest, folder):
    formats = guest.qmp.cmd('query-dump-guest-memory-capability')['formats']
    jobs = [(name, {'format': name}) for name in formats] + WAYS
    say(f'dumping {memory_mib(guest)} MiB, {len(jobs) + 1} dumps')
    timed = []
    for name, arguments in jobs:
        try:
            timed.append((name, *dump(guest, os.path.join(folder, name),
                                      **arguments)))
        except QMPError as e:
            if 'live' not in arguments:
                raise
            say(f'{name} skipped: {e}')
    name = 'kdump-raw-zlib-node'
    timed.append((name, *dump_to_node(guest, os.path.join(folder, name),
                                      format='kdump-raw-zlib')))
    return timed


def ask_all(guest, folder, timed):
    """Rows of the table, and the output of readers that failed."""
    say('running the readers')
    rows, failures = [], []
    for name, seconds, still in timed:
        path = os.path.join(folder, name)
        answers = []
        for reader, ask in READERS:
            answer = ask(path, guest, folder)
            answers.append(verdict(answer))
            if answers[-1] == 'FAILED':
                failures.append(f'output of {reader} for {name}:\n' +
                                last_words(answer[1]))
        rows.append([name, f'{os.path.getsize(path):,}', f'{seconds:.2f}',
                     f'{still:.1f}'] + answers)
    return rows, failures


def goes_on(guest):
    """True if the guest still counts seconds, that is, runs."""
    before = guest.ticks()
    deadline = time.monotonic() + 30
    while guest.ticks() <= before:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def fresh_folder():
    """A folder for the dumps; those of the last run are removed."""
    folder = os.path.join(os.environ.get('XDG_CACHE_HOME') or
                          os.path.expanduser('~/.cache'),
                          'qemu-guest-memory-dump', 'demo')
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    return folder


def main():
    folder = fresh_folder()
    say('booting a Linux guest (TCG)')
    start = time.monotonic()
    with Guest(memory=MEMORY) as guest:
        say(f'Linux {guest.release()} booted in '
            f'{time.monotonic() - start:.0f} s')
        timed = dump_all(guest, folder)
        alive = goes_on(guest)
        rows, failures = ask_all(guest, folder, timed)
    print()
    table(rows)
    print(f"""
The guest {"is still running" if alive else "STOPPED RUNNING"} after the dumps.
The dumps are in {folder}; the next run removes them.
stopped ms: time for which the guest was stopped; -live: live dump; -few:
without zero, free, page cache and user pages; -node: written to a block node.
crash: --osrelease; makedumpfile: --dump-dmesg, for flattened files after -R
("-" if it was built without the codec); gdb: a kernel string at its virtual
address (elf-paging only).""")
    if failures:
        sys.exit('\n'.join(['error: some readers failed'] + failures))
    if not alive:
        sys.exit('error: the guest is not running any more')


if __name__ == '__main__':
    catch_signals()
    try:
        main()
    except (OSError, RuntimeError, QMPError) as e:
        sys.exit(f'error: {e}')
    except KeyboardInterrupt:
        sys.exit('\nerror: interrupted')
