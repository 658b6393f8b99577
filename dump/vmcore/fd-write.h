/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Writing to a descriptor, whatever it is, without blocking past a cancel.
 *
 * One thread at a time may use a writer.
 */

#ifndef DUMP_VMCORE_FD_WRITE_H
#define DUMP_VMCORE_FD_WRITE_H

#include "progress.h"

/* How to write to it without blocking past a cancel. */
typedef enum FdKind {
    FD_PLAIN,                   /* files, terminals: plain writes */
    FD_PIPE,                    /* RWF_NOWAIT */
    FD_OLD_PIPE,                /* the same where the kernel lacks that */
    FD_SOCKET,                  /* MSG_DONTWAIT */
} FdKind;

typedef struct FdWriter {
    int fd;                     /* owned; -1 once closed */
    FdKind kind;
    DumpProgress *progress;     /* may be NULL; not owned */
} FdWriter;

/*
 * @fd is owned by the writer from here on.
 * @progress: told of every byte handed to the kernel, asked for a cancel
 *            while waiting
 */
void fd_writer_init(FdWriter *w, int fd, DumpProgress *progress);

/*
 * Write all of @iov at @at, or at the descriptor's own position if that is
 * negative. Goes on after short writes and EINTR, and waits out EAGAIN;
 * while it waits it looks for a cancel ten times a second. @iov is left as
 * what was not written. False with @errp set to "dump: writing @what: ...",
 * or "dump: cancelled".
 */
bool fd_write(FdWriter *w, off_t at, struct iovec *iov, int niov,
              const char *what, Error **errp);

/* Close and report what close says; the descriptor is gone in any case. */
bool fd_close(FdWriter *w, Error **errp);

/* Close if that was not done. */
void fd_abandon(FdWriter *w);

#endif
