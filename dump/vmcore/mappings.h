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

#endif
