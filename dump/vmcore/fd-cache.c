/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Writing to a file without leaving it in the page cache.
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "fd-cache.h"

/* Good for all disks and file systems. */
#define CACHE_ALIGN     4096

/* How much comes together before the disk is told to write it. */
#define CACHE_STEP      (8 * MiB)

/* How far behind the cache is emptied: by then it is on the disk, mostly. */
#define CACHE_LAG       (32 * MiB)

void fd_cache_init(FdCache *c)
{
    *c = (FdCache) { .direct = -1 };
}

void fd_cache_spare(FdCache *c, int direct)
{
    c->spare = true;
    c->direct = direct;
}

static bool cache_is_aligned(const struct iovec *iov, int niov, off_t at)
{
    size_t size = 0;

    if (at % CACHE_ALIGN) {
        return false;
    }
    for (int i = 0; i < niov; i++) {
        if ((uintptr_t)iov[i].iov_base % CACHE_ALIGN ||
            iov[i].iov_len % CACHE_ALIGN) {
            return false;
        }
        size += iov[i].iov_len;
    }
    return size >= FD_CACHE_DIRECT;
}

static void cache_drop(int fd, off_t at, off_t len)
{
#ifdef POSIX_FADV_DONTNEED
    posix_fadvise(fd, at, len, POSIX_FADV_DONTNEED);
#endif
}

/* Have the disk write a part of the file, or wait until it has. */
static bool cache_write_out(int fd, off_t at, off_t len, bool wait)
{
#ifdef SYNC_FILE_RANGE_WRITE
    unsigned flags = wait ? SYNC_FILE_RANGE_WAIT_BEFORE |
                            SYNC_FILE_RANGE_WRITE |
                            SYNC_FILE_RANGE_WAIT_AFTER :
                            SYNC_FILE_RANGE_WRITE;

    /* Other errors say that it cannot be done for such a file. */
    return sync_file_range(fd, at, len, flags) == 0 ||
           (errno != EIO && errno != ENOSPC && errno != EDQUOT);
#else
    return true;
#endif
}

/* Everything before @end was written, or is left as it is. */
static bool cache_wrote(FdCache *c, int fd, off_t end)
{
    off_t behind;

    end = QEMU_ALIGN_DOWN(end, CACHE_ALIGN);
    if (end - c->begun < (off_t)CACHE_STEP) {
        return true;
    }
    if (!cache_write_out(fd, c->begun, end - c->begun, false)) {
        return false;
    }
    c->begun = end;
    behind = end - (off_t)CACHE_LAG;
    if (behind <= c->dropped) {
        return true;
    }
    if (!cache_write_out(fd, c->dropped, behind - c->dropped, true)) {
        return false;
    }
    cache_drop(fd, c->dropped, behind - c->dropped);
    c->dropped = behind;
    return true;
}

/* The first that fails for its alignment shows that it is not to be had. */
static bool cache_write_direct(FdCache *c, const struct iovec *iov, int niov,
                               off_t at, ssize_t *n)
{
    *n = pwritev(c->direct, iov, niov, at);
    if (*n < 0 && errno == EINVAL) {
        close(c->direct);
        c->direct = -1;
        return false;
    }
    return true;
}

ssize_t fd_cache_pwritev(FdCache *c, int fd, const struct iovec *iov,
                         int niov, off_t at)
{
    ssize_t n;

    if (c->direct >= 0 && cache_is_aligned(iov, niov, at) &&
        cache_write_direct(c, iov, niov, at, &n)) {
        return n;
    }
    n = pwritev(fd, iov, niov, at);
    return n > 0 && c->spare && !cache_wrote(c, fd, at + n) ? -1 : n;
}

void fd_cache_drop(FdCache *c, int fd)
{
    if (c->spare) {
        cache_drop(fd, 0, 0);
    }
}

void fd_cache_deinit(FdCache *c)
{
    if (c->direct >= 0) {
        close(c->direct);
        c->direct = -1;
    }
}
