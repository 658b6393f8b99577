/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * QEMU's blocks of guest RAM -> GuestRam.
 *
 * BQL held.
 */

#ifndef DUMP_GUEST_MEMORY_H
#define DUMP_GUEST_MEMORY_H

#include "guest-types.h"

/*
 * Is it RAM in the eyes of the guest's kernel? The machine's own, or what a
 * memory device (DIMM, virtio-mem) has. All else is a device's: ROM, video
 * memory, a BAR.
 */
bool guest_memory_is_ram(const GuestPhysBlock *block);

/* Is there memory in the range of @query, if it has one? */
bool guest_memory_check_range(const GuestPhysBlockList *blocks,
                              const GuestStateQuery *query, Error **errp);

/* Can QEMU read it, or is it private to a confidential guest? */
bool guest_memory_check_readable(const GuestPhysBlockList *blocks,
                                 const ArchDumpInfo *info, Error **errp);

/*
 * How much memory is dumped, as far as can be told while the guest runs and
 * may change it.
 */
uint64_t guest_memory_bytes(const GuestStateQuery *query);

/* Add all memory, whatever the range of the dump, to @ram; to be sealed. */
void guest_memory_describe(GuestRam *ram, const GuestPhysBlockList *blocks);

/*
 * All memory, the memory that is dumped, and how to tell what of it is
 * untouched. To be called once.
 */
void guest_memory_collect(GuestState *state, const GuestStateQuery *query);

#endif
