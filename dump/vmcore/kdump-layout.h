/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a kdump-compressed file has besides its pages: where each part lies,
 * and the bytes of headers, notes and bitmaps.
 *
 *   block 0     main header
 *   block 1     sub header, all notes behind it
 *               bitmap 1: page frames that are RAM
 *               bitmap 2: page frames in the file: without classes of
 *               pages that are left out, and those that are lost
 *               page descriptors, one for each bit of bitmap 2
 *               page data, in the order it was made
 *
 * Constant once it is planned. One thread.
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
 * outlive the layout. False with @errp set if the guest does not fit.
 */
bool kdump_layout_init(KdumpLayout *l, const DumpGuest *guest,
                       const KdumpChunks *chunks, DumpLayout *file,
                       Error **errp);

/* File offset of the page data, behind all else. */
uint64_t kdump_layout_data(const KdumpLayout *l);

/* What closing the dump still takes: bitmap 2, the header, trailers. */
uint64_t kdump_layout_closing_bytes(const KdumpLayout *l);

bool kdump_layout_write_sub_header(const KdumpLayout *l, DumpSink *sink,
                                   Error **errp);

/* All page frames that are RAM. */
bool kdump_layout_write_bitmap1(const KdumpLayout *l, DumpSink *sink,
                                Error **errp);

/* Those of the first @nr_pages pages but for @missing. */
bool kdump_layout_write_bitmap2(const KdumpLayout *l, uint64_t nr_pages,
                                const KdumpMissing *missing, DumpSink *sink,
                                Error **errp);

/* What the table of page descriptors has behind the first @nr_pages. */
bool kdump_layout_fill_descs(const KdumpLayout *l, uint64_t nr_pages,
                             DumpSink *sink, Error **errp);

/* By which the file is a dump; a whole one unless it is @incomplete. */
bool kdump_layout_write_header(const KdumpLayout *l, bool incomplete,
                               DumpSink *sink, Error **errp);

/* Bitmap 2 and header are going to be written, perhaps once more. */
void kdump_layout_restart_closing(const KdumpLayout *l);

#endif
