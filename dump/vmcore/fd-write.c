/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Writing to a descriptor.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/iov.h"
#include "fd-sync.h"
#include "fd-write.h"

/* Interval of checks for a cancel while waiting. */
#define FD_POLL_MS      100

void fd_writer_init(FdWriter *w, int fd, DumpProgress *progress)
{
    FdKind kind = fd_host_prepare(&fd);

    *w = (FdWriter) {
        .fd = fd,
        .kind = kind,
        .storage = fd_is_storage(fd),
        .progress = progress,
    };
    fd_cache_init(&w->cache);
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

void fd_writer_bypass_cache(FdWriter *w)
{
    fd_cache_bypass(&w->cache, fd_host_reopen_direct(w->fd));
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
    while (!fd_cancelled(w, errp)) {
        if (fd_host_wait(w->fd, FD_POLL_MS)) {
            return true;
        }
    }
    return false;
}

/*
 * Open a named pipe as soon as it has a reader. A cancel ends the wait at once,
 * without a grace period: nothing was written that would have to be completed.
 */
static bool fd_open_fifo(FdWriter *w, Error **errp)
{
    struct stat st;
    int fd;

    while ((fd = fd_host_open_fifo(w->fifo)) < 0 &&
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
        error_setg(errp, "dump: '%s' is no longer a named pipe", w->fifo);
        qemu_close(fd);
        return false;
    }
    fd_host_widen_pipe(fd);
    w->fd = fd;
    g_clear_pointer(&w->fifo, g_free);
    return true;
}

static ssize_t fd_write_once(FdWriter *w, off_t at, const struct iovec *iov,
                             int niov)
{
    niov = MIN(niov, IOV_MAX);
    if (at >= 0) {
        return fd_cache_pwritev(&w->cache, w->fd, iov, niov, at);
    }
    return fd_host_write(&w->fd, &w->kind, iov, niov);
}

/* Remove @n bytes from the front; elements removed become empty. */
static void fd_consume(struct iovec **iov, unsigned *niov, size_t n)
{
    struct iovec *done = *iov;

    iov_discard_front(iov, niov, n);
    for (; done < *iov; done++) {
        done->iov_len = 0;
    }
}

/* One system call that writes as much as the bandwidth limit allows. */
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
     * Network file systems may report a full disk only now. The descriptor is
     * closed whatever close() returns, including EINTR.
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
