/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Pages that are missing from a kdump-compressed file.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "kdump-missing.h"
#include "spare.h"

void kdump_missing_deinit(KdumpMissing *m)
{
    g_free(m->runs);
}

bool kdump_missing_reserve(KdumpMissing *m, const KdumpSlot *slot,
                           Error **errp)
{
    size_t need = m->n, size;
    PfnRun *runs;

    for (unsigned i = 0; i < slot->nr_pages; i++) {
        need += slot->pages[i].missing;
    }
    if (need <= m->size) {
        return true;
    }
    size = MAX(need, 2 * m->size);
    runs = g_try_renew(PfnRun, m->runs, size);
    if (!runs) {
        dump_no_memory(errp, "to track missing pages");
        return false;
    }
    m->runs = runs;
    m->size = size;
    return true;
}

void kdump_missing_add(KdumpMissing *m, uint64_t pfn)
{
    PfnRun *last = m->n ? &m->runs[m->n - 1] : NULL;

    m->nr_pages++;
    if (last && last->first + last->count == pfn) {
        last->count++;
    } else {
        assert(m->n < m->size);
        m->runs[m->n++] = (PfnRun) { .first = pfn, .count = 1 };
    }
}
