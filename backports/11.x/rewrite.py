# SPDX-License-Identifier: GPL-2.0-or-later
#
# What QEMU 11.x writes differently in files that no macro can reach, as in
# backports/7.2/rewrite.py; see dump/monitor/hmp.h here. Not tested, as no
# source of it was at hand.

REWRITE = {
    'dump/dump-hmp-cmds.c': [
        # Monitors are objects, and commands of the human monitor get theirs.
        (r'(void hmp_\w+)\(Monitor \*mon, const QDict \*qdict\)\n\{\n',
         r'\1(MonitorHMP *hmp, const QDict *qdict)\n{\n'
         r'    Monitor *mon = MONITOR(hmp);\n'),
    ],
}
