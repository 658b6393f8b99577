/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Windows crash dump writer: a full memory dump.
 *
 *   header      the guest's own, with the runs of this dump
 *   memory      one extent per run
 *
 * The offsets of the runs are not stored: each begins where the previous one
 * ends. If the output is seekable, the header is written last, so that an
 * incomplete file has no signature. A stream is written front to back.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "ram-copy.h"
#include "writer.h"

typedef struct WinDmpWriter {
    DumpWriter parent;
    GArray *runs;               /* PfnRun, sorted */
    unsigned header;            /* extent; run i is extent header + 1 + i */
    uint64_t nr_pages;          /* in all runs */
} WinDmpWriter;

static const PfnRun *windmp_run(const WinDmpWriter *w, guint i)
{
    return &g_array_index(w->runs, PfnRun, i);
}

/* The run followed by the smallest gap. */
static guint windmp_closest(const WinDmpWriter *w)
{
    uint64_t smallest = UINT64_MAX;
    guint found = 0;

    for (guint i = 0; i + 1 < w->runs->len; i++) {
        uint64_t gap = windmp_run(w, i + 1)->first -
                       (windmp_run(w, i)->first + windmp_run(w, i)->count);

        if (gap < smallest) {
            smallest = gap;
            found = i;
        }
    }
    return found;
}

/*
 * If there are more runs than the header can hold, merge those with the
 * smallest gaps in between, which are filled with zero pages.
 */
static void windmp_join_runs(WinDmpWriter *w)
{
    while (w->runs->len > windmp_max_runs(&w->parent.guest->windows->header)) {
        guint i = windmp_closest(w);
        PfnRun *run = &g_array_index(w->runs, PfnRun, i);
        const PfnRun *next = windmp_run(w, i + 1);

        run->count = next->first + next->count - run->first;
        g_array_remove_index(w->runs, i + 1);
    }
}

/* This check bounds all offsets and numbers in the functions below. */
static bool windmp_check(WinDmpWriter *w, Error **errp)
{
    const WinDmpHeader *hdr = &w->parent.guest->windows->header;
    uint64_t room = hdr->is64 ? INT64_MAX / WINDMP_PAGE_SIZE - 2 :
                                UINT32_MAX;
    const PfnRun *last;

    if (!w->runs->len) {
        dump_guest_set_empty_error(w->parent.guest, errp);
        return false;
    }
    /* This bounds the total, too, since the runs do not overlap. */
    last = windmp_run(w, w->runs->len - 1);
    if (last->first + last->count > room) {
        error_setg(errp, "dump: guest memory is too large for a %d-bit "
                   "Windows crash dump", hdr->is64 ? 64 : 32);
        return false;
    }
    return true;
}

static void windmp_lay_out(WinDmpWriter *w)
{
    w->header = dump_layout_add(w->parent.layout, "crash dump header",
                                w->parent.guest->windows->header.size, 1);
    for (guint i = 0; i < w->runs->len; i++) {
        uint64_t count = windmp_run(w, i)->count;

        dump_layout_add(w->parent.layout, "memory", count * WINDMP_PAGE_SIZE,
                        1);
        w->nr_pages += count;
    }
}

static void windmp_release(DumpWriter *parent)
{
    WinDmpWriter *w = container_of(parent, WinDmpWriter, parent);

    g_clear_pointer(&w->runs, g_array_unref);
}

static bool windmp_plan(DumpWriter *parent, const DumpFormat *format,
                        uint64_t *total, Error **errp)
{
    WinDmpWriter *w = container_of(parent, WinDmpWriter, parent);

    if (!parent->guest->windows) {
        error_setg(errp, "dump: the guest has no Windows crash dump header");
        return false;
    }
    w->runs = guest_ram_pfn_runs(&parent->guest->ram, WINDMP_PAGE_SIZE);
    if (!windmp_check(w, errp)) {
        return false;
    }
    windmp_join_runs(w);
    windmp_lay_out(w);
    *total = w->nr_pages * WINDMP_PAGE_SIZE;
    return true;
}

static WinDmpHeader windmp_header(const WinDmpWriter *w)
{
    WinDmpHeader hdr = w->parent.guest->windows->header;

    windmp_put(&hdr, WINDMP_NR_RUNS, w->runs->len);
    windmp_put(&hdr, WINDMP_NR_PAGES, w->nr_pages);
    for (unsigned i = 0; i < windmp_max_runs(&hdr); i++) {
        PfnRun run = i < w->runs->len ? *windmp_run(w, i) : (PfnRun) { 0 };

        windmp_put_run(&hdr, i, run.first, run.count);
    }
    windmp_put(&hdr, WINDMP_DUMP_TYPE, WINDMP_TYPE_FULL);
    windmp_put(&hdr, WINDMP_REQUIRED_SPACE, dump_layout_end(w->parent.layout));
    return hdr;
}

static bool windmp_write_header(WinDmpWriter *w, DumpSink *sink, Error **errp)
{
    WinDmpHeader hdr = windmp_header(w);

    return dump_layout_write(w->parent.layout, w->header, 0, hdr.bytes,
                             hdr.size, sink, errp);
}

/* Write the header last, if the output is seekable. */
static bool windmp_seal(WinDmpWriter *w, DumpSink *sink, Error **errp)
{
    static const uint8_t zero[WINDMP_HEADER_SIZE64];
    WinDmpHeader hdr = windmp_header(w);

    return dump_layout_seal(w->parent.layout, w->header, zero, hdr.bytes,
                            sink, errp);
}

static bool windmp_write_memory(WinDmpWriter *w, DumpSink *sink, Error **errp)
{
    DumpRamCopy copy = {
        .pages = w->parent.guest->pages,
        .report = w->parent.guest->report,
        .layout = w->parent.layout,
        .sink = sink,
        .progress = w->parent.progress,
    };

    for (guint i = 0; i < w->runs->len; i++) {
        const PfnRun *run = windmp_run(w, i);

        if (!dump_ram_copy(&copy, w->header + 1 + i, 0,
                           run->first * WINDMP_PAGE_SIZE,
                           run->count * WINDMP_PAGE_SIZE, errp)) {
            return false;
        }
    }
    return true;
}

/* Remove the signature of an incomplete or of an older file. */
static bool windmp_wipe_header(WinDmpWriter *w, DumpSink *sink, Error **errp)
{
    static const uint8_t zero[WINDMP_HEADER_SIZE64];

    return dump_sink_write(sink, 0, zero, w->parent.guest->windows->header.size,
                           "crash dump header", errp);
}

/* Called after all memory is written. */
static bool windmp_close(WinDmpWriter *w, DumpSink *sink, Error **errp)
{
    bool last = dump_sink_random_access(sink);
    DumpSinkMark mark = dump_sink_mark(sink);

    dump_progress_set_phase(w->parent.progress, DUMP_PROGRESS_CLOSE);
    if ((!last || windmp_seal(w, sink, errp)) &&
        dump_sink_finish(sink, dump_layout_end(w->parent.layout), errp)) {
        assert(dump_layout_complete(w->parent.layout));
        return true;
    }
    if (last && dump_sink_resume(sink, &mark, NULL)) {
        windmp_wipe_header(w, sink, NULL);
    }
    return false;
}

/* Write, wipe or reserve the header before memory is written. */
static bool windmp_begin(WinDmpWriter *w, DumpSink *sink, Error **errp)
{
    if (!dump_sink_random_access(sink)) {
        return windmp_write_header(w, sink, errp);
    }
    if (!dump_sink_has_holes(sink)) {
        return windmp_wipe_header(w, sink, errp);
    }
    return dump_sink_reserve(sink, 0, w->parent.guest->windows->header.size,
                             "crash dump header", errp);
}

static bool windmp_write(DumpWriter *parent, DumpSink *sink, Error **errp)
{
    WinDmpWriter *w = container_of(parent, WinDmpWriter, parent);

    return windmp_begin(w, sink, errp) &&
           windmp_write_memory(w, sink, errp) &&
           dump_sink_sync(sink, errp) &&
           windmp_close(w, sink, errp);
}

static bool windmp_available(const DumpFormat *format)
{
    return !format->flat;
}

const DumpWriterOps dump_writer_windmp = {
    .kind = DUMP_KIND_WINDMP,
    .size = sizeof(WinDmpWriter),
    .low_memory = true,
    .windows = true,
    .plain_memory = true,
    .available = windmp_available,
    .plan = windmp_plan,
    .write = windmp_write,
    .release = windmp_release,
};
