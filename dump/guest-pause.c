/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The guest's run state around a dump.
 *
 * vm_stop() also drains and flushes every disk. A dump needs no flush, and
 * must not wait for a disk that does not answer: that may be what it is to
 * explain. So the guest is stopped here step by step.
 *
 * A stopped guest is in the state save-vm, as during a snapshot, and QEMU
 * knows no way from there to prelaunch, suspended or shutdown: a reset or a
 * suspend would end QEMU, a shutdown be forgotten. All are seen here, and
 * seen to.
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

/* How often busy disks are looked at, after the first second. */
#define TELL_PERIOD_MS  50

/* -- what happens meanwhile -------------------------------------------- */

const char *guest_pause_spoilt(const GuestPause *pause)
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

/* What is written from here on is of no use. */
static void guest_pause_check(GuestPause *pause)
{
    if (guest_pause_spoilt(pause)) {
        dump_progress_cancel(pause->progress);
    }
}

static void guest_pause_any_reset(void *opaque)
{
    GuestPause *pause = opaque;

    pause->resets++;
    /* Of what kind it is, is known when it is over. */
    qemu_bh_schedule(pause->later_bh);
}

/*
 * From paused, where QEMU is going to look next, it gets on to prelaunch.
 * No CPU runs: they are started by vm_start only.
 */
static void guest_pause_reset(void *opaque)
{
    GuestPause *pause = opaque;

    pause->system_resets++;
    if (pause->kind == GUEST_PAUSE_STILL) {
        /* Said once, however often it happens. */
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
        /* Devices are not to hear of a stop that is over. */
        if (pause->tell_timer) {
            timer_del(pause->tell_timer);
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

/* A guest that wakes up runs, and no handler of run states hears of it. */
static void guest_pause_wakeup(Notifier *notifier, void *data)
{
    GuestPause *pause = container_of(notifier, GuestPause, wakeup);

    guest_pause_run_state(pause, runstate_is_running(), RUN_STATE_RUNNING);
}

/* -- suspended guests -------------------------------------------------- */

/* Every QEMU gets from suspended to save-vm in this way. */
static void guest_pause_hold_suspended(GuestPause *pause)
{
    pause->was_suspended = true;
    vm_set_suspended(true);
    runstate_set(RUN_STATE_RUNNING);
    runstate_set(RUN_STATE_SAVE_VM);
}

/*
 * The guest asked for it just before it was stopped, and only now QEMU comes
 * to it. It sets the state suspended after this, where it must not stay: the
 * guest could be woken up.
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

/* What is left to do when QEMU is done with a reset or a suspend. */
static void guest_pause_later(void *opaque)
{
    GuestPause *pause = opaque;

    if (pause->suspending && runstate_check(RUN_STATE_SUSPENDED)) {
        guest_pause_hold_suspended(pause);
    }
    pause->suspending = false;
    guest_pause_check(pause);
}

/* -- stop and start ---------------------------------------------------- */

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
    /* Like a panic of the guest, which was about to stop it by itself. */
    pause->stop_asked = qemu_vmstop_requested(&pause->asked);
    qapi_event_send_stop();
}

/*
 * Devices that are told to stop wait for their disks, and QEMU with them. So
 * they are told only when the disks have answered.
 */
static void guest_pause_tell(GuestPause *pause)
{
    vm_state_notify(false, RUN_STATE_SAVE_VM);
    pause->told = true;
}

static void guest_pause_tell_late(void *opaque)
{
    GuestPause *pause = opaque;

    if (!guest_disks_busy()) {
        guest_pause_tell(pause);
    } else {
        timer_mod(pause->tell_timer,
                  qemu_clock_get_ms(QEMU_CLOCK_REALTIME) + TELL_PERIOD_MS);
    }
}

/* Returns how many disks are still at work. */
static unsigned guest_pause_settle(GuestPause *pause)
{
    unsigned busy = guest_disks_settle(pause->progress);

    if (!busy) {
        guest_pause_tell(pause);
        /* A device that stops takes what the guest has just asked for. */
        busy = guest_disks_settle(pause->progress);
    }
    if (busy && !dump_progress_cancelled(pause->progress)) {
        dump_report_warn(pause->report, "%u of the guest's disks had requests "
                         "under way when it was stopped: memory that the "
                         "guest has given to its devices may have changed "
                         "while it was being written", busy);
    }
    return busy;
}

/* Tell the devices, now or when the disks have answered. */
static void guest_pause_tell_devices(GuestPause *pause)
{
    unsigned busy = pause->kind == GUEST_PAUSE_STILL ?
                    guest_pause_settle(pause) : guest_disks_busy();

    if (!pause->told && !busy) {
        guest_pause_tell(pause);
    }
    if (pause->told) {
        return;
    }
    pause->tell_timer = timer_new_ms(QEMU_CLOCK_REALTIME,
                                     guest_pause_tell_late, pause);
    timer_mod(pause->tell_timer,
              qemu_clock_get_ms(QEMU_CLOCK_REALTIME) + TELL_PERIOD_MS);
}

/* Devices that never heard of the stop must not be told of a start. */
static void guest_pause_start_untold(void)
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
    if (pause->kind != GUEST_PAUSE_MOMENT && !pause->told &&
        !guest_disks_busy()) {
        guest_pause_tell(pause);
    }
    if (pause->told) {
        vm_start();
    } else {
        guest_pause_start_untold();
    }
}

/* -- begin and end ----------------------------------------------------- */

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
    /* Not inside of anything that polls. */
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
    /* A snapshot that is loaded keeps the run state. */
    qemu_register_reset_nosnapshotload(guest_pause_reset, pause);
}

static void guest_pause_listen_no_more(GuestPause *pause)
{
    timer_free(pause->tell_timer);
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
        guest_pause_tell_devices(pause);
    }
}

/* Is the run state still what we made of it? */
static bool guest_pause_is_ours(const GuestPause *pause)
{
    if (!pause->stopped) {
        return false;
    }
    /* A suspended guest that is reset does not run without us either. */
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
        guest_pause_listen_no_more(pause);
    }
    if (!guest_pause_is_ours(pause)) {
        return;
    }
    if (pause->was_shut_down) {
        runstate_set(RUN_STATE_RUNNING);
        runstate_set(RUN_STATE_SHUTDOWN);
    } else if (pause->stop_asked && !pause->was_reset) {
        if (!pause->told) {
            guest_pause_tell(pause);
        }
        runstate_set(RUN_STATE_RUNNING);
        runstate_set(pause->asked);
    } else {
        guest_pause_start(pause);
    }
}
