/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Sink over a descriptor that can seek.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/compiler.h"
#include "qemu/iov.h"
#include "fd-write.h"
#include "sink-file.h"

typedef struct FileSink {
    DumpSink parent;
    FdWriter out;
    off_t base;                 /* where the dump begins */
    uint64_t high;              /* highest offset ever written, from base */
    bool regular;
    bool lost;                  /* the file was truncated by others */
} FileSink;

/*
 * If another process truncated the file, the next write would fill the gap with
 * zeroes, and the loss would not be noticed.
 */
static bool file_check_size(FileSink *s, const char *what, Error **errp)
{
    struct stat st;

    if (s->regular && s->high && fstat(s->out.fd, &st) == 0 &&
        st.st_size < s->base + (off_t)s->high) {
        error_setg(errp, "dump: writing %s: the output was truncated "
                   "meanwhile", what);
        s->lost = true;
        return false;
    }
    return true;
}

static bool file_write(DumpSink *sink, uint64_t offset, struct iovec *iov,
                       int niov, const char *what, Error **errp)
{
    FileSink *s = container_of(sink, FileSink, parent);
    uint64_t len = iov_size(iov, niov);
    bool ok;

    if (offset > (uint64_t)(INT64_MAX - s->base)) {
        error_setg_errno(errp, EFBIG, "dump: writing %s", what);
        return false;
    }
    if (!file_check_size(s, what, errp)) {
        return false;
    }
    ok = fd_write(&s->out, s->base + offset, iov, niov, what, errp);
    s->high = MAX(s->high, offset + len - iov_size(iov, niov));
    return ok;
}

static bool file_resume(DumpSink *sink, const DumpSinkMark *mark,
                        Error **errp)
{
    FileSink *s = container_of(sink, FileSink, parent);

    if (s->lost) {
        error_setg(errp, "dump: the output was truncated meanwhile");
        return false;
    }
    return true;
}

static bool file_reserve(DumpSink *sink, uint64_t offset, uint64_t len,
                         const char *what, Error **errp)
{
    FileSink *s = container_of(sink, FileSink, parent);
    int err;

    if (offset > (uint64_t)(INT64_MAX - s->base) ||
        len > (uint64_t)(INT64_MAX - s->base) - offset) {
        error_setg_errno(errp, EFBIG, "dump: reserving room for %s", what);
        return false;
    }
    err = s->regular ? fd_host_reserve(s->out.fd, s->base + offset, len) : 0;
    if (err) {
        error_setg_errno(errp, err, "dump: reserving room for %s", what);
        return false;
    }
    return true;
}

/*
 * Extend the file if it ends with a hole; truncate it if the dump was resumed
 * from a mark and is now shorter than what was written before.
 */
static bool file_set_size(FileSink *s, uint64_t size, Error **errp)
{
    off_t end = s->base + size;
    struct stat st;

    if (s->regular && (fstat(s->out.fd, &st) < 0 ||
                       ((st.st_size < end || s->high > size) &&
                        ftruncate(s->out.fd, end) < 0))) {
        error_setg_errno(errp, errno, "dump: setting the output's size");
        return false;
    }
    return true;
}

static bool file_finish(DumpSink *sink, uint64_t size, Error **errp)
{
    FileSink *s = container_of(sink, FileSink, parent);

    if (size > (uint64_t)(INT64_MAX - s->base)) {
        error_setg_errno(errp, EFBIG, "dump: setting the output's size");
        return false;
    }
    if (!file_check_size(s, "the end", errp) ||
        !file_set_size(s, size, errp)) {
        return false;
    }
    /* Another process that shares the descriptor may append to the dump. */
    lseek(s->out.fd, s->base + size, SEEK_SET);
    sink->finished = true;
    return sink->durable || fd_close(&s->out, errp);
}

static bool file_flush(DumpSink *sink, Error **errp)
{
    FileSink *s = container_of(sink, FileSink, parent);

    return fd_flush(&s->out, errp);
}

static bool file_close(DumpSink *sink, Error **errp)
{
    FileSink *s = container_of(sink, FileSink, parent);

    return fd_close(&s->out, errp);
}

static void file_abandon(DumpSink *sink)
{
    FileSink *s = container_of(sink, FileSink, parent);

    fd_abandon(&s->out);
}

static void file_free(DumpSink *sink)
{
    FileSink *s = container_of(sink, FileSink, parent);

    fd_abandon(&s->out);
    g_free(s);
}

static const DumpSinkOps file_ops = {
    .write = file_write,
    .finish = file_finish,
    .flush = file_flush,
    .close = file_close,
    .resume = file_resume,
    .reserve = file_reserve,
    .abandon = file_abandon,
    .free = file_free,
};

void dump_sink_file_bypass_cache(DumpSink *sink)
{
    FileSink *s = container_of(sink, FileSink, parent);

    fd_writer_bypass_cache(&s->out);
    sink->grain = FD_CACHE_DIRECT;
}

DumpSink *dump_sink_file_new(int fd, DumpProgress *progress)
{
    FileSink *s = g_new0(FileSink, 1);
    struct stat st;

    dump_sink_init(&s->parent, &file_ops, progress);
    s->parent.random_access = true;
    s->parent.rewinds = true;
    fd_writer_init(&s->out, fd, progress);
    s->base = MAX(lseek(fd, 0, SEEK_CUR), 0);
    s->regular = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    s->parent.holes = s->regular && st.st_size <= s->base;
    return &s->parent;
}
