/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A smoothed rate.
 */

#include "qemu/osdep.h"
#include "rate.h"

/* Minimum distance of samples, and their weight in the moving average. */
#define RATE_SAMPLE_US  (250 * 1000)
#define RATE_WEIGHT     0.25

/* If the last sample is older than this, the rate decays. */
#define RATE_STALE_US   (2 * RATE_SAMPLE_US)

void dump_rate_init(DumpRate *r, uint64_t time)
{
    qatomic_set_u64(&r->rate, 0);
    qatomic_set_u64(&r->amount, 0);
    qatomic_set_u64(&r->time, time);
}

static double rate_since(const DumpRate *r, uint64_t time, uint64_t amount)
{
    uint64_t before = qatomic_read_u64(&r->amount);

    return amount > before ? (amount - before) * 1e6 / time : 0;
}

void dump_rate_update(DumpRate *r, uint64_t time, uint64_t amount)
{
    uint64_t since = time - qatomic_read_u64(&r->time);
    double old = qatomic_read_u64(&r->rate);
    double latest;

    if (since < RATE_SAMPLE_US) {
        return;
    }
    latest = rate_since(r, since, amount);
    qatomic_set_u64(&r->rate, old ? old + (latest - old) * RATE_WEIGHT :
                                    latest);
    qatomic_set_u64(&r->amount, amount);
    qatomic_set_u64(&r->time, time);
}

uint64_t dump_rate_get(const DumpRate *r, uint64_t time, uint64_t amount)
{
    uint64_t since = time - MIN(time, qatomic_read_u64(&r->time));
    double rate = qatomic_read_u64(&r->rate);

    if (!since || (rate && since < RATE_STALE_US)) {
        return rate;
    }
    return rate ? MIN(rate, rate_since(r, since, amount)) :
                  rate_since(r, since, amount);
}
