/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * How fast something grows lately: a smoothed rate.
 *
 * One thread updates; any may ask. Times are microseconds of a clock that
 * does not jump, given by the caller.
 */

#ifndef DUMP_VMCORE_RATE_H
#define DUMP_VMCORE_RATE_H

#include "qemu/atomic.h"

/* All fields are atomic; those of one sample may be read a little apart. */
typedef struct DumpRate {
    aligned_uint64_t rate;      /* per second; 0 before the first sample */
    aligned_uint64_t time;      /* of the last sample */
    aligned_uint64_t amount;    /* at the last sample */
} DumpRate;

/* Begin at @time with nothing. */
void dump_rate_init(DumpRate *r, uint64_t time);

/* It is @amount at @time; neither goes back. Cheap: most calls do nothing. */
void dump_rate_update(DumpRate *r, uint64_t time, uint64_t amount);

/*
 * Growth per second lately, given the @amount that was last heard of; 0 if
 * that is not known yet, or nothing has grown for a while.
 */
uint64_t dump_rate_get(const DumpRate *r, uint64_t time, uint64_t amount);

#endif
