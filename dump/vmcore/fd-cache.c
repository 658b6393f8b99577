/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Writing to a file without filling the page cache.
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "fd-cache.h"
#include "fd-host.h"

/* Alignment for direct I/O that all disks and file systems accept. */
#define CACHE_ALIGN     4096

/* Bytes written before write-out of them is started. */
#define CACHE_STEP      (8 * MiB)

/* Distance at which the cache is dropped: most is on the disk by then. */
#define CACHE_LAG       (32 * MiB)

void fd_cache_init(FdCache *c)
{
    *c = (FdCache) { .direct = -1 };
}

void fd_cache_bypass(FdCache *c, int direct)
{
    c->bypass = true;
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

/* Everything before @end was written, or is skipped. */
static bool cache_wrote(FdCache *c, int fd, off_t end)
{
    off_t behind;

    end = QEMU_ALIGN_DOWN(end, CACHE_ALIGN);
    if (end - c->begun < (off_t)CACHE_STEP) {
        return true;
    }
    if (!fd_host_write_out(fd, c->begun, end - c->begun, false)) {
        return false;
    }
    c->begun = end;
    behind = end - (off_t)CACHE_LAG;
    if (behind <= c->dropped) {
        return true;
    }
    if (!fd_host_write_out(fd, c->dropped, behind - c->dropped, true)) {
        return false;
    }
    fd_host_drop_cache(fd, c->dropped, behind - c->dropped);
    c->dropped = behind;
    return true;
}

/* Direct I/O is disabled by the first EINVAL, which refers to alignment. */
static bool cache_write_direct(FdCache *c, const struct iovec *iov, int niov,
                               off_t at, ssize_t *n)
{
    *n = fd_host_pwritev(c->direct, iov, niov, at);
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
    n = fd_host_pwritev(fd, iov, niov, at);
    return n > 0 && c->bypass && !cache_wrote(c, fd, at + n) ? -1 : n;
}

void fd_cache_drop(FdCache *c, int fd)
{
    if (c->bypass) {
        fd_host_drop_cache(fd, 0, 0);
    }
}

void fd_cache_deinit(FdCache *c)
{
    if (c->direct >= 0) {
        close(c->direct);
        c->direct = -1;
    }
}
