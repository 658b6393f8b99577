/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * QEMU 11.x has separate functions for the human monitor, and its
 * monitor_suspend() no longer reports whether the monitor can be suspended:
 * one without readline, as that of human-monitor-command, cannot. Not tested.
 */

#ifndef BACKPORT_MONITOR_HMP_H
#define BACKPORT_MONITOR_HMP_H

#include "monitor/hmp.h"
#include "monitor/monitor-internal.h"

static inline int backport_suspend(Monitor *mon)
{
    if (!MONITOR_HMP(mon)->use_readline) {
        return -ENOTTY;
    }
    monitor_suspend(mon);
    return 0;
}

#define monitor_suspend backport_suspend
#define monitor_printf(mon, ...) \
    monitor_hmp_printf(MONITOR_HMP(mon), __VA_ARGS__)
#define hmp_handle_error(mon, err) hmp_handle_error(MONITOR_HMP(mon), err)

#endif
