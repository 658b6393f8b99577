/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The plan of a file: named extents with their offsets, and the check
 * that what is written is what was planned.
 *
 * A writer adds its extents front to back, then writes each of them through
 * dump_layout_write, which asserts that the bytes lie inside the extent; and
 * dump_layout_complete tells whether each was written in full. One thread.
 */

#ifndef DUMP_VMCORE_LAYOUT_H
#define DUMP_VMCORE_LAYOUT_H

#include "sink.h"

typedef struct DumpLayout DumpLayout;

/* NULL if there is no memory. */
DumpLayout *dump_layout_new(void);
void dump_layout_free(DumpLayout *layout);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DumpLayout, dump_layout_free)

#define DUMP_EXTENT_OPEN UINT64_MAX

/*
 * Append an extent behind the last one, its offset rounded up to @align
 * (1 or a power of two). @size may be 0, or DUMP_EXTENT_OPEN for the last
 * extent when its end is not known beforehand. @name is static text; it
 * is what error messages call the part ("page data").
 * Returns the extent's index, from 0. A wrapping offset asserts: callers
 * bound their sizes first. If there is no memory for it, the index is that of
 * another extent; dump_layout_planned tells.
 */
unsigned dump_layout_add(DumpLayout *layout, const char *name, uint64_t size,
                         uint64_t align);

/* False, with @errp set, if there was no memory for one of the extents. */
bool dump_layout_planned(const DumpLayout *layout, Error **errp);

uint64_t dump_layout_offset(const DumpLayout *layout, unsigned extent);
uint64_t dump_layout_size(const DumpLayout *layout, unsigned extent);

/*
 * Where the file ends: the end of the last extent; of an open extent, the
 * end of what was written to it.
 */
uint64_t dump_layout_end(const DumpLayout *layout);

/*
 * Write to @sink at @pos bytes into the extent. See dump_sink_writev. The gap
 * before an extent is filled with zeroes where the sink has no holes.
 */
bool dump_layout_writev(DumpLayout *layout, unsigned extent, uint64_t pos,
                        struct iovec *iov, int niov, DumpSink *sink,
                        Error **errp);
bool dump_layout_write(DumpLayout *layout, unsigned extent, uint64_t pos,
                       const void *buf, size_t len, DumpSink *sink,
                       Error **errp);

/*
 * Count @len bytes of the extent as written without writing them: zeroes
 * that are left as a hole.
 */
void dump_layout_skip(DumpLayout *layout, unsigned extent, uint64_t len);

/* The last @len bytes written to the extent are going to be written over. */
void dump_layout_undo(DumpLayout *layout, unsigned extent, uint64_t len);

/* Forget what was written to the extent, which is going to be written anew. */
void dump_layout_restart(DumpLayout *layout, unsigned extent);

/* True if every extent got as many bytes as planned. */
bool dump_layout_complete(const DumpLayout *layout);

#endif
