/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Where a dump can be closed as an incomplete one.
 */

#include "qemu/osdep.h"
#include "kdump-marks.h"

void kdump_marks_init(KdumpMarks *m, DumpSink *sink, uint64_t room)
{
    *m = (KdumpMarks) {
        .sink = sink,
        .room = room,
        .marks = g_array_new(false, false, sizeof(KdumpMark)),
    };
}

void kdump_marks_deinit(KdumpMarks *m)
{
    g_clear_pointer(&m->marks, g_array_unref);
}

static const KdumpMark *kdump_mark(const KdumpMarks *m, unsigned i)
{
    return &g_array_index(m->marks, KdumpMark, i);
}

static bool kdump_mark_has_room(const KdumpMarks *m, unsigned i)
{
    return dump_sink_room(m->sink, &kdump_mark(m, i)->sink) >= m->room;
}

void kdump_marks_add(KdumpMarks *m, uint64_t nr_pages, uint64_t data_bytes)
{
    KdumpMark mark = {
        .sink = dump_sink_mark(m->sink),
        .nr_pages = nr_pages,
        .data_bytes = data_bytes,
    };

    g_array_append_val(m->marks, mark);
    while (m->marks->len > 1 && kdump_mark_has_room(m, 1)) {
        g_array_remove_index(m->marks, 0);
    }
}

const KdumpMark *kdump_marks_last(const KdumpMarks *m)
{
    return m->marks->len ? kdump_mark(m, m->marks->len - 1) : NULL;
}

const KdumpMark *kdump_marks_with_room(const KdumpMarks *m)
{
    for (unsigned i = m->marks->len; i--; ) {
        if (kdump_mark_has_room(m, i)) {
            return kdump_mark(m, i);
        }
    }
    return NULL;
}
