/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A dump as a QEMU job, for who asks for it: query-jobs, job-cancel,
 * JOB_STATUS_CHANGE. The dump does not depend on it: the job only shows
 * what the dump does, and passes on a cancel. Pausing it pauses what it
 * shows.
 *
 * Called with the BQL held, in the main thread.
 */

#ifndef DUMP_JOB_VIEW_H
#define DUMP_JOB_VIEW_H

#include "vmcore/progress.h"

typedef struct DumpJobView DumpJobView;

/*
 * Create the job @id. NULL with @errp set if the id is in use or not well
 * formed. It is QEMU's; dump_job_view_end must be called once.
 *
 * @progress: read until then
 * @cancel: called when the job is cancelled before then
 */
DumpJobView *dump_job_view_new(const char *id, const DumpProgress *progress,
                               void (*cancel)(void), Error **errp);

/* The dump has begun. */
void dump_job_view_start(DumpJobView *view);

/*
 * The dump is over, well or with @err, which is copied. A job that was not
 * started was never there.
 */
void dump_job_view_end(DumpJobView *view, const Error *err);

#endif
