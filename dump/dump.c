/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Life cycle of a guest memory dump.
 *
 *   main thread, BQL held                  this thread, or a dump thread
 *   --------------------------------       -----------------------------
 *   check, block migration, open output
 *   stop guest, collect from QEMU
 *                                  ------> analyse guest memory, plan,
 *                                          truncate the output, write
 *   release, resume, unblock       <------
 *                                  ------> with detach: flush the dump to
 *                                          stable storage
 *   publish, event                 <------
 *
 * In a live dump, the dump's thread requests the stop, and the guest has been
 * resumed when the thread continues; see dump-live.c.
 *
 * Until the dump is planned, nothing but the guest's run state is changed, so a
 * refused dump has no side effects. All dumps end in dump_job_finish.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/clone-visitor.h"
#include "qapi/qapi-events-dump.h"
#include "qapi/qapi-visit-dump.h"
#include "block/aio.h"
#include "block/aio-wait.h"
#include "hw/core/cpu.h"
#include "migration/blocker.h"
#include "migration/misc.h"
#include "monitor/monitor.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "qemu/module.h"
#include "system/runstate-action.h"
#include "system/runstate.h"
#include "system/system.h"
#include "dump-job.h"
#include "dump-live.h"
#include "guest-memory.h"
#include "guest-pause.h"
#include "guest-state.h"
#include "job-view.h"
#include "trace.h"
#include "vmcore/signals.h"
#include "vmcore/spare.h"
#include "vmcore/thread.h"

/* How long QEMU's exit waits for a dump to be closed as incomplete. */
#define DUMP_EXIT_WAIT_US   (3 * 1000 * 1000)
/* The part of it that is left for cancelling a flush that hangs. */
#define DUMP_EXIT_LEAVE_US  (500 * 1000)
#define DUMP_EXIT_POLL_US   (5 * 1000)

/* More workers increase memory usage, but not the speed. */
#define DUMP_MAX_DEFAULT_THREADS 16

typedef struct DumpJob {
    DumpOptions opts;           /* strings are NULL once the dump has started */
    GuestStateQuery query;
    Error *blocker;             /* blocks migration */
    DumpOutput *out;
    GuestPause pause;           /* not used by a live dump */
    DumpLive *live;             /* NULL: not a live dump, or ended */
    DumpLiveInfo *live_info;    /* its final statistics */
    DumpJobView *view;          /* NULL if not requested */
    DumpDone *done;             /* NULL if no callback is set */
    void *done_opaque;

    GuestState *state;
    DumpWriter *writer;
    DumpSink *sink;
    DumpProgress progress;
    DumpReport report;
    int vmcoreinfo;             /* atomic; DumpVmcoreinfoSource, -1: unknown */
    uint64_t start_us;          /* monotonic clock; 0: not started */

    /* Set by the dump thread; published by @written or the BH. */
    Error *error;
    DumpThread thread;
    QEMUBH *done_bh;
    bool written;               /* the thread is done; set under dump_lock */

    /* All is written: the thread waits until the guest is released. */
    QEMUBH *let_go_bh;
    bool guest_done;            /* it waits; set under dump_lock */
    bool guest_gone;            /* set by main thread, BQL and dump_lock held */
    Notifier shutdown;          /* registered if guest_gone */
} DumpJob;

/*
 * The pointer is set for the whole life of a dump. Written with the BQL
 * and dump_lock both held; holding either is enough to read.
 */
static DumpJob *dump_job;
static GMutex dump_lock;
static GCond dump_changed;      /* a flag was set; used with dump_lock */

/* Result of the last dump; NULL if there was none. Protected by the BQL. */
static DumpQueryResult *dump_last;
static char *dump_last_error;

bool dump_job_running(void)
{
    return dump_job;
}

/* Called before the guest is started or stopped. BQL held. */
bool qemu_system_dump_in_progress(void)
{
    const DumpJob *job = qatomic_read(&dump_job);

    return job && !job->guest_gone &&
           (!job->live || dump_live_holds_guest(job->live));
}

static void dump_job_set(DumpJob *job)
{
    g_mutex_lock(&dump_lock);
    qatomic_set(&dump_job, job);
    g_mutex_unlock(&dump_lock);
}

bool dump_job_cancel(Error **errp)
{
    bool running;

    g_mutex_lock(&dump_lock);
    running = dump_job;
    if (running) {
        dump_progress_cancel(&dump_job->progress);
    }
    g_mutex_unlock(&dump_lock);
    if (!running) {
        error_setg(errp, "There is no dump in progress");
    }
    return running;
}

static DumpPhase dump_job_phase(const DumpJob *job)
{
    static const DumpPhase phases[] = {
        [DUMP_PROGRESS_COLLECT] = DUMP_PHASE_COLLECT,
        [DUMP_PROGRESS_WRITE] = DUMP_PHASE_WRITE,
        [DUMP_PROGRESS_CLOSE] = DUMP_PHASE_CLOSE,
        [DUMP_PROGRESS_SYNC] = DUMP_PHASE_SYNC,
    };

    return phases[dump_progress_phase(&job->progress)];
}

strList *dump_describe_warnings(DumpReport *report)
{
    g_auto(GStrv) texts = dump_report_warnings(report);
    strList *list = NULL, **tail = &list;

    for (char **text = texts; *text; text++) {
        QAPI_LIST_APPEND(tail, g_strdup(*text));
    }
    return list;
}

/* Excluded bytes per class of pages; NULL if there are none. */
static DumpPageClassBytesList *dump_job_excluded(DumpJob *job)
{
    DumpPageClassBytesList *list = NULL, **tail = &list;

    for (int i = 0; i < PAGE_CLASS__MAX; i++) {
        uint64_t bytes = dump_report_class(&job->report, i);

        if (bytes) {
            DumpPageClassBytes *item = g_new0(DumpPageClassBytes, 1);

            item->q_class = i;
            item->bytes = bytes;
            QAPI_LIST_APPEND(tail, item);
        }
    }
    return list;
}

static DumpQueryResult *dump_job_describe(DumpJob *job, DumpStatus status)
{
    const DumpProgress *progress = &job->progress;
    uint64_t elapsed_us = job->start_us ?
                          g_get_monotonic_time() - job->start_us : 0;
    DumpQueryResult *result = g_new0(DumpQueryResult, 1);

    *result = (DumpQueryResult) {
        .status = status,
        .completed = dump_progress_completed(progress),
        .total = dump_progress_total(progress),
        .has_written = true,
        .written = dump_progress_written(progress),
        .has_elapsed = true,
        .elapsed = elapsed_us / 1000,
        .lost = dump_report_lost(&job->report),
        .left_out = dump_report_left_out(&job->report),
    };
    result->has_lost = result->lost != 0;
    result->max_bandwidth = job->opts.max_bandwidth;
    result->has_max_bandwidth = result->max_bandwidth != 0;
    result->has_left_out = result->left_out != 0;
    result->excluded = dump_job_excluded(job);
    result->has_excluded = result->excluded;
    result->warnings = dump_describe_warnings(&job->report);
    result->has_warnings = result->warnings;
    if (status == DUMP_STATUS_ACTIVE) {
        result->has_phase = true;
        result->phase = dump_job_phase(job);
        result->rate = dump_progress_rate(progress);
    } else if (elapsed_us) {
        result->rate = result->completed * 1e6 / elapsed_us;
    }
    result->has_rate = result->rate != 0;
    result->live = job->live ? dump_live_describe(job->live) :
                   QAPI_CLONE(DumpLiveInfo, job->live_info);
    result->has_vmcoreinfo = qatomic_read(&job->vmcoreinfo) >= 0;
    if (result->has_vmcoreinfo) {
        result->vmcoreinfo = qatomic_read(&job->vmcoreinfo);
    }
    if (status == DUMP_STATUS_ACTIVE && result->rate) {
        result->has_remaining = true;
        result->remaining = (result->total - result->completed) * 1e3 /
                            result->rate;
    }
    return result;
}

DumpQueryResult *dump_job_query(void)
{
    if (dump_job) {
        return dump_job_describe(dump_job, DUMP_STATUS_ACTIVE);
    }
    if (dump_last) {
        return QAPI_CLONE(DumpQueryResult, dump_last);
    }
    return g_new0(DumpQueryResult, 1);      /* DUMP_STATUS_NONE */
}

const char *dump_job_last_error(void)
{
    return dump_last_error;
}

void dump_job_when_done(DumpDone *done, void *opaque)
{
    assert(dump_job && !dump_job->done);
    dump_job->done = done;
    dump_job->done_opaque = opaque;
}

static void dump_publish(DumpJob *job)
{
    qapi_free_DumpQueryResult(dump_last);
    dump_last = dump_job_describe(job, job->error ? DUMP_STATUS_FAILED :
                                                    DUMP_STATUS_COMPLETED);
    g_free(dump_last_error);
    dump_last_error = job->error ? g_strdup(error_get_pretty(job->error)) :
                                   NULL;
    trace_dump_finish(DumpStatus_str(dump_last->status),
                      dump_last->completed, dump_last->total,
                      dump_last_error ?: "");
    for (strList *w = dump_last->warnings; w; w = w->next) {
        warn_report("dump: %s", w->value);
    }
}

/* Set a flag of the job, and wake up the threads that wait for it. */
static void dump_job_set_flag(bool *flag)
{
    g_mutex_lock(&dump_lock);
    qatomic_set(flag, true);
    g_cond_broadcast(&dump_changed);
    g_mutex_unlock(&dump_lock);
}

/*
 * The guest is no longer needed: free its state, resume it, and allow migration
 * again. Sets job->error if an event has made the dump inconsistent.
 */
static void dump_job_release_guest(DumpJob *job)
{
    const char *broken;

    dump_writer_free(job->writer);
    job->writer = NULL;
    guest_state_free(job->state);
    job->state = NULL;
    guest_pause_end(&job->pause);
    if (job->live) {
        job->live_info = dump_live_describe(job->live);
        dump_live_free(job->live);
        job->live = NULL;
        job->live_info->held = 0;
    }
    migrate_del_blocker(&job->blocker);
    broken = guest_pause_broken(&job->pause);
    if (broken) {
        error_free(job->error);
        job->error = NULL;
        error_setg(&job->error, "dump: %s", broken);
    }
}

static void dump_job_release(DumpJob *job)
{
    dump_sink_free(job->sink);
    dump_output_release(job->out);
    if (job->guest_gone) {
        notifier_remove(&job->shutdown);
    } else {
        dump_job_release_guest(job);
    }
    if (job->done_bh) {
        qemu_bh_delete(job->done_bh);
        qemu_bh_delete(job->let_go_bh);
    }
}

/*
 * End the dump and free @job. @published: the dump was not refused, so
 * query-dump reports the outcome. @event: also emit DUMP_COMPLETED.
 */
static void dump_job_finish(DumpJob *job, bool published, bool event,
                            Error **errp)
{
    dump_job_release(job);
    dump_spare_free();
    if (published) {
        dump_publish(job);
    }
    dump_job_set(NULL);
    if (event) {
        qapi_event_send_dump_completed(dump_last, dump_last_error);
    }
    if (job->view) {
        dump_job_view_end(job->view, job->error);
    }
    if (job->done) {
        job->done(job->done_opaque, dump_last, dump_last_error);
    }
    error_propagate(errp, job->error);
    dump_report_deinit(&job->report);
    qapi_free_DumpLiveInfo(job->live_info);
    g_free(job);
}

/* Publish the source of VMCOREINFO for query-dump. */
static void dump_job_set_vmcoreinfo(DumpJob *job)
{
    const DumpGuest *guest = &job->state->guest;

    if (!dump_writer_ops(job->opts.format.kind)->windows) {
        qatomic_set(&job->vmcoreinfo,
                    !guest->vmcoreinfo_size ? DUMP_VMCOREINFO_SOURCE_NONE :
                    guest->vmcoreinfo_searched ?
                    DUMP_VMCOREINFO_SOURCE_SEARCH :
                    DUMP_VMCOREINFO_SOURCE_DEVICE);
    }
}

/*
 * Analyse guest memory, plan and write the dump. The BQL is not needed. The
 * output is not modified before it is certain that the guest can be dumped.
 */
static bool dump_job_make(DumpJob *job, Error **errp)
{
    if (!guest_state_analyse(job->state, &job->progress, errp)) {
        return false;
    }
    dump_job_set_vmcoreinfo(job);
    job->writer = dump_writer_plan(&job->opts.format, &job->state->guest,
                                   &job->progress, errp);
    if (!job->writer) {
        return false;
    }
    trace_dump_plan(dump_progress_total(&job->progress));
    job->sink = dump_output_begin(job->out, job->opts.format.flat,
                                  job->opts.detach, &job->progress, errp);
    if (!job->sink) {
        return false;
    }
    dump_progress_set_phase(&job->progress, DUMP_PROGRESS_WRITE);
    return dump_writer_write(job->writer, job->sink, errp);
}

static void dump_job_run(DumpJob *job)
{
    DumpSignals signals;
    bool ok;

    /* Get EFBIG from RLIMIT_FSIZE; SIGXFSZ would terminate QEMU. */
    dump_signals_block_file_size(&signals);
    ok = dump_job_make(job, &job->error);
    dump_signals_restore(&signals);
    trace_dump_written(ok, dump_progress_completed(&job->progress),
                       dump_progress_written(&job->progress));
}

static void dump_job_exit(void *opaque);

static void dump_thread_done(void *opaque)
{
    DumpJob *job = opaque;
    Error *err = NULL;

    dump_thread_join(&job->thread);
    dump_job_finish(job, true, true, &err);
    error_free(err);
}

/* Set the guest's state, and the total of the progress. */
static void dump_job_set_state(DumpJob *job, GuestState *state)
{
    job->state = state;
    if (state) {
        /* An estimate: the plan will count whole pages. */
        dump_progress_set_total(&job->progress, state->guest.ram.bytes);
    }
}

static void dump_job_run_live(DumpJob *job)
{
    const char *broken;

    dump_job_set_state(job, dump_live_take(job->live, &job->error));
    if (job->state) {
        dump_job_run(job);
    }
    dump_live_end(job->live);
    broken = dump_live_broken(job->live);
    if (broken) {
        error_free(job->error);
        job->error = NULL;
        error_setg(&job->error, "dump: %s", broken);
    }
}

/* Have the main thread release the guest, and wait for that. */
static void dump_job_await_let_go(DumpJob *job)
{
    dump_job_set_flag(&job->guest_done);
    qemu_bh_schedule(job->let_go_bh);
    g_mutex_lock(&dump_lock);
    while (!job->guest_gone) {
        g_cond_wait(&dump_changed, &dump_lock);
    }
    g_mutex_unlock(&dump_lock);
}

/*
 * Flush the dump after the guest was resumed, so that the guest does not wait
 * for the disk. Releasing the guest may set job->error, if the dump turns out
 * to be inconsistent.
 */
static void dump_job_settle(DumpJob *job)
{
    dump_job_await_let_go(job);
    if (!job->error) {
        dump_progress_set_phase(&job->progress, DUMP_PROGRESS_SYNC);
        trace_dump_sync(dump_progress_written(&job->progress));
        dump_sink_settle(job->sink, &job->error);
    }
}

static void *dump_thread(void *opaque)
{
    DumpJob *job = opaque;

    if (job->live) {
        dump_job_run_live(job);
    } else {
        dump_job_run(job);
    }
    if (job->opts.detach && !job->error) {
        dump_job_settle(job);
    }
    dump_job_set_flag(&job->written);
    if (job->done_bh) {
        qemu_bh_schedule(job->done_bh);
    }
    aio_wait_kick();
    return NULL;
}

static void dump_job_shutdown(Notifier *notifier, void *data)
{
    DumpJob *job = container_of(notifier, DumpJob, shutdown);

    if (shutdown_action != SHUTDOWN_ACTION_PAUSE) {
        dump_job_exit(job);
    }
}

/* Release the guest. Main thread. No-op if called again. */
static void dump_let_go(void *opaque)
{
    DumpJob *job = opaque;

    if (job->guest_gone) {
        return;
    }
    dump_job_release_guest(job);
    job->shutdown.notify = dump_job_shutdown;
    qemu_register_shutdown_notifier(&job->shutdown);
    dump_job_set_flag(&job->guest_gone);
}

/*
 * The end of the dump resumes the guest. That must not happen in a nested event
 * loop of another command, such as loadvm. So, like QMP commands, the BHs use a
 * context that only the main loop polls.
 */
static bool dump_job_detach(DumpJob *job, Error **errp)
{
    bool ok;

    job->done_bh = aio_bh_new(iohandler_get_aio_context(), dump_thread_done,
                              job);
    job->let_go_bh = aio_bh_new(iohandler_get_aio_context(), dump_let_go,
                                job);
    ok = dump_thread_start(&job->thread, "dump", dump_thread, job, errp);
    if (ok && job->view) {
        dump_job_view_start(job->view);
    }
    return ok;
}

/*
 * Run the dump in a thread and wait for it. Requests to the output are carried
 * out by this thread, which polls meanwhile.
 */
static bool dump_job_run_polling(DumpJob *job, Error **errp)
{
    if (!dump_thread_start(&job->thread, "dump", dump_thread, job, errp)) {
        return false;
    }
    AIO_WAIT_WHILE(NULL, !qatomic_read(&job->written));
    dump_thread_join(&job->thread);
    return true;
}

/* Wait for a short time, and poll if the output needs that. */
static void dump_job_wait_step(DumpJob *job)
{
    if (qatomic_read(&job->guest_done)) {
        dump_let_go(job);
    }
    if (dump_output_needs_main_loop(job->out)) {
        aio_poll(qemu_get_aio_context(), false);
    }
    g_mutex_lock(&dump_lock);
    if (!job->written) {
        g_cond_wait_until(&dump_changed, &dump_lock,
                          g_get_monotonic_time() + DUMP_EXIT_POLL_US);
    }
    g_mutex_unlock(&dump_lock);
}

/* Wait until the thread is done; returns false on timeout. */
static bool dump_job_wait_written(DumpJob *job, int64_t us)
{
    int64_t until = g_get_monotonic_time() + us;

    while (!qatomic_read(&job->written) && g_get_monotonic_time() < until) {
        dump_job_wait_step(job);
    }
    return qatomic_read(&job->written);
}

/*
 * QEMU's exit waits for all jobs. End the one of a dump whose thread hangs in a
 * system call, as it would not end.
 */
static void dump_job_abandon_view(DumpJob *job)
{
    Error *err = NULL;

    if (job->view) {
        error_setg(&err, "dump: QEMU exits before the dump has ended");
        dump_job_view_end(job->view, err);
        job->view = NULL;
        error_free(err);
    }
}

/* QEMU is exiting: cancel the dump and wait briefly until it is closed. */
static void dump_job_exit(void *opaque)
{
    DumpJob *job = opaque;

    if (qatomic_read(&job->guest_done)) {
        dump_let_go(job);
    }
    /* If only the flush is missing, give it most of the time. */
    if (!job->guest_gone ||
        !dump_job_wait_written(job, DUMP_EXIT_WAIT_US - DUMP_EXIT_LEAVE_US)) {
        dump_job_cancel(NULL);
    }
    if (dump_job_wait_written(job, job->guest_gone ? DUMP_EXIT_LEAVE_US :
                                                     DUMP_EXIT_WAIT_US)) {
        dump_thread_done(job);
    } else {
        dump_job_abandon_view(job);
    }
    dump_output_exit();
}

static void dump_job_pause_exit(GuestPause *pause)
{
    dump_job_exit(container_of(pause, DumpJob, pause));
}

/* *@fd: owned by the caller; -1 if there is no argument live-fd */
static bool dump_job_get_live_fd(const DumpOptions *opts, int *fd,
                                 Error **errp)
{
    *fd = -1;
    if (opts->live_fd) {
        *fd = monitor_get_fd(monitor_cur(), opts->live_fd, errp);
        return *fd >= 0;
    }
    return true;
}

/* Set up a live dump. Returns false if it is required but not possible. */
static bool dump_job_admit_live(DumpJob *job, Error **errp)
{
    DumpLiveSetup setup = {
        .buffer = job->opts.live_buffer,
        .query = &job->query,
        .progress = &job->progress,
        .report = &job->report,
        .exit = dump_job_exit,
        .opaque = job,
    };
    Error *err = NULL;
    int fd;

    if (!dump_job_get_live_fd(&job->opts, &fd, errp)) {
        return false;
    }
    setup.device = fd >= 0 ? fd : job->opts.live_device;
    if (!job->opts.detach) {
        error_setg(&err, "a live dump is not possible without 'detach'");
    } else if (runstate_is_running()) {
        job->live = dump_live_new(&setup, &err);
    }
    if (fd >= 0) {
        close(fd);
    }
    if (err && job->opts.live == ON_OFF_AUTO_ON) {
        error_propagate_prepend(errp, err, "dump: ");
        return false;
    }
    dump_report_warn_err(&job->report, err);
    return true;
}

static void dump_view_cancel(void)
{
    dump_job_cancel(NULL);
}

/* Check that the output is large enough, if the minimum size is known. */
static bool dump_job_check_size(DumpJob *job, Error **errp)
{
    /* The amount of mapped or excluded memory is not known yet. */
    if (job->opts.paging || job->opts.dump_level ||
        !dump_writer_ops(job->opts.format.kind)->plain_memory) {
        return true;
    }
    return dump_output_check_size(job->out, guest_memory_bytes(&job->query),
                                  errp);
}

/* Start a detached dump, or run one that is not detached. */
static bool dump_job_go(DumpJob *job, Error **errp)
{
    if (job->opts.detach) {
        return dump_job_detach(job, errp);
    }
    if (dump_output_needs_main_loop(job->out)) {
        return dump_job_run_polling(job, errp);
    }
    dump_job_run(job);
    return true;
}

/*
 * All checks that precede stopping the guest. The only side effects that remain
 * after a failure are on the monitor's descriptors.
 */
static bool dump_job_admit(DumpJob *job, Error **errp)
{
    if (!guest_state_check(&job->query, errp)) {
        return false;
    }
    error_setg(&job->blocker,
               "Live migration disabled: dump-guest-memory in progress");
    /* Temporary, like a snapshot: allowed with -only-migratable. */
    if (migrate_add_blocker_internal(&job->blocker, errp) < 0) {
        job->blocker = NULL;
        return false;
    }
    job->out = dump_output_open(&job->opts.output,
                                dump_writer_must_seek(&job->opts.format),
                                errp);
    if (!job->out ||
        (job->opts.job_id &&
         !dump_job_view_check(job->opts.job_id, errp)) ||
        (job->opts.live != ON_OFF_AUTO_OFF &&
         !dump_job_admit_live(job, errp)) ||
        /* Last, as it may change the length of a block node. */
        !dump_job_check_size(job, errp)) {
        return false;
    }
    if (job->opts.job_id) {
        job->view = dump_job_view_new(job->opts.job_id, &job->progress,
                                      dump_view_cancel, errp);
        return job->view;
    }
    return true;
}

/* No search for a range: drgn dumps a single byte, which must not take long. */
static GuestStateSearch dump_search(const DumpOptions *opts)
{
    switch (opts->vmcoreinfo) {
    case DUMP_VMCOREINFO_AUTO:
        return opts->has_range && !opts->dump_level ?
               GUEST_STATE_NO_SEARCH : GUEST_STATE_SEARCH_KNOWN;
    case DUMP_VMCOREINFO_SEARCH:
        return GUEST_STATE_SEARCH_ANY;
    default:
        return GUEST_STATE_NO_SEARCH;
    }
}

static DumpJob *dump_job_new(const DumpOptions *opts)
{
    const DumpWriterOps *ops = dump_writer_ops(opts->format.kind);
    DumpJob *job = g_new0(DumpJob, 1);

    job->opts = *opts;
    job->query = (GuestStateQuery) {
        .paging = opts->paging,
        .has_range = opts->has_range,
        .begin = opts->begin,
        .length = opts->length,
        .low_memory_only = ops->low_memory,
        .ends_with_ram = ops->ends_with_ram,
        .windows = ops->windows,
        .no_guest_note = opts->vmcoreinfo == DUMP_VMCOREINFO_OFF,
        .search = dump_search(opts),
        .dump_level = opts->dump_level,
        .report = &job->report,
    };
    job->vmcoreinfo = -1;
    dump_progress_init(&job->progress);
    dump_progress_set_limit(&job->progress, opts->max_bandwidth);
    dump_report_init(&job->report);
    for (const strList *w = opts->warnings; w; w = w->next) {
        dump_report_warn(&job->report, "%s", w->value);
    }
    return job;
}

/*
 * By default one thread per host CPU that QEMU may use. In a live dump, one
 * host CPU per guest CPU is left to the guest.
 */
static unsigned dump_job_default_threads(const DumpJob *job)
{
    /* Takes the CPU affinity of the process into account. */
    unsigned host = g_get_num_processors();
    unsigned guest = 0;
    CPUState *cpu;

    if (job->live) {
        CPU_FOREACH(cpu) {
            guest++;
        }
    }
    return MIN(host > guest ? host - guest : 1, DUMP_MAX_DEFAULT_THREADS);
}

static void dump_job_set_threads(DumpJob *job)
{
    if (!job->opts.format.threads) {
        job->opts.format.threads = dump_job_default_threads(job);
    }
    job->query.threads = job->opts.format.threads;
}

bool dump_job_start(const DumpOptions *opts, Error **errp)
{
    ERRP_GUARD();
    DumpJob *job;

    if (runstate_check(RUN_STATE_INMIGRATE)) {
        error_setg(errp, "Dump not allowed during incoming migration.");
        return false;
    }
    /* Reading a page that has not arrived yet would block. */
    if (migration_in_incoming_postcopy()) {
        error_setg(errp, "Dump not allowed during incoming postcopy "
                   "migration: pages of the guest are still missing");
        return false;
    }
    if (dump_job) {
        error_setg(errp, "There is a dump in process, please wait.");
        return false;
    }

    job = dump_job_new(opts);
    dump_job_set(job);
    dump_spare_hold();
    if (!dump_job_admit(job, &job->error)) {
        dump_job_finish(job, false, false, errp);
        return false;
    }
    dump_job_set_threads(job);
    trace_dump_start(opts->format.kind, opts->format.codec,
                     opts->format.flat, opts->paging, opts->detach, job->live,
                     job->query.threads);
    job->opts.output = (DumpOutputName) { 0 };
    job->opts.job_id = NULL;
    job->opts.live_fd = NULL;
    job->opts.warnings = NULL;

    job->start_us = g_get_monotonic_time();
    if (!job->live) {
        guest_pause_begin(&job->pause, GUEST_PAUSE_STILL, &job->progress,
                          &job->report, dump_job_pause_exit);
        dump_job_set_state(job, guest_state_new(&job->query, &job->error));
    }
    if (job->error || !dump_job_go(job, &job->error)) {
        dump_job_finish(job, true, false, errp);
        return false;
    }
    if (opts->detach) {
        return true;
    }
    dump_job_finish(job, true, job->sink, errp);
    return !*errp;
}

/*
 * Open the files that are used to detect untouched memory after QEMU has forked
 * (-daemonize), but before it drops its privileges (-runas, -chroot).
 */
static void dump_machine_done(Notifier *notifier, void *data)
{
    dump_untouched_prepare();
}

static void dump_register(void)
{
    static Notifier done = { .notify = dump_machine_done };

    qemu_add_machine_init_done_notifier(&done);
}

type_init(dump_register)
