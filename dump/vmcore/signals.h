/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Signal masks of threads that write a dump. No-ops on hosts that have no
 * signal masks.
 *
 * Each function changes the mask of the calling thread only. Every call that
 * blocks signals is followed by one of dump_signals_restore() in the same
 * thread, with the same DumpSignals.
 */

#ifndef DUMP_VMCORE_SIGNALS_H
#define DUMP_VMCORE_SIGNALS_H

#include <signal.h>

typedef struct DumpSignals {
#ifndef _WIN32
    sigset_t old;
#endif
    bool file_size;             /* SIGXFSZ is blocked */
} DumpSignals;

/*
 * Block all signals but those of a thread's own faults. A thread inherits the
 * mask of the one that creates it.
 */
void dump_signals_block_all(DumpSignals *s);

/*
 * Block SIGXFSZ: a write beyond RLIMIT_FSIZE then fails with EFBIG and does
 * not end the process.
 */
void dump_signals_block_file_size(DumpSignals *s);

/* Restore the mask; a SIGXFSZ that is pending by then is discarded. */
void dump_signals_restore(const DumpSignals *s);

#endif
