/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Guest-virtual mappings; see the header.
 */

#include "qemu/osdep.h"
#include "mappings.h"

/*
 * Does @next, which does not start below @m in physical space, overlap @m with
 * the same translation or directly follow it? Address spaces do not wrap: a
 * mapping that ends with the last address has no successor at 0.
 */
static bool mapping_continues(const DumpMapping *m, const DumpMapping *next)
{
    return next->vaddr >= m->vaddr &&
           next->vaddr - m->vaddr == next->paddr - m->paddr &&
           next->paddr - m->paddr <= m->size;
}

static void mapping_extend(DumpMapping *m, const DumpMapping *next)
{
    m->size = MAX(m->size, next->paddr - m->paddr + next->size);
}

void dump_mappings_add(GArray *mappings, const DumpMapping *m)
{
    DumpMapping *last = mappings->len ?
        &g_array_index(mappings, DumpMapping, mappings->len - 1) : NULL;

    if (last && m->paddr >= last->paddr && mapping_continues(last, m)) {
        mapping_extend(last, m);
    } else {
        g_array_append_val(mappings, *m);
    }
}

static int order(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

/* Makes mappings that may be merged adjacent, in the order of addresses. */
static int compare_shift(gconstpointer a, gconstpointer b)
{
    const DumpMapping *x = a, *y = b;

    return order(x->vaddr - x->paddr, y->vaddr - y->paddr) ?:
           order(x->paddr, y->paddr);
}

static int compare_address(gconstpointer a, gconstpointer b)
{
    const DumpMapping *x = a, *y = b;

    return order(x->paddr, y->paddr) ?: order(x->vaddr, y->vaddr);
}

void dump_mappings_sort(GArray *mappings)
{
    DumpMapping *m = (DumpMapping *)mappings->data;
    size_t n = 0;

    g_array_sort(mappings, compare_shift);
    for (size_t i = 0; i < mappings->len; i++) {
        if (n && mapping_continues(&m[n - 1], &m[i])) {
            mapping_extend(&m[n - 1], &m[i]);
        } else {
            m[n++] = m[i];
        }
    }
    g_array_set_size(mappings, n);
    g_array_sort(mappings, compare_address);
}

/*
 * Is @m in the upper half of a 64-bit or of a 32-bit address space? 64-bit
 * guests may have false positives, which do no harm.
 */
static bool mapping_is_upper(const DumpMapping *m)
{
    return m->vaddr >> 63 || m->vaddr >> 31 == 1;
}

/* Mappings [@i, @end) start with the same page: move those to keep to @out. */
static size_t keep_aliases(DumpMapping *m, size_t i, size_t end, size_t out,
                           uint64_t page_size)
{
    size_t upper = 0, left[2];

    for (size_t k = i; k < end; k++) {
        upper += m[k].size == page_size && mapping_is_upper(&m[k]);
    }
    left[true] = MIN(upper, DUMP_MAPPINGS_MAX_ALIASES);
    left[false] = DUMP_MAPPINGS_MAX_ALIASES - left[true];
    for (; i < end; i++) {
        size_t *room = &left[mapping_is_upper(&m[i])];

        if (m[i].size == page_size) {
            if (!*room) {
                continue;
            }
            --*room;
        }
        m[out++] = m[i];
    }
    return out;
}

void dump_mappings_drop_aliases(GArray *mappings, uint64_t page_size)
{
    DumpMapping *m = (DumpMapping *)mappings->data;
    size_t out = 0, end;

    for (size_t i = 0; i < mappings->len; i = end) {
        end = i + 1;
        while (end < mappings->len && m[end].paddr == m[i].paddr) {
            end++;
        }
        out = keep_aliases(m, i, end, out, page_size);
    }
    g_array_set_size(mappings, out);
}

typedef struct Span {
    uint64_t first, last;
} Span;

static int compare_spans(gconstpointer a, gconstpointer b)
{
    const Span *x = a, *y = b;

    return order(x->first, y->first);
}

/* The physical or virtual address ranges of @mappings, sorted. */
static GArray *mapping_spans(const GArray *mappings, bool virtual)
{
    GArray *spans = g_array_sized_new(false, false, sizeof(Span),
                                      mappings->len);

    for (size_t i = 0; i < mappings->len; i++) {
        const DumpMapping *m = &g_array_index(mappings, DumpMapping, i);
        uint64_t first = virtual ? m->vaddr : m->paddr;
        Span span = { first, first + (m->size - 1) };

        g_array_append_val(spans, span);
    }
    g_array_sort(spans, compare_spans);
    return spans;
}

/* Both are sorted; the spans in @from do not overlap. Frees both. */
static GArray *subtract_spans(GArray *from, GArray *spans)
{
    GArray *rest = g_array_new(false, false, sizeof(Span));
    size_t k = 0;

    for (size_t i = 0; i < from->len; i++) {
        Span s = g_array_index(from, Span, i);
        bool some = true;

        while (some && k < spans->len) {
            const Span *cut = &g_array_index(spans, Span, k);

            if (cut->first > s.last) {
                break;
            }
            if (cut->first > s.first) {
                Span piece = { s.first, cut->first - 1 };

                g_array_append_val(rest, piece);
            }
            /* A cut that ends inside this span cannot affect the next. */
            some = cut->last < s.last;
            if (some) {
                s.first = MAX(s.first, cut->last + 1);
                k++;
            }
        }
        if (some) {
            g_array_append_val(rest, s);
        }
    }
    g_array_unref(from);
    g_array_unref(spans);
    return rest;
}

static GArray *ram_spans(const GuestRam *ram)
{
    GArray *spans = g_array_new(false, false, sizeof(Span));

    for (size_t i = 0; i < guest_ram_nr_runs(ram); i++) {
        const GuestRamRun *run = guest_ram_run(ram, i);
        Span span = { run->paddr, run->paddr + (run->size - 1) };

        g_array_append_val(spans, span);
    }
    return spans;
}

void dump_mappings_add_rest(GArray *mappings, const GuestRam *ram)
{
    GArray *rest = ram_spans(ram);

    rest = subtract_spans(rest, mapping_spans(mappings, false));
    rest = subtract_spans(rest, mapping_spans(mappings, true));
    for (size_t i = 0; i < rest->len; i++) {
        const Span *s = &g_array_index(rest, Span, i);
        DumpMapping m = { s->first, s->first, s->last - s->first + 1 };

        g_array_append_val(mappings, m);
    }
    g_array_unref(rest);
    dump_mappings_sort(mappings);
}
