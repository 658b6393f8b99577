/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * QEMU's blocks of guest RAM -> GuestRam.
 *
 * BQL held.
 */

#ifndef DUMP_GUEST_MEMORY_H
#define DUMP_GUEST_MEMORY_H

#include "guest-state.h"

/* Is there memory in the range of @query, if it has one? */
bool guest_memory_check_range(const GuestPhysBlockList *blocks,
                              const GuestStateQuery *query, Error **errp);

/* All memory, whatever the range of the dump, to look at here and there. */
void guest_memory_describe_all(GuestRam *ram, const GuestPhysBlockList *blocks);

/* The memory that is dumped, and how to tell what of it is untouched. */
void guest_memory_collect(GuestState *state, const GuestStateQuery *query);

#endif
