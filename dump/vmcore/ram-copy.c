/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Copying of guest memory to the file; see the header.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/cutils.h"
#include "qemu/units.h"
#include "ram-copy.h"
#include "spare.h"

/* Large enough for efficient writes, small enough for smooth progress. */
#define COPY_CHUNK      MiB

/* Size of the bounce buffer, which should fit the CPU's caches. */
#define COPY_BOUNCE     (256 * KiB)

#define COPY_ZERO_CHUNK (64 * KiB)

/* Granularity of the search for zeroes. */
#define COPY_PAGE       4096

/*
 * Length of the data at @p that is of one kind: all zero, or without a zero
 * page.
 */
static size_t copy_stretch(const uint8_t *p, size_t len, bool *zero)
{
    size_t n = MIN(len, COPY_PAGE);

    *zero = buffer_is_zero(p, n);
    while (n < len &&
           buffer_is_zero(p + n, MIN(len - n, COPY_PAGE)) == *zero) {
        n += MIN(len - n, COPY_PAGE);
    }
    return n;
}

/* Length of the data at @p to be written in one piece. */
static size_t copy_piece_of_data(const uint8_t *p, size_t len, size_t grain)
{
    size_t done = 0;

    while (done < len) {
        bool zero;
        size_t n = copy_stretch(p + done, len - done, &zero);

        if (zero && n >= grain) {
            break;
        }
        done += n;
    }
    return done;
}

/* Write data to a sink that supports holes, and skip zeroes. */
static bool copy_sparse(const DumpRamCopy *c, unsigned extent, uint64_t pos,
                        const uint8_t *p, size_t len, Error **errp)
{
    const size_t grain = dump_sink_grain(c->sink);

    while (len) {
        bool zero;
        size_t n = copy_piece_of_data(p, len, grain);

        if (!n) {
            n = copy_stretch(p, len, &zero);
            dump_layout_skip(c->layout, extent, n);
        } else if (!dump_layout_write(c->layout, extent, pos, p, n, c->sink,
                                      errp)) {
            return false;
        }
        p += n;
        pos += n;
        len -= n;
    }
    return true;
}

/* Write zeroes for memory that need not be read. */
static bool copy_zeroes(const DumpRamCopy *c, unsigned extent, uint64_t pos,
                        uint64_t len, Error **errp)
{
    static const uint8_t zero[COPY_ZERO_CHUNK];

    if (dump_sink_has_holes(c->sink)) {
        dump_layout_skip(c->layout, extent, len);
        return true;
    }
    for (uint64_t done = 0; done < len; ) {
        size_t n = MIN(len - done, sizeof(zero));

        if (!dump_layout_write(c->layout, extent, pos + done, zero, n,
                               c->sink, errp)) {
            return false;
        }
        done += n;
    }
    return true;
}

static bool copy_data(const DumpRamCopy *c, unsigned extent, uint64_t pos,
                      const uint8_t *bytes, uint64_t len, Error **errp)
{
    return dump_sink_has_holes(c->sink) ?
           copy_sparse(c, extent, pos, bytes, len, errp) :
           dump_layout_write(c->layout, extent, pos, bytes, len, c->sink,
                             errp);
}

/* How to copy memory that may change while it is written. */
typedef struct CopyLive {
    uint8_t *bounce;            /* COPY_BOUNCE bytes; NULL: not needed */
    bool in_place;              /* the output can be overwritten */
} CopyLive;

/* Write a copy of at most COPY_BOUNCE bytes at @paddr. */
static bool copy_bounced(const DumpRamCopy *c, DumpPagesReader *reader,
                         const CopyLive *live, bool over, unsigned extent,
                         uint64_t pos, uint64_t paddr, uint64_t *len,
                         Error **errp)
{
    DumpPagesKind kind;

    *len = MIN(*len, COPY_BOUNCE);
    kind = dump_pages_get_copy(reader, paddr, live->bounce, len);
    if (kind == DUMP_PAGES_LOST) {
        dump_report_add_lost(c->report, *len);
    }
    if (kind != DUMP_PAGES_DATA) {
        memset(live->bounce, 0, *len);
    }
    /* When overwriting, zeroes must not be skipped. */
    return over ? dump_layout_write(c->layout, extent, pos, live->bounce, *len,
                                    c->sink, errp) :
                  copy_data(c, extent, pos, live->bounce, *len, errp);
}

/* Rewrite memory that the guest has modified while it was written. */
static bool copy_over(const DumpRamCopy *c, DumpPagesReader *reader,
                      const CopyLive *live, unsigned extent, uint64_t pos,
                      uint64_t paddr, uint64_t len, Error **errp)
{
    dump_layout_undo(c->layout, extent, len);
    for (uint64_t done = 0, n; done < len; done += n) {
        n = len - done;
        if (!copy_bounced(c, reader, live, true, extent, pos + done,
                          paddr + done, &n, errp)) {
            return false;
        }
    }
    return true;
}

/*
 * Copy memory of one kind. *@len: bytes requested, on return bytes copied.
 */
static bool copy_piece(const DumpRamCopy *c, DumpPagesReader *reader,
                       const CopyLive *live, unsigned extent, uint64_t pos,
                       uint64_t paddr, uint64_t *len, Error **errp)
{
    const uint8_t *bytes;
    DumpPagesKind kind = dump_pages_get(reader, paddr, len, &bytes);

    if (kind != DUMP_PAGES_DATA) {
        if (kind == DUMP_PAGES_LOST) {
            dump_report_add_lost(c->report, *len);
        }
        return copy_zeroes(c, extent, pos, *len, errp);
    }
    if (live->bounce && !live->in_place) {
        return copy_bounced(c, reader, live, false, extent, pos, paddr, len,
                            errp);
    }
    if (!copy_data(c, extent, pos, bytes, *len, errp)) {
        return false;
    }
    return dump_pages_put(reader, paddr, *len) ||
           copy_over(c, reader, live, extent, pos, paddr, *len, errp);
}

/* Skip a long range of untouched memory. Returns its length. */
static uint64_t copy_hole(const DumpRamCopy *c, DumpPagesReader *reader,
                          unsigned extent, uint64_t paddr, uint64_t len)
{
    uint64_t n = 0;

    if (len > COPY_CHUNK && dump_sink_has_holes(c->sink)) {
        n = dump_pages_zero_ahead(reader, paddr, len);
        dump_layout_skip(c->layout, extent, n);
    }
    return n;
}

static bool copy_all(const DumpRamCopy *copy, DumpPagesReader *reader,
                     const CopyLive *live, unsigned extent, uint64_t pos,
                     uint64_t paddr, uint64_t len, Error **errp)
{
    for (uint64_t done = 0; done < len; ) {
        uint64_t n;

        if (dump_progress_cancelled(copy->progress)) {
            error_setg(errp, "dump: cancelled");
            return false;
        }
        n = copy_hole(copy, reader, extent, paddr + done, len - done);
        if (!n) {
            n = MIN(len - done, COPY_CHUNK);
            if (!copy_piece(copy, reader, live, extent, pos + done,
                            paddr + done, &n, errp)) {
                return false;
            }
        }
        if (!copy->keep) {
            dump_pages_give(copy->pages, paddr + done, n);
        }
        dump_progress_advance(copy->progress, n);
        done += n;
    }
    return true;
}

bool dump_ram_copy(const DumpRamCopy *copy, unsigned extent, uint64_t pos,
                   uint64_t paddr, uint64_t len, Error **errp)
{
    g_autoptr(DumpPagesReader) reader = dump_pages_reader_new(copy->pages,
                                                              errp);
    g_autofree uint8_t *bounce = NULL;
    CopyLive live = { .in_place = dump_sink_rewinds(copy->sink) };

    if (!reader) {
        return false;
    }
    if (dump_pages_may_change(copy->pages)) {
        bounce = live.bounce = g_try_malloc(COPY_BOUNCE);
        if (!bounce) {
            dump_no_memory(errp, "to read guest memory");
            return false;
        }
    }
    return copy_all(copy, reader, &live, extent, pos, paddr, len, errp);
}
