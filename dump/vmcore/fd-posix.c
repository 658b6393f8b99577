/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * System calls on output descriptors: POSIX, with extensions of Linux.
 */

#include "qemu/osdep.h"
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <termios.h>
#include <glib-unix.h>
#include "qemu/units.h"
#include "fd-host.h"

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

int fd_host_reopen_direct(int fd)
{
#ifdef O_DIRECT
    return fd_reopen(fd, O_WRONLY | O_DIRECT);
#else
    errno = ENOTSUP;
    return -1;
#endif
}

/*
 * Replace *@fd, a pipe or terminal, by a non-blocking description of our own,
 * for plain writes.
 */
static bool fd_own_nonblock(int *fd)
{
    int own = fd_reopen(*fd, O_WRONLY | O_NONBLOCK);

    if (own < 0) {
        return false;
    }
    qemu_close(*fd);
    *fd = own;
    return true;
}

/* A larger pipe means fewer wakeups. */
void fd_host_widen_pipe(int fd)
{
#ifdef F_SETPIPE_SZ
    int size = fcntl(fd, F_GETPIPE_SZ);

    if (size > 0 && size < FD_PIPE_SIZE) {
        fcntl(fd, F_SETPIPE_SZ, (int)FD_PIPE_SIZE);
    }
#endif
}

/* Opening the master of a terminal again would create another terminal. */
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

FdKind fd_host_prepare(int *fd)
{
    FdKind kind = fd_kind(*fd);

    fd_host_widen_pipe(*fd);
    if (kind == FD_TERMINAL && !fd_is_terminal_master(*fd) &&
        fd_own_nonblock(fd)) {
        return FD_PLAIN;
    }
    return kind;
}

/*
 * A write to a pipe or socket must not block, as a dump could then not be
 * cancelled if its reader has stalled. The descriptor's O_NONBLOCK may be
 * shared with other processes, so the flag is given to the system call.
 */
static ssize_t fd_write_pipe(int *fd, FdKind *kind, const struct iovec *iov,
                             int niov)
{
#ifdef RWF_NOWAIT
    ssize_t n = pwritev2(*fd, iov, niov, -1, RWF_NOWAIT);

    if (n >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS &&
                   errno != EINVAL)) {
        return n;
    }
#endif
    /* A named pipe, or a kernel before 6.4. */
    *kind = fd_own_nonblock(fd) ? FD_PLAIN : FD_OLD_PIPE;
    errno = EINTR;
    return -1;
}

/*
 * Write up to @max bytes: the number for which there is room if poll() reports
 * any. It is PIPE_BUF for a pipe and 1 for a terminal.
 */
static ssize_t fd_write_small(int fd, const struct iovec *iov, size_t max)
{
    if (!fd_host_wait(fd, 0)) {
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

ssize_t fd_host_write(int *fd, FdKind *kind, const struct iovec *iov,
                      int niov)
{
    switch (*kind) {
    case FD_PIPE:
        return fd_write_pipe(fd, kind, iov, niov);
    case FD_OLD_PIPE:
        return fd_write_small(*fd, iov, PIPE_BUF);
    case FD_SOCKET:
        return fd_write_socket(*fd, iov, niov);
    case FD_TERMINAL:
        return fd_write_small(*fd, iov, 1);
    default:
        return writev(*fd, iov, niov);
    }
}

ssize_t fd_host_pwritev(int fd, const struct iovec *iov, int niov, off_t at)
{
    return pwritev(fd, iov, niov, at);
}

bool fd_host_wait(int fd, int ms)
{
    struct pollfd pfd = { .fd = fd, .events = POLLOUT };

    return poll(&pfd, 1, ms) > 0;
}

int fd_host_open_fifo(const char *path)
{
    return open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
}

int fd_host_open_flags(const char *path)
{
    struct stat st;

    if (stat(path, &st) == 0 &&
        (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode))) {
        return O_NOCTTY | O_NONBLOCK;
    }
    return O_NOCTTY;
}

void fd_host_set_blocking(int fd)
{
    g_unix_set_fd_nonblocking(fd, false, NULL);
}

int fd_host_flags(int fd)
{
    return fcntl(fd, F_GETFL);
}

uint64_t fd_host_size_limit(void)
{
    struct rlimit limit;

    return getrlimit(RLIMIT_FSIZE, &limit) == 0 ? limit.rlim_cur : UINT64_MAX;
}

char *fd_host_real_path(const char *path)
{
    return realpath(path, NULL);
}

int fd_host_sync(int fd)
{
    int ret;

    do {
#ifdef CONFIG_FDATASYNC
        ret = fdatasync(fd);
#else
        ret = fsync(fd);
#endif
    } while (ret < 0 && errno == EINTR);
    if (ret < 0 && errno != EINVAL && errno != ENOTSUP && errno != ENOSYS &&
        errno != EROFS) {
        return errno;
    }
    return 0;
}

int fd_host_reserve(int fd, off_t at, off_t len)
{
#ifdef CONFIG_FALLOCATE
    int ret;

    do {
        ret = fallocate(fd, 0, at, len);
    } while (ret < 0 && errno == EINTR);
    if (ret < 0 && errno != EOPNOTSUPP && errno != ENOSYS) {
        return errno;
    }
#endif
    return 0;
}

bool fd_host_write_out(int fd, off_t at, off_t len, bool wait)
{
#ifdef SYNC_FILE_RANGE_WRITE
    unsigned flags = wait ? SYNC_FILE_RANGE_WAIT_BEFORE |
                            SYNC_FILE_RANGE_WRITE |
                            SYNC_FILE_RANGE_WAIT_AFTER :
                            SYNC_FILE_RANGE_WRITE;

    /* Other errors mean that such a file does not support it. */
    return sync_file_range(fd, at, len, flags) == 0 ||
           (errno != EIO && errno != ENOSPC && errno != EDQUOT);
#else
    return true;
#endif
}

void fd_host_drop_cache(int fd, off_t at, off_t len)
{
#ifdef POSIX_FADV_DONTNEED
    posix_fadvise(fd, at, len, POSIX_FADV_DONTNEED);
#endif
}
