/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Outputs of a dump: bytes with a file offset, written in large pieces.
 *
 * Three kinds implement this interface, and users of the engine may add more:
 *
 *   file    seekable descriptor: any offset, in any order
 *   stream  non-seekable descriptor: offsets must ascend; a gap is filled
 *           with zero bytes
 *   flat    makedumpfile's flattened form on top of another kind: any offset
 *           in any order, each byte once
 *
 * A write may return before the bytes have reached their destination; errors
 * are then reported by a later call, see dump_sink_sync.
 *
 * One thread at a time may use a sink. The first error is sticky: all later
 * writes and finish fail with the same text and do nothing, until
 * dump_sink_resume is called so that a failed dump can be closed properly.
 */

#ifndef DUMP_VMCORE_SINK_H
#define DUMP_VMCORE_SINK_H

#include "progress.h"

typedef struct DumpSink DumpSink;

/*
 * A state of the output that can be returned to. The meaning of the numbers
 * depends on the kind.
 */
typedef struct DumpSinkMark {
    uint64_t pos;
    uint64_t end;
} DumpSinkMark;

/* Implemented by each kind. Error messages contain errno's text and @what. */
typedef struct DumpSinkOps {
    /*
     * Write all of @iov at @offset. Must retry after short writes and EINTR,
     * and wait on EAGAIN. After a failure @iov is the unwritten rest.
     */
    bool (*write)(DumpSink *sink, uint64_t offset, struct iovec *iov,
                  int niov, const char *what, Error **errp);

    /*
     * Last call before free on success, or before settle if the sink is
     * durable: write trailers, set the file size to @size, close the
     * descriptor and report errors of close. A durable sink leaves outputs
     * open that have stable storage. Sets finished before closing.
     */
    bool (*finish)(DumpSink *sink, uint64_t size, Error **errp);

    /*
     * For durable sinks only; may be NULL. seal is called right after the
     * write that it replaces later. If settle is NULL, it is: flush, which puts
     * everything written on stable storage; write the seal; flush; close.
     */
    bool (*seal)(DumpSink *sink, uint64_t offset, const void *buf, size_t len,
                 const char *what, Error **errp);
    bool (*settle)(DumpSink *sink, Error **errp);
    bool (*flush)(DumpSink *sink, Error **errp);
    bool (*close)(DumpSink *sink, Error **errp);

    /* May be NULL; see dump_sink_sync, _arrived, _mark, _resume, _reserve. */
    bool (*sync)(DumpSink *sink, Error **errp);
    uint64_t (*arrived)(const DumpSink *sink);
    DumpSinkMark (*mark)(const DumpSink *sink);
    uint64_t (*room)(const DumpSink *sink, const DumpSinkMark *mark);
    bool (*resume)(DumpSink *sink, const DumpSinkMark *mark, Error **errp);
    bool (*reserve)(DumpSink *sink, uint64_t offset, uint64_t len,
                    const char *what, Error **errp);

    /* May be NULL; see dump_sink_abandon. */
    void (*abandon)(DumpSink *sink);

    /* Release everything, close the descriptor if it is still open. */
    void (*free)(DumpSink *sink);
} DumpSinkOps;

/* Base of each kind's structure. */
struct DumpSink {
    const DumpSinkOps *ops;
    DumpProgress *progress;     /* may be NULL; not owned */
    bool random_access;         /* any offset, in any order */
    bool rewinds;               /* written data can be overwritten */
    bool holes;                 /* unwritten data reads as zero */
    size_t grain;               /* see dump_sink_grain */
    Error *error;               /* first error, owned */
    bool finished;              /* closed or being closed */
    bool durable;               /* settle follows finish */
    struct {
        void *buf;              /* owned; NULL if there is no seal */
        size_t len;
        uint64_t offset;
        const char *what;
    } seal;
};

/* Called by each kind to initialize @sink; other members become zero. */
void dump_sink_init(DumpSink *sink, const DumpSinkOps *ops,
                    DumpProgress *progress);

/* True if offsets may be written in any order. */
bool dump_sink_random_access(const DumpSink *sink);

/*
 * True if unwritten ranges read as zero and cost nothing: a new or empty
 * regular file, or the flattened form. False for a stream, which has to write
 * the zero bytes.
 */
bool dump_sink_has_holes(const DumpSink *sink);

/*
 * Minimum size of a hole in bytes: fewer zeroes are better written together
 * with the surrounding data. 0 if a hole may have any size.
 */
size_t dump_sink_grain(const DumpSink *sink);

/*
 * True if resume also rewinds the output. If false (a pipe), written data
 * remains and must not be written again.
 */
bool dump_sink_rewinds(const DumpSink *sink);

/*
 * Write @len bytes at @offset; 0 does nothing. @what names the part of the
 * dump in error messages ("dump: writing page data: No space left on
 * device"). A byte may be written twice only if the sink rewinds and is not
 * flattened.
 *
 * Returns false, with @errp set, on failure or if cancelled while waiting
 * ("dump: cancelled").
 */
bool dump_sink_write(DumpSink *sink, uint64_t offset, const void *buf,
                     size_t len, const char *what, Error **errp);

/* The same for a vector. @iov is modified; it becomes the unwritten rest. */
bool dump_sink_writev(DumpSink *sink, uint64_t offset, struct iovec *iov,
                      int niov, const char *what, Error **errp);

/*
 * Have the dump flushed to stable storage: dump_sink_settle will follow
 * dump_sink_finish. Called before the first write, and before another sink is
 * put on top.
 */
void dump_sink_set_durable(DumpSink *sink);

/*
 * Write the bytes that mark the dump as complete, @len at @offset: the last
 * write before finish. If the sink is durable and rewinds, @until, which marks
 * the dump as incomplete, is written instead until everything else is on
 * stable storage, so that a dump that fails or is cancelled before that is not
 * mistaken for a complete one. @until is NULL if these bytes are in the output
 * already.
 */
bool dump_sink_seal(DumpSink *sink, uint64_t offset, const void *until,
                    const void *buf, size_t len, const char *what,
                    Error **errp);

/*
 * Reserve space so that @len bytes at @offset can be written later even if the
 * file system is full. Does nothing if not needed or not supported.
 */
bool dump_sink_reserve(DumpSink *sink, uint64_t offset, uint64_t len,
                       const char *what, Error **errp);

/*
 * Wait until all writes have completed. Returns false, with @errp set, if one
 * of them failed. Called before taking a mark, and before writing a header that
 * declares the rest complete. Does not flush to stable storage.
 */
bool dump_sink_sync(DumpSink *sink, Error **errp);

/*
 * All writes below this offset have succeeded, provided that sync reported no
 * other error. It is the lowest offset of a failed write if writes above it may
 * have succeeded, else UINT64_MAX.
 */
uint64_t dump_sink_arrived(const DumpSink *sink);

/* The current state. Called after a sync; the sink must have no error. */
DumpSinkMark dump_sink_mark(const DumpSink *sink);

/*
 * Bytes, including framing, guaranteed to fit after resuming from @mark on a
 * full disk; UINT64_MAX if that depends on reserved space or does not matter.
 */
uint64_t dump_sink_room(const DumpSink *sink, const DumpSinkMark *mark);

/*
 * Clear the error and continue from @mark, a state of this sink. If the sink
 * rewinds, later output is dropped. Fails if the output is unusable.
 */
bool dump_sink_resume(DumpSink *sink, const DumpSinkMark *mark, Error **errp);

/*
 * Close the output after all data is written. The dump is @size bytes long (at
 * least the end of the last write). After this only dump_sink_free may be
 * called, which closes the descriptor if a failure left it open; or
 * dump_sink_resume, if finish failed before closing.
 */
bool dump_sink_finish(DumpSink *sink, uint64_t size, Error **errp);

/*
 * After finish, if the sink is durable: wait until the dump is on stable
 * storage, if the output has any, then write and flush the seal, and close.
 * Returns false, with @errp set, on failure or if the dump was cancelled
 * meanwhile. Called by the writing thread.
 */
bool dump_sink_settle(DumpSink *sink, Error **errp);

/*
 * The dump has failed and nothing more will be written. Called by the writing
 * thread; waits briefly for requests in flight.
 */
void dump_sink_abandon(DumpSink *sink);

/* NULL is allowed. Without a previous finish, the output stays incomplete. */
void dump_sink_free(DumpSink *sink);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DumpSink, dump_sink_free)

#endif
