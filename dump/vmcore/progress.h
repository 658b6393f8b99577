/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Progress and cancellation of one dump.
 *
 * total is set before work starts and does not change then. completed and
 * written are advanced by the one thread that writes the output and may be
 * read by any. The cancel flag may be set by any thread.
 */

#ifndef DUMP_VMCORE_PROGRESS_H
#define DUMP_VMCORE_PROGRESS_H

#include "qemu/atomic.h"

typedef struct DumpProgress {
    aligned_uint64_t total;     /* bytes of guest memory to dump */
    aligned_uint64_t completed; /* bytes of guest memory done, <= total */
    aligned_uint64_t written;   /* bytes handed to the output */
    bool cancelled;
} DumpProgress;

void dump_progress_init(DumpProgress *p);
void dump_progress_set_total(DumpProgress *p, uint64_t bytes);

/* Writing thread only. Going past total asserts. */
void dump_progress_advance(DumpProgress *p, uint64_t bytes);
void dump_progress_add_written(DumpProgress *p, uint64_t bytes);

uint64_t dump_progress_total(const DumpProgress *p);
uint64_t dump_progress_completed(const DumpProgress *p);
uint64_t dump_progress_written(const DumpProgress *p);

void dump_progress_cancel(DumpProgress *p);
bool dump_progress_cancelled(const DumpProgress *p);

#endif
