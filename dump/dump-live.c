/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Run state of the guest during a live dump; see the header.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "block/aio.h"
#include "qemu/main-loop.h"
#include "system/runstate-action.h"
#include "system/runstate.h"
#include "dump-live.h"
#include "guest-live.h"
#include "guest-pause.h"
#include "guest-state.h"
#include "trace.h"

/* Interval at which the dump's thread checks for cancellation. */
#define LIVE_WAIT_US    (50 * 1000)

#define LIVE_STOPPED_REASON \
    "the guest changed its memory faster than it could be written, and " \
    "'live-buffer' was used up"

typedef enum LiveStep {
    LIVE_BEFORE,
    LIVE_MOMENT,                /* the main thread takes the snapshot */
    LIVE_AFTER,
    LIVE_GIVEN_UP,              /* cancelled; the snapshot is not needed */
} LiveStep;

struct DumpLive {
    DumpLiveSetup setup;
    GuestLive *guest;
    GuestPause pause;
    bool stopped_again;
    uint64_t standstill_us;
    Notifier shutdown;
    QEMUBH *moment_bh, *full_bh;

    GMutex lock;
    GCond moved;                /* step has changed; used with lock */
    LiveStep step;              /* protected by lock */
    GuestState *state;          /* published by step */
    Error *error;               /* likewise */
};

/* Called by the thread that answers write faults: must not take the BQL. */
static void live_full(void *opaque)
{
    DumpLive *live = opaque;

    qemu_bh_schedule(live->full_bh);
}

static void live_broken(void *opaque)
{
    DumpLive *live = opaque;

    dump_progress_cancel(live->setup.progress);
}

/*
 * The limit of saved pages is reached: stop the guest. Blocking the writers
 * instead is not possible, as one of them may hold the BQL or be needed for the
 * output.
 */
static void live_stop_again(void *opaque)
{
    DumpLive *live = opaque;

    trace_dump_live_full();
    live->stopped_again = true;
    dump_report_warn(live->setup.report, "the guest was stopped again until "
                     "the end of the dump: " LIVE_STOPPED_REASON);
    guest_pause_begin(&live->pause, GUEST_PAUSE_REST, live->setup.progress,
                      live->setup.report, NULL);
}

static void live_shutdown(Notifier *notifier, void *data)
{
    DumpLive *live = container_of(notifier, DumpLive, shutdown);

    if (shutdown_action != SHUTDOWN_ACTION_PAUSE) {
        live->setup.exit(live->setup.opaque);
    }
}

/* Change step from @from to @to; returns false if it is not @from. */
static bool live_step(DumpLive *live, LiveStep from, LiveStep to)
{
    bool ok;

    g_mutex_lock(&live->lock);
    ok = live->step == from;
    if (ok) {
        live->step = to;
        g_cond_signal(&live->moved);
    }
    g_mutex_unlock(&live->lock);
    return ok;
}

static GuestState *live_collect(DumpLive *live, Error **errp)
{
    g_autoptr(GuestState) state = guest_state_new(live->setup.query, errp);

    if (!state || !guest_live_take(live->guest, state, errp)) {
        return NULL;
    }
    return g_steal_pointer(&state);
}

static void live_moment(void *opaque)
{
    DumpLive *live = opaque;
    uint64_t start;

    if (!live_step(live, LIVE_BEFORE, LIVE_MOMENT)) {
        return;
    }
    start = g_get_monotonic_time();
    guest_pause_begin(&live->pause, GUEST_PAUSE_MOMENT, live->setup.progress,
                      live->setup.report, NULL);
    live->state = live_collect(live, &live->error);
    guest_pause_end(&live->pause);
    live->standstill_us = g_get_monotonic_time() - start;
    trace_dump_live_taken(live->standstill_us);
    live_step(live, LIVE_MOMENT, LIVE_AFTER);
}

/* Returns false if the dump was cancelled before the snapshot. */
static bool live_wait(DumpLive *live)
{
    bool after;

    g_mutex_lock(&live->lock);
    while (live->step == LIVE_MOMENT ||
           (live->step == LIVE_BEFORE &&
            !dump_progress_cancelled(live->setup.progress))) {
        g_cond_wait_until(&live->moved, &live->lock,
                          g_get_monotonic_time() + LIVE_WAIT_US);
    }
    after = live->step == LIVE_AFTER;
    if (!after) {
        live->step = LIVE_GIVEN_UP;
    }
    g_mutex_unlock(&live->lock);
    return after;
}

GuestState *dump_live_take(DumpLive *live, Error **errp)
{
    if (!guest_live_prepare(live->guest, live->setup.progress, errp)) {
        return NULL;
    }
    qemu_bh_schedule(live->moment_bh);
    if (!live_wait(live)) {
        error_setg(errp, "dump: cancelled");
        return NULL;
    }
    error_propagate(errp, g_steal_pointer(&live->error));
    return g_steal_pointer(&live->state);
}

DumpLive *dump_live_new(const DumpLiveSetup *setup, Error **errp)
{
    DumpLive *live = g_new0(DumpLive, 1);
    const DumpSnapshotEvents events = { live_full, live_broken, live };

    live->setup = *setup;
    live->guest = guest_live_new(setup->device, setup->buffer, &events, errp);
    if (!live->guest) {
        g_free(live);
        return NULL;
    }
    g_mutex_init(&live->lock);
    g_cond_init(&live->moved);
    /* Must not run in a nested aio_poll() of the main context. */
    live->moment_bh = aio_bh_new(iohandler_get_aio_context(), live_moment,
                                 live);
    live->full_bh = aio_bh_new(iohandler_get_aio_context(), live_stop_again,
                               live);
    live->shutdown.notify = live_shutdown;
    qemu_register_shutdown_notifier(&live->shutdown);
    return live;
}

void dump_live_end(DumpLive *live)
{
    guest_live_end(live->guest);
}

const char *dump_live_broken(const DumpLive *live)
{
    return guest_live_broken(live->guest);
}

bool dump_live_holds_guest(const DumpLive *live)
{
    return live->stopped_again;
}

DumpLiveInfo *dump_live_describe(const DumpLive *live)
{
    DumpLiveInfo *info = g_new0(DumpLiveInfo, 1);
    DumpSnapshotStats stats;

    guest_live_get_stats(live->guest, &stats);
    *info = (DumpLiveInfo) {
        .standstill_us = live->standstill_us,
        .saved = stats.saved,
        .held = stats.held,
        .held_max = stats.held_max,
        .stopped_again = live->stopped_again,
    };
    if (info->stopped_again) {
        info->stopped_reason = g_strdup(LIVE_STOPPED_REASON);
    }
    return info;
}

void dump_live_free(DumpLive *live)
{
    if (!live) {
        return;
    }
    notifier_remove(&live->shutdown);
    /* Set only if the dump was cancelled while the snapshot was taken. */
    guest_state_free(live->state);
    error_free(live->error);
    guest_live_free(live->guest);
    qemu_bh_delete(live->moment_bh);
    qemu_bh_delete(live->full_bh);
    guest_pause_end(&live->pause);
    g_cond_clear(&live->moved);
    g_mutex_clear(&live->lock);
    g_free(live);
}
