/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Progress and cancellation of one dump.
 */

#include "qemu/osdep.h"
#include "progress.h"

/* Interval at which dump_progress_await() checks for cancellation. */
#define PROGRESS_POLL_US        (50 * 1000)

void dump_progress_init(DumpProgress *p)
{
    memset(p, 0, sizeof(*p));
}

void dump_progress_set_total(DumpProgress *p, uint64_t bytes)
{
    qatomic_set_u64(&p->total, bytes);
    dump_rate_init(&p->rate, g_get_monotonic_time());
}

void dump_progress_advance(DumpProgress *p, uint64_t bytes)
{
    uint64_t completed = qatomic_read_u64(&p->completed);

    assert(bytes <= qatomic_read_u64(&p->total) - completed);
    qatomic_set_u64(&p->completed, completed + bytes);
    dump_rate_update(&p->rate, g_get_monotonic_time(), completed + bytes);
}

void dump_progress_add_written(DumpProgress *p, uint64_t bytes)
{
    qatomic_set_u64(&p->written, qatomic_read_u64(&p->written) + bytes);
    dump_throttle_spend(&p->throttle, bytes);
}

void dump_progress_set_limit(DumpProgress *p, uint64_t rate)
{
    dump_throttle_init(&p->throttle, rate, g_get_monotonic_time());
}

size_t dump_progress_piece(const DumpProgress *p)
{
    return MIN(dump_throttle_piece(&p->throttle), SIZE_MAX);
}

void dump_progress_await(DumpProgress *p, size_t bytes)
{
    uint64_t us;

    while (!dump_progress_cancelled(p) &&
           (us = dump_throttle_wait(&p->throttle, g_get_monotonic_time(),
                                    bytes))) {
        g_usleep(MIN(us, PROGRESS_POLL_US));
    }
}

void dump_progress_set_phase(DumpProgress *p, DumpProgressPhase phase)
{
    qatomic_set(&p->phase, phase);
}

uint64_t dump_progress_total(const DumpProgress *p)
{
    return qatomic_read_u64(&p->total);
}

uint64_t dump_progress_completed(const DumpProgress *p)
{
    return qatomic_read_u64(&p->completed);
}

uint64_t dump_progress_written(const DumpProgress *p)
{
    return qatomic_read_u64(&p->written);
}

DumpProgressPhase dump_progress_phase(const DumpProgress *p)
{
    return qatomic_read(&p->phase);
}

uint64_t dump_progress_rate(const DumpProgress *p)
{
    return dump_rate_get(&p->rate, g_get_monotonic_time(),
                         dump_progress_completed(p));
}

void dump_progress_cancel(DumpProgress *p)
{
    qatomic_set(&p->cancelled, true);
}

bool dump_progress_cancelled(const DumpProgress *p)
{
    return qatomic_read(&p->cancelled);
}

void dump_progress_set_grace(DumpProgress *p, unsigned ms)
{
    qatomic_set_u64(&p->grace, g_get_monotonic_time() + ms * 1000ull);
}

bool dump_progress_out_of_time(const DumpProgress *p)
{
    return dump_progress_cancelled(p) &&
           g_get_monotonic_time() >= qatomic_read_u64(&p->grace);
}
