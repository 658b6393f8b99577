# SPDX-License-Identifier: GPL-2.0-or-later
"""Injected faults and their results, as listed in tests/functional/faults.rst.

The tests in test_faults.py add rows; the last of them compares the table with
it, or writes it if $DUMP_FAULT_TABLE=write.
"""

import os

from vm import REPO

PATH = os.path.join(REPO, 'tests/functional/faults.rst')
COLUMNS = ('fault', 'output', 'format', 'answer', 'guest', 'file')
HEAD = """\
.. SPDX-License-Identifier: GPL-2.0-or-later
.. Made by test_faults.py, which also compares it.

Injected faults and their results
=================================

"Meanwhile" is after 2 MB were written. System call errors that no file system
returns on demand are injected by ``lib/faults.c``, preloaded. In each case no
descriptor, thread or migration blocker remained, and the next dump worked.
``lib/soak.py MINUTES`` injects all these faults at random; ``scripts/check``
runs it for half a minute.

.. list-table::
   :header-rows: 1
   :widths: 20 9 10 31 9 21

"""

rows = {}


def record(*row):
    """Formats with otherwise equal rows share a row."""
    fault, output, name, *rest = row
    names = rows.setdefault((fault, output, *rest), [])
    if name not in names:
        names.append(name)


def line(cells):
    return ''.join(f'{"   * -" if i == 0 else "     -"} {cell}\n'
                   for i, cell in enumerate(cells))


def text():
    out = HEAD + line(COLUMNS)
    for (fault, output, *rest), names in rows.items():
        out += line((fault, output, ', '.join(names), *rest))
    return out
