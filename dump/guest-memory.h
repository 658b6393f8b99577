/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Conversion of QEMU's list of guest RAM blocks to GuestRam.
 *
 * BQL held.
 */

#ifndef DUMP_GUEST_MEMORY_H
#define DUMP_GUEST_MEMORY_H

#include "guest-types.h"

/*
 * Is @block RAM for the guest's kernel, that is, the machine's own memory or
 * that of a memory device (DIMM, virtio-mem)? Everything else is device memory:
 * ROM, video memory, a BAR.
 */
bool guest_memory_is_ram(const GuestPhysBlock *block);

/*
 * Classify the backing of a RAM block that does not belong to a device, to tell
 * how untouched pages can be detected. @fd: the file, or -1 if there is none;
 * @offset: the block's offset in it.
 */
GuestRamBacking guest_memory_backing(RAMBlock *rb, int *fd, uint64_t *offset);

/* Returns false, with @errp set, if the range of @query has no memory. */
bool guest_memory_check_range(const GuestPhysBlockList *blocks,
                              const GuestStateQuery *query, Error **errp);

/* Returns false, with @errp set, if memory is private to the guest. */
bool guest_memory_check_readable(const GuestPhysBlockList *blocks,
                                 const ArchDumpInfo *info, Error **errp);

/*
 * Bytes of memory to dump. The guest may run, so the number may change until
 * the dump is started.
 */
uint64_t guest_memory_bytes(const GuestStateQuery *query);

/* Add all memory to @ram, which the caller seals. */
void guest_memory_describe(GuestRam *ram, const GuestPhysBlockList *blocks);

/*
 * Set all memory, the memory to dump, and the means to detect untouched pages
 * in @state. Called once.
 */
void guest_memory_collect(GuestState *state, const GuestStateQuery *query);

#endif
