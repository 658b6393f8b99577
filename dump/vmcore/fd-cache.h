/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Writing to a file without filling the page cache.
 *
 * One thread at a time may use an FdCache.
 */

#ifndef DUMP_VMCORE_FD_CACHE_H
#define DUMP_VMCORE_FD_CACHE_H

/* Minimum of a direct write in bytes, as each waits for the disk. */
#define FD_CACHE_DIRECT     (64 * 1024)

typedef struct FdCache {
    bool bypass;                /* keep data out of the cache */
    int direct;                 /* descriptor for direct I/O, or -1 */
    off_t begun;                /* write-out was started below this */
    off_t dropped;              /* dropped from the cache below this */
} FdCache;

/* The cache is used normally until fd_cache_bypass(). */
void fd_cache_init(FdCache *c);

/*
 * Keep data out of the cache from now on. @direct: the file opened with
 * O_DIRECT, or -1 if that failed; ownership is taken.
 */
void fd_cache_bypass(FdCache *c, int direct);

/*
 * Write some of @iov to @fd at @at, like pwritev(). Large pieces that are
 * aligned in memory and in the file are written by direct I/O if supported.
 * For all others, write-out is started soon, and they are dropped from the
 * cache some megabytes later, after it has completed; its error is returned
 * by the call that waits for it. A cancel does not interrupt the wait.
 */
ssize_t fd_cache_pwritev(FdCache *c, int fd, const struct iovec *iov,
                         int niov, off_t at);

/* The file was flushed: drop it from the cache. */
void fd_cache_drop(FdCache *c, int fd);

/* Close the descriptor for direct I/O. */
void fd_cache_deinit(FdCache *c);

#endif
