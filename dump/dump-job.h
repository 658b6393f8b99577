/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The life of one dump: what the commands hand down, and what they may ask.
 *
 * Everything here is called with the BQL held, in the main thread,
 * except dump_job_cancel.
 */

#ifndef DUMP_JOB_H
#define DUMP_JOB_H

#include "qapi/qapi-types-dump.h"
#include "dump-output.h"
#include "vmcore/writer.h"

/*
 * A detached dump that was started is over: as DUMP_COMPLETED tells, right
 * after it. Another one may be started from here. @error: why it failed, NULL
 * if it did not. Both are for the time of the call, or until another dump is
 * started. Called once, in the main thread with the BQL held.
 */
typedef void DumpDone(void *opaque, const DumpQueryResult *result,
                      const char *error);

/* One validated request. */
typedef struct DumpOptions {
    DumpFormat format;          /* threads may be 0: by default */
    bool paging;                /* one segment per guest-virtual mapping */
    bool detach;                /* return at once, write in a thread */
    bool has_range;
    uint64_t begin;             /* guest-physical bytes, with has_range */
    uint64_t length;            /* not 0; begin + length does not wrap */
    DumpVmcoreinfo vmcoreinfo;  /* where it may come from */
    OnOffAuto live;             /* let a running guest run on */
    uint64_t live_buffer;       /* bytes, not 0 */
    const char *live_fd;        /* of /dev/userfaultfd; NULL for none */
    int live_device;            /* the same, for all dumps; -1 for none */
    uint64_t max_bandwidth;     /* bytes to the output per second; 0: any */
    unsigned dump_level;        /* PAGE_CLASS_BIT: what is left out */
    DumpOutputName output;      /* where to */
    const char *job_id;         /* of the QEMU job to show; NULL for none */
    const strList *warnings;    /* what the result is to tell, too */
} DumpOptions;

/*
 * Run one dump, or with @opts->detach start it. @opts, its strings and the
 * descriptor in it are only used during the call.
 *
 * Returns false with @errp set when the dump was refused (then nothing was
 * touched but a named descriptor, which is used up: the output neither created
 * nor truncated, the guest not stopped), when the guest turned out not to be
 * dumpable, or when a dump without detach failed. Whatever the outcome, the
 * guest is afterwards in the run state that it had; of a detached dump, when
 * DUMP_COMPLETED is sent. A reset or shutdown that came in between has its
 * effect on that.
 */
bool dump_job_start(const DumpOptions *opts, Error **errp);

/* Is there a dump, whether the guest stands still for it or not? */
bool dump_job_running(void);

/*
 * Have @done called with @opaque when the running dump is over. To be used
 * right after starting it with detach: as both is done in the main thread,
 * the dump cannot end in between. A dump has room for one.
 */
void dump_job_when_done(DumpDone *done, void *opaque);

/*
 * State of the running dump, or else of the last one, for the caller to
 * free.
 */
DumpQueryResult *dump_job_query(void);

/* Why the last dump failed, NULL if it did not; valid until the next ends. */
const char *dump_job_last_error(void);

/* All warnings of @report, for the caller to free; NULL if there are none. */
strList *dump_describe_warnings(DumpReport *report);

/*
 * Stop the running dump soon; it ends as failed, with the error "dump:
 * cancelled", unless everything is written already. Returns at once. False,
 * with @errp set, if there is none. Any thread, with or without the BQL.
 */
bool dump_job_cancel(Error **errp);

#endif
