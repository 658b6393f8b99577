/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A QEMU job that shows a dump; see the header.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "block/aio.h"
#include "qemu/coroutine.h"
#include "qemu/id.h"
#include "qemu/job.h"
#include "qemu/main-loop.h"
#include "job-view.h"

/* Update interval of the job's progress. */
#define JOB_VIEW_PERIOD_NS  (100 * 1000 * 1000)

struct DumpJobView {
    Job common;
    const DumpProgress *progress;   /* NULL after the end of the dump */
    void (*cancel)(void);
    bool started;
    uint64_t shown, total;          /* bytes, as last set in the job */
    QemuCoSleep sleep;
    Error *error;                   /* NULL if the dump succeeded */
};

static void job_view_update(DumpJobView *view)
{
    uint64_t now = dump_progress_completed(view->progress);
    uint64_t total = dump_progress_total(view->progress);

    /* The total is an estimate until the dump is planned. */
    if (total != view->total) {
        view->total = total;
        job_progress_set_remaining(&view->common, total - view->shown);
    }
    job_progress_update(&view->common, now - view->shown);
    view->shown = now;
}

static int coroutine_fn job_view_run(Job *job, Error **errp)
{
    DumpJobView *view = container_of(job, DumpJobView, common);

    while (view->progress) {
        job_view_update(view);
        qemu_co_sleep_ns_wakeable(&view->sleep, QEMU_CLOCK_REALTIME,
                                  JOB_VIEW_PERIOD_NS);
        job_pause_point(job);
    }
    if (view->error) {
        error_propagate(errp, g_steal_pointer(&view->error));
        return -EIO;
    }
    return 0;
}

static bool job_view_cancel(Job *job, bool force)
{
    DumpJobView *view = container_of(job, DumpJobView, common);

    if (view->progress) {
        view->cancel();
    }
    /* The dump may still succeed, or have done so: its result is the job's. */
    return false;
}

static void job_view_free(Job *job)
{
    DumpJobView *view = container_of(job, DumpJobView, common);

    error_free(view->error);
}

static const JobDriver job_view_driver = {
    .instance_size = sizeof(DumpJobView),
    .job_type = JOB_TYPE_DUMP_GUEST_MEMORY,
    .run = job_view_run,
    .cancel = job_view_cancel,
    .free = job_view_free,
};

bool dump_job_view_check(const char *id, Error **errp)
{
    bool used;

    if (!id_wellformed(id)) {
        error_setg(errp, "Invalid job ID '%s'", id);
        return false;
    }
    WITH_JOB_LOCK_GUARD() {
        used = job_get_locked(id);
    }
    if (used) {
        error_setg(errp, "Job ID '%s' already in use", id);
    }
    return !used;
}

DumpJobView *dump_job_view_new(const char *id, const DumpProgress *progress,
                               void (*cancel)(void), Error **errp)
{
    DumpJobView *view = job_create(id, &job_view_driver, NULL,
                                   qemu_get_aio_context(), JOB_MANUAL_DISMISS,
                                   NULL, NULL, errp);

    if (view) {
        view->progress = progress;
        view->cancel = cancel;
    }
    return view;
}

void dump_job_view_start(DumpJobView *view)
{
    view->started = true;
    job_start(&view->common);
}

void dump_job_view_end(DumpJobView *view, const Error *err)
{
    if (!view->started) {
        job_early_fail(&view->common);
        return;
    }
    job_view_update(view);
    view->progress = NULL;
    view->error = err ? error_copy(err) : NULL;
    qemu_co_sleep_wake(&view->sleep);
}
