/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Layout of a kdump-compressed file, and its headers, notes and bitmaps.
 *
 *   block 0     main header
 *   block 1     sub header, followed by all notes
 *               bitmap 1: page frames that are RAM
 *               bitmap 2: page frames in the file, i.e. without excluded
 *               and lost pages
 *               page descriptors, one for each bit of bitmap 2
 *               page data, in the order of the descriptors
 *
 * Constant after planning. Used by one thread.
 */

#ifndef DUMP_VMCORE_KDUMP_LAYOUT_H
#define DUMP_VMCORE_KDUMP_LAYOUT_H

#include "kdump-chunk.h"
#include "kdump-missing.h"
#include "layout.h"

typedef struct KdumpLayout {
    const DumpGuest *guest;
    const KdumpChunks *chunks;
    DumpLayout *file;           /* not owned */
    uint64_t max_pfn;           /* one past the highest page frame */
    unsigned header, sub_header, bitmap1, bitmap2, descs, data; /* extents */
} KdumpLayout;

/*
 * Plan the file: add its extents to @file, which is empty. All pointers must
 * outlive the layout. Returns false, with @errp set, if guest memory is empty
 * or too large.
 */
bool kdump_layout_init(KdumpLayout *l, const DumpGuest *guest,
                       const KdumpChunks *chunks, DumpLayout *file,
                       Error **errp);

/* File offset of the page data, which comes last. */
uint64_t kdump_layout_data(const KdumpLayout *l);

/* Bytes needed for closing the dump: bitmap 2, the header, framing. */
uint64_t kdump_layout_closing_bytes(const KdumpLayout *l);

bool kdump_layout_write_sub_header(const KdumpLayout *l, DumpSink *sink,
                                   Error **errp);

/* Bitmap 1: all page frames that are RAM. */
bool kdump_layout_write_bitmap1(const KdumpLayout *l, DumpSink *sink,
                                Error **errp);

/* Bitmap 2: the first @nr_pages pages of the dump, except @missing. */
bool kdump_layout_write_bitmap2(const KdumpLayout *l, uint64_t nr_pages,
                                const KdumpMissing *missing, DumpSink *sink,
                                Error **errp);

/* Fill the table of page descriptors after the first @nr_pages with zeroes. */
bool kdump_layout_fill_descs(const KdumpLayout *l, uint64_t nr_pages,
                             DumpSink *sink, Error **errp);

/* Write the main header, without which the file is not a dump. */
bool kdump_layout_write_header(const KdumpLayout *l, bool incomplete,
                               DumpSink *sink, Error **errp);

/* Bitmap 2 and the header will be written, perhaps a second time. */
void kdump_layout_restart_closing(const KdumpLayout *l);

#endif
