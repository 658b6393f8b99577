/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Sink that wraps every write in a record of makedumpfile's flattened form
 * and writes the records in sequence to another sink.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/compiler.h"
#include "qemu/iov.h"
#include "kdump-format.h"
#include "sink-flat.h"
#include "spare.h"

typedef struct FlatSink {
    DumpSink parent;
    DumpSink *base;             /* owned */
    uint64_t pos;               /* bytes written to base */
    uint64_t end;               /* end of the data that the records describe */
    uint64_t owed;              /* unwritten rest of a record that failed */
    uint8_t record[FLAT_RECORD_SIZE];   /* header of the latest record */
    uint64_t record_len;                /* bytes of data in that record */
} FlatSink;

static bool flat_append(FlatSink *s, struct iovec *iov, int niov,
                        const char *what, Error **errp)
{
    uint64_t len = iov_size(iov, niov);
    bool ok = dump_sink_writev(s->base, s->pos, iov, niov, what, errp);

    s->owed = ok ? 0 : iov_size(iov, niov);
    s->pos += len - s->owed;
    return ok;
}

/*
 * If possible, the header is zero until the end: together with the rest of an
 * older dump in the output, an incomplete one might look complete.
 */
static bool flat_start(FlatSink *s, Error **errp)
{
    uint8_t head[FLAT_HEADER_SIZE] = { 0 };
    struct iovec iov = { .iov_base = head, .iov_len = sizeof(head) };

    if (s->pos) {
        return true;
    }
    if (!s->parent.rewinds) {
        flat_put_header(head);
    }
    return flat_append(s, &iov, 1, "flattened header", errp);
}

/* Write the header that was left out. */
static bool flat_sign(FlatSink *s, Error **errp)
{
    uint8_t head[FLAT_HEADER_SIZE];

    if (!s->parent.rewinds) {
        return true;
    }
    flat_put_header(head);
    return dump_sink_sync(s->base, errp) &&
           dump_sink_write(s->base, 0, head, sizeof(head), "flattened header",
                           errp);
}

static bool flat_write(DumpSink *sink, uint64_t offset, struct iovec *iov,
                       int niov, const char *what, Error **errp)
{
    FlatSink *s = container_of(sink, FlatSink, parent);
    g_autofree struct iovec *all = g_new(struct iovec, niov + 1);
    uint64_t len = iov_size(iov, niov);

    flat_put_record(s->record, offset, len);
    s->record_len = len;
    all[0] = (struct iovec) { s->record, FLAT_RECORD_SIZE };
    memcpy(all + 1, iov, niov * sizeof(*iov));
    if (!flat_start(s, errp) || !flat_append(s, all, niov + 1, what, errp)) {
        return false;
    }
    s->end = MAX(s->end, offset + len);
    return true;
}

/* The last data written must be in the latest record. */
static bool flat_seal(DumpSink *sink, uint64_t offset, const void *buf,
                      size_t len, const char *what, Error **errp)
{
    FlatSink *s = container_of(sink, FlatSink, parent);

    assert(len && len == s->record_len);
    return dump_sink_seal(s->base, s->pos - len, NULL, buf, len, what, errp);
}

/* Readers ignore a gap at the end, so put the last byte into a record. */
static bool flat_reach(FlatSink *s, uint64_t size, Error **errp)
{
    uint8_t zero = 0;
    struct iovec iov = { .iov_base = &zero, .iov_len = 1 };

    return s->end >= size ||
           flat_write(&s->parent, size - 1, &iov, 1, "the end", errp);
}

static bool flat_finish(DumpSink *sink, uint64_t size, Error **errp)
{
    FlatSink *s = container_of(sink, FlatSink, parent);
    uint8_t record[FLAT_RECORD_SIZE];
    struct iovec iov = { .iov_base = record, .iov_len = sizeof(record) };
    bool ok;

    flat_put_end(record);
    ok = flat_start(s, errp) &&
         flat_reach(s, size, errp) &&
         flat_append(s, &iov, 1, "flattened end record", errp) &&
         flat_sign(s, errp) &&
         dump_sink_finish(s->base, s->pos, errp);
    sink->finished = s->base->finished;
    return ok;
}

static bool flat_settle(DumpSink *sink, Error **errp)
{
    FlatSink *s = container_of(sink, FlatSink, parent);

    return dump_sink_settle(s->base, errp);
}

static bool flat_sync(DumpSink *sink, Error **errp)
{
    FlatSink *s = container_of(sink, FlatSink, parent);

    return dump_sink_sync(s->base, errp);
}

static DumpSinkMark flat_mark(const DumpSink *sink)
{
    const FlatSink *s = container_of(sink, FlatSink, parent);

    return (DumpSinkMark) { .pos = s->pos, .end = s->end };
}

static uint64_t flat_room(const DumpSink *sink, const DumpSinkMark *mark)
{
    const FlatSink *s = container_of(sink, FlatSink, parent);
    uint64_t end = MIN(s->pos, dump_sink_arrived(s->base));

    if (!sink->rewinds) {
        return UINT64_MAX;
    }
    return end > mark->pos ? end - mark->pos : 0;
}

/* Pad a partially written record to its announced length. */
static bool flat_complete_record(FlatSink *s, Error **errp)
{
    g_autofree uint8_t *zero = NULL;
    struct iovec iov = { .iov_len = s->owed };
    uint64_t head = s->owed > s->record_len ? s->owed - s->record_len : 0;

    if (s->pos < FLAT_HEADER_SIZE) {
        error_setg(errp, "dump: the flattened header is incomplete");
        return false;
    }
    if (!s->owed || head == FLAT_RECORD_SIZE) {
        s->owed = 0;            /* nothing of the record was written */
        return true;
    }
    zero = g_try_malloc0(s->owed);
    if (!zero) {
        dump_no_memory(errp, "to complete a record");
        return false;
    }
    memcpy(zero, s->record + FLAT_RECORD_SIZE - head, head);
    iov.iov_base = zero;
    return flat_append(s, &iov, 1, "flattened record", errp);
}

static bool flat_resume(DumpSink *sink, const DumpSinkMark *mark,
                        Error **errp)
{
    FlatSink *s = container_of(sink, FlatSink, parent);

    if (!dump_sink_resume(s->base, NULL, errp)) {
        return false;
    }
    if (!sink->rewinds) {
        return flat_complete_record(s, errp);
    }
    s->pos = mark->pos;
    s->end = mark->end;
    s->owed = 0;
    return true;
}

static void flat_abandon(DumpSink *sink)
{
    FlatSink *s = container_of(sink, FlatSink, parent);

    dump_sink_abandon(s->base);
}

static void flat_free(DumpSink *sink)
{
    FlatSink *s = container_of(sink, FlatSink, parent);

    dump_sink_free(s->base);
    g_free(s);
}

static const DumpSinkOps flat_ops = {
    .write = flat_write,
    .finish = flat_finish,
    .seal = flat_seal,
    .settle = flat_settle,
    .sync = flat_sync,
    .mark = flat_mark,
    .room = flat_room,
    .resume = flat_resume,
    .abandon = flat_abandon,
    .free = flat_free,
};

DumpSink *dump_sink_flat_new(DumpSink *base)
{
    FlatSink *s = g_new0(FlatSink, 1);

    dump_sink_init(&s->parent, &flat_ops, base->progress);
    s->parent.random_access = true;
    s->parent.rewinds = base->rewinds;
    s->parent.holes = true;
    s->parent.durable = base->durable;
    s->base = base;
    return &s->parent;
}
