/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Memory of a running guest as of the moment of a snapshot; see the header.
 *
 * The kind of a page is determined as for a stopped guest; the snapshot then
 * tells whether the page has changed since the moment. A page that is absent
 * now was absent at the moment, as QEMU discards no memory meanwhile. (A hole
 * that another process punches in a file of guest memory cannot be
 * distinguished from memory that was never used.)
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "pages-live.h"
#include "spare.h"

/* Host addresses [start, end). */
typedef struct HostSpan {
    const uint8_t *start, *end;
} HostSpan;

typedef struct LivePages {
    DumpPages parent;
    DumpPages *still;           /* owned */
    const GuestRam *ram;
    DumpSnapshot *snapshot;
    GArray *shared;             /* HostSpan: at several guest addresses */
} LivePages;

typedef struct LiveReader {
    DumpPagesReader parent;
    DumpPagesReader *still;
    const uint8_t *host;        /* for put to check; NULL: nothing */
} LiveReader;

static gint span_compare(gconstpointer a, gconstpointer b)
{
    const HostSpan *x = a, *y = b;

    return x->start < y->start ? -1 : x->start > y->start;
}

static GArray *all_spans(const GuestRam *ram)
{
    GArray *spans = g_array_new(false, false, sizeof(HostSpan));

    for (size_t i = 0; i < guest_ram_nr_runs(ram); i++) {
        const GuestRamRun *run = guest_ram_run(ram, i);
        HostSpan span = { run->host, run->host + run->size };

        g_array_append_val(spans, span);
    }
    g_array_sort(spans, span_compare);
    return spans;
}

static GArray *find_shared(const GuestRam *ram)
{
    g_autoptr(GArray) all = all_spans(ram);
    GArray *shared = g_array_new(false, false, sizeof(HostSpan));
    const uint8_t *end = NULL;

    for (guint i = 0; i < all->len; i++) {
        const HostSpan *span = &g_array_index(all, HostSpan, i);
        HostSpan both = { span->start, MIN(span->end, end) };

        if (both.start < both.end) {
            g_array_append_val(shared, both);
        }
        end = MAX(end, span->end);
    }
    return shared;
}

/*
 * Returns the number of bytes at @host, at most @len, that are either all
 * shared or all not shared, and sets *@shared accordingly.
 */
static uint64_t shared_stretch(const LivePages *l, const uint8_t *host,
                               uint64_t len, bool *shared)
{
    *shared = false;
    for (guint i = 0; i < l->shared->len; i++) {
        const HostSpan *span = &g_array_index(l->shared, HostSpan, i);

        if (host >= span->start && host < span->end) {
            *shared = true;
            return MIN(len, span->end - host);
        }
        if (span->start > host) {
            len = MIN(len, span->start - host);
        }
    }
    return len;
}

/*
 * The snapshot is asked first: the host's answer is for all of *@len, which
 * would be examined again after each page that was saved. A page that changes
 * after it was asked is noticed by put.
 */
static DumpPagesKind live_get(DumpPagesReader *reader, uint64_t paddr,
                              uint64_t *len, const uint8_t **bytes)
{
    LiveReader *r = container_of(reader, LiveReader, parent);
    const LivePages *l = container_of(reader->pages, LivePages, parent);
    uint64_t n;
    const uint8_t *host = guest_ram_host(l->ram, paddr, &n);
    DumpPagesKind kind;

    r->host = NULL;
    if (host) {
        *len = MIN(*len, n);
        kind = dump_snapshot_look(l->snapshot, host, len, bytes);
        if (kind != DUMP_PAGES_DATA || *bytes) {
            return kind;
        }
    }
    kind = dump_pages_get(r->still, paddr, len, bytes);
    if (kind == DUMP_PAGES_DATA) {
        r->host = *bytes;
    }
    return kind;
}

/* A page that is absent now was absent at the moment; see above. */
static uint64_t live_zero_ahead(DumpPagesReader *reader, uint64_t paddr,
                                uint64_t len)
{
    const LiveReader *r = container_of(reader, LiveReader, parent);

    return dump_pages_zero_ahead(r->still, paddr, len);
}

static bool live_put(DumpPagesReader *reader, uint64_t paddr, uint64_t len)
{
    const LiveReader *r = container_of(reader, LiveReader, parent);
    const LivePages *l = container_of(reader->pages, LivePages, parent);

    return !r->host || dump_snapshot_same(l->snapshot, r->host, len);
}

static void live_give_host(const LivePages *l, const uint8_t *host,
                           uint64_t len)
{
    while (len) {
        bool shared;
        uint64_t n = shared_stretch(l, host, len, &shared);

        if (!shared) {
            dump_snapshot_give(l->snapshot, host, n);
        }
        host += n;
        len -= n;
    }
}

static void live_give(DumpPages *pages, uint64_t paddr, uint64_t len)
{
    const LivePages *l = container_of(pages, LivePages, parent);

    while (len) {
        uint64_t n;
        const uint8_t *host = guest_ram_host(l->ram, paddr, &n);

        n = MIN(len, host ? n : guest_ram_gap(l->ram, paddr));
        if (host) {
            live_give_host(l, host, n);
        }
        len -= n;
        if (n > UINT64_MAX - paddr) {
            break;
        }
        paddr += n;
    }
}

static void live_reader_free(DumpPagesReader *reader)
{
    LiveReader *r = container_of(reader, LiveReader, parent);

    dump_pages_reader_free(r->still);
    g_free(r);
}

static DumpPagesReader *live_reader_new(DumpPages *pages, Error **errp)
{
    const LivePages *l = container_of(pages, LivePages, parent);
    LiveReader *r = g_try_new0(LiveReader, 1);

    if (!r) {
        dump_no_memory(errp, "to read guest memory");
        return NULL;
    }
    r->still = dump_pages_reader_new(l->still, errp);
    if (!r->still) {
        g_free(r);
        return NULL;
    }
    return &r->parent;
}

static void live_free(DumpPages *pages)
{
    LivePages *l = container_of(pages, LivePages, parent);

    dump_pages_free(l->still);
    g_array_unref(l->shared);
    g_free(l);
}

static const DumpPagesOps live_ops = {
    .reader_new = live_reader_new,
    .reader_free = live_reader_free,
    .get = live_get,
    .zero_ahead = live_zero_ahead,
    .put = live_put,
    .give = live_give,
    .free = live_free,
};

DumpPages *dump_pages_live_new(DumpPages *still, const GuestRam *ram,
                               DumpSnapshot *snapshot)
{
    LivePages *l = g_new0(LivePages, 1);

    l->parent.ops = &live_ops;
    l->still = still;
    l->ram = ram;
    l->snapshot = snapshot;
    l->shared = find_shared(ram);
    return &l->parent;
}
