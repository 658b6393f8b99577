/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Writing to a descriptor.
 */

#include "qemu/osdep.h"
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>
#include "qapi/error.h"
#include "qemu/iov.h"
#include "qemu/units.h"
#include "fd-sync.h"
#include "fd-write.h"

/* How often a writer that has to wait looks for a cancel. */
#define FD_POLL_MS      100

#define FD_PIPE_SIZE    MiB

int fd_reopen(int fd, int flags)
{
#ifdef CONFIG_LINUX
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);

    return open(path, flags | O_NOCTTY | O_CLOEXEC);
#else
    errno = ENOTSUP;
    return -1;
#endif
}

/*
 * Have a pipe or terminal open on our own, so that plain writes to it do not
 * block.
 */
static bool fd_own_nonblock(FdWriter *w)
{
    int fd = fd_reopen(w->fd, O_WRONLY | O_NONBLOCK);

    if (fd < 0) {
        return false;
    }
    qemu_close(w->fd);
    w->fd = fd;
    w->kind = FD_PLAIN;
    return true;
}

/* Best effort: a larger pipe means fewer wakeups. */
static void fd_widen_pipe(int fd)
{
#ifdef F_SETPIPE_SZ
    int size = fcntl(fd, F_GETPIPE_SZ);

    if (size > 0 && size < FD_PIPE_SIZE) {
        fcntl(fd, F_SETPIPE_SZ, (int)FD_PIPE_SIZE);
    }
#endif
}

/* To open it again would make another pair of terminals. */
static bool fd_is_terminal_master(int fd)
{
#ifdef TIOCGPTN
    unsigned n;

    return ioctl(fd, TIOCGPTN, &n) == 0;
#else
    return false;
#endif
}

static FdKind fd_kind(int fd)
{
    struct stat st;

    if (isatty(fd)) {
        return FD_TERMINAL;
    }
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
        .storage = fd_is_storage(fd),
        .progress = progress,
    };
    fd_cache_init(&w->cache);
    fd_widen_pipe(fd);
    if (w->kind == FD_TERMINAL && !fd_is_terminal_master(fd)) {
        fd_own_nonblock(w);
    }
}

void fd_writer_init_fifo(FdWriter *w, const char *path,
                         DumpProgress *progress)
{
    *w = (FdWriter) {
        .fd = -1,
        .progress = progress,
        .fifo = g_strdup(path),
    };
    fd_cache_init(&w->cache);
}

void fd_writer_spare_cache(FdWriter *w)
{
    int direct = -1;

#ifdef O_DIRECT
    direct = fd_reopen(w->fd, O_WRONLY | O_DIRECT);
#endif
    fd_cache_spare(&w->cache, direct);
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
 * Open a named pipe when somebody reads it. There is nothing to put in order
 * if nobody ever did: a cancel has no grace.
 */
static bool fd_open_fifo(FdWriter *w, Error **errp)
{
    struct stat st;
    int fd;

    while ((fd = open(w->fifo, O_WRONLY | O_NONBLOCK | O_CLOEXEC)) < 0 &&
           (errno == ENXIO || errno == EINTR)) {
        if (w->progress && dump_progress_cancelled(w->progress)) {
            error_setg(errp, "dump: cancelled");
            return false;
        }
        g_usleep(FD_POLL_MS * 1000);
    }
    if (fd < 0) {
        error_setg_errno(errp, errno, "dump: failed to open '%s'", w->fifo);
        return false;
    }
    if (fstat(fd, &st) < 0 || !S_ISFIFO(st.st_mode)) {
        error_setg(errp, "dump: '%s' is a named pipe no more", w->fifo);
        qemu_close(fd);
        return false;
    }
    fd_widen_pipe(fd);
    w->fd = fd;
    g_clear_pointer(&w->fifo, g_free);
    return true;
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
    if (!fd_own_nonblock(w)) {
        w->kind = FD_OLD_PIPE;
    }
    errno = EINTR;
    return -1;
}

/*
 * Write @max bytes at most, for which there is room if poll() says that there
 * is any: PIPE_BUF in a pipe, one in a terminal.
 */
static ssize_t fd_write_small(int fd, const struct iovec *iov, size_t max)
{
    struct pollfd pfd = { .fd = fd, .events = POLLOUT };

    if (poll(&pfd, 1, 0) <= 0) {
        errno = EAGAIN;
        return -1;
    }
    return write(fd, iov->iov_base, MIN(iov->iov_len, max));
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
        return fd_cache_pwritev(&w->cache, w->fd, iov, niov, at);
    }
    switch (w->kind) {
    case FD_PIPE:
        return fd_write_pipe(w, iov, niov);
    case FD_OLD_PIPE:
        return fd_write_small(w->fd, iov, PIPE_BUF);
    case FD_SOCKET:
        return fd_write_socket(w->fd, iov, niov);
    case FD_TERMINAL:
        return fd_write_small(w->fd, iov, 1);
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

/* Write as much as the limit allows at once. */
static ssize_t fd_write_piece(FdWriter *w, off_t at, struct iovec *iov,
                              int niov)
{
    size_t piece = w->progress ? dump_progress_piece(w->progress) : SIZE_MAX;
    size_t size = 0, cut;
    ssize_t ret;
    int n = 0;

    if (piece == SIZE_MAX) {
        return fd_write_once(w, at, iov, niov);
    }
    while (n < niov && size < piece) {
        size += iov[n++].iov_len;
    }
    cut = size - MIN(size, piece);
    iov[n - 1].iov_len -= cut;
    dump_progress_await(w->progress, size - cut);
    ret = fd_write_once(w, at, iov, n);
    iov[n - 1].iov_len += cut;
    return ret;
}

bool fd_write(FdWriter *w, off_t at, struct iovec *iov, int niov,
              const char *what, Error **errp)
{
    unsigned left = niov;

    if (w->fifo && !fd_open_fifo(w, errp)) {
        return false;
    }
    fd_consume(&iov, &left, 0);
    while (left) {
        ssize_t n = fd_write_piece(w, at, iov, left);

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

bool fd_flush(FdWriter *w, Error **errp)
{
    if (!w->storage) {
        return true;
    }
    if (!fd_sync(&w->fd, w->progress, errp)) {
        return false;
    }
    fd_cache_drop(&w->cache, w->fd);
    return true;
}

bool fd_close(FdWriter *w, Error **errp)
{
    int fd;

    if (w->fifo && !fd_open_fifo(w, errp)) {
        return false;
    }
    fd_cache_deinit(&w->cache);
    fd = w->fd;
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
    g_clear_pointer(&w->fifo, g_free);
    fd_cache_deinit(&w->cache);
    if (w->fd >= 0) {
        qemu_close(w->fd);
        w->fd = -1;
    }
}
