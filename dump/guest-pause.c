/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The guest's run state during a dump; see the header.
 *
 * vm_stop() also drains and flushes every disk. A dump needs no flush, and
 * must not wait for a disk that does not answer: that may be the problem to be
 * debugged. So the steps of vm_stop() that are needed are done here.
 *
 * While stopped, the guest is in RUN_STATE_SAVE_VM, as during a snapshot. QEMU
 * has no transitions from there to PRELAUNCH or SHUTDOWN, and older versions
 * none to SUSPENDED: a reset or a suspend would abort QEMU, and a shutdown
 * would be lost. These cases are handled here.
 */

#include "qemu/osdep.h"
#include "block/aio.h"
#include "qapi/qapi-events-run-state.h"
#include "qemu/main-loop.h"
#include "system/cpu-timers.h"
#include "system/cpus.h"
#include "system/reset.h"
#include "system/runstate-action.h"
#include "guest-disks.h"
#include "guest-pause.h"
#include "trace.h"

/* Poll interval for busy disks after the first second. */
#define NOTIFY_PERIOD_MS  50

const char *guest_pause_broken(const GuestPause *pause)
{
    if (pause->kind != GUEST_PAUSE_STILL) {
        return NULL;
    }
    if (pause->resets > pause->system_resets) {
        return "the guest's memory was replaced by a snapshot's while it "
               "was being written";
    }
    if (pause->ran) {
        return "the guest ran while its memory was being written";
    }
    if (pause->lost_memory) {
        return "some of the guest's memory was unplugged while it was being "
               "written";
    }
    return NULL;
}

/* Cancel the dump if it has become inconsistent. */
static void guest_pause_check(GuestPause *pause)
{
    if (guest_pause_broken(pause)) {
        dump_progress_cancel(pause->progress);
    }
}

static void guest_pause_any_reset(void *opaque)
{
    GuestPause *pause = opaque;

    pause->resets++;
    /* The kind of the reset is known when it is complete. */
    qemu_bh_schedule(pause->later_bh);
}

/*
 * qemu_system_reset()'s caller moves PAUSED to PRELAUNCH; no such transition
 * exists from SAVE_VM. No CPU runs: they are started by vm_start only.
 */
static void guest_pause_reset(void *opaque)
{
    GuestPause *pause = opaque;

    pause->system_resets++;
    if (pause->kind == GUEST_PAUSE_STILL) {
        /* Duplicates of a warning are ignored. */
        dump_report_warn(pause->report, "the guest is reset while its memory "
                         "is being dumped: firmware in the dump may be newer "
                         "than the rest");
    }
    if (pause->stopped && runstate_check(RUN_STATE_SAVE_VM)) {
        pause->was_reset = true;
        runstate_set(RUN_STATE_RUNNING);
        runstate_set(RUN_STATE_PAUSED);
    }
}

static void guest_pause_run_state(void *opaque, bool running, RunState state)
{
    GuestPause *pause = opaque;

    if (running) {
        pause->ran = true;
        /* Do not notify devices of a stop that is over. */
        if (pause->notify_timer) {
            timer_del(pause->notify_timer);
        }
        guest_pause_check(pause);
    }
}

static void guest_pause_discard(void *opaque)
{
    GuestPause *pause = opaque;

    pause->lost_memory = true;
    guest_pause_check(pause);
}

/* A guest that wakes up runs, but change state handlers are not called. */
static void guest_pause_wakeup(Notifier *notifier, void *data)
{
    GuestPause *pause = container_of(notifier, GuestPause, wakeup);

    guest_pause_run_state(pause, runstate_is_running(), RUN_STATE_RUNNING);
}

/* Older versions of QEMU have no transition from SUSPENDED to SAVE_VM. */
static void guest_pause_hold_suspended(GuestPause *pause)
{
    pause->was_suspended = true;
    vm_set_suspended(true);
    runstate_set(RUN_STATE_RUNNING);
    runstate_set(RUN_STATE_SAVE_VM);
}

/*
 * The guest requested suspend just before it was stopped, and QEMU handles the
 * request only now. QEMU sets RUN_STATE_SUSPENDED after this notifier; the
 * guest must not stay in it, as it could be woken up.
 */
static void guest_pause_suspend(Notifier *notifier, void *data)
{
    GuestPause *pause = container_of(notifier, GuestPause, suspend);

    if (pause->stopped && runstate_check(RUN_STATE_SAVE_VM)) {
        runstate_set(RUN_STATE_RUNNING);
        pause->suspending = true;
        qemu_bh_schedule(pause->later_bh);
    }
}

/* Called after QEMU has completed a reset or a suspend. */
static void guest_pause_later(void *opaque)
{
    GuestPause *pause = opaque;

    if (pause->suspending && runstate_check(RUN_STATE_SUSPENDED)) {
        guest_pause_hold_suspended(pause);
    }
    pause->suspending = false;
    guest_pause_check(pause);
}

static void guest_pause_stop(GuestPause *pause)
{
    bool running = runstate_is_running();

    pause->stopped = running || runstate_check(RUN_STATE_SUSPENDED);
    trace_dump_stop_guest(pause->stopped);
    if (!pause->stopped) {
        return;
    }
    if (running) {
        runstate_set(RUN_STATE_SAVE_VM);
    } else {
        guest_pause_hold_suspended(pause);
    }
    cpu_disable_ticks();
    pause_all_vcpus();
    /* A stop was already requested, for example by a guest panic. */
    pause->stop_requested = qemu_vmstop_requested(&pause->requested);
    qapi_event_send_stop();
}

/*
 * Devices block QEMU until their disk requests are complete when they are
 * notified of a stop. So they are notified when no request is in flight.
 */
static void guest_pause_notify(GuestPause *pause)
{
    vm_state_notify(false, RUN_STATE_SAVE_VM);
    pause->notified = true;
}

static void guest_pause_notify_late(void *opaque)
{
    GuestPause *pause = opaque;

    if (!guest_disks_busy()) {
        guest_pause_notify(pause);
    } else {
        timer_mod(pause->notify_timer,
                  qemu_clock_get_ms(QEMU_CLOCK_REALTIME) + NOTIFY_PERIOD_MS);
    }
}

/* Returns the number of disks with requests in flight. */
static unsigned guest_pause_settle(GuestPause *pause)
{
    unsigned busy = guest_disks_settle(pause->progress);

    if (!busy) {
        guest_pause_notify(pause);
        /* A device that stops may start requests that the guest has queued. */
        busy = guest_disks_settle(pause->progress);
    }
    if (busy && !dump_progress_cancelled(pause->progress)) {
        dump_report_warn(pause->report, "%u of the guest's disks had requests "
                         "in flight when it was stopped: memory that the "
                         "guest has given to its devices may have changed "
                         "while it was being written", busy);
    }
    return busy;
}

/* Notify devices of the stop, now or when no disk request is in flight. */
static void guest_pause_notify_devices(GuestPause *pause)
{
    unsigned busy = pause->kind == GUEST_PAUSE_STILL ?
                    guest_pause_settle(pause) : guest_disks_busy();

    if (!pause->notified && !busy) {
        guest_pause_notify(pause);
    }
    if (pause->notified) {
        return;
    }
    pause->notify_timer = timer_new_ms(QEMU_CLOCK_REALTIME,
                                     guest_pause_notify_late, pause);
    timer_mod(pause->notify_timer,
              qemu_clock_get_ms(QEMU_CLOCK_REALTIME) + NOTIFY_PERIOD_MS);
}

/* Start the guest without notifying devices, which do not know of the stop. */
static void guest_pause_start_unnotified(void)
{
    bool suspended = vm_get_suspended();

    qapi_event_send_resume();
    cpu_enable_ticks();
    runstate_set(RUN_STATE_RUNNING);
    vm_set_suspended(false);
    if (suspended) {
        runstate_set(RUN_STATE_SUSPENDED);
    } else {
        resume_all_vcpus();
    }
}

static void guest_pause_start(GuestPause *pause)
{
    trace_dump_resume_guest();
    if (pause->kind != GUEST_PAUSE_MOMENT && !pause->notified &&
        !guest_disks_busy()) {
        guest_pause_notify(pause);
    }
    if (pause->notified) {
        vm_start();
    } else {
        guest_pause_start_unnotified();
    }
}

static void guest_pause_shutdown(Notifier *notifier, void *data)
{
    GuestPause *pause = container_of(notifier, GuestPause, shutdown);

    pause->was_shut_down = true;
    if (pause->on_exit && shutdown_action != SHUTDOWN_ACTION_PAUSE) {
        pause->on_exit(pause);
    }
}

static void guest_pause_listen(GuestPause *pause)
{
    /* Must not run in a nested aio_poll() of the main context. */
    pause->later_bh = aio_bh_new(iohandler_get_aio_context(),
                                 guest_pause_later, pause);
    pause->suspend.notify = guest_pause_suspend;
    qemu_register_suspend_notifier(&pause->suspend);
    pause->wakeup.notify = guest_pause_wakeup;
    qemu_register_wakeup_notifier(&pause->wakeup);
    pause->shutdown.notify = guest_pause_shutdown;
    qemu_register_shutdown_notifier(&pause->shutdown);
    pause->vmsh = qemu_add_vm_change_state_handler(guest_pause_run_state,
                                                   pause);
    pause->watch = guest_discard_watch_new(guest_pause_discard, pause);
    qemu_register_reset(guest_pause_any_reset, pause);
    /* Not called when a snapshot is loaded, which keeps the run state. */
    qemu_register_reset_nosnapshotload(guest_pause_reset, pause);
}

static void guest_pause_unlisten(GuestPause *pause)
{
    timer_free(pause->notify_timer);
    qemu_bh_delete(pause->later_bh);
    notifier_remove(&pause->suspend);
    notifier_remove(&pause->wakeup);
    notifier_remove(&pause->shutdown);
    qemu_del_vm_change_state_handler(pause->vmsh);
    guest_discard_watch_free(pause->watch);
    qemu_unregister_reset(guest_pause_any_reset, pause);
    qemu_unregister_reset(guest_pause_reset, pause);
}

void guest_pause_begin(GuestPause *pause, GuestPauseKind kind,
                       DumpProgress *progress, DumpReport *report,
                       void (*on_exit)(GuestPause *pause))
{
    *pause = (GuestPause) {
        .kind = kind,
        .active = true,
        .progress = progress,
        .report = report,
        .on_exit = on_exit,
    };
    if (kind != GUEST_PAUSE_MOMENT) {
        guest_pause_listen(pause);
    }
    guest_pause_stop(pause);
    if (pause->stopped && kind != GUEST_PAUSE_MOMENT) {
        guest_pause_notify_devices(pause);
    }
}

/* Is the run state still the one that was set here? */
static bool guest_pause_owns_state(const GuestPause *pause)
{
    if (!pause->stopped) {
        return false;
    }
    /* Without a dump, a suspended guest that is reset would not run either. */
    return runstate_check(RUN_STATE_SAVE_VM) ||
           (pause->was_reset && !pause->was_suspended &&
            runstate_check(RUN_STATE_PRELAUNCH));
}

void guest_pause_end(GuestPause *pause)
{
    if (!pause->active) {
        return;
    }
    guest_pause_later(pause);
    pause->active = false;
    if (pause->kind != GUEST_PAUSE_MOMENT) {
        guest_pause_unlisten(pause);
    }
    if (!guest_pause_owns_state(pause)) {
        return;
    }
    if (pause->was_shut_down) {
        runstate_set(RUN_STATE_RUNNING);
        runstate_set(RUN_STATE_SHUTDOWN);
    } else if (pause->stop_requested && !pause->was_reset) {
        if (!pause->notified) {
            guest_pause_notify(pause);
        }
        runstate_set(RUN_STATE_RUNNING);
        runstate_set(pause->requested);
    } else {
        guest_pause_start(pause);
    }
}
