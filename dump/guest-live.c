/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Snapshot of the memory of a running guest; see the header.
 *
 * Writes are tracked for whole RAM blocks. Memory for which this is not
 * possible, or which other processes may write to, is copied while the guest is
 * stopped, so its size is limited.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "exec/cpu-common.h"
#include "hw/boards.h"
#include "qemu/madvise.h"
#include "qemu/units.h"
#include "system/hostmem.h"
#include "system/memory.h"
#include "system/ramblock.h"
#include "guest-live.h"
#include "guest-memory.h"
#include "live-check.h"
#include "vmcore/pages-live.h"
#include "vmcore/spare.h"

/* Maximum number of bytes copied while the guest is stopped. */
#define LIVE_COPY_MAX       (64 * MiB)

/* Maximum page size: the writer waits while its page is copied. */
#define LIVE_PAGE_MAX       (2 * MiB)

/*
 * The dump fails if saved pages exceed the limit by this number of bytes or by
 * three times the limit, whichever is larger. As the guest is stopped when the
 * limit is exceeded, something else must then be writing to its memory.
 */
#define LIVE_SLACK          (256 * MiB)

/* Memory for which KSM is disabled during the dump. */
typedef struct LiveMergeable {
    void *start;
    size_t len;
} LiveMergeable;

struct GuestLive {
    GuestPhysBlockList blocks;  /* references that keep memory mapped */
    DumpUntouched *untouched;
    DumpSnapshot *snapshot;
    bool admitted;              /* discards and some devices are refused */
    bool merging;               /* the host runs KSM */
    GArray *mergeable;          /* LiveMergeable */
    GPtrArray *copies;          /* of memory that cannot be tracked */
};

/*
 * Device memory that is shared with other processes (ivshmem), or not allocated
 * by QEMU.
 */
static bool block_is_copied(const GuestPhysBlock *block)
{
    RAMBlock *rb = block->mr->ram_block;

    return !rb || (rb->flags & RAM_PREALLOC) ||
           (qemu_ram_is_shared(rb) && !guest_memory_is_ram(block));
}

static bool is_mergeable(const RAMBlock *rb)
{
    Object *owner = memory_region_owner(rb->mr);

    return owner && object_dynamic_cast(owner, TYPE_MEMORY_BACKEND) ?
           MEMORY_BACKEND(owner)->merge :
           machine_mem_merge(MACHINE(qdev_get_machine()));
}

static void keep_from_merging(GuestLive *live, RAMBlock *rb,
                              const DumpSnapshotRange *range)
{
    LiveMergeable m = { (void *)range->start, range->len };

    if (live->merging && is_mergeable(rb)) {
        g_array_append_val(live->mergeable, m);
    }
}

/* All of max_length is mapped; unlike used_length, it never changes. */
static bool watch_block(GuestLive *live, RAMBlock *rb, Error **errp)
{
    ERRP_GUARD();
    size_t page = qemu_ram_pagesize(rb);
    DumpSnapshotRange range = {
        .start = rb->host,
        .len = ROUND_UP(rb->max_length, page),
        .page = page,
    };
    GuestRamBacking backing = guest_memory_backing(rb, &range.fd,
                                                   &range.fd_offset);

    range.anon = backing == GUEST_RAM_ANON;
    if (backing != GUEST_RAM_SHARED_FILE) {
        range.fd = -1;
    }

    if (dump_snapshot_has(live->snapshot, range.start, range.len)) {
        return true;
    }
    if (page > LIVE_PAGE_MAX) {
        error_setg(errp, "memory '%s' has pages of %zu MiB", rb->idstr,
                   page / (size_t)MiB);
        return false;
    }
    if (!dump_snapshot_add(live->snapshot, &range, errp)) {
        error_prepend(errp, "memory '%s': ", rb->idstr);
        return false;
    }
    keep_from_merging(live, rb, &range);
    return true;
}

static bool watch_blocks(GuestLive *live, const GuestPhysBlockList *blocks,
                         Error **errp)
{
    GuestPhysBlock *block;
    uint64_t copied = 0;

    QTAILQ_FOREACH(block, &blocks->head, next) {
        if (block_is_copied(block)) {
            copied += block->target_end - block->target_start;
        } else if (!watch_block(live, block->mr->ram_block, errp)) {
            return false;
        }
    }
    if (copied > LIVE_COPY_MAX) {
        error_setg(errp, "%" PRIu64 " MiB of device memory would have to be "
                   "copied while the guest is stopped", copied / MiB);
    }
    return copied <= LIVE_COPY_MAX;
}

/*
 * Pages are saved by reading them directly, together with adjacent ones, so all
 * memory must be readable where it is mapped.
 */
static bool check_in_place(const DumpPages *pages, Error **errp)
{
    if (!dump_pages_still_in_place(pages)) {
        error_setg(errp, "some guest memory is not accessible to QEMU, or the "
                   "host's Linux is older than 5.14");
        return false;
    }
    return true;
}

static bool check_blocks(const GuestPhysBlockList *blocks, Error **errp)
{
    DumpPages *pages;
    GuestRam all;
    bool ok;

    guest_ram_init(&all);
    guest_memory_describe(&all, blocks);
    guest_ram_seal(&all);
    pages = dump_pages_still_new(&all, NULL);
    ok = check_in_place(pages, errp);
    dump_pages_free(pages);
    guest_ram_deinit(&all);
    return ok;
}

static bool copy_block(GuestLive *live, DumpGuest *guest,
                       DumpPagesReader *reader, const GuestPhysBlock *block,
                       Error **errp)
{
    uint64_t size = block->target_end - block->target_start;
    uint8_t *copy = g_try_malloc(size);
    size_t lost;

    if (!copy) {
        dump_no_memory(errp, "to copy memory of devices");
        return false;
    }
    g_ptr_array_add(live->copies, copy);
    dump_pages_read(reader, block->target_start, copy, size, &lost);
    dump_report_add_lost(guest->report, lost);
    /* No effect if it is hidden by other memory. */
    guest_ram_overlay(&guest->all, block->target_start, size, copy);
    return true;
}

static bool copy_blocks(GuestLive *live, GuestState *state, Error **errp)
{
    g_autoptr(DumpPagesReader) reader =
        dump_pages_reader_new(state->guest.pages, errp);
    GuestPhysBlock *block;

    if (!reader) {
        return false;
    }
    QTAILQ_FOREACH(block, &state->target.guest_phys_blocks.head, next) {
        if (block_is_copied(block) &&
            !copy_block(live, &state->guest, reader, block, errp)) {
            return false;
        }
    }
    return true;
}

bool guest_live_take(GuestLive *live, GuestState *state, Error **errp)
{
    ERRP_GUARD();
    DumpGuest *guest = &state->guest;

    if (guest->extra) {
        error_setg(errp, "dump: a protected guest cannot be dumped live");
        return false;
    }
    /* Memory may have been plugged since guest_live_new(). */
    if (!check_in_place(guest->pages, errp) ||
        !watch_blocks(live, &state->target.guest_phys_blocks, errp)) {
        error_prepend(errp, "dump: ");
        return false;
    }
    if (!copy_blocks(live, state, errp)) {
        return false;
    }
    /* Untouched pages of hugetlbfs cannot be recognized later. */
    dump_guest_classify_huge_pages(guest);
    guest->pages = dump_pages_live_new(guest->pages, &guest->all,
                                       live->snapshot);
    return dump_snapshot_take(live->snapshot, errp);
}

static void allow_merging(const GuestLive *live, int advice)
{
    for (guint i = 0; i < live->mergeable->len; i++) {
        const LiveMergeable *m = &g_array_index(live->mergeable,
                                                LiveMergeable, i);

        qemu_madvise(m->start, m->len, advice);
    }
}

bool guest_live_prepare(GuestLive *live, const DumpProgress *progress,
                        Error **errp)
{
    allow_merging(live, QEMU_MADV_UNMERGEABLE);
    return dump_snapshot_prepare(live->snapshot, progress, errp);
}

static bool live_admit(GuestLive *live, Error **errp)
{
    if (!live_check_guest(errp) || !live_check_merging(&live->merging, errp)) {
        return false;
    }
    /* A balloon or virtio-mem device must not discard memory. */
    if (ram_block_discard_disable(true) < 0) {
        error_setg(errp, "a device discards guest memory, for example "
                   "virtio-mem");
        return false;
    }
    live->admitted = true;
    live_check_begin();
    return true;
}

GuestLive *guest_live_new(int device, uint64_t limit,
                          const DumpSnapshotEvents *events, Error **errp)
{
    ERRP_GUARD();
    g_autoptr(GuestLive) live = g_new0(GuestLive, 1);

    guest_phys_blocks_init(&live->blocks);
    live->mergeable = g_array_new(false, false, sizeof(LiveMergeable));
    live->copies = g_ptr_array_new_with_free_func(g_free);
    live->untouched = dump_untouched_new();
    if (live_admit(live, errp)) {
        live->snapshot = dump_snapshot_new(device, limit,
                                           MAX(4 * limit, limit + LIVE_SLACK),
                                           live->untouched, events, errp);
    }
    if (live->snapshot) {
        guest_phys_blocks_append(&live->blocks);
        if (check_blocks(&live->blocks, errp) &&
            watch_blocks(live, &live->blocks, errp)) {
            return g_steal_pointer(&live);
        }
    }
    error_prepend(errp, "a live dump is not possible: ");
    return NULL;
}

void guest_live_end(GuestLive *live)
{
    dump_snapshot_end(live->snapshot);
}

const char *guest_live_broken(const GuestLive *live)
{
    return dump_snapshot_broken(live->snapshot);
}

void guest_live_get_stats(const GuestLive *live, DumpSnapshotStats *stats)
{
    dump_snapshot_get_stats(live->snapshot, stats);
}

void guest_live_free(GuestLive *live)
{
    if (!live) {
        return;
    }
    dump_snapshot_free(live->snapshot);
    dump_untouched_free(live->untouched);
    allow_merging(live, QEMU_MADV_MERGEABLE);
    if (live->admitted) {
        live_check_end();
        ram_block_discard_disable(false);
    }
    guest_phys_blocks_free(&live->blocks);
    g_array_unref(live->mergeable);
    g_ptr_array_unref(live->copies);
    g_free(live);
}
