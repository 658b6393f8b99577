/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Discarding of guest memory during a dump; see the header.
 *
 * A balloon first checks whether it may discard memory; a RamDiscardManager,
 * which is a virtio-mem device, notifies its listeners.
 */

#include "qemu/osdep.h"
#include "exec/cpu-common.h"
#include "system/memory.h"
#include "system/ramblock.h"
#include "guest-discard.h"

typedef struct WatchedRegion {
    RamDiscardListener listener;
    RamDiscardManager *manager;
    GuestDiscardWatch *watch;
} WatchedRegion;

struct GuestDiscardWatch {
    void (*gone)(void *opaque);     /* NULL while the watch is freed */
    void *opaque;
    bool balloons_held;
    GPtrArray *regions;
};

static void watch_discard(RamDiscardListener *listener,
                          MemoryRegionSection *section)
{
    GuestDiscardWatch *watch =
        container_of(listener, WatchedRegion, listener)->watch;

    if (watch->gone) {
        watch->gone(watch->opaque);
    }
}

/* Newly plugged memory is not in the dump; ignore it. */
static int watch_populate(RamDiscardListener *listener,
                          MemoryRegionSection *section)
{
    return 0;
}

static int watch_block(RAMBlock *rb, void *opaque)
{
    GuestDiscardWatch *watch = opaque;
    MemoryRegionSection section = {
        .mr = rb->mr,
        .size = int128_make64(memory_region_size(rb->mr)),
    };
    WatchedRegion *region;

    if (!memory_region_has_ram_discard_manager(rb->mr)) {
        return 0;
    }
    region = g_new0(WatchedRegion, 1);
    region->watch = watch;
    region->manager = memory_region_get_ram_discard_manager(rb->mr);
    /* The device may be unplugged. */
    object_ref(OBJECT(region->manager));
    ram_discard_listener_init(&region->listener, watch_populate,
                              watch_discard, true);
    ram_discard_manager_register_listener(region->manager,
                                          &region->listener, &section);
    g_ptr_array_add(watch->regions, region);
    return 0;
}

static void watched_region_free(gpointer opaque)
{
    WatchedRegion *region = opaque;

    ram_discard_manager_unregister_listener(region->manager,
                                            &region->listener);
    object_unref(OBJECT(region->manager));
    g_free(region);
}

GuestDiscardWatch *guest_discard_watch_new(void (*gone)(void *opaque),
                                           void *opaque)
{
    GuestDiscardWatch *watch = g_new0(GuestDiscardWatch, 1);

    watch->gone = gone;
    watch->opaque = opaque;
    watch->balloons_held = !ram_block_uncoordinated_discard_disable(true);
    watch->regions = g_ptr_array_new_with_free_func(watched_region_free);
    qemu_ram_foreach_block(watch_block, watch);
    return watch;
}

void guest_discard_watch_free(GuestDiscardWatch *watch)
{
    if (!watch) {
        return;
    }
    /* Unregistering calls the listener for all memory; ignore that. */
    watch->gone = NULL;
    g_ptr_array_unref(watch->regions);
    if (watch->balloons_held) {
        ram_block_uncoordinated_discard_disable(false);
    }
    g_free(watch);
}
