/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Layout of a dump file: named extents with their offsets, and checks that
 * the file is written as planned.
 *
 * A writer adds its extents front to back, then writes each of them with
 * dump_layout_write, which asserts that the bytes lie inside the extent.
 * dump_layout_complete tells whether each was written in full. Used by one
 * thread.
 */

#ifndef DUMP_VMCORE_LAYOUT_H
#define DUMP_VMCORE_LAYOUT_H

#include "sink.h"

typedef struct DumpLayout DumpLayout;

/* Returns NULL if out of memory. */
DumpLayout *dump_layout_new(void);
void dump_layout_free(DumpLayout *layout);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DumpLayout, dump_layout_free)

#define DUMP_EXTENT_OPEN UINT64_MAX

/*
 * Append an extent after the last one, its offset rounded up to @align
 * (1 or a power of two). @size may be 0, or DUMP_EXTENT_OPEN for the last
 * extent if its size is not known beforehand. @name is static text, used in
 * error messages ("page data").
 *
 * Returns the extent's index, from 0. Asserts that the offset does not wrap:
 * callers bound their sizes first. If out of memory, the returned index is not
 * valid and dump_layout_planned will fail.
 */
unsigned dump_layout_add(DumpLayout *layout, const char *name, uint64_t size,
                         uint64_t align);

/* Returns false, with @errp set, if an extent could not be allocated. */
bool dump_layout_planned(const DumpLayout *layout, Error **errp);

uint64_t dump_layout_offset(const DumpLayout *layout, unsigned extent);
uint64_t dump_layout_size(const DumpLayout *layout, unsigned extent);

/*
 * The end of the file: the end of the last extent. If that is open, the end
 * of the data written to it so far.
 */
uint64_t dump_layout_end(const DumpLayout *layout);

/*
 * Write to @sink at @pos bytes into the extent; see dump_sink_writev. If the
 * sink has no holes, the gap before the extent is filled with zeroes.
 */
bool dump_layout_writev(DumpLayout *layout, unsigned extent, uint64_t pos,
                        struct iovec *iov, int niov, DumpSink *sink,
                        Error **errp);
bool dump_layout_write(DumpLayout *layout, unsigned extent, uint64_t pos,
                       const void *buf, size_t len, DumpSink *sink,
                       Error **errp);

/*
 * Write a whole extent as the one that completes the dump; see dump_sink_seal.
 */
bool dump_layout_seal(DumpLayout *layout, unsigned extent, const void *until,
                      const void *buf, DumpSink *sink, Error **errp);

/*
 * Count @len bytes of the extent as written without writing them. They become
 * a hole.
 */
void dump_layout_skip(DumpLayout *layout, unsigned extent, uint64_t len);

/* The last @len bytes written to the extent will be overwritten. */
void dump_layout_undo(DumpLayout *layout, unsigned extent, uint64_t len);

/* The extent will be rewritten from its start. */
void dump_layout_restart(DumpLayout *layout, unsigned extent);

/* True if every extent got as many bytes as planned. */
bool dump_layout_complete(const DumpLayout *layout);

#endif
