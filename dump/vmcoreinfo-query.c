/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Query for VMCOREINFO; see the header.
 *
 * The thread is created by dump_thread_start, not taken from QEMU's thread
 * pool, which aborts QEMU if it cannot create a thread.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "block/aio.h"
#include "migration/misc.h"
#include "qemu/main-loop.h"
#include "system/dump.h"
#include "system/runstate-action.h"
#include "system/runstate.h"
#include "dump-job.h"
#include "guest-state.h"
#include "trace.h"
#include "vmcore/spare.h"
#include "vmcore/thread.h"
#include "vmcoreinfo-query.h"

/* Leave host CPUs to the guest, which runs meanwhile. */
#define QUERY_MAX_THREADS   4

/* How long QEMU's exit waits for the end of a query. */
#define QUERY_EXIT_WAIT_US  (3 * 1000 * 1000)

struct VmcoreinfoQuery {
    GuestState *state;          /* NULL: this guest cannot be examined */
    DumpProgress progress;
    DumpReport report;
    VmcoreinfoDone *done;       /* NULL: not started, or already called */
    void *done_opaque;
    Notifier shutdown;

    /* Set by the thread; valid once it has ended. */
    VmcoreInfoFound found;
    Error *error;
    DumpThread thread;
    QEMUBH *done_bh;
    bool over;                  /* under query_lock: the thread has ended */
};

/*
 * Set for the whole life of a query. Written with the BQL and query_lock both
 * held; holding either is enough to read.
 */
static VmcoreinfoQuery *query_now;
static GMutex query_lock;
static GCond query_over;        /* with query_lock: the query's @over is set */

static void query_set(VmcoreinfoQuery *query)
{
    g_mutex_lock(&query_lock);
    query_now = query;
    g_mutex_unlock(&query_lock);
}

bool vmcoreinfo_query_cancel(void)
{
    bool running;

    g_mutex_lock(&query_lock);
    running = query_now;
    if (running) {
        dump_progress_cancel(&query_now->progress);
    }
    g_mutex_unlock(&query_lock);
    return running;
}

static bool query_admit(Error **errp)
{
    if (runstate_check(RUN_STATE_INMIGRATE) ||
        migration_in_incoming_postcopy()) {
        error_setg(errp, "VMCOREINFO is not available during incoming "
                   "migration");
        return false;
    }
    /* Do not lengthen the guest's downtime during a dump. */
    if (dump_job_running()) {
        error_setg(errp, "There is a dump in process, please wait.");
        return false;
    }
    if (query_now) {
        error_setg(errp, "There is a query for VMCOREINFO in progress");
        return false;
    }
    return true;
}

VmcoreinfoQuery *vmcoreinfo_query_new(bool search, Error **errp)
{
    ERRP_GUARD();
    VmcoreinfoQuery *q;
    Error *why = NULL;
    GuestStateQuery what = {
        .search = search ? GUEST_STATE_SEARCH_ANY : GUEST_STATE_NO_SEARCH,
        .threads = MIN(g_get_num_processors(), QUERY_MAX_THREADS),
    };

    if (!query_admit(errp)) {
        return NULL;
    }
    q = g_new0(VmcoreinfoQuery, 1);
    dump_progress_init(&q->progress);
    dump_report_init(&q->report);
    what.report = &q->report;
    query_set(q);
    dump_spare_hold();
    if (!guest_state_check(&what, &why)) {
        dump_report_warn_err(&q->report, why);
        return q;
    }
    q->state = guest_state_peek(&what, errp);
    if (!q->state) {
        vmcoreinfo_query_free(q);
        return NULL;
    }
    return q;
}

void vmcoreinfo_query_run(VmcoreinfoQuery *q)
{
    if (q->state &&
        !dump_guest_find_vmcoreinfo(&q->state->guest, &q->state->findings,
                                    &q->progress, &q->found, &q->error) &&
        dump_progress_cancelled(&q->progress)) {
        g_clear_pointer(&q->error, error_free);
        error_setg(&q->error, "the query for VMCOREINFO was cancelled");
    }
    trace_dump_vmcoreinfo_query(q->found.paddr, q->found.size,
                                q->found.searched);
}

static void *query_thread(void *opaque)
{
    VmcoreinfoQuery *q = opaque;

    vmcoreinfo_query_run(q);
    g_mutex_lock(&query_lock);
    q->over = true;
    g_cond_signal(&query_over);
    g_mutex_unlock(&query_lock);
    qemu_bh_schedule(q->done_bh);
    return NULL;
}

/* Runs in the main thread. */
static void query_thread_done(void *opaque)
{
    VmcoreinfoQuery *q = opaque;
    VmcoreinfoDone *done = q->done;

    if (!done) {
        return;                 /* abandoned */
    }
    dump_thread_join(&q->thread);
    notifier_remove(&q->shutdown);
    g_clear_pointer(&q->done_bh, qemu_bh_delete);
    q->done = NULL;
    done(q->done_opaque, q);
}

/* Wait for the thread's end; false on timeout. */
static bool query_wait_over(VmcoreinfoQuery *q)
{
    int64_t until = g_get_monotonic_time() + QUERY_EXIT_WAIT_US;
    bool over;

    g_mutex_lock(&query_lock);
    while (!q->over && g_cond_wait_until(&query_over, &query_lock, until)) {
        /* Spurious wakeup. */
    }
    over = q->over;
    g_mutex_unlock(&query_lock);
    return over;
}

/*
 * QEMU's exit waits for commands to complete, and later frees the monitors. If
 * the thread hangs in the kernel, its query is leaked.
 */
static void query_shutdown(Notifier *notifier, void *data)
{
    VmcoreinfoQuery *q = container_of(notifier, VmcoreinfoQuery, shutdown);
    VmcoreinfoDone *done = q->done;

    if (shutdown_action == SHUTDOWN_ACTION_PAUSE) {
        return;
    }
    dump_progress_cancel(&q->progress);
    if (query_wait_over(q)) {
        query_thread_done(q);
    } else {
        notifier_remove(&q->shutdown);
        q->done = NULL;
        done(q->done_opaque, NULL);
    }
}

bool vmcoreinfo_query_start(VmcoreinfoQuery *q, VmcoreinfoDone *done,
                            void *opaque, Error **errp)
{
    q->done_bh = aio_bh_new(qemu_get_aio_context(), query_thread_done, q);
    if (!dump_thread_start(&q->thread, "vmcoreinfo", query_thread, q, errp)) {
        g_clear_pointer(&q->done_bh, qemu_bh_delete);
        return false;
    }
    q->done = done;
    q->done_opaque = opaque;
    q->shutdown.notify = query_shutdown;
    qemu_register_shutdown_notifier(&q->shutdown);
    return true;
}

DumpVmcoreinfoNote *vmcoreinfo_query_result(VmcoreinfoQuery *q, Error **errp)
{
    DumpVmcoreinfoNote *note;

    if (q->error) {
        error_propagate(errp, g_steal_pointer(&q->error));
        return NULL;
    }
    note = g_new0(DumpVmcoreinfoNote, 1);
    note->source = !q->found.text ? DUMP_VMCOREINFO_SOURCE_NONE :
                   q->found.searched ? DUMP_VMCOREINFO_SOURCE_SEARCH :
                                       DUMP_VMCOREINFO_SOURCE_DEVICE;
    if (q->found.text) {
        note->has_address = note->has_size = true;
        note->address = q->found.paddr;
        note->size = q->found.size;
        note->text = g_steal_pointer(&q->found.text);
    }
    note->warnings = dump_describe_warnings(&q->report);
    note->has_warnings = note->warnings;
    return note;
}

void vmcoreinfo_query_free(VmcoreinfoQuery *q)
{
    query_set(NULL);
    guest_state_free(q->state);
    dump_spare_free();
    dump_report_deinit(&q->report);
    error_free(q->error);
    g_free(q->found.text);
    g_free(q);
}
