# SPDX-License-Identifier: GPL-2.0-or-later
#
# Replacements for QEMU 11.1 and later, as in backports/7.2/rewrite.py.

REWRITE = {}


def _replace(pattern, replacement, *paths):
    for path in paths:
        REWRITE.setdefault(path, []).append((pattern, replacement))


# Headers that have moved.
_replace('"block/aio.h"', '"qemu/aio.h"',
         'dump/block-queue.c', 'dump/dump-live.c', 'dump/dump-qmp.c',
         'dump/dump.c', 'dump/guest-pause.c', 'dump/job-view.c',
         'dump/vmcoreinfo-query.c')
_replace('"block/aio-wait.h"', '"qemu/aio-wait.h"', 'dump/dump.c')
_replace('"hw/boards.h"', '"hw/core/boards.h"',
         'dump/guest-live.c', 'dump/guest-memory.c')
_replace('"hw/qdev-core.h"', '"hw/core/qdev.h"', 'dump/live-check.c')

# All hosts have 64 bits.
_replace('aligned_uint64_t', 'uint64_t',
         'dump/vmcore/page-store.h', 'dump/vmcore/progress.h',
         'dump/vmcore/rate.h')
_replace(r'qatomic_(read|set)_u64', r'qatomic_\1',
         'dump/vmcore/page-store.c', 'dump/vmcore/progress.c',
         'dump/vmcore/rate.c')

# monitor_suspend() does not check whether the monitor can be suspended.
_replace(r'    return monitor_suspend\(mon\) == 0;\n',
         '    if (!MONITOR_HMP(mon)->rs) {\n'
         '        return false;\n'
         '    }\n'
         '    monitor_suspend(mon);\n'
         '    return true;\n', 'dump/dump-hmp-cmds.c')
_replace(r'= hmp_cmds;', '= hmp_cmds_for_target(false);',
         'dump/dump-hmp-cmds.c')

# Listeners get constant sections, and are always notified of each part.
_replace('( +)MemoryRegionSection \\*section\\)',
         r'\1const MemoryRegionSection *section)', 'dump/guest-discard.c')
_replace(r'watch_discard, true\)', 'watch_discard)', 'dump/guest-discard.c')

# Whether this guest is the secondary one of COLO.
_replace('migration_incoming_colo_enabled', 'migration_incoming_in_colo_state',
         'dump/live-check.c')
