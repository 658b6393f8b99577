/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Writing to a file without leaving it in the page cache.
 *
 * One thread at a time may use one.
 */

#ifndef DUMP_VMCORE_FD_CACHE_H
#define DUMP_VMCORE_FD_CACHE_H

/* Each direct write waits for the disk: not worth it for less. */
#define FD_CACHE_DIRECT     (64 * 1024)

typedef struct FdCache {
    bool spare;                 /* keep the cache free; else do nothing */
    int direct;                 /* the file, for direct I/O; or -1 */
    off_t begun;                /* what is below is on its way to the disk */
    off_t dropped;              /* ... is there, and was dropped */
} FdCache;

/* Does nothing to the cache, until fd_cache_spare. */
void fd_cache_init(FdCache *c);

/*
 * From here on, spare the cache. @direct: the file, open for direct I/O, or -1
 * if it cannot be; owned.
 */
void fd_cache_spare(FdCache *c, int direct);

/*
 * Write some of @iov to @fd at @at, as pwritev(). Large pieces that are
 * aligned in memory and file go to the disk without a copy, where the file
 * system knows that; of all others, the disk is told to write them soon, and
 * they leave the cache some megabytes later, when it has. That it could not
 * is an error of the write that finds out. Waits for the disk, which a cancel
 * does not end.
 */
ssize_t fd_cache_pwritev(FdCache *c, int fd, const struct iovec *iov,
                         int niov, off_t at);

/* All of @fd is on the disk, and leaves the cache. */
void fd_cache_drop(FdCache *c, int fd);

/* @fd is still the caller's. */
void fd_cache_deinit(FdCache *c);

#endif
