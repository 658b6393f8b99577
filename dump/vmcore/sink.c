/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Common code of all sinks: the sticky error, and the seal.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/iov.h"
#include "sink.h"
#include "spare.h"

void dump_sink_init(DumpSink *sink, const DumpSinkOps *ops,
                    DumpProgress *progress)
{
    *sink = (DumpSink) { .ops = ops, .progress = progress };
}

bool dump_sink_random_access(const DumpSink *sink)
{
    return sink->random_access;
}

bool dump_sink_has_holes(const DumpSink *sink)
{
    return sink->holes;
}

size_t dump_sink_grain(const DumpSink *sink)
{
    return sink->grain;
}

bool dump_sink_rewinds(const DumpSink *sink)
{
    return sink->rewinds;
}

/* Store the first error, and return it from all later calls. */
static bool sink_failed(DumpSink *sink, Error *err, Error **errp)
{
    if (err) {
        sink->error = error_copy(err);
        error_propagate(errp, err);
        return true;
    }
    if (sink->error) {
        error_propagate(errp, error_copy(sink->error));
        return true;
    }
    return false;
}

bool dump_sink_writev(DumpSink *sink, uint64_t offset, struct iovec *iov,
                      int niov, const char *what, Error **errp)
{
    Error *err = NULL;

    assert(!sink->finished);
    if (sink_failed(sink, NULL, errp)) {
        return false;
    }
    if (!iov_size(iov, niov)) {
        return true;
    }
    sink->ops->write(sink, offset, iov, niov, what, &err);
    return !sink_failed(sink, err, errp);
}

bool dump_sink_write(DumpSink *sink, uint64_t offset, const void *buf,
                     size_t len, const char *what, Error **errp)
{
    struct iovec iov = { .iov_base = (void *)buf, .iov_len = len };

    return dump_sink_writev(sink, offset, &iov, 1, what, errp);
}

bool dump_sink_finish(DumpSink *sink, uint64_t size, Error **errp)
{
    Error *err = NULL;

    assert(!sink->finished);
    if (sink_failed(sink, NULL, errp)) {
        return false;
    }
    sink->ops->finish(sink, size, &err);
    assert(err || sink->finished);
    return !sink_failed(sink, err, errp);
}

void dump_sink_set_durable(DumpSink *sink)
{
    sink->durable = true;
}

static void sink_drop_seal(DumpSink *sink)
{
    g_clear_pointer(&sink->seal.buf, g_free);
}

/* Store the bytes that settle will write. */
static bool sink_keep_seal(DumpSink *sink, uint64_t offset, const void *buf,
                           size_t len, const char *what, Error **errp)
{
    sink_drop_seal(sink);
    sink->seal.buf = g_try_malloc(len);
    if (!sink->seal.buf) {
        dump_no_memory(errp, "to write %s", what);
        return false;
    }
    memcpy(sink->seal.buf, buf, len);
    sink->seal.len = len;
    sink->seal.offset = offset;
    sink->seal.what = what;
    return true;
}

bool dump_sink_seal(DumpSink *sink, uint64_t offset, const void *until,
                    const void *buf, size_t len, const char *what,
                    Error **errp)
{
    Error *err = NULL;

    if (!sink->durable || !sink->rewinds) {
        return dump_sink_write(sink, offset, buf, len, what, errp);
    }
    if (until && !dump_sink_write(sink, offset, until, len, what, errp)) {
        return false;
    }
    if (sink_failed(sink, NULL, errp)) {
        return false;
    }
    if (sink->ops->seal) {
        sink->ops->seal(sink, offset, buf, len, what, &err);
    } else {
        sink_keep_seal(sink, offset, buf, len, what, &err);
    }
    return !sink_failed(sink, err, errp);
}

static bool sink_write_seal(DumpSink *sink, Error **errp)
{
    struct iovec iov = { sink->seal.buf, sink->seal.len };

    return sink->ops->write(sink, sink->seal.offset, &iov, 1, sink->seal.what,
                            errp);
}

static bool sink_flush(DumpSink *sink, Error **errp)
{
    return !sink->ops->flush || sink->ops->flush(sink, errp);
}

/*
 * If this fails, readers take the dump for complete, which it is. To write the
 * seal back is not possible if the disk hangs.
 */
static bool sink_flush_seal(DumpSink *sink, Error **errp)
{
    Error *err = NULL;

    if (!sink_flush(sink, &err)) {
        error_setg(errp, "%s; the output is complete, but may not be on "
                   "stable storage", error_get_pretty(err));
        error_free(err);
        return false;
    }
    return true;
}

bool dump_sink_settle(DumpSink *sink, Error **errp)
{
    assert(sink->durable && sink->finished);
    if (sink->ops->settle) {
        return sink->ops->settle(sink, errp);
    }
    return sink_flush(sink, errp) &&
           (!sink->seal.buf ||
            (sink_write_seal(sink, errp) && sink_flush_seal(sink, errp))) &&
           (!sink->ops->close || sink->ops->close(sink, errp));
}

bool dump_sink_reserve(DumpSink *sink, uint64_t offset, uint64_t len,
                       const char *what, Error **errp)
{
    Error *err = NULL;

    assert(!sink->finished);
    if (sink_failed(sink, NULL, errp)) {
        return false;
    }
    if (sink->ops->reserve && len) {
        sink->ops->reserve(sink, offset, len, what, &err);
    }
    return !sink_failed(sink, err, errp);
}

bool dump_sink_sync(DumpSink *sink, Error **errp)
{
    Error *err = NULL;

    assert(!sink->finished);
    if (sink_failed(sink, NULL, errp)) {
        return false;
    }
    if (sink->ops->sync) {
        sink->ops->sync(sink, &err);
    }
    return !sink_failed(sink, err, errp);
}

uint64_t dump_sink_arrived(const DumpSink *sink)
{
    return sink->ops->arrived ? sink->ops->arrived(sink) : UINT64_MAX;
}

DumpSinkMark dump_sink_mark(const DumpSink *sink)
{
    assert(!sink->error);
    return sink->ops->mark ? sink->ops->mark(sink) : (DumpSinkMark) { 0 };
}

uint64_t dump_sink_room(const DumpSink *sink, const DumpSinkMark *mark)
{
    return sink->ops->room ? sink->ops->room(sink, mark) : UINT64_MAX;
}

bool dump_sink_resume(DumpSink *sink, const DumpSinkMark *mark, Error **errp)
{
    Error *err = NULL;

    if (sink->finished) {
        return !sink_failed(sink, NULL, errp);
    }
    error_free(sink->error);
    sink->error = NULL;
    sink_drop_seal(sink);
    if (sink->ops->resume) {
        sink->ops->resume(sink, mark, &err);
    }
    return !sink_failed(sink, err, errp);
}

void dump_sink_abandon(DumpSink *sink)
{
    if (sink->ops->abandon) {
        sink->ops->abandon(sink);
    }
}

void dump_sink_free(DumpSink *sink)
{
    if (sink) {
        error_free(sink->error);
        sink_drop_seal(sink);
        sink->ops->free(sink);
    }
}
