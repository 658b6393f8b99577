/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * System calls on output descriptors: Windows, by its C library.
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "fd-host.h"

/* The C library takes the number of bytes as an int. */
#define FD_WRITE_MAX    (256 * MiB)

int fd_reopen(int fd, int flags)
{
    errno = ENOTSUP;
    return -1;
}

int fd_host_reopen_direct(int fd)
{
    errno = ENOTSUP;
    return -1;
}

FdKind fd_host_prepare(int *fd)
{
    return FD_PLAIN;
}

ssize_t fd_host_write(int *fd, FdKind *kind, const struct iovec *iov,
                      int niov)
{
    while (niov > 1 && !iov->iov_len) {
        iov++;
        niov--;
    }
    return write(*fd, iov->iov_base, MIN(iov->iov_len, FD_WRITE_MAX));
}

/* A sink is used by one thread at a time: nobody else moves the position. */
ssize_t fd_host_pwritev(int fd, const struct iovec *iov, int niov, off_t at)
{
    FdKind kind = FD_PLAIN;

    if (lseek(fd, at, SEEK_SET) < 0) {
        return -1;
    }
    return fd_host_write(&fd, &kind, iov, niov);
}

/* Not needed, as writes block. */
bool fd_host_wait(int fd, int ms)
{
    return true;
}

/* Named pipes are not in the file system. */
int fd_host_open_fifo(const char *path)
{
    errno = ENOTSUP;
    return -1;
}

void fd_host_widen_pipe(int fd)
{
}

int fd_host_open_flags(const char *path)
{
    return 0;
}

void fd_host_set_blocking(int fd)
{
}

int fd_host_flags(int fd)
{
    struct stat st;

    return fstat(fd, &st) < 0 ? -1 : O_RDWR;
}

uint64_t fd_host_size_limit(void)
{
    return UINT64_MAX;
}

char *fd_host_real_path(const char *path)
{
    return NULL;
}

/* EBADF: not a file that has buffers, such as a pipe. */
int fd_host_sync(int fd)
{
    return _commit(fd) < 0 && errno != EINVAL && errno != EBADF ? errno : 0;
}

int fd_host_reserve(int fd, off_t at, off_t len)
{
    return 0;
}

bool fd_host_write_out(int fd, off_t at, off_t len, bool wait)
{
    return true;
}

void fd_host_drop_cache(int fd, off_t at, off_t len)
{
}
