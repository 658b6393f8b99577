/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The run state of a guest around its live dump.
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

/* How often the dump's thread looks for a cancel while it waits. */
#define LIVE_WAIT_US    (50 * 1000)

#define LIVE_STOPPED_REASON \
    "the guest changed its memory faster than it could be written, and " \
    "'live-buffer' was used up"

typedef enum LiveStep {
    LIVE_BEFORE,
    LIVE_MOMENT,                /* the main thread is at it */
    LIVE_AFTER,
    LIVE_GIVEN_UP,              /* nobody waits for it any more */
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
    GCond moved;                /* with lock: step has changed */
    LiveStep step;              /* under lock */
    GuestState *state;          /* handed over by step */
    Error *error;               /* the same */
};

/* -- what happens meanwhile -------------------------------------------- */

/* The watch. Not here: it must not wait for the BQL. */
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
 * All that may be held is held. Writers are not held up, as one of them may
 * have the BQL, or be what the output depends on: the guest is stopped.
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

/* -- the moment -------------------------------------------------------- */

/* True if it was @from, and is @to now. */
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

/* False if the dump was cancelled before. */
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

/* -- life -------------------------------------------------------------- */

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
    /* Not inside of anything that polls. */
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
    /* Nobody else knows of it if the dump was cancelled in the moment. */
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
