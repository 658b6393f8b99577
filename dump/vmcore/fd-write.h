/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Writing to a descriptor, whatever it is, without blocking past a cancel.
 *
 * One thread at a time may use a writer.
 */

#ifndef DUMP_VMCORE_FD_WRITE_H
#define DUMP_VMCORE_FD_WRITE_H

#include "fd-cache.h"
#include "progress.h"

/* How to write to it without blocking past a cancel. */
typedef enum FdKind {
    FD_PLAIN,                   /* files, or our own O_NONBLOCK: plain writes */
    FD_PIPE,                    /* RWF_NOWAIT */
    FD_OLD_PIPE,                /* poll(), then small writes */
    FD_SOCKET,                  /* MSG_DONTWAIT */
    FD_TERMINAL,                /* poll(), then a byte */
} FdKind;

typedef struct FdWriter {
    int fd;                     /* owned; -1 once closed, or not yet open */
    FdKind kind;
    bool storage;               /* see fd_is_storage */
    FdCache cache;
    DumpProgress *progress;     /* may be NULL; not owned */
    char *fifo;                 /* path of a named pipe to open, or NULL */
} FdWriter;

/*
 * @fd is owned by the writer from here on.
 * @progress: told of every byte handed to the kernel, asked for a cancel
 *            while waiting
 */
void fd_writer_init(FdWriter *w, int fd, DumpProgress *progress);

/*
 * The same for the named pipe @path. It is opened by the first write, which
 * waits until somebody reads it; a cancel ends that at once.
 */
void fd_writer_init_fifo(FdWriter *w, const char *path,
                         DumpProgress *progress);

/*
 * What is written at given offsets is not to be left in the page cache; see
 * fd-cache.h. Before the first write.
 */
void fd_writer_spare_cache(FdWriter *w);

/*
 * Write all of @iov at @at, or at the descriptor's own position if that is
 * negative. Goes on after short writes and EINTR, and waits out EAGAIN;
 * while it waits it looks for a cancel ten times a second. @iov is left as
 * what was not written. False with @errp set to "dump: writing @what: ...",
 * or "dump: cancelled".
 */
bool fd_write(FdWriter *w, off_t at, struct iovec *iov, int niov,
              const char *what, Error **errp);

/*
 * Wait until all that was written is on stable storage, if the descriptor is
 * for something that has that; see fd_sync. After a cancel it is closed.
 */
bool fd_flush(FdWriter *w, Error **errp);

/*
 * Close and report what close says; the descriptor is gone unless a named
 * pipe found no reader.
 */
bool fd_close(FdWriter *w, Error **errp);

/* Close if that was not done. */
void fd_abandon(FdWriter *w);

/*
 * A descriptor for the file that @fd is open for, with @flags of its own:
 * those of @fd may be shared with other processes, and are not ours to
 * change. The position is its own too. -1 with errno where that is not
 * allowed, or not known how.
 */
int fd_reopen(int fd, int flags);

#endif
