/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * QEMU after 11.1 has separate functions for the human monitor. Not tested.
 */

#ifndef BACKPORT_MONITOR_HMP_H
#define BACKPORT_MONITOR_HMP_H

#include "monitor/hmp.h"
#include "monitor/monitor-internal.h"

#define monitor_printf(mon, ...) \
    monitor_hmp_printf(MONITOR_HMP(mon), __VA_ARGS__)
#define hmp_handle_error(mon, err) hmp_handle_error(MONITOR_HMP(mon), err)

#endif
