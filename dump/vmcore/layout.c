/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Layout of a dump file; see the header.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/iov.h"
#include "layout.h"
#include "spare.h"

typedef struct DumpExtent {
    const char *name;
    uint64_t offset;
    uint64_t size;              /* bytes; DUMP_EXTENT_OPEN if not known */
    uint64_t written;           /* bytes, each counted once */
} DumpExtent;

/* Enough for the fixed extents of a format and a few pieces of memory. */
#define LAYOUT_FIRST_EXTENTS    16

struct DumpLayout {
    DumpExtent *extents;        /* first, or allocated */
    size_t n, size;             /* extents used and available */
    bool no_memory;             /* an extent could not be added */
    DumpExtent first[LAYOUT_FIRST_EXTENTS];
};

DumpLayout *dump_layout_new(void)
{
    DumpLayout *layout = g_try_new0(DumpLayout, 1);

    if (layout) {
        layout->extents = layout->first;
        layout->size = ARRAY_SIZE(layout->first);
    }
    return layout;
}

static void layout_free_extents(DumpLayout *layout)
{
    if (layout->extents != layout->first) {
        g_free(layout->extents);
    }
}

void dump_layout_free(DumpLayout *layout)
{
    if (layout) {
        layout_free_extents(layout);
        g_free(layout);
    }
}

/* Make room for one more extent. Returns false if out of memory. */
static bool layout_grow(DumpLayout *layout)
{
    DumpExtent *more;

    if (layout->n < layout->size) {
        return true;
    }
    more = g_try_new(DumpExtent, 2 * layout->size);
    if (!more) {
        return false;
    }
    memcpy(more, layout->extents, layout->n * sizeof(*more));
    layout_free_extents(layout);
    layout->extents = more;
    layout->size *= 2;
    return true;
}

static DumpExtent *layout_extent(const DumpLayout *layout, unsigned extent)
{
    assert(extent < layout->n);
    return (DumpExtent *)&layout->extents[extent];
}

uint64_t dump_layout_end(const DumpLayout *layout)
{
    const DumpExtent *last;

    if (!layout->n) {
        return 0;
    }
    last = layout_extent(layout, layout->n - 1);
    return last->offset + (last->size == DUMP_EXTENT_OPEN ? last->written :
                                                            last->size);
}

unsigned dump_layout_add(DumpLayout *layout, const char *name, uint64_t size,
                         uint64_t align)
{
    uint64_t end = dump_layout_end(layout);
    DumpExtent extent = { .name = name, .size = size };

    assert(align && !(align & (align - 1)));
    assert(!layout->n ||
           layout_extent(layout, layout->n - 1)->size != DUMP_EXTENT_OPEN);
    assert(end <= UINT64_MAX - (align - 1));
    extent.offset = ROUND_UP(end, align);
    assert(size == DUMP_EXTENT_OPEN || size <= UINT64_MAX - extent.offset);
    if (!layout_grow(layout)) {
        layout->no_memory = true;
        return 0;
    }
    layout->extents[layout->n] = extent;
    return layout->n++;
}

bool dump_layout_planned(const DumpLayout *layout, Error **errp)
{
    if (layout->no_memory) {
        dump_no_memory(errp, "to plan the file");
    }
    return !layout->no_memory;
}

uint64_t dump_layout_offset(const DumpLayout *layout, unsigned extent)
{
    return layout_extent(layout, extent)->offset;
}

uint64_t dump_layout_size(const DumpLayout *layout, unsigned extent)
{
    return layout_extent(layout, extent)->size;
}

/* Assert that a write stays within the extent. */
static void extent_check(const DumpExtent *e, uint64_t pos, uint64_t len)
{
    if (e->size == DUMP_EXTENT_OPEN) {
        assert(pos == e->written);
    } else {
        assert(pos <= e->size && len <= e->size - pos);
        assert(len <= e->size - e->written);
    }
}

/* Bytes between the end of the previous extent and this one. */
static uint64_t extent_gap(const DumpLayout *layout, unsigned extent)
{
    uint64_t offset = layout_extent(layout, extent)->offset;
    unsigned i = extent;

    while (i && !layout_extent(layout, i - 1)->size) {
        i--;
    }
    if (i) {
        const DumpExtent *e = layout_extent(layout, i - 1);

        return offset - (e->offset + e->size);
    }
    return offset;
}

/* Overwrite stale data of an old file or disk in the gap before @extent. */
static bool extent_fill_gap(const DumpLayout *layout, unsigned extent,
                            DumpSink *sink, Error **errp)
{
    const DumpExtent *e = layout_extent(layout, extent);
    uint64_t gap = extent_gap(layout, extent);
    g_autofree uint8_t *zero = NULL;

    if (!gap || dump_sink_has_holes(sink)) {
        return true;
    }
    zero = g_try_malloc0(gap);
    if (!zero) {
        dump_no_memory(errp, "to write %s", e->name);
        return false;
    }
    return dump_sink_write(sink, e->offset - gap, zero, gap, e->name, errp);
}

bool dump_layout_writev(DumpLayout *layout, unsigned extent, uint64_t pos,
                        struct iovec *iov, int niov, DumpSink *sink,
                        Error **errp)
{
    DumpExtent *e = layout_extent(layout, extent);
    uint64_t len = iov_size(iov, niov);

    extent_check(e, pos, len);
    if ((!pos && !extent_fill_gap(layout, extent, sink, errp)) ||
        !dump_sink_writev(sink, e->offset + pos, iov, niov, e->name, errp)) {
        return false;
    }
    e->written += len;
    return true;
}

bool dump_layout_write(DumpLayout *layout, unsigned extent, uint64_t pos,
                       const void *buf, size_t len, DumpSink *sink,
                       Error **errp)
{
    struct iovec iov = { .iov_base = (void *)buf, .iov_len = len };

    return dump_layout_writev(layout, extent, pos, &iov, 1, sink, errp);
}

bool dump_layout_seal(DumpLayout *layout, unsigned extent, const void *until,
                      const void *buf, DumpSink *sink, Error **errp)
{
    DumpExtent *e = layout_extent(layout, extent);

    extent_check(e, 0, e->size);
    assert(!extent_gap(layout, extent));
    if (!dump_sink_seal(sink, e->offset, until, buf, e->size, e->name, errp)) {
        return false;
    }
    e->written += e->size;
    return true;
}

void dump_layout_skip(DumpLayout *layout, unsigned extent, uint64_t len)
{
    DumpExtent *e = layout_extent(layout, extent);

    assert(e->size != DUMP_EXTENT_OPEN && len <= e->size - e->written);
    e->written += len;
}

void dump_layout_undo(DumpLayout *layout, unsigned extent, uint64_t len)
{
    DumpExtent *e = layout_extent(layout, extent);

    assert(len <= e->written);
    e->written -= len;
}

void dump_layout_restart(DumpLayout *layout, unsigned extent)
{
    layout_extent(layout, extent)->written = 0;
}

bool dump_layout_complete(const DumpLayout *layout)
{
    for (unsigned i = 0; i < layout->n; i++) {
        const DumpExtent *e = layout_extent(layout, i);

        if (e->size != DUMP_EXTENT_OPEN && e->written != e->size) {
            return false;
        }
    }
    return true;
}
