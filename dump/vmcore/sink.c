/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What all sinks share: the sticky error, and writing to a descriptor.
 */

#include "qemu/osdep.h"
#include <poll.h>
#include <sys/socket.h>
#include "qapi/error.h"
#include "sink.h"

/* How often a writer that has to wait looks for a cancel. */
#define SINK_POLL_MS    100

bool dump_sink_fd_can_seek(int fd)
{
    struct stat st;
    int flags = fcntl(fd, F_GETFL);

    /* Positions do not count for O_APPEND: it always writes at the end. */
    if (flags < 0 || (flags & O_APPEND) || fstat(fd, &st) < 0 ||
        lseek(fd, 0, SEEK_CUR) < 0) {
        return false;
    }
    return S_ISREG(st.st_mode) || S_ISBLK(st.st_mode) || S_ISCHR(st.st_mode);
}

DumpSink *dump_sink_new_fd(int fd, DumpProgress *progress)
{
    return dump_sink_fd_can_seek(fd) ? dump_sink_file_new(fd, progress) :
                                       dump_sink_stream_new(fd, progress);
}

bool dump_sink_random_access(const DumpSink *sink)
{
    return sink->random_access;
}

bool dump_sink_has_holes(const DumpSink *sink)
{
    return sink->holes;
}

bool dump_sink_rewinds(const DumpSink *sink)
{
    return sink->rewinds;
}

/* Remember the first error, and say it again to all who come later. */
static bool sink_failed(DumpSink *sink, Error *err, Error **errp)
{
    if (err) {
        sink->error = error_copy(err);
        error_propagate(errp, err);
        return true;
    }
    if (sink->error) {
        error_propagate(errp, error_copy(sink->error));
        return true;
    }
    return false;
}

uint64_t dump_sink_iov_size(const struct iovec *iov, int niov)
{
    uint64_t len = 0;

    for (int i = 0; i < niov; i++) {
        len += iov[i].iov_len;
    }
    return len;
}

bool dump_sink_writev(DumpSink *sink, uint64_t offset, struct iovec *iov,
                      int niov, const char *what, Error **errp)
{
    Error *err = NULL;

    assert(!sink->finished);
    if (sink_failed(sink, NULL, errp)) {
        return false;
    }
    if (!dump_sink_iov_size(iov, niov)) {
        return true;
    }
    sink->ops->write(sink, offset, iov, niov, what, &err);
    return !sink_failed(sink, err, errp);
}

bool dump_sink_write(DumpSink *sink, uint64_t offset, const void *buf,
                     size_t len, const char *what, Error **errp)
{
    struct iovec iov = { .iov_base = (void *)buf, .iov_len = len };

    return dump_sink_writev(sink, offset, &iov, 1, what, errp);
}

bool dump_sink_finish(DumpSink *sink, uint64_t size, Error **errp)
{
    Error *err = NULL;

    assert(!sink->finished);
    if (sink_failed(sink, NULL, errp)) {
        return false;
    }
    sink->ops->finish(sink, size, &err);
    assert(err || sink->finished);
    return !sink_failed(sink, err, errp);
}

bool dump_sink_reserve(DumpSink *sink, uint64_t offset, uint64_t len,
                       const char *what, Error **errp)
{
    Error *err = NULL;

    assert(!sink->finished);
    if (sink_failed(sink, NULL, errp)) {
        return false;
    }
    if (sink->ops->reserve && len) {
        sink->ops->reserve(sink, offset, len, what, &err);
    }
    return !sink_failed(sink, err, errp);
}

DumpSinkMark dump_sink_mark(const DumpSink *sink)
{
    assert(!sink->error);
    return sink->ops->mark ? sink->ops->mark(sink) : (DumpSinkMark) { 0 };
}

uint64_t dump_sink_room(const DumpSink *sink, const DumpSinkMark *mark)
{
    return sink->ops->room ? sink->ops->room(sink, mark) : UINT64_MAX;
}

bool dump_sink_resume(DumpSink *sink, const DumpSinkMark *mark, Error **errp)
{
    Error *err = NULL;

    if (sink->finished) {
        return !sink_failed(sink, NULL, errp);
    }
    error_free(sink->error);
    sink->error = NULL;
    if (sink->ops->resume) {
        sink->ops->resume(sink, mark, &err);
    }
    return !sink_failed(sink, err, errp);
}

void dump_sink_free(DumpSink *sink)
{
    if (sink) {
        error_free(sink->error);
        sink->ops->free(sink);
    }
}

/* -- descriptors --------------------------------------------------------- */

static bool sink_cancelled(DumpSink *sink, Error **errp)
{
    if (sink->progress && dump_progress_out_of_time(sink->progress)) {
        error_setg(errp, "dump: cancelled");
        return true;
    }
    return false;
}

static bool sink_wait(DumpSink *sink, int fd, Error **errp)
{
    struct pollfd pfd = { .fd = fd, .events = POLLOUT };

    while (!sink_cancelled(sink, errp)) {
        if (poll(&pfd, 1, SINK_POLL_MS) > 0) {
            return true;
        }
    }
    return false;
}

/*
 * One system call that writes some of the vector. A write to a pipe or socket
 * must not block, or a dump whose reader has stalled could not be cancelled;
 * but the descriptor may be shared with other processes, so its O_NONBLOCK
 * is not ours to change. The call itself is asked not to block instead.
 */
static ssize_t sink_write_pipe(DumpSink *sink, int fd, const struct iovec *iov,
                               int niov)
{
#ifdef RWF_NOWAIT
    ssize_t n = pwritev2(fd, iov, niov, -1, RWF_NOWAIT);

    if (n >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS &&
                   errno != EINVAL)) {
        return n;
    }
#endif
    /* A named pipe, or a kernel before 6.4. */
    sink->fd_kind = DUMP_SINK_FD_OLD_PIPE;
    errno = EINTR;
    return -1;
}

/* A pipe that poll() finds writable has room for PIPE_BUF bytes. */
static ssize_t sink_write_old_pipe(int fd, const struct iovec *iov)
{
    struct pollfd pfd = { .fd = fd, .events = POLLOUT };

    if (poll(&pfd, 1, 0) == 0) {
        errno = EAGAIN;
        return -1;
    }
    return write(fd, iov->iov_base, MIN(iov->iov_len, PIPE_BUF));
}

static ssize_t sink_write_socket(int fd, const struct iovec *iov, int niov)
{
    struct msghdr msg = {
        .msg_iov = (struct iovec *)iov,
        .msg_iovlen = niov,
    };

    return sendmsg(fd, &msg, MSG_DONTWAIT);
}

static ssize_t sink_write_once(DumpSink *sink, int fd, off_t offset,
                               const struct iovec *iov, int niov)
{
    niov = MIN(niov, IOV_MAX);
    if (offset >= 0) {
        return pwritev(fd, iov, niov, offset);
    }
    switch (sink->fd_kind) {
    case DUMP_SINK_FD_PIPE:
        return sink_write_pipe(sink, fd, iov, niov);
    case DUMP_SINK_FD_OLD_PIPE:
        return sink_write_old_pipe(fd, iov);
    case DUMP_SINK_FD_SOCKET:
        return sink_write_socket(fd, iov, niov);
    default:
        return writev(fd, iov, niov);
    }
}

/* Drop @n bytes from the front of the vector. */
static void iov_consume(struct iovec **iov, int *niov, size_t n)
{
    while (*niov && n >= (*iov)->iov_len) {
        n -= (*iov)->iov_len;
        (*iov)->iov_len = 0;
        (*iov)++;
        (*niov)--;
    }
    if (n) {
        (*iov)->iov_base = (char *)(*iov)->iov_base + n;
        (*iov)->iov_len -= n;
    }
}

bool dump_sink_write_fd(DumpSink *sink, int fd, off_t offset,
                        struct iovec *iov, int niov, const char *what,
                        Error **errp)
{
    iov_consume(&iov, &niov, 0);
    while (niov) {
        ssize_t n = sink_write_once(sink, fd, offset, iov, niov);

        if (n > 0) {
            iov_consume(&iov, &niov, n);
            offset += offset < 0 ? 0 : n;
            if (sink->progress) {
                dump_progress_add_written(sink->progress, n);
            }
        } else if (n < 0 && errno == EAGAIN) {
            if (!sink_wait(sink, fd, errp)) {
                return false;
            }
        } else if (n == 0 || errno != EINTR) {
            error_setg_errno(errp, n ? errno : EIO, "dump: writing %s", what);
            return false;
        }
    }
    return true;
}

bool dump_sink_close_fd(int fd, Error **errp)
{
    /*
     * Network file systems report a full disk only now. The descriptor is
     * gone whatever close says, EINTR included.
     */
    if (qemu_close(fd) < 0 && errno != EINTR) {
        error_setg_errno(errp, errno, "dump: closing the output");
        return false;
    }
    return true;
}
