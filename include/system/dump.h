/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Guest memory dump: interface for per-target note and section writers.
 *
 * The subsystem's own state is private to dump/. DumpState has the values that
 * target/<arch>/arch_dump.c reads, and the fields that its section hooks set.
 */

#ifndef SYSTEM_DUMP_H
#define SYSTEM_DUMP_H

#include "system/dump-arch.h"
#include "system/memory_mapping.h"

struct DumpState {
    GuestPhysBlockList guest_phys_blocks;   /* RAM at the time of the dump */
    ArchDumpInfo dump_info;

    /* Requested range, in guest-physical bytes; length 0 for all RAM. */
    int64_t filter_area_begin;
    int64_t filter_area_length;
    uint64_t total_size;                    /* bytes of RAM in that range */

    /* See ArchDumpInfo's section hooks. */
    uint32_t shdr_num;                      /* sections added by the target */
    uint64_t elf_section_data_size;         /* bytes of their data */
    uint64_t section_offset;                /* file offset of the data */
    GArray *string_table_buf;               /* of char: section names */
};

/* @val in the byte order of the dump. Any thread. */
uint16_t cpu_to_dump16(DumpState *s, uint16_t val);
uint32_t cpu_to_dump32(DumpState *s, uint32_t val);
uint64_t cpu_to_dump64(DumpState *s, uint64_t val);

/*
 * The part of @block inside the range; a length of 0 means all memory. _start
 * returns the offset of its first byte from the start of the block, or -1 if
 * the part is empty; _size returns its size in bytes.
 */
int64_t dump_filtered_memblock_start(GuestPhysBlock *block,
                                     int64_t filter_area_start,
                                     int64_t filter_area_length);
int64_t dump_filtered_memblock_size(GuestPhysBlock *block,
                                    int64_t filter_area_start,
                                    int64_t filter_area_length);

#endif
