/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The life of one guest memory dump.
 *
 *   main thread, big lock held             this thread, or a dump thread
 *   --------------------------------       -----------------------------
 *   check, block migration, open output
 *   stop guest, collect, plan
 *                                  ------> write
 *   release, resume, unblock,      <------
 *   publish, event
 *
 * Up to the stop nothing is changed, so that a refused dump leaves nothing
 * behind. There is one way out, dump_job_finish.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-events-dump.h"
#include "block/aio.h"
#include "migration/blocker.h"
#include "monitor/monitor.h"
#include "qemu/main-loop.h"
#include "qemu/thread.h"
#include "system/runstate.h"
#include "dump-job.h"
#include "guest-state.h"
#include "trace.h"

typedef struct DumpJob {
    DumpOptions opts;           /* strings are NULLed once they are used */
    GuestStateQuery query;
    const DumpWriterOps *ops;
    Error *blocker;             /* keeps migration away */
    bool resume;                /* the guest was running when we came */

    int fd;                     /* until the sink has it; else -1 */
    char *created;              /* path to remove if nothing was begun */
    bool cut;                   /* the file is ours to cut to nothing */

    GuestState *state;
    DumpWriter *writer;
    DumpSink *sink;
    DumpProgress progress;

    /* Dump thread -> main thread, handed over by the bottom half. */
    Error *error;
    QemuThread thread;
} DumpJob;

/* Big lock; the pointer is set for the whole life of a dump. */
static DumpJob *dump_job;
static DumpQueryResult dump_last = { .status = DUMP_STATUS_NONE };

bool qemu_system_dump_in_progress(void)
{
    return qatomic_read(&dump_job) != NULL;
}

void dump_job_query(DumpQueryResult *result)
{
    if (!dump_job) {
        *result = dump_last;
        return;
    }
    result->status = DUMP_STATUS_ACTIVE;
    result->completed = dump_progress_completed(&dump_job->progress);
    result->total = dump_progress_total(&dump_job->progress);
}

/* -- output ------------------------------------------------------------ */

/*
 * Open the file without cutting it: that is done when the dump is sure to
 * be written. A file that was not there is remembered, to be removed if it
 * comes to nothing.
 */
static bool dump_open_path(DumpJob *job, const char *path, Error **errp)
{
    const int flags = O_WRONLY | O_BINARY;
    /* A dump holds all secrets of the guest: for its owner only. */
    const mode_t mode = S_IRUSR | S_IWUSR;

    job->fd = qemu_open_old(path, flags);
    if (job->fd < 0 && errno == ENOENT) {
        job->fd = qemu_open_old(path, flags | O_CREAT | O_EXCL, mode);
        if (job->fd >= 0) {
            job->created = g_strdup(path);
        } else if (errno == EEXIST) {
            /* A link to a file that is yet to be made. */
            job->fd = qemu_open_old(path, flags | O_CREAT, mode);
        }
    }
    if (job->fd < 0) {
        error_setg_errno(errp, errno, "dump: failed to open '%s'", path);
        return false;
    }
    job->cut = true;
    return true;
}

static bool dump_open_fd(DumpJob *job, const char *name, Error **errp)
{
    int flags;

    job->fd = monitor_get_fd(monitor_cur(), name, errp);
    if (job->fd < 0) {
        job->fd = -1;
        return false;
    }
    flags = fcntl(job->fd, F_GETFL);
    if (flags < 0) {
        error_setg_errno(errp, errno, "dump: descriptor '%s'", name);
        return false;
    }
    if ((flags & O_ACCMODE) == O_RDONLY) {
        error_setg(errp, "dump: descriptor '%s' is not open for writing",
                   name);
        return false;
    }
    return true;
}

static bool dump_open_output(DumpJob *job, Error **errp)
{
    const DumpFormat *format = &job->opts.format;

    if (job->opts.path ? !dump_open_path(job, job->opts.path, errp) :
                         !dump_open_fd(job, job->opts.fd_name, errp)) {
        return false;
    }
    if (format->kind == DUMP_KIND_KDUMP && !format->flat &&
        !dump_sink_fd_can_seek(job->fd)) {
        error_setg(errp, "kdump-raw formats need an output that can seek; "
                   "use a flattened format for a pipe");
        return false;
    }
    return true;
}

/* From here on the output is being replaced. */
static bool dump_begin_output(DumpJob *job, Error **errp)
{
    struct stat st;

    if (job->cut && fstat(job->fd, &st) == 0 && S_ISREG(st.st_mode) &&
        st.st_size && ftruncate(job->fd, 0) < 0) {
        error_setg_errno(errp, errno, "dump: failed to truncate the output");
        return false;
    }
    g_clear_pointer(&job->created, g_free);

    job->sink = dump_sink_new_fd(job->fd, &job->progress);
    job->fd = -1;
    if (job->opts.format.flat) {
        job->sink = dump_sink_flat_new(job->sink);
    }
    return true;
}

/* -- guest ------------------------------------------------------------- */

static void dump_stop_guest(DumpJob *job)
{
    job->resume = runstate_is_running();
    trace_dump_stop_guest(job->resume);
    if (job->resume) {
        vm_stop(RUN_STATE_SAVE_VM);
    }
}

static void dump_resume_guest(DumpJob *job)
{
    /* Somebody else (quit, a shutdown) may have moved on meanwhile. */
    if (job->resume && runstate_check(RUN_STATE_SAVE_VM)) {
        trace_dump_resume_guest();
        vm_start();
    }
}

/* -- beginning and end ------------------------------------------------- */

static void dump_job_release(DumpJob *job)
{
    dump_sink_free(job->sink);
    if (job->writer) {
        job->ops->free(job->writer);
    }
    guest_state_free(job->state);
    if (job->fd >= 0) {
        qemu_close(job->fd);
    }
    if (job->created) {
        unlink(job->created);
        g_free(job->created);
    }
    dump_resume_guest(job);
    migrate_del_blocker(&job->blocker);
}

static void dump_publish(DumpJob *job)
{
    dump_last.status = job->error ? DUMP_STATUS_FAILED :
                                    DUMP_STATUS_COMPLETED;
    dump_last.completed = dump_progress_completed(&job->progress);
    dump_last.total = dump_progress_total(&job->progress);
    trace_dump_finish(DumpStatus_str(dump_last.status), dump_last.completed,
                      dump_last.total,
                      job->error ? error_get_pretty(job->error) : "");
}

/*
 * The one way out. @published: the dump got as far as stopping the guest,
 * so its outcome is of interest; @event: and somebody waits for it.
 */
static void dump_job_finish(DumpJob *job, bool published, bool event,
                            Error **errp)
{
    dump_job_release(job);
    if (published) {
        dump_publish(job);
    }
    qatomic_set(&dump_job, NULL);
    if (event) {
        qapi_event_send_dump_completed(&dump_last, job->error ?
                                       error_get_pretty(job->error) : NULL);
    }
    error_propagate(errp, job->error);
    g_free(job);
}

static void dump_job_write(DumpJob *job)
{
    bool ok = job->ops->write(job->writer, job->sink, job->opts.threads,
                              &job->error);

    trace_dump_written(ok, dump_progress_completed(&job->progress),
                       dump_progress_written(&job->progress));
}

static void dump_thread_done(void *opaque)
{
    DumpJob *job = opaque;
    Error *err = NULL;

    qemu_thread_join(&job->thread);
    dump_job_finish(job, true, true, &err);
    error_free(err);
}

static void *dump_thread(void *opaque)
{
    DumpJob *job = opaque;

    dump_job_write(job);
    aio_bh_schedule_oneshot(qemu_get_aio_context(), dump_thread_done, job);
    return NULL;
}

/* What can be refused without touching anything but the monitor's fd. */
static bool dump_job_admit(DumpJob *job, Error **errp)
{
    if (!guest_state_check(&job->query, errp)) {
        return false;
    }
    error_setg(&job->blocker,
               "Live migration disabled: dump-guest-memory in progress");
    /* Like a snapshot, a dump is over soon: allowed with -only-migratable. */
    if (migrate_add_blocker_internal(&job->blocker, errp) < 0) {
        job->blocker = NULL;
        return false;
    }
    return dump_open_output(job, errp);
}

/* Collect and plan with the guest standing still. */
static bool dump_job_prepare(DumpJob *job, Error **errp)
{
    job->state = guest_state_new(&job->query, errp);
    if (!job->state) {
        return false;
    }
    job->writer = job->ops->plan(&job->opts.format, &job->state->guest,
                                 &job->progress, errp);
    if (!job->writer) {
        return false;
    }
    trace_dump_plan(dump_progress_total(&job->progress),
                    job->ops->file_size(job->writer));
    return dump_begin_output(job, errp);
}

static DumpJob *dump_job_new(const DumpOptions *opts)
{
    DumpJob *job = g_new0(DumpJob, 1);

    job->opts = *opts;
    job->ops = dump_writer_find(&opts->format);
    job->query = (GuestStateQuery) {
        .paging = opts->paging,
        .has_range = opts->has_range,
        .begin = opts->begin,
        .length = opts->length,
    };
    job->fd = -1;
    dump_progress_init(&job->progress);
    return job;
}

bool dump_job_start(const DumpOptions *opts, Error **errp)
{
    ERRP_GUARD();
    DumpJob *job;

    if (runstate_check(RUN_STATE_INMIGRATE)) {
        error_setg(errp, "Dump not allowed during incoming migration.");
        return false;
    }
    if (qemu_system_dump_in_progress()) {
        error_setg(errp, "There is a dump in process, please wait.");
        return false;
    }

    job = dump_job_new(opts);
    qatomic_set(&dump_job, job);
    trace_dump_start(opts->format.kind, opts->format.codec,
                     opts->format.flat, opts->paging, opts->detach,
                     opts->threads);
    if (!dump_job_admit(job, &job->error)) {
        dump_job_finish(job, false, false, errp);
        return false;
    }
    job->opts.path = job->opts.fd_name = NULL;

    dump_stop_guest(job);
    if (!dump_job_prepare(job, &job->error)) {
        dump_job_finish(job, true, false, errp);
        return false;
    }
    if (opts->detach) {
        qemu_thread_create(&job->thread, "dump", dump_thread, job,
                           QEMU_THREAD_JOINABLE);
        return true;
    }
    dump_job_write(job);
    dump_job_finish(job, true, true, errp);
    return !*errp;
}
