/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Progress and cancellation of one dump.
 *
 * The total is an estimate until the dump is planned, then exact and constant.
 * Total, completed, written, phase and grace are modified by one thread at a
 * time, the one that writes the output, and may be read by any thread. The
 * cancel flag may be set by any thread. The limit is set before anything is
 * written.
 */

#ifndef DUMP_VMCORE_PROGRESS_H
#define DUMP_VMCORE_PROGRESS_H

#include "rate.h"
#include "throttle.h"

typedef enum DumpProgressPhase {
    DUMP_PROGRESS_COLLECT,      /* collecting guest state, planning */
    DUMP_PROGRESS_WRITE,        /* writing memory */
    DUMP_PROGRESS_CLOSE,        /* writing the end of the file */
    DUMP_PROGRESS_SYNC,         /* flushing to stable storage */
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

/* Called before anything is completed. Starts the measurement of the rate. */
void dump_progress_set_total(DumpProgress *p, uint64_t bytes);

/* Writing thread only. Asserts that completed does not exceed total. */
void dump_progress_advance(DumpProgress *p, uint64_t bytes);
void dump_progress_add_written(DumpProgress *p, uint64_t bytes);
void dump_progress_set_phase(DumpProgress *p, DumpProgressPhase phase);

uint64_t dump_progress_total(const DumpProgress *p);
uint64_t dump_progress_completed(const DumpProgress *p);
uint64_t dump_progress_written(const DumpProgress *p);
DumpProgressPhase dump_progress_phase(const DumpProgress *p);

/* Current rate in bytes of guest memory per second; 0 if unknown. */
uint64_t dump_progress_rate(const DumpProgress *p);

/* Limit the output to @rate bytes per second; 0: no limit. */
void dump_progress_set_limit(DumpProgress *p, uint64_t rate);

/* Maximum number of bytes per write; SIZE_MAX: no limit. */
size_t dump_progress_piece(const DumpProgress *p);

/*
 * Wait until the limit permits writing @bytes, which the caller must then pass
 * to dump_progress_add_written. With at most dump_progress_piece bytes per call
 * the output is written evenly. Returns at once after cancellation: closing a
 * cancelled dump is not limited. Writing thread only.
 */
void dump_progress_await(DumpProgress *p, size_t bytes);

void dump_progress_cancel(DumpProgress *p);
bool dump_progress_cancelled(const DumpProgress *p);

/*
 * What is written from now on closes the dump: it may wait for the output for
 * another @ms milliseconds after cancellation. Writing thread only.
 */
void dump_progress_set_grace(DumpProgress *p, unsigned ms);

/* Cancelled and past the grace period? Called while waiting for output. */
bool dump_progress_out_of_time(const DumpProgress *p);

#endif
