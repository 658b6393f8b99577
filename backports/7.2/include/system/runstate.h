/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * QEMU 7.2 has this header under another name, and does not record that a
 * guest was suspended when it was stopped.
 */

#ifndef BACKPORT_SYSTEM_RUNSTATE_H
#define BACKPORT_SYSTEM_RUNSTATE_H

#include "qapi/qapi-events-run-state.h"
#include "sysemu/cpu-timers.h"
#include "sysemu/runstate.h"

/* Static, as only one file uses it: dump/guest-pause.c. */
static inline bool *backport_suspended(void)
{
    static bool suspended;

    return &suspended;
}

static inline void vm_set_suspended(bool suspended)
{
    *backport_suspended() = suspended;
}

static inline bool vm_get_suspended(void)
{
    return *backport_suspended();
}

static inline void backport_vm_start(void)
{
    if (!vm_get_suspended()) {
        vm_start();
        return;
    }
    qapi_event_send_resume();
    cpu_enable_ticks();
    runstate_set(RUN_STATE_RUNNING);
    vm_state_notify(true, RUN_STATE_RUNNING);
    runstate_set(RUN_STATE_SUSPENDED);
    vm_set_suspended(false);
}

#define vm_start backport_vm_start

#endif
