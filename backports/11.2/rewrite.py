# SPDX-License-Identifier: GPL-2.0-or-later
#
# Replacements for QEMU after 11.1 that macros cannot make, as in
# backports/7.2/rewrite.py; see also dump/monitor/hmp.h. Not tested, as its
# source was not available.

REWRITE = {
    'dump/dump-hmp-cmds.c': [
        # Commands of the human monitor are passed a MonitorHMP.
        (r'(void hmp_\w+)\(Monitor \*mon, const QDict \*qdict\)\n\{\n',
         r'\1(MonitorHMP *hmp, const QDict *qdict)\n{\n'
         r'    Monitor *mon = MONITOR(hmp);\n'),
    ],
}
