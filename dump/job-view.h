/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A dump as a QEMU job, for clients that request one: query-jobs, job-cancel,
 * JOB_STATUS_CHANGE. The job only shows the progress of the dump and forwards
 * cancellation; the dump does not depend on it. Pausing the job pauses the
 * display, not the dump.
 *
 * Called with the BQL held, in the main thread.
 */

#ifndef DUMP_JOB_VIEW_H
#define DUMP_JOB_VIEW_H

#include "vmcore/progress.h"

typedef struct DumpJobView DumpJobView;

/* Can a job @id be created? Not if it is in use or not well-formed. */
bool dump_job_view_check(const char *id, Error **errp);

/*
 * Create the job @id, owned by the job layer. Returns NULL, with @errp set, if
 * the id is in use or not well-formed. Otherwise dump_job_view_end must be
 * called once.
 *
 * @progress: read until dump_job_view_end
 * @cancel: called if the job is cancelled before dump_job_view_end
 */
DumpJobView *dump_job_view_new(const char *id, const DumpProgress *progress,
                               void (*cancel)(void), Error **errp);

/* The dump has started. */
void dump_job_view_start(DumpJobView *view);

/*
 * The dump has ended, successfully or with @err, which is copied. If the job
 * was never started it is discarded (job_early_fail).
 */
void dump_job_view_end(DumpJobView *view, const Error *err);

#endif
