/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Where a dump goes: bytes with a file offset, in large pieces.
 *
 * Three kinds share this interface, and users of the engine may add more:
 *
 *   file    a descriptor that can seek: any offset, in any order
 *   stream  a descriptor that cannot: offsets must follow one another;
 *           a step forward is filled with zero bytes
 *   flat    makedumpfile's flattened form over one of the others: any
 *           offset in any order, each byte once
 *
 * A kind may return from a write before the bytes are where they go, and
 * report later that they did not get there; see dump_sink_sync.
 *
 * One thread at a time may use a sink. The first error sticks: every later
 * write fails with the same text and touches nothing, and so does finish;
 * until dump_sink_resume, after which a dump that failed can be given a
 * proper end.
 */

#ifndef DUMP_VMCORE_SINK_H
#define DUMP_VMCORE_SINK_H

#include "progress.h"

typedef struct DumpSink DumpSink;

/*
 * A state of the output that a dump can be taken back to. What the numbers
 * mean is up to the kind.
 */
typedef struct DumpSinkMark {
    uint64_t pos;
    uint64_t end;
} DumpSinkMark;

/* Implemented by each kind. Errors are set once, with errno and @what. */
typedef struct DumpSinkOps {
    const char *name;

    /*
     * Write all of @iov at @offset. Must retry short writes, EINTR and, by
     * waiting, EAGAIN. After a failure @iov is what was not written.
     */
    bool (*write)(DumpSink *sink, uint64_t offset, struct iovec *iov,
                  int niov, const char *what, Error **errp);

    /*
     * Last call before free on the good path: write trailers, give the
     * file its size, close the descriptor and report what close says.
     * @size is where the file ends. Sets finished when it comes to closing.
     */
    bool (*finish)(DumpSink *sink, uint64_t size, Error **errp);

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

/* Head of each kind's structure. */
struct DumpSink {
    const DumpSinkOps *ops;
    DumpProgress *progress;     /* may be NULL; not owned */
    bool random_access;         /* any offset, in any order */
    bool rewinds;               /* what is written can be written over */
    bool holes;                 /* what is not written reads as zero */
    Error *error;               /* first error, owned */
    bool finished;              /* closed, or as good as */
};

/* For the kinds: begin with nothing but what is named here. */
void dump_sink_init(DumpSink *sink, const DumpSinkOps *ops,
                    DumpProgress *progress);

/* True if offsets may be written in any order. */
bool dump_sink_random_access(const DumpSink *sink);

/*
 * True if what is never written reads as zero and costs nothing: a new or
 * empty regular file, or the flattened form. A stream fills steps forward
 * with zero bytes and is not meant here.
 */
bool dump_sink_has_holes(const DumpSink *sink);

/*
 * True if resume takes the output itself back. If not (a pipe), what was
 * written stays, and offsets that were written must not be written again.
 */
bool dump_sink_rewinds(const DumpSink *sink);

/*
 * Write @len bytes at @offset; nothing happens for 0. @what names the part
 * of the dump for the message: "dump: writing page data: No space left on
 * device". A byte must not be written twice, except that a file sink allows
 * it.
 *
 * Returns false with @errp set on failure, also when cancelled while
 * waiting ("dump: cancelled").
 */
bool dump_sink_write(DumpSink *sink, uint64_t offset, const void *buf,
                     size_t len, const char *what, Error **errp);

/* The same for a vector, which is used up: what is left was not written. */
bool dump_sink_writev(DumpSink *sink, uint64_t offset, struct iovec *iov,
                      int niov, const char *what, Error **errp);

/*
 * See to it that @len bytes from @offset on can be written, now or later,
 * whatever becomes of the space that the file system has left. Costs
 * nothing where there is nothing to be done, or no way to do it.
 */
bool dump_sink_reserve(DumpSink *sink, uint64_t offset, uint64_t len,
                       const char *what, Error **errp);

/*
 * Wait until all that was written has arrived; false with @errp set if some of
 * it has not. Before a mark, and before what says that the rest is there. It
 * is not on stable storage by that.
 */
bool dump_sink_sync(DumpSink *sink, Error **errp);

/*
 * What was written before this offset has arrived, or a sync would have said
 * otherwise: UINT64_MAX, but the lowest offset of a write that failed if
 * others may have succeeded behind it.
 */
uint64_t dump_sink_arrived(const DumpSink *sink);

/* The present state, after a sync; a sink that failed has none. */
DumpSinkMark dump_sink_mark(const DumpSink *sink);

/*
 * Bytes of output, with all that wraps them, that are sure to find room
 * after a resume from @mark, even on a full disk; UINT64_MAX if that depends
 * on reserves, or does not matter.
 */
uint64_t dump_sink_room(const DumpSink *sink, const DumpSinkMark *mark);

/*
 * Forget the error and go on from @mark, a state of this sink: what came
 * after it is dropped where the sink rewinds. Fails if the output is found
 * to be broken for good.
 */
bool dump_sink_resume(DumpSink *sink, const DumpSinkMark *mark, Error **errp);

/*
 * All data is written: the dump is @size bytes long (at least the end of
 * the last write). After this only dump_sink_free may be called, which
 * closes the descriptor if a failure left it open; or dump_sink_resume, if
 * it failed before it came to closing.
 */
bool dump_sink_finish(DumpSink *sink, uint64_t size, Error **errp);

/*
 * The dump has failed, and nothing more is written. By the thread that has
 * written; waits a little for what is under way.
 */
void dump_sink_abandon(DumpSink *sink);

/* NULL is allowed. Without a finish before, the dump is abandoned. */
void dump_sink_free(DumpSink *sink);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DumpSink, dump_sink_free)

#endif
