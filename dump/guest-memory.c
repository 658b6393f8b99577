/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The guest's RAM; see the header.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "elf.h"
#include "exec/cpu-common.h"
#include "hw/boards.h"
#include "system/memory.h"
#include "system/ramblock.h"
#include "dump-target.h"
#include "guest-memory.h"

bool guest_memory_check_range(const GuestPhysBlockList *blocks,
                              const GuestStateQuery *query, Error **errp)
{
    GuestPhysBlock *block;
    uint64_t start, end;

    if (!query->has_range) {
        return true;
    }
    QTAILQ_FOREACH(block, &blocks->head, next) {
        if (dump_target_overlap(block, query->begin, query->length,
                                &start, &end)) {
            return true;
        }
    }
    error_setg(errp, "Invalid parameter 'begin': no guest memory from 0x%"
               PRIx64 " to 0x%" PRIx64, query->begin,
               query->begin + query->length - 1);
    return false;
}

bool guest_memory_check_readable(const GuestPhysBlockList *blocks,
                                 const ArchDumpInfo *info, Error **errp)
{
    /* s390x adds sections with the data needed to decrypt the dump. */
    bool private = MACHINE(qdev_get_machine())->cgs &&
                   info->d_machine != EM_S390;
    GuestPhysBlock *block;

    QTAILQ_FOREACH(block, &blocks->head, next) {
        RAMBlock *rb = block->mr->ram_block;

        private |= rb && (rb->flags & RAM_GUEST_MEMFD);
    }
    if (private) {
        error_setg(errp, "dumping guest memory is not supported for a "
                   "confidential guest: its memory is private to it");
    }
    return !private;
}

GuestRamBacking guest_memory_backing(RAMBlock *rb, int *fd, uint64_t *offset)
{
    bool shared = qemu_ram_is_shared(rb);

    *fd = qemu_ram_get_fd(rb);
    *offset = rb->fd_offset;
    if (*fd < 0) {
        return shared ? GUEST_RAM_OTHER : GUEST_RAM_ANON;
    }
    if (dump_untouched_trusts_fd(*fd)) {
        return shared ? GUEST_RAM_SHARED_FILE : GUEST_RAM_PRIVATE_FILE;
    }
    if (dump_untouched_is_huge(*fd)) {
        return shared ? GUEST_RAM_SHARED_HUGE : GUEST_RAM_PRIVATE_HUGE;
    }
    return GUEST_RAM_OTHER;
}

static void add_block(GuestRam *ram, const GuestPhysBlock *block)
{
    RAMBlock *rb = block->mr->ram_block;
    GuestRamRun run = {
        .paddr = block->target_start,
        .size = block->target_end - block->target_start,
        .host = block->host_addr,
        .fd = -1,
    };

    /* Memory provided by a device may be mapped in any way. */
    if (rb && !(rb->flags & RAM_PREALLOC)) {
        run.backing = guest_memory_backing(rb, &run.fd, &run.fd_offset);
        run.fd_offset += run.host - rb->host;
    }
    guest_ram_add_run(ram, &run);
}

void guest_memory_describe(GuestRam *ram, const GuestPhysBlockList *blocks)
{
    GuestPhysBlock *block;

    QTAILQ_FOREACH(block, &blocks->head, next) {
        add_block(ram, block);
    }
}

/*
 * The machine's own memory may consist of several backends (NUMA). Memory
 * devices are in an address range of their own.
 */
bool guest_memory_is_ram(const GuestPhysBlock *block)
{
    const MachineState *ms = MACHINE(qdev_get_machine());
    DeviceMemoryState *dms = ms->device_memory;

    for (MemoryRegion *mr = block->mr; mr; mr = mr->container) {
        if (mr == ms->ram) {
            return true;
        }
    }
    return dms && block->target_start >= dms->base &&
           block->target_start - dms->base < memory_region_size(&dms->mr);
}

/* Address of the last byte of RAM; UINT64_MAX if no RAM is recognized. */
static uint64_t find_last_ram(const GuestPhysBlockList *blocks)
{
    const GuestPhysBlock *block;
    uint64_t last = 0;

    QTAILQ_FOREACH(block, &blocks->head, next) {
        if (guest_memory_is_ram(block)) {
            last = MAX(last, block->target_end - 1);
        }
    }
    return last ?: UINT64_MAX;
}

static void exclude_memory(GuestRam *ram, const GuestPhysBlockList *blocks,
                           const GuestStateQuery *query, DumpReport *report)
{
    uint64_t beyond = query->low_memory_only ? guest_ram_drop_far(ram) : 0;
    uint64_t above = query->ends_with_ram ?
                     guest_ram_drop_above(ram, find_last_ram(blocks)) : 0;

    if (beyond) {
        dump_report_warn(report, "%" PRIu64 " bytes of device memory are "
                         "left out: their address is too high for this "
                         "format", beyond);
    }
    dump_report_add_left_out(report, beyond + above);
}

uint64_t guest_memory_bytes(const GuestStateQuery *query)
{
    GuestPhysBlockList blocks;
    GuestRam all, ram;
    uint64_t bytes;

    guest_phys_blocks_init(&blocks);
    guest_phys_blocks_append(&blocks);
    guest_ram_init(&all);
    guest_memory_describe(&all, &blocks);
    guest_ram_seal(&all);
    guest_ram_init(&ram);
    guest_ram_clip_of(&ram, &all, query->has_range ? query->begin : 0,
                      query->has_range ? query->length : 0);
    exclude_memory(&ram, &blocks, query, NULL);
    bytes = ram.bytes;
    guest_ram_deinit(&ram);
    guest_ram_deinit(&all);
    guest_phys_blocks_free(&blocks);
    return bytes;
}

void guest_memory_collect(GuestState *state, const GuestStateQuery *query)
{
    DumpState *target = &state->target;
    DumpGuest *guest = &state->guest;

    guest->untouched = dump_untouched_new();
    guest_memory_describe(&guest->all, &target->guest_phys_blocks);
    if (query->has_range) {
        target->filter_area_begin = query->begin;
        target->filter_area_length = query->length;
    }
    dump_guest_seal(guest, target->filter_area_begin,
                    target->filter_area_length);
    exclude_memory(&guest->ram, &target->guest_phys_blocks, query,
                   guest->report);
    target->total_size = guest->ram.bytes;
}
