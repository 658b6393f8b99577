/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Writing to a descriptor of any type; a cancel ends a write that waits for a
 * reader, but not one to a file or disk.
 *
 * One thread at a time may use a writer.
 */

#ifndef DUMP_VMCORE_FD_WRITE_H
#define DUMP_VMCORE_FD_WRITE_H

#include "fd-cache.h"
#include "fd-host.h"
#include "progress.h"

typedef struct FdWriter {
    int fd;                     /* owned; -1 once closed, or not yet open */
    FdKind kind;                /* how to write to it */
    bool storage;               /* see fd_is_storage */
    FdCache cache;
    DumpProgress *progress;     /* may be NULL; not owned */
    char *fifo;                 /* path of a named pipe to open, or NULL */
} FdWriter;

/*
 * The writer takes ownership of @fd.
 * @progress: counts the bytes written; checked for a cancel while waiting
 */
void fd_writer_init(FdWriter *w, int fd, DumpProgress *progress);

/*
 * The same for the named pipe @path. It is opened by the first write, which
 * waits until it has a reader or the dump is cancelled.
 */
void fd_writer_init_fifo(FdWriter *w, const char *path,
                         DumpProgress *progress);

/*
 * Keep data written at given offsets out of the page cache; see fd-cache.h.
 * Called before the first write.
 */
void fd_writer_bypass_cache(FdWriter *w);

/*
 * Write all of @iov at @at, or at the file position if @at is negative.
 * Continues after short writes and EINTR. On EAGAIN, waits, and checks for a
 * cancel ten times a second. @iov becomes the unwritten rest. Returns false,
 * with @errp set to "dump: writing @what: ..." or "dump: cancelled", on
 * failure.
 */
bool fd_write(FdWriter *w, off_t at, struct iovec *iov, int niov,
              const char *what, Error **errp);

/*
 * Wait until everything written is on stable storage, if the output has any;
 * see fd_sync. After a cancel the descriptor is closed.
 */
bool fd_flush(FdWriter *w, Error **errp);

/*
 * Close the descriptor and report errors of close(). It is closed even on
 * failure, except if a named pipe has no reader.
 */
bool fd_close(FdWriter *w, Error **errp);

/* Close the descriptor if it is open, and ignore errors. */
void fd_abandon(FdWriter *w);

#endif
