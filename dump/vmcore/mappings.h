/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Pieces of guest-virtual address space, and where in guest-physical memory
 * they are.
 *
 * They are kept in a GArray of DumpMapping. Pure functions; an array is
 * changed by one thread at a time.
 */

#ifndef DUMP_VMCORE_MAPPINGS_H
#define DUMP_VMCORE_MAPPINGS_H

#include "guest-ram.h"

/* A page has more virtual addresses than anybody asks for, from here on. */
#define DUMP_MAPPINGS_MAX_ALIASES   16

typedef struct DumpMapping {
    uint64_t paddr;             /* guest-physical, bytes */
    uint64_t vaddr;             /* guest-virtual */
    uint64_t size;              /* bytes */
} DumpMapping;

/*
 * Append @m, which neither wraps in virtual nor in physical space, or let
 * the last piece grow if it goes on where that one ends.
 */
void dump_mappings_add(GArray *mappings, const DumpMapping *m);

/*
 * Sort by guest-physical, then by guest-virtual address. Pieces that say the
 * same of what they share, or that follow one another in both spaces,
 * become one.
 */
void dump_mappings_sort(GArray *mappings);

/*
 * Of more than DUMP_MAPPINGS_MAX_ALIASES pieces that are all of one page of
 * @page_size bytes, the same one, keep as many: those of the upper half, where
 * kernels are, come first, and in each half the lowest. Larger pieces stay.
 * @mappings is sorted, and stays so.
 */
void dump_mappings_drop_aliases(GArray *mappings, uint64_t page_size);

/*
 * Add the memory of @ram that no piece has, at the virtual address that is
 * its physical one. Where that address is taken, no piece is added. @mappings
 * is sorted, and stays so.
 */
void dump_mappings_add_rest(GArray *mappings, const GuestRam *ram);

#endif
