/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Requests of the guest's disks that are in flight while it is stopped.
 *
 * They are counted at the root node of each disk. Requests of other users of
 * the same node, such as an NBD export, are counted too.
 */

#include "qemu/osdep.h"
#include "block/block_int.h"
#include "block/throttle-groups.h"
#include "system/block-backend.h"
#include "guest-disks.h"

#define SETTLE_US   (1000 * 1000)
#define PERIOD_US   1000

static bool disk_is_busy(BlockBackend *blk)
{
    const ThrottleGroupMember *throttle =
        &blk_get_public(blk)->throttle_group_member;
    BlockDriverState *bs = blk_bs(blk);

    return (bs && qatomic_read(&bs->in_flight)) ||
           throttle->pending_reqs[0] || throttle->pending_reqs[1];
}

unsigned guest_disks_busy(void)
{
    BlockBackend *blk = NULL;
    unsigned n = 0;

    while ((blk = blk_all_next(blk))) {
        n += blk_get_attached_dev(blk) && disk_is_busy(blk);
    }
    return n;
}

/* Is a disk run by an iothread, which fetches guest requests on its own? */
static bool have_iothreads(void)
{
    BlockBackend *blk = NULL;

    while ((blk = blk_all_next(blk))) {
        if (blk_get_attached_dev(blk) &&
            blk_get_aio_context(blk) != qemu_get_aio_context()) {
            return true;
        }
    }
    return false;
}

unsigned guest_disks_settle(const DumpProgress *progress)
{
    int64_t until = g_get_monotonic_time() + SETTLE_US;
    unsigned busy;
    bool more;

    if (have_iothreads()) {
        g_usleep(PERIOD_US);
    }
    do {
        /* Guest requests may still be pending in an eventfd only. */
        more = aio_poll(qemu_get_aio_context(), false);
        busy = guest_disks_busy();
        if (busy && !more) {
            g_usleep(PERIOD_US);
        }
    } while ((busy || more) && !dump_progress_cancelled(progress) &&
             g_get_monotonic_time() < until);
    return busy;
}
