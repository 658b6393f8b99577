/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Progress and cancellation of one dump.
 *
 * total is exact when the dump is planned, does not change then, and is about
 * as large before. It, completed, written, phase and grace are changed by the
 * one thread that writes the output, and may be read by any. The cancel flag
 * may be set by any thread. The limit is set before anything is written.
 */

#ifndef DUMP_VMCORE_PROGRESS_H
#define DUMP_VMCORE_PROGRESS_H

#include "rate.h"
#include "throttle.h"

typedef enum DumpProgressPhase {
    DUMP_PROGRESS_COLLECT,      /* the guest's state, the plan */
    DUMP_PROGRESS_WRITE,        /* memory */
    DUMP_PROGRESS_CLOSE,        /* what makes the file whole */
    DUMP_PROGRESS_SYNC,         /* to stable storage */
} DumpProgressPhase;

typedef struct DumpProgress {
    aligned_uint64_t total;     /* bytes of guest memory to dump */
    aligned_uint64_t completed; /* bytes of guest memory done, <= total */
    aligned_uint64_t written;   /* bytes handed to the output */
    aligned_uint64_t grace;     /* see dump_progress_set_grace */
    DumpRate rate;              /* of completed */
    DumpThrottle throttle;      /* of written; writing thread only */
    int phase;                  /* DumpProgressPhase */
    bool cancelled;
} DumpProgress;

void dump_progress_init(DumpProgress *p);

/* Before anything is completed. From here on the rate is counted. */
void dump_progress_set_total(DumpProgress *p, uint64_t bytes);

/* Writing thread only. Going past total asserts. */
void dump_progress_advance(DumpProgress *p, uint64_t bytes);
void dump_progress_add_written(DumpProgress *p, uint64_t bytes);
void dump_progress_set_phase(DumpProgress *p, DumpProgressPhase phase);

uint64_t dump_progress_total(const DumpProgress *p);
uint64_t dump_progress_completed(const DumpProgress *p);
uint64_t dump_progress_written(const DumpProgress *p);
DumpProgressPhase dump_progress_phase(const DumpProgress *p);

/* Bytes of guest memory per second, lately; 0 if not known, or none. */
uint64_t dump_progress_rate(const DumpProgress *p);

/*
 * No more than @rate bytes per second are to be written to the output; 0: as
 * many as it takes.
 */
void dump_progress_set_limit(DumpProgress *p, uint64_t rate);

/* The most that is to be written at once, in bytes; SIZE_MAX: any number. */
size_t dump_progress_piece(const DumpProgress *p);

/*
 * Writing thread, before it writes: wait until @bytes may be written by the
 * limit, which dump_progress_add_written then counts. Who has @bytes be no
 * more than a piece writes evenly. A cancel ends the wait, and the limit: what
 * is still written ends the dump.
 */
void dump_progress_await(DumpProgress *p, size_t bytes);

void dump_progress_cancel(DumpProgress *p);
bool dump_progress_cancelled(const DumpProgress *p);

/*
 * Writing thread: what is written from here on ends the dump in good order,
 * and may wait for the output for another @ms milliseconds in spite of a
 * cancel.
 */
void dump_progress_set_grace(DumpProgress *p, unsigned ms);

/* Is there a cancel, and no grace left? Who waits for the output asks. */
bool dump_progress_out_of_time(const DumpProgress *p);

#endif
