/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Faults of the output, below the engine's own sinks: the system calls it
 * makes are diverted when a fuzzer is linked (--wrap).
 */

#ifndef FUZZ_FAULTS_H
#define FUZZ_FAULTS_H

#include "fuzz.h"
#include "progress.h"

/* What happens to one descriptor. */
typedef struct FuzzFaults {
    int fd;                     /* -1: nothing happens */
    uint64_t fail_at;           /* bytes that can be written, then: */
    int error;                  /* errno; 0: no failure */
    uint64_t cancel_at;         /* bytes after which the dump is cancelled */
    DumpProgress *progress;
    size_t shorten;             /* bytes that one call writes; 0: all */
    unsigned interrupt;         /* each n-th call: EINTR; 0: none */
    unsigned block;             /* each n-th call: EAGAIN; 0: none */
    int close_error;            /* what close says; 0: nothing */
    int truncate_error;
    int reserve_error;
    unsigned no_memory;         /* the n-th g_try_malloc fails; 0: none */

    uint64_t written;           /* what came of it */
    uint64_t reserved;          /* end of what was reserved, in the file */
    unsigned calls, allocations;
    bool failed, closed;
} FuzzFaults;

/* One dump at a time, whose output only one thread writes. */
extern FuzzFaults fuzz_faults;

/* Bytes of this input decide; about half of all dumps get no fault. */
void fuzz_faults_make(FuzzInput *in);

#endif
