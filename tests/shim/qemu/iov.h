/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Stand-in for QEMU's qemu/iov.h, for the standalone build.
 */

#ifndef QEMU_IOV_H
#define QEMU_IOV_H

#include <stddef.h>
#include <sys/uio.h>

/* Total size of a vector. */
static inline size_t iov_size(const struct iovec *iov, unsigned int count)
{
    size_t len = 0;

    while (count--) {
        len += iov++->iov_len;
    }
    return len;
}

/*
 * Skip @bytes: advance over whole elements, which are not changed, and shorten
 * the next one.
 */
static inline size_t iov_discard_front(struct iovec **iov, unsigned int *count,
                                       size_t bytes)
{
    size_t left = bytes;

    while (*count && left >= (*iov)->iov_len) {
        left -= (*iov)->iov_len;
        (*iov)++;
        (*count)--;
    }
    if (*count && left) {
        (*iov)->iov_base = (char *)(*iov)->iov_base + left;
        (*iov)->iov_len -= left;
        left = 0;
    }
    return bytes - left;
}

#endif
