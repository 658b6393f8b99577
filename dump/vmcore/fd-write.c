/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Writing to a descriptor.
 */

#include "qemu/osdep.h"
#include <poll.h>
#include <sys/socket.h>
#include "qapi/error.h"
#include "qemu/iov.h"
#include "fd-write.h"

/* How often a writer that has to wait looks for a cancel. */
#define FD_POLL_MS      100

static FdKind fd_kind(int fd)
{
    struct stat st;

    if (fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode)) {
        return FD_PIPE;
    }
    if (fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode)) {
        return FD_SOCKET;
    }
    return FD_PLAIN;
}

void fd_writer_init(FdWriter *w, int fd, DumpProgress *progress)
{
    *w = (FdWriter) {
        .fd = fd,
        .kind = fd_kind(fd),
        .progress = progress,
    };
}

static bool fd_cancelled(const FdWriter *w, Error **errp)
{
    if (w->progress && dump_progress_out_of_time(w->progress)) {
        error_setg(errp, "dump: cancelled");
        return true;
    }
    return false;
}

static bool fd_wait(const FdWriter *w, Error **errp)
{
    struct pollfd pfd = { .fd = w->fd, .events = POLLOUT };

    while (!fd_cancelled(w, errp)) {
        if (poll(&pfd, 1, FD_POLL_MS) > 0) {
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
static ssize_t fd_write_pipe(FdWriter *w, const struct iovec *iov, int niov)
{
#ifdef RWF_NOWAIT
    ssize_t n = pwritev2(w->fd, iov, niov, -1, RWF_NOWAIT);

    if (n >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS &&
                   errno != EINVAL)) {
        return n;
    }
#endif
    /* A named pipe, or a kernel before 6.4. */
    w->kind = FD_OLD_PIPE;
    errno = EINTR;
    return -1;
}

/* A pipe that poll() finds writable has room for PIPE_BUF bytes. */
static ssize_t fd_write_old_pipe(int fd, const struct iovec *iov)
{
    struct pollfd pfd = { .fd = fd, .events = POLLOUT };

    if (poll(&pfd, 1, 0) <= 0) {
        errno = EAGAIN;
        return -1;
    }
    return write(fd, iov->iov_base, MIN(iov->iov_len, PIPE_BUF));
}

static ssize_t fd_write_socket(int fd, const struct iovec *iov, int niov)
{
    struct msghdr msg = {
        .msg_iov = (struct iovec *)iov,
        .msg_iovlen = niov,
    };

    return sendmsg(fd, &msg, MSG_DONTWAIT);
}

static ssize_t fd_write_once(FdWriter *w, off_t at, const struct iovec *iov,
                             int niov)
{
    niov = MIN(niov, IOV_MAX);
    if (at >= 0) {
        return pwritev(w->fd, iov, niov, at);
    }
    switch (w->kind) {
    case FD_PIPE:
        return fd_write_pipe(w, iov, niov);
    case FD_OLD_PIPE:
        return fd_write_old_pipe(w->fd, iov);
    case FD_SOCKET:
        return fd_write_socket(w->fd, iov, niov);
    default:
        return writev(w->fd, iov, niov);
    }
}

/* Drop @n bytes from the front; what is dropped counts as empty from then. */
static void fd_consume(struct iovec **iov, unsigned *niov, size_t n)
{
    struct iovec *done = *iov;

    iov_discard_front(iov, niov, n);
    for (; done < *iov; done++) {
        done->iov_len = 0;
    }
}

bool fd_write(FdWriter *w, off_t at, struct iovec *iov, int niov,
              const char *what, Error **errp)
{
    unsigned left = niov;

    fd_consume(&iov, &left, 0);
    while (left) {
        ssize_t n = fd_write_once(w, at, iov, left);

        if (n > 0) {
            fd_consume(&iov, &left, n);
            at += at < 0 ? 0 : n;
            if (w->progress) {
                dump_progress_add_written(w->progress, n);
            }
        } else if (n < 0 && errno == EAGAIN) {
            if (!fd_wait(w, errp)) {
                return false;
            }
        } else if (n == 0 || errno != EINTR) {
            error_setg_errno(errp, n ? errno : EIO, "dump: writing %s", what);
            return false;
        }
    }
    return true;
}

bool fd_close(FdWriter *w, Error **errp)
{
    int fd = w->fd;

    w->fd = -1;
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

void fd_abandon(FdWriter *w)
{
    if (w->fd >= 0) {
        qemu_close(w->fd);
        w->fd = -1;
    }
}
