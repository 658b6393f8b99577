/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Pieces of guest-virtual address space.
 */

#include "qemu/osdep.h"
#include "mappings.h"

/*
 * Does @next, which does not begin before @m in physical space, say the same
 * of what they share, or follow? Both spaces are taken for lines: what ends
 * with the last address has no successor at 0.
 */
static bool mapping_goes_on(const DumpMapping *m, const DumpMapping *next)
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

    if (last && m->paddr >= last->paddr && mapping_goes_on(last, m)) {
        mapping_extend(last, m);
    } else {
        g_array_append_val(mappings, *m);
    }
}

static int order(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

/* Pieces that may become one stand together, in the order of addresses. */
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
        if (n && mapping_goes_on(&m[n - 1], &m[i])) {
            mapping_extend(&m[n - 1], &m[i]);
        } else {
            m[n++] = m[i];
        }
    }
    g_array_set_size(mappings, n);
    g_array_sort(mappings, compare_address);
}
