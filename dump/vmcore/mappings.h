/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Guest-virtual to guest-physical mappings.
 *
 * They are kept in a GArray of DumpMapping, to be modified by one thread at a
 * time.
 */

#ifndef DUMP_VMCORE_MAPPINGS_H
#define DUMP_VMCORE_MAPPINGS_H

#include "guest-ram.h"

/* Further virtual addresses of the same page are dropped. */
#define DUMP_MAPPINGS_MAX_ALIASES   16

typedef struct DumpMapping {
    uint64_t paddr;             /* guest-physical, bytes */
    uint64_t vaddr;             /* guest-virtual */
    uint64_t size;              /* bytes */
} DumpMapping;

/*
 * Append @m, or extend the last mapping if @m continues or overlaps it. @m
 * wraps neither in virtual nor in physical space.
 */
void dump_mappings_add(GArray *mappings, const DumpMapping *m);

/*
 * Sort by guest-physical, then by guest-virtual address. Mappings that overlap
 * consistently, or are contiguous in both spaces, are merged.
 */
void dump_mappings_sort(GArray *mappings);

/*
 * Keep at most DUMP_MAPPINGS_MAX_ALIASES mappings of the same single page of
 * @page_size bytes. Those in the upper half, used by kernels, are preferred,
 * and within each half the lowest. Larger mappings are kept. @mappings is
 * sorted before and after the call.
 */
void dump_mappings_drop_aliases(GArray *mappings, uint64_t page_size);

/*
 * Add identity mappings for the memory of @ram that is not mapped, except
 * where the virtual address is in use. @mappings is sorted before and after
 * the call.
 */
void dump_mappings_add_rest(GArray *mappings, const GuestRam *ram);

#endif
