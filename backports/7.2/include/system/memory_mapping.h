/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * QEMU 7.2 has this header under another name; its function returns void, and
 * reports failure only by the Error.
 */

#ifndef BACKPORT_SYSTEM_MEMORY_MAPPING_H
#define BACKPORT_SYSTEM_MEMORY_MAPPING_H

#include "qapi/error.h"
#include "sysemu/memory_mapping.h"

static inline bool
backport_get_guest_memory_mapping(MemoryMappingList *list,
                                  const GuestPhysBlockList *guest_phys_blocks,
                                  Error **errp)
{
    ERRP_GUARD();

    qemu_get_guest_memory_mapping(list, guest_phys_blocks, errp);
    return !*errp;
}

#define qemu_get_guest_memory_mapping backport_get_guest_memory_mapping

#endif
