/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Sink over a descriptor that can seek.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/compiler.h"
#include "sink.h"

typedef struct FileSink {
    DumpSink parent;
    int fd;                     /* -1 once closed */
    off_t base;                 /* where the dump begins */
    bool regular;
} FileSink;

static bool file_write(DumpSink *sink, uint64_t offset, struct iovec *iov,
                       int niov, const char *what, Error **errp)
{
    FileSink *s = container_of(sink, FileSink, parent);

    if (offset > (uint64_t)(INT64_MAX - s->base)) {
        error_setg_errno(errp, EFBIG, "dump: writing %s", what);
        return false;
    }
    return dump_sink_write_fd(sink, s->fd, s->base + offset, iov, niov, what,
                              errp);
}

/* A hole at the end makes no file longer by itself. */
static bool file_extend(FileSink *s, off_t end, Error **errp)
{
    struct stat st;

    if (s->regular && (fstat(s->fd, &st) < 0 ||
                       (st.st_size < end && ftruncate(s->fd, end) < 0))) {
        error_setg_errno(errp, errno, "dump: setting the output's size");
        return false;
    }
    return true;
}

static bool file_finish(DumpSink *sink, uint64_t size, Error **errp)
{
    FileSink *s = container_of(sink, FileSink, parent);
    int fd = s->fd;
    bool ok;

    if (size > (uint64_t)(INT64_MAX - s->base)) {
        error_setg_errno(errp, EFBIG, "dump: setting the output's size");
        return false;
    }
    ok = file_extend(s, s->base + size, errp);
    /* Whoever shares the descriptor and goes on writing, appends. */
    lseek(fd, s->base + size, SEEK_SET);
    s->fd = -1;
    return dump_sink_close_fd(fd, ok ? errp : NULL) && ok;
}

static void file_free(DumpSink *sink)
{
    FileSink *s = container_of(sink, FileSink, parent);

    if (s->fd >= 0) {
        qemu_close(s->fd);
    }
    g_free(s);
}

static const DumpSinkOps file_ops = {
    .name = "file",
    .write = file_write,
    .finish = file_finish,
    .free = file_free,
};

DumpSink *dump_sink_file_new(int fd, DumpProgress *progress)
{
    FileSink *s = g_new0(FileSink, 1);
    struct stat st;

    s->parent.ops = &file_ops;
    s->parent.progress = progress;
    s->parent.random_access = true;
    s->fd = fd;
    s->base = MAX(lseek(fd, 0, SEEK_CUR), 0);
    s->regular = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    s->parent.holes = s->regular && st.st_size <= s->base;
    return &s->parent;
}
