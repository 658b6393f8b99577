/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Life cycle of a dump: the interface for the monitor commands.
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
 * A detached dump has ended; called once, right after DUMP_COMPLETED, in the
 * main thread with the BQL held. Another dump may be started from here. @error:
 * error message, NULL on success. Both arguments are valid until the return, or
 * until another dump is started.
 */
typedef void DumpDone(void *opaque, const DumpQueryResult *result,
                      const char *error);

/* A validated request. */
typedef struct DumpOptions {
    DumpFormat format;          /* threads: 0 for the default */
    bool paging;                /* one segment per guest-virtual mapping */
    bool detach;                /* return at once, write in a thread */
    bool has_range;
    uint64_t begin;             /* guest-physical bytes, with has_range */
    uint64_t length;            /* not 0; begin + length does not wrap */
    DumpVmcoreinfo vmcoreinfo;  /* sources of VMCOREINFO */
    OnOffAuto live;             /* do not stop a running guest */
    uint64_t live_buffer;       /* bytes, not 0 */
    const char *live_fd;        /* of /dev/userfaultfd; NULL for none */
    int live_device;            /* the same as a default; -1 for none */
    uint64_t max_bandwidth;     /* bytes of output per second; 0: no limit */
    unsigned dump_level;        /* PAGE_CLASS_BIT of excluded classes */
    DumpOutputName output;      /* destination */
    const char *job_id;         /* ID of the QEMU job; NULL for none */
    const strList *warnings;    /* to be included in the result */
} DumpOptions;

/*
 * Run a dump, or with @opts->detach start it. @opts, its strings and its
 * descriptor are used only during the call.
 *
 * Returns false, with @errp set, if the dump was refused, the guest turned out
 * not to be dumpable, or a dump without detach failed. A refused dump has no
 * side effects, except that a named descriptor may be consumed: the output is
 * neither created nor truncated, and the guest is not stopped. In any case the
 * guest gets its previous run state back, in a detached dump before
 * DUMP_COMPLETED is emitted; resets and shutdowns in the meantime are taken
 * into account.
 */
bool dump_job_start(const DumpOptions *opts, Error **errp);

/* Is a dump in progress, whether the guest is stopped for it or not? */
bool dump_job_running(void);

/*
 * Set a callback for the end of the running dump, one per dump. Called right
 * after the dump was started with detach; it cannot end in between, as both
 * happen in the main thread.
 */
void dump_job_when_done(DumpDone *done, void *opaque);

/*
 * The state of the running dump, or of the last one if none is running; owned
 * by the caller.
 */
DumpQueryResult *dump_job_query(void);

/*
 * Error message of the last dump, NULL if it succeeded. Valid until the next
 * dump ends.
 */
const char *dump_job_last_error(void);

/* All warnings of @report, owned by the caller; NULL if there are none. */
strList *dump_describe_warnings(DumpReport *report);

/*
 * Cancel the running dump. It soon fails with "dump: cancelled", unless all of
 * it is already written. Returns at once; false, with @errp set, if there is no
 * dump. Any thread, with or without the BQL.
 */
bool dump_job_cancel(Error **errp);

#endif
