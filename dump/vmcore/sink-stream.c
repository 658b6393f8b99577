/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Sink over a descriptor that cannot seek: pipe, socket, terminal, file
 * opened for appending.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/compiler.h"
#include "qemu/iov.h"
#include "qemu/units.h"
#include "fd-write.h"
#include "sink-stream.h"

#define STREAM_ZERO_SIZE        (64 * KiB)

typedef struct StreamSink {
    DumpSink parent;
    FdWriter out;
    uint64_t pos;               /* bytes written so far */
} StreamSink;

/* Write zero bytes up to @offset. */
static bool stream_fill(StreamSink *s, uint64_t offset, const char *what,
                        Error **errp)
{
    static const uint8_t zero[STREAM_ZERO_SIZE];

    assert(offset >= s->pos);
    while (s->pos < offset) {
        size_t n = MIN(offset - s->pos, sizeof(zero));
        struct iovec iov = { .iov_base = (void *)zero, .iov_len = n };
        bool ok = fd_write(&s->out, -1, &iov, 1, what, errp);

        s->pos += n - iov.iov_len;
        if (!ok) {
            return false;
        }
    }
    return true;
}

static bool stream_write(DumpSink *sink, uint64_t offset, struct iovec *iov,
                         int niov, const char *what, Error **errp)
{
    StreamSink *s = container_of(sink, StreamSink, parent);
    uint64_t len = iov_size(iov, niov);
    bool ok;

    if (!stream_fill(s, offset, what, errp)) {
        return false;
    }
    ok = fd_write(&s->out, -1, iov, niov, what, errp);
    s->pos += len - iov_size(iov, niov);
    return ok;
}

static bool stream_finish(DumpSink *sink, uint64_t size, Error **errp)
{
    StreamSink *s = container_of(sink, StreamSink, parent);

    if (!stream_fill(s, size, "the end", errp)) {
        return false;
    }
    sink->finished = true;
    return (sink->durable && s->out.storage) || fd_close(&s->out, errp);
}

static bool stream_flush(DumpSink *sink, Error **errp)
{
    StreamSink *s = container_of(sink, StreamSink, parent);

    return fd_flush(&s->out, errp);
}

static bool stream_close(DumpSink *sink, Error **errp)
{
    StreamSink *s = container_of(sink, StreamSink, parent);

    return !s->out.storage || fd_close(&s->out, errp);
}

static void stream_abandon(DumpSink *sink)
{
    StreamSink *s = container_of(sink, StreamSink, parent);

    fd_abandon(&s->out);
}

static void stream_free(DumpSink *sink)
{
    StreamSink *s = container_of(sink, StreamSink, parent);

    fd_abandon(&s->out);
    g_free(s);
}

static const DumpSinkOps stream_ops = {
    .write = stream_write,
    .finish = stream_finish,
    .flush = stream_flush,
    .close = stream_close,
    .abandon = stream_abandon,
    .free = stream_free,
};

DumpSink *dump_sink_stream_new(int fd, DumpProgress *progress)
{
    StreamSink *s = g_new0(StreamSink, 1);

    dump_sink_init(&s->parent, &stream_ops, progress);
    fd_writer_init(&s->out, fd, progress);
    return &s->parent;
}

DumpSink *dump_sink_stream_new_fifo(const char *path, DumpProgress *progress)
{
    StreamSink *s = g_new0(StreamSink, 1);

    dump_sink_init(&s->parent, &stream_ops, progress);
    fd_writer_init_fifo(&s->out, path, progress);
    return &s->parent;
}
