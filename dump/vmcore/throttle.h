/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A limit for how fast something may grow: a token bucket.
 *
 * For one thread. Times are microseconds of a clock that does not jump, given
 * by the caller.
 */

#ifndef DUMP_VMCORE_THROTTLE_H
#define DUMP_VMCORE_THROTTLE_H

typedef struct DumpThrottle {
    uint64_t rate;              /* bytes per second; 0: no limit */
    uint64_t time;              /* of the last look */
    double credit;              /* bytes that may be written */
} DumpThrottle;

/*
 * Begin at @time with nothing to spend, so that N bytes never take less than
 * N / @rate seconds.
 */
void dump_throttle_init(DumpThrottle *t, uint64_t rate, uint64_t time);

/*
 * The most that is to be written at once: what 100 ms allow, in pages
 * of 4 KiB, at least one. UINT64_MAX without a limit.
 */
uint64_t dump_throttle_piece(const DumpThrottle *t);

/*
 * Microseconds to wait at @time until @bytes may be written; 0: now. What is
 * not used within 100 ms is lost, but for what @bytes takes.
 */
uint64_t dump_throttle_wait(DumpThrottle *t, uint64_t time, uint64_t bytes);

/* They were written. */
void dump_throttle_spend(DumpThrottle *t, uint64_t bytes);

#endif
