/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Stand-in for QEMU's qemu/cutils.h, for the standalone build.
 */

#ifndef QEMU_CUTILS_H
#define QEMU_CUTILS_H

/*
 * True if all @len bytes are zero: the buffer then equals itself shifted
 * by one byte, and starts with zero.
 */
static inline bool buffer_is_zero(const void *buf, size_t len)
{
    const char *p = buf;

    return !len || (!p[0] && !memcmp(p, p + 1, len - 1));
}

#endif
