/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The guest's run state around a dump.
 *
 * A stopped guest is in the state save-vm, as during a snapshot, and QEMU
 * knows no way from there to prelaunch or shutdown: a reset would end QEMU,
 * a shutdown be forgotten. Both are seen here, and seen to.
 */

#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "system/reset.h"
#include "system/runstate.h"
#include "system/runstate-action.h"
#include "guest-pause.h"
#include "trace.h"

static void guest_pause_any_reset(void *opaque)
{
    GuestPause *pause = opaque;

    pause->resets++;
}

bool guest_pause_replaced(const GuestPause *pause)
{
    return pause->resets > pause->system_resets;
}

/*
 * From paused, where QEMU is going to look next, it gets on to prelaunch.
 * No CPU runs: they are started by vm_start only.
 */
static void guest_pause_reset(void *opaque)
{
    GuestPause *pause = opaque;

    pause->system_resets++;
    warn_report("the guest is reset while its memory is being dumped: "
                "firmware in the dump may be newer than the rest");
    if (pause->resume && runstate_check(RUN_STATE_SAVE_VM)) {
        pause->was_reset = true;
        runstate_set(RUN_STATE_RUNNING);
        runstate_set(RUN_STATE_PAUSED);
    }
}

static void guest_pause_shutdown(Notifier *notifier, void *data)
{
    GuestPause *pause = container_of(notifier, GuestPause, shutdown);

    pause->was_shut_down = true;
    if (shutdown_action != SHUTDOWN_ACTION_PAUSE) {
        pause->on_exit(pause);
    }
}

void guest_pause_begin(GuestPause *pause, void (*on_exit)(GuestPause *pause))
{
    *pause = (GuestPause) {
        .active = true,
        .resume = runstate_is_running(),
        .shutdown.notify = guest_pause_shutdown,
        .on_exit = on_exit,
    };
    trace_dump_stop_guest(pause->resume);
    qemu_register_shutdown_notifier(&pause->shutdown);
    if (pause->resume) {
        vm_stop(RUN_STATE_SAVE_VM);
    }
    qemu_register_reset(guest_pause_any_reset, pause);
    /* A snapshot that is loaded keeps the run state. */
    qemu_register_reset_nosnapshotload(guest_pause_reset, pause);
}

void guest_pause_end(GuestPause *pause)
{
    /* Somebody else may have moved on meanwhile. */
    bool ours = runstate_check(RUN_STATE_SAVE_VM) ||
                (pause->was_reset && runstate_check(RUN_STATE_PRELAUNCH));

    if (!pause->active) {
        return;
    }
    pause->active = false;
    notifier_remove(&pause->shutdown);
    qemu_unregister_reset(guest_pause_any_reset, pause);
    qemu_unregister_reset(guest_pause_reset, pause);
    if (!pause->resume) {
        return;
    }
    if (ours && pause->was_shut_down) {
        runstate_set(RUN_STATE_RUNNING);
        runstate_set(RUN_STATE_SHUTDOWN);
    } else if (ours) {
        trace_dump_resume_guest();
        vm_start();
    }
}
