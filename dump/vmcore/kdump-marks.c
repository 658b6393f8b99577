/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * States in which a dump can be closed as incomplete; see the header.
 */

#include "qemu/osdep.h"
#include "kdump-marks.h"

void kdump_marks_init(KdumpMarks *m, DumpSink *sink, uint64_t closing)
{
    *m = (KdumpMarks) { .sink = sink, .closing = closing };
}

void kdump_marks_deinit(KdumpMarks *m)
{
    if (m->marks != m->first) {
        g_free(m->marks);
    }
}

static bool kdump_mark_has_room(const KdumpMarks *m, size_t i)
{
    return dump_sink_room(m->sink, &m->marks[i].sink) >= m->closing;
}

/* Make room for one more mark. Returns false if out of memory. */
static bool kdump_marks_grow(KdumpMarks *m)
{
    KdumpMark *more;

    if (m->n < m->size) {
        return true;
    }
    if (!m->marks) {
        m->marks = m->first;
        m->size = ARRAY_SIZE(m->first);
        return true;
    }
    more = g_try_new(KdumpMark, 2 * m->size);
    if (!more) {
        return false;
    }
    memcpy(more, m->marks, m->n * sizeof(*more));
    kdump_marks_deinit(m);
    m->marks = more;
    m->size *= 2;
    return true;
}

/* Only the latest mark with enough room and those after it are of use. */
static void kdump_marks_drop_old(KdumpMarks *m)
{
    size_t old = 0;

    while (old + 1 < m->n && kdump_mark_has_room(m, old + 1)) {
        old++;
    }
    m->n -= old;
    memmove(m->marks, m->marks + old, m->n * sizeof(*m->marks));
}

void kdump_marks_add(KdumpMarks *m, uint64_t nr_pages, uint64_t data_bytes)
{
    KdumpMark mark = {
        .sink = dump_sink_mark(m->sink),
        .nr_pages = nr_pages,
        .data_bytes = data_bytes,
    };

    if (!kdump_marks_grow(m)) {
        m->n--;                 /* replace the last one */
    }
    m->marks[m->n++] = mark;
    kdump_marks_drop_old(m);
}

const KdumpMark *kdump_marks_last(const KdumpMarks *m)
{
    return m->n ? &m->marks[m->n - 1] : NULL;
}

const KdumpMark *kdump_marks_with_room(const KdumpMarks *m)
{
    for (size_t i = m->n; i--; ) {
        if (kdump_mark_has_room(m, i)) {
            return &m->marks[i];
        }
    }
    return NULL;
}
