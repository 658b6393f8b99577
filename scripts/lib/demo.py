# SPDX-License-Identifier: GPL-2.0-or-later
#
# The body of scripts/demo: boot, dump in every format, ask the readers.

import os
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(
    os.path.dirname(os.path.abspath(__file__)))), 'tests', 'functional'))
from guest import Guest  # noqa: E402

MEMORY = '512M'


def say(text):
    print('== ' + text, file=sys.stderr, flush=True)


def run(*argv, **kwargs):
    """(ok, output); a tool that is missing says so."""
    try:
        r = subprocess.run(argv, capture_output=True, text=True, **kwargs)
    except FileNotFoundError:
        return False, f'{argv[0]} is not installed'
    return r.returncode == 0, r.stdout + r.stderr


def progress(name, q):
    part = q['completed'] / q['total'] if q['total'] else 0
    bar = '#' * int(30 * part)
    sys.stderr.write(f'\r   {name:18} [{bar:30}] {100 * part:5.1f} %')
    sys.stderr.flush()


def dump(guest, path, **arguments):
    """Dump detached, watching the progress; returns seconds."""
    start = time.monotonic()
    guest.dump(path, detach=True, **arguments)
    while True:
        q = guest.qmp.cmd('query-dump')
        if sys.stderr.isatty() or q['status'] != 'active':
            progress(os.path.basename(path), q)
        if q['status'] != 'active':
            break
        time.sleep(0.02)
    seconds = time.monotonic() - start
    event = guest.qmp.wait_event('DUMP_COMPLETED')['data']
    sys.stderr.write(f'  {event["result"]["status"]}\n')
    if 'error' in event:
        sys.exit(f'error: {path}: {event["error"]}')
    return seconds


def ask_crash(path, guest, _):
    ok, out = run('crash', '--osrelease', path)
    return ok and out.strip() == guest.release()


def ask_makedumpfile(path, guest, folder):
    """The kernel's log, by page tables, phys_base and page data."""
    if 'snappy' in path or path.endswith('paging'):
        return None     # Debian's lacks snappy; paging is made for gdb
    with open(path, 'rb') as f:
        flat = f.read(12) == b'makedumpfile'
    plain = path
    if flat:
        plain = os.path.join(folder, 'rearranged')
        with open(path, 'rb') as f:
            if not run('makedumpfile', '-R', plain, stdin=f)[0]:
                return False
    log = os.path.join(folder, 'dmesg')
    ok, _ = run('makedumpfile', '--dump-dmesg', plain, log)
    if flat:
        os.unlink(plain)
    if not ok:
        return False
    with open(log, errors='replace') as f:
        ok = f'Linux version {guest.release()}' in f.read()
    os.unlink(log)
    return ok


def ask_gdb(path, guest, _):
    """A kernel string at its virtual address: dumps with paging only."""
    if not path.endswith('elf-paging'):
        return None
    ok, out = run('gdb', '-batch', '-nx', '-ex', f'core-file {path}', '-ex',
                  f'x/s {guest.linux_banner():#x}')
    return ok and f'Linux version {guest.release()}' in out


def ask_readelf(path, _, __):
    if 'elf' not in os.path.basename(path):
        return None
    ok, out = run('readelf', '-h', '-l', '-n', path)
    return ok and 'arning' not in out and 'VMCOREINFO' in out


READERS = [('crash', ask_crash), ('makedumpfile', ask_makedumpfile),
           ('gdb', ask_gdb), ('readelf', ask_readelf)]
ANSWERS = {True: 'ok', False: 'FAILED', None: '-'}


def table(rows):
    head = ['format', 'bytes', 'seconds', 'MiB/s'] + [r for r, _ in READERS]
    rows = [head] + rows
    widths = [max(len(r[i]) for r in rows) for i in range(len(head))]
    for row in rows:
        print('  '.join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w)
                        in enumerate(zip(row, widths))))


def memory_mib(guest):
    return guest.qmp.cmd('query-memory-size-summary')['base-memory'] >> 20


def dump_all(guest, folder):
    formats = guest.qmp.cmd('query-dump-guest-memory-capability')['formats']
    jobs = [(name, {'format': name}) for name in formats]
    jobs.insert(1, ('elf-paging', {'paging': True}))
    say(f'dumping {memory_mib(guest)} MiB in {len(jobs)} ways')
    return [(name, dump(guest, os.path.join(folder, name), **arguments))
            for name, arguments in jobs]


def ask_all(guest, folder, timed):
    say('asking the readers')
    rows, good = [], True
    for name, seconds in timed:
        path = os.path.join(folder, name)
        answers = [ask(path, guest, folder) for _, ask in READERS]
        good = good and False not in answers
        rows.append([name, f'{os.path.getsize(path):,}', f'{seconds:.2f}',
                     f'{memory_mib(guest) / seconds:.0f}'] +
                    [ANSWERS[a] for a in answers])
    return rows, good


def main():
    folder = tempfile.mkdtemp(prefix='guest-memory-dump-',
                              dir=os.environ.get('TMPDIR', '/var/tmp'))
    say('booting a Linux guest (TCG)')
    start = time.monotonic()
    with Guest(memory=MEMORY) as guest:
        say(f'Linux {guest.release()} is up after '
            f'{time.monotonic() - start:.0f} s')
        timed = dump_all(guest, folder)
        before = guest.ticks()
        rows, good = ask_all(guest, folder, timed)
        deadline = time.monotonic() + 30
        while guest.ticks() <= before and time.monotonic() < deadline:
            time.sleep(0.1)
        alive = guest.ticks() > before
    print()
    table(rows)
    print(f'\nThe guest {"went on running" if alive else "DIED"}. '
          f'The dumps are in {folder}')
    print('(gdb is asked about the dump with guest-virtual addresses; '
          'Debian\'s makedumpfile lacks snappy.)')
    if not good or not alive:
        sys.exit('error: not everything was as it should be')


if __name__ == '__main__':
    if not shutil.which('crash'):
        say('crash is not installed: its column will say FAILED')
    main()
