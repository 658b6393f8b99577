/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * System calls on output descriptors that differ between hosts. Implemented by
 * fd-posix.c, or by fd-win32.c on Windows.
 *
 * Functions that return -1 set errno. No state is shared between calls. On
 * Windows, all writes block, and sockets are not supported.
 */

#ifndef DUMP_VMCORE_FD_HOST_H
#define DUMP_VMCORE_FD_HOST_H

/* How to write to a descriptor without blocking. */
typedef enum FdKind {
    FD_PLAIN,                   /* writev(): a file, or opened O_NONBLOCK */
    FD_PIPE,                    /* RWF_NOWAIT */
    FD_OLD_PIPE,                /* poll(), then PIPE_BUF bytes at most */
    FD_SOCKET,                  /* MSG_DONTWAIT */
    FD_TERMINAL,                /* poll(), then one byte */
} FdKind;

/*
 * Prepare *@fd for fd_host_write() and return its kind. A pipe's capacity is
 * increased. *@fd may be replaced by a descriptor for the same file; then the
 * old one is closed.
 */
FdKind fd_host_prepare(int *fd);

/*
 * Write some of @iov at the descriptor's position, like writev(). Fails with
 * EAGAIN instead of blocking, except for files and disks. Both *@fd and *@kind
 * may change, as above; the call then fails with EINTR.
 */
ssize_t fd_host_write(int *fd, FdKind *kind, const struct iovec *iov,
                      int niov);

/*
 * Write some of @iov at offset @at, like pwritev(). On Windows the position
 * changes, too.
 */
ssize_t fd_host_pwritev(int fd, const struct iovec *iov, int niov, off_t at);

/*
 * Wait until @fd is writable or has an error, for @ms milliseconds at most.
 * False if it has neither, or if interrupted by a signal.
 */
bool fd_host_wait(int fd, int ms);

/*
 * Open the named pipe @path for writing, without blocking. Fails with ENXIO
 * if nobody has it open for reading.
 */
int fd_host_open_fifo(const char *path);

/* Increase the capacity of a pipe, if possible. */
void fd_host_widen_pipe(int fd);

/*
 * A new open file description, with @flags, for the file of @fd. The flags of
 * @fd itself may be shared with other processes and are not changed. The new
 * file position is 0. Fails if this is not permitted or not supported.
 */
int fd_reopen(int fd, int flags);

/* The same for writing with O_DIRECT. */
int fd_host_reopen_direct(int fd);

/*
 * Flags for open(), in addition to the access mode, so that the output at
 * @path neither blocks nor becomes the controlling terminal.
 */
int fd_host_open_flags(const char *path);

/* Undo the O_NONBLOCK of fd_host_open_flags() for this open file. */
void fd_host_set_blocking(int fd);

/*
 * Status flags and access mode of @fd. On Windows these are not known, and
 * O_RDWR is returned for all open descriptors.
 */
int fd_host_flags(int fd);

/* The largest size that this process may give to a file. */
uint64_t fd_host_size_limit(void);

/* The absolute path of @path without symbolic links, or NULL; g_free() it. */
char *fd_host_real_path(const char *path);

/*
 * Flush written data, and metadata needed to read it, to stable storage.
 * Returns 0 or an errno; 0 also if the file does not support it.
 */
int fd_host_sync(int fd);

/*
 * Reserve space for @len bytes at @at. Returns 0 or an errno; 0 also if this
 * is not supported.
 */
int fd_host_reserve(int fd, off_t at, off_t len);

/*
 * Start writing a range from the page cache to the disk, or with @wait, write
 * it and wait. Returns false, with errno set, on I/O errors; true also if this
 * is not supported.
 */
bool fd_host_write_out(int fd, off_t at, off_t len, bool wait);

/* Drop a range from the page cache. @len 0: to the end of the file. */
void fd_host_drop_cache(int fd, off_t at, off_t len);

#endif
