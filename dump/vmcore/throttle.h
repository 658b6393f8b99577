/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Rate limit, implemented as a token bucket.
 *
 * Used by one thread. Times are microseconds of a monotonic clock, passed by
 * the caller.
 */

#ifndef DUMP_VMCORE_THROTTLE_H
#define DUMP_VMCORE_THROTTLE_H

typedef struct DumpThrottle {
    uint64_t rate;              /* bytes per second; 0: no limit */
    uint64_t time;              /* of the last call of dump_throttle_wait */
    double credit;              /* bytes that may be written now */
} DumpThrottle;

/*
 * Start at @time without credit, so that N bytes take at least N / @rate
 * seconds.
 */
void dump_throttle_init(DumpThrottle *t, uint64_t rate, uint64_t time);

/*
 * Maximum bytes per write: the amount for 100 ms, rounded down to 4 KiB but at
 * least that. UINT64_MAX without a limit.
 */
uint64_t dump_throttle_piece(const DumpThrottle *t);

/*
 * Microseconds to wait at @time until @bytes may be written; 0: none. Unused
 * credit is limited to that for 100 ms, or to @bytes if that is more.
 */
uint64_t dump_throttle_wait(DumpThrottle *t, uint64_t time, uint64_t bytes);

/* @bytes were written: take them from the credit. */
void dump_throttle_spend(DumpThrottle *t, uint64_t bytes);

#endif
