/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Rate limit; see the header.
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "throttle.h"

#define THROTTLE_PER_SECOND     10
#define THROTTLE_MIN_PIECE      (4 * KiB)

void dump_throttle_init(DumpThrottle *t, uint64_t rate, uint64_t time)
{
    *t = (DumpThrottle) { .rate = rate, .time = time };
}

uint64_t dump_throttle_piece(const DumpThrottle *t)
{
    uint64_t piece = t->rate / THROTTLE_PER_SECOND;

    return t->rate ? MAX(QEMU_ALIGN_DOWN(piece, THROTTLE_MIN_PIECE),
                         THROTTLE_MIN_PIECE) : UINT64_MAX;
}

uint64_t dump_throttle_wait(DumpThrottle *t, uint64_t time, uint64_t bytes)
{
    double most, missing;

    if (!t->rate) {
        return 0;
    }
    most = MAX(bytes, dump_throttle_piece(t));
    t->credit = MIN(t->credit + (time - t->time) * (t->rate / 1e6), most);
    t->time = time;
    missing = bytes - t->credit;
    /* Round up, so that the wait is not 0; the bound prevents an overflow. */
    return missing > 0 ? MIN(missing / t->rate, 1e9) * 1e6 + 1 : 0;
}

void dump_throttle_spend(DumpThrottle *t, uint64_t bytes)
{
    t->credit -= t->rate ? bytes : 0;
}
