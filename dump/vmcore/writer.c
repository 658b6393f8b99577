/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The table of dump formats.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "writer.h"
#include "spare.h"

static const DumpWriterOps *const dump_writers[] = {
    &dump_writer_elf,
    &dump_writer_kdump,
    &dump_writer_windmp,
};

const DumpWriterOps *dump_writer_ops(DumpFormatKind kind)
{
    for (size_t i = 0; i < ARRAY_SIZE(dump_writers); i++) {
        if (dump_writers[i]->kind == kind) {
            return dump_writers[i];
        }
    }
    g_assert_not_reached();
}

bool dump_writer_available(const DumpFormat *format)
{
    return dump_writer_ops(format->kind)->available(format);
}

const char *dump_writer_must_seek(const DumpFormat *format)
{
    const DumpWriterOps *ops = dump_writer_ops(format->kind);

    return ops->must_seek ? ops->must_seek(format) : NULL;
}

static DumpWriter *writer_new(const DumpWriterOps *ops,
                              const DumpGuest *guest, DumpProgress *progress,
                              Error **errp)
{
    DumpLayout *layout = dump_layout_new();
    DumpWriter *w = g_try_malloc0(ops->size);

    if (!layout || !w) {
        dump_no_memory(errp, "to plan the file");
        dump_layout_free(layout);
        g_free(w);
        return NULL;
    }
    *w = (DumpWriter) {
        .ops = ops,
        .guest = guest,
        .progress = progress,
        .layout = layout,
    };
    return w;
}

DumpWriter *dump_writer_plan(const DumpFormat *format,
                             const DumpGuest *guest, DumpProgress *progress,
                             Error **errp)
{
    const DumpWriterOps *ops = dump_writer_ops(format->kind);
    DumpWriter *w = writer_new(ops, guest, progress, errp);
    uint64_t total;

    if (!w) {
        return NULL;
    }
    if (!ops->plan(w, format, &total, errp) ||
        !dump_layout_planned(w->layout, errp)) {
        dump_writer_free(w);
        return NULL;
    }
    dump_progress_set_total(progress, total);
    return w;
}

bool dump_writer_write(DumpWriter *w, DumpSink *sink, Error **errp)
{
    bool ok = w->ops->write(w, sink, errp);

    if (!ok) {
        dump_sink_abandon(sink);
    }
    return ok;
}

void dump_writer_free(DumpWriter *w)
{
    if (w) {
        w->ops->release(w);
        dump_layout_free(w->layout);
        g_free(w);
    }
}
