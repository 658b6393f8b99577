/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Sink over a descriptor that cannot seek: pipe, socket, terminal, file
 * opened for appending.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/compiler.h"
#include "qemu/units.h"
#include "sink.h"

#define STREAM_PIPE_SIZE        MiB
#define STREAM_ZERO_SIZE        (64 * KiB)

typedef struct StreamSink {
    DumpSink parent;
    int fd;                     /* -1 once closed */
    uint64_t pos;               /* bytes written so far */
} StreamSink;

/* Bring the position up to @offset. */
static bool stream_fill(StreamSink *s, uint64_t offset, const char *what,
                        Error **errp)
{
    static const uint8_t zero[STREAM_ZERO_SIZE];

    assert(offset >= s->pos);
    while (s->pos < offset) {
        size_t n = MIN(offset - s->pos, sizeof(zero));
        struct iovec iov = { .iov_base = (void *)zero, .iov_len = n };
        bool ok = dump_sink_write_fd(&s->parent, s->fd, -1, &iov, 1, what,
                                     errp);

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
    uint64_t len = dump_sink_iov_size(iov, niov);
    bool ok;

    if (!stream_fill(s, offset, what, errp)) {
        return false;
    }
    ok = dump_sink_write_fd(sink, s->fd, -1, iov, niov, what, errp);
    s->pos += len - dump_sink_iov_size(iov, niov);
    return ok;
}

static bool stream_finish(DumpSink *sink, uint64_t size, Error **errp)
{
    StreamSink *s = container_of(sink, StreamSink, parent);
    int fd = s->fd;

    if (!stream_fill(s, size, "the end", errp)) {
        return false;
    }
    s->fd = -1;
    sink->finished = true;
    return dump_sink_close_fd(fd, errp);
}

static void stream_free(DumpSink *sink)
{
    StreamSink *s = container_of(sink, StreamSink, parent);

    if (s->fd >= 0) {
        qemu_close(s->fd);
    }
    g_free(s);
}

static const DumpSinkOps stream_ops = {
    .name = "stream",
    .write = stream_write,
    .finish = stream_finish,
    .free = stream_free,
};

static DumpSinkFdKind stream_fd_kind(int fd)
{
    struct stat st;

    if (fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode)) {
        return DUMP_SINK_FD_PIPE;
    }
    if (fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode)) {
        return DUMP_SINK_FD_SOCKET;
    }
    return DUMP_SINK_FD_PLAIN;
}

/* Fewer trips between us and the reader; it is no matter if refused. */
static void stream_widen_pipe(int fd)
{
#ifdef F_SETPIPE_SZ
    int size = fcntl(fd, F_GETPIPE_SZ);

    if (size > 0 && size < STREAM_PIPE_SIZE) {
        fcntl(fd, F_SETPIPE_SZ, (int)STREAM_PIPE_SIZE);
    }
#endif
}

DumpSink *dump_sink_stream_new(int fd, DumpProgress *progress)
{
    StreamSink *s = g_new0(StreamSink, 1);

    s->parent.ops = &stream_ops;
    s->parent.progress = progress;
    s->parent.fd_kind = stream_fd_kind(fd);
    s->fd = fd;
    stream_widen_pipe(fd);
    return &s->parent;
}
