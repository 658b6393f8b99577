/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * States of a dump that is being written in which all its pages so far can
 * be read: where it can be closed as an incomplete one. One thread.
 */

#ifndef DUMP_VMCORE_KDUMP_MARKS_H
#define DUMP_VMCORE_KDUMP_MARKS_H

#include "sink.h"

typedef struct KdumpMark {
    DumpSinkMark sink;
    uint64_t nr_pages;
    uint64_t data_bytes;        /* of page data */
} KdumpMark;

typedef struct KdumpMarks {
    DumpSink *sink;             /* not owned */
    uint64_t closing;           /* bytes that closing the dump takes */
    KdumpMark *marks;           /* the latest last; size of them, n used */
    size_t n, size;
    KdumpMark first[8];         /* what there is of them without memory */
} KdumpMarks;

void kdump_marks_init(KdumpMarks *m, DumpSink *sink, uint64_t closing);
void kdump_marks_deinit(KdumpMarks *m);

/*
 * The dump has @nr_pages pages with @data_bytes bytes of data, and all of it
 * was handed to the sink. Older marks are kept as far as a full disk may
 * ask for them; if there is no memory for one more, the one before it goes.
 */
void kdump_marks_add(KdumpMarks *m, uint64_t nr_pages, uint64_t data_bytes);

/* NULL if there is none; valid until the next is added. */
const KdumpMark *kdump_marks_last(const KdumpMarks *m);

/* The latest one that leaves room for closing the dump; NULL for none. */
const KdumpMark *kdump_marks_with_room(const KdumpMarks *m);

#endif
