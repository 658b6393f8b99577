/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * States of a dump being written in which all pages written so far are
 * readable, so that it can be closed as an incomplete dump. Used by one
 * thread.
 */

#ifndef DUMP_VMCORE_KDUMP_MARKS_H
#define DUMP_VMCORE_KDUMP_MARKS_H

#include "sink.h"

typedef struct KdumpMark {
    DumpSinkMark sink;
    uint64_t nr_pages;
    uint64_t data_bytes;        /* bytes of page data */
} KdumpMark;

typedef struct KdumpMarks {
    DumpSink *sink;             /* not owned */
    uint64_t closing;           /* bytes needed for closing the dump */
    KdumpMark *marks;           /* oldest first; size allocated, n used */
    size_t n, size;
    KdumpMark first[8];         /* used before memory is allocated */
} KdumpMarks;

void kdump_marks_init(KdumpMarks *m, DumpSink *sink, uint64_t closing);
void kdump_marks_deinit(KdumpMarks *m);

/*
 * Add a mark: the dump has @nr_pages pages with @data_bytes bytes of data, all
 * passed to the sink. Older marks are kept while they may be needed after a
 * full disk; if out of memory, the new mark replaces the last one.
 */
void kdump_marks_add(KdumpMarks *m, uint64_t nr_pages, uint64_t data_bytes);

/* The latest mark, NULL for none; valid until another one is added. */
const KdumpMark *kdump_marks_last(const KdumpMarks *m);

/* The latest mark that leaves room for closing the dump; NULL for none. */
const KdumpMark *kdump_marks_with_room(const KdumpMarks *m);

#endif
