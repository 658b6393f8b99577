/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Exponentially smoothed rate of a growing amount.
 *
 * Updated by one thread, read by any thread. Times are microseconds of a
 * monotonic clock, passed by the caller.
 */

#ifndef DUMP_VMCORE_RATE_H
#define DUMP_VMCORE_RATE_H

#include "qemu/atomic.h"

/* All fields are atomic; a reader may see fields of two samples. */
typedef struct DumpRate {
    aligned_uint64_t rate;      /* per second; 0 before the first sample */
    aligned_uint64_t time;      /* of the last sample */
    aligned_uint64_t amount;    /* at the last sample */
} DumpRate;

/* Start at @time with an amount of 0. */
void dump_rate_init(DumpRate *r, uint64_t time);

/*
 * Record @amount at @time; neither may decrease. Cheap: calls soon after a
 * sample are ignored.
 */
void dump_rate_update(DumpRate *r, uint64_t time, uint64_t amount);

/*
 * The current growth per second. @amount: the current amount. Returns 0 if
 * the rate is not known yet, or the amount has not grown for some time.
 */
uint64_t dump_rate_get(const DumpRate *r, uint64_t time, uint64_t amount);

#endif
