/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Sink for a node of QEMU's block layer.
 *
 * Contiguous writes are gathered in a buffer, which is submitted when it is
 * full or when a write elsewhere follows. Except for small ranges, zeroes are
 * written by zero requests, which most nodes execute without storing data.
 *
 *   0                  high                       clean     length
 *   |------------------|---------------------------|--------|
 *    written, or zero    old contents of the node     zero
 *
 * Before a write above high, the range in between is zeroed (like a hole in a
 * file). The same is done with the rest at the end.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/host-utils.h"
#include "qemu/units.h"
#include "block-queue.h"
#include "sink-block.h"

/* Alignment of zero requests; smaller ranges are written as data. */
#define ZERO_GRAIN      (64 * KiB)

/* How long abandon waits for requests in flight if cancelled. */
#define ABANDON_GRACE_MS        300

/* Increments by which the node grows, as the final size is not known. */
#define GROW_ALIGN      MiB
#define GROW_MIN        (64 * MiB)
#define GROW_MAX        GiB

typedef struct BlockSink {
    DumpSink parent;
    BlockQueue *queue;
    BlockQueueWrite *open;      /* gathered data, or NULL */
    uint64_t high;
    uint64_t clean;             /* UINT64_MAX: nothing is known to be zero */
    uint64_t length;            /* of the node, in bytes */
    uint32_t align;             /* request alignment of the node, in bytes */
    uint64_t lost;              /* lowest offset of dropped data */
    uint64_t size;              /* of the dump, once it is finished */
    bool begun;
    bool resumed;               /* submit at once: finish may not be called */
} BlockSink;

/* Grow to @length, if possible with zeroes in the new part. */
static bool block_set_length(BlockSink *s, uint64_t length, const char *what,
                             Error **errp)
{
    g_autofree char *doing = g_strdup_printf("writing %s: the block node is "
                                             "too small", what);

    if (block_queue_truncate(s->queue, length, false, BDRV_REQ_ZERO_WRITE,
                             doing, NULL)) {
        s->clean = MIN(s->clean, s->length);
    } else if (block_queue_truncate(s->queue, length, false, 0, doing,
                                    errp)) {
        s->clean = UINT64_MAX;
    } else {
        return false;
    }
    s->length = length;
    return true;
}

/* Grow the node to at least @end; by a larger step if possible. */
static bool block_grow(BlockSink *s, uint64_t end, const char *what,
                       Error **errp)
{
    uint64_t step = MAX(MIN(s->length, GROW_MAX), GROW_MIN);

    if (end <= s->length) {
        return true;
    }
    if (end > INT64_MAX - 2 * GROW_MAX) {
        error_setg_errno(errp, EFBIG, "dump: writing %s", what);
        return false;
    }
    return block_set_length(s, ROUND_UP(MAX(end, s->length + step),
                                        GROW_ALIGN), what, NULL) ||
           block_set_length(s, ROUND_UP(end, BDRV_SECTOR_SIZE), what, errp);
}

static void block_drop(BlockSink *s)
{
    if (s->open) {
        s->lost = MIN(s->lost, s->open->offset);
        block_queue_drop(s->queue, g_steal_pointer(&s->open));
    }
}

/*
 * How much is gathered: less, if that is more than the limit for the output
 * allows at once.
 */
static uint32_t block_grain(const BlockSink *s)
{
    uint64_t piece = s->parent.progress ?
                     dump_progress_piece(s->parent.progress) : UINT64_MAX;

    return piece >= BLOCK_QUEUE_WRITE_SIZE ? BLOCK_QUEUE_WRITE_SIZE :
           MAX(pow2floor(piece), ZERO_GRAIN);
}

/* Submit the gathered data. */
static bool block_push(BlockSink *s, Error **errp)
{
    BlockQueueWrite *w = s->open;
    uint64_t offset;

    if (!w) {
        return true;
    }
    offset = w->offset;
    if (!block_grow(s, offset + w->len, w->what, errp)) {
        block_drop(s);
        return false;
    }
    s->open = NULL;
    if (!block_queue_submit(s->queue, w, errp)) {
        s->lost = MIN(s->lost, offset);
        return false;
    }
    return true;
}

/* Provide a buffer with room in which the next byte is @offset. */
static bool block_open(BlockSink *s, uint64_t offset, const char *what,
                       Error **errp)
{
    if (s->open && offset == s->open->offset + s->open->len) {
        return true;
    }
    if (!block_push(s, errp)) {
        return false;
    }
    s->open = block_queue_get(s->queue, errp);
    if (s->open) {
        s->open->offset = offset;
        s->open->what = what;
    }
    return s->open;
}

/* @bytes: NULL for zeroes. *@len: on return, the number not taken. */
static bool block_append(BlockSink *s, uint64_t offset, const uint8_t *bytes,
                         size_t *len, const char *what, Error **errp)
{
    const uint32_t grain = block_grain(s);

    while (*len) {
        size_t n = MIN(*len, grain - offset % grain);
        uint8_t *to;

        if (!block_open(s, offset, what, errp)) {
            return false;
        }
        to = s->open->buf + s->open->len;
        if (bytes) {
            memcpy(to, bytes, n);
            bytes += n;
        } else {
            memset(to, 0, n);
        }
        s->open->len += n;
        offset += n;
        s->high = MAX(s->high, offset);
        *len -= n;
        if (offset % grain == 0 && !block_push(s, errp)) {
            return false;
        }
    }
    return true;
}

/*
 * Zero the whole node if that is cheap, so that even a failed dump contains no
 * old data.
 */
static void block_begin(BlockSink *s)
{
    if (!s->begun && s->length &&
        block_queue_zero_quickly(s->queue, 0, s->length)) {
        s->clean = 0;
    }
    s->begun = true;
}

/* Submit zero requests for [high, @end). */
static bool block_zero(BlockSink *s, uint64_t end, BdrvRequestFlags flags,
                       const char *what, Error **errp)
{
    uint64_t high = s->high;

    if (!block_push(s, errp) || !block_grow(s, end, what, errp) ||
        !block_queue_zero(s->queue, high, end - high, flags, what, errp)) {
        return false;
    }
    s->high = end;
    return true;
}

static bool block_append_zeroes(BlockSink *s, uint64_t end, const char *what,
                                Error **errp)
{
    size_t len = end - s->high;

    return block_append(s, s->high, NULL, &len, what, errp);
}

/* Zero everything below @offset that was not written. */
static bool block_fill(BlockSink *s, uint64_t offset, const char *what,
                       Error **errp)
{
    uint64_t first = ROUND_UP(s->high, ZERO_GRAIN);
    uint64_t last = QEMU_ALIGN_DOWN(offset, ZERO_GRAIN);
    uint64_t old;

    block_begin(s);
    if (offset <= s->high) {
        return true;
    }
    if (first >= last) {
        return block_append_zeroes(s, offset, what, errp);
    }
    if (!block_append_zeroes(s, first, what, errp) ||
        !block_grow(s, last, what, errp)) {
        return false;
    }
    old = MIN(last, s->clean);
    if (old > s->high && !block_zero(s, old, BDRV_REQ_MAY_UNMAP, what, errp)) {
        return false;
    }
    /* From clean on the node is already zero. */
    s->high = last;
    return block_append_zeroes(s, offset, what, errp);
}

static bool block_write(DumpSink *sink, uint64_t offset, struct iovec *iov,
                        int niov, const char *what, Error **errp)
{
    BlockSink *s = container_of(sink, BlockSink, parent);

    if (!block_fill(s, offset, what, errp)) {
        return false;
    }
    for (int i = 0; i < niov; i++) {
        size_t len = iov[i].iov_len;
        bool ok = block_append(s, offset, iov[i].iov_base, &len, what, errp);
        size_t taken = iov[i].iov_len - len;

        iov[i].iov_base = (uint8_t *)iov[i].iov_base + taken;
        iov[i].iov_len = len;
        offset += taken;
        if (!ok) {
            return false;
        }
    }
    return !s->resumed || block_push(s, errp);
}

static bool block_sync(DumpSink *sink, Error **errp)
{
    BlockSink *s = container_of(sink, BlockSink, parent);

    return block_push(s, errp) && block_queue_wait(s->queue, errp);
}

static uint64_t block_arrived(const DumpSink *sink)
{
    const BlockSink *s = container_of(sink, BlockSink, parent);

    return MIN(s->lost, block_queue_arrived(s->queue));
}

/* Gathered data is newer than @mark, as a sync precedes each mark. */
static bool block_resume(DumpSink *sink, const DumpSinkMark *mark,
                         Error **errp)
{
    BlockSink *s = container_of(sink, BlockSink, parent);

    block_drop(s);
    s->resumed = true;
    return block_queue_recover(s->queue, errp);
}

/* Allocate space by writing zeroes without BDRV_REQ_MAY_UNMAP. */
static bool block_reserve(DumpSink *sink, uint64_t offset, uint64_t len,
                          const char *what, Error **errp)
{
    BlockSink *s = container_of(sink, BlockSink, parent);

    if (offset > INT64_MAX || len > INT64_MAX - offset) {
        error_setg_errno(errp, EFBIG, "dump: reserving room for %s", what);
        return false;
    }
    return offset + len <= s->high ||
           (block_fill(s, offset, what, errp) &&
            block_zero(s, offset + len, 0, what, errp));
}

/*
 * The end of the last block that contains data of the dump. The whole block
 * must be kept: with encryption, a part of a block cannot be decrypted.
 */
static uint64_t block_end(const BlockSink *s, uint64_t size)
{
    uint64_t end = ROUND_UP(size, MAX(s->align, BDRV_SECTOR_SIZE));

    return end > s->length && size <= s->length ? s->length : end;
}

static bool block_try_cut(BlockSink *s, uint64_t size)
{
    return s->length == size ||
           block_queue_truncate(s->queue, size, true, 0, "cutting", NULL);
}

/*
 * Truncate the node to the end of the dump. If that is not possible, zero the
 * rest if that is cheap; old data after the dump is harmless.
 */
static void block_cut(BlockSink *s, uint64_t size)
{
    uint64_t rest = s->align > 1 ? block_end(s, size) : size;

    if ((s->align > 1 || !block_try_cut(s, size)) &&
        !block_try_cut(s, block_end(s, size)) &&
        rest < s->length && (s->clean || s->high > size)) {
        block_queue_zero_quickly(s->queue, rest, s->length - rest);
    }
}

static bool block_finish(DumpSink *sink, uint64_t size, Error **errp)
{
    BlockSink *s = container_of(sink, BlockSink, parent);

    if (size > INT64_MAX - 2 * GROW_MAX) {
        error_setg_errno(errp, EFBIG, "dump: setting the output's size");
        return false;
    }
    if (!block_fill(s, block_end(s, size), "the end", errp) ||
        !block_sync(sink, errp) ||
        !block_grow(s, size, "the end", errp)) {
        return false;
    }
    block_cut(s, size);
    s->size = size;
    sink->finished = true;
    return sink->durable || block_queue_flush(s->queue, errp);
}

static bool block_flush(DumpSink *sink, Error **errp)
{
    BlockSink *s = container_of(sink, BlockSink, parent);

    if (!block_sync(sink, errp)) {
        return false;
    }
    if (sink->finished) {
        /* The block layer pads a write of the last bytes. */
        block_cut(s, s->size);
    }
    return block_queue_flush(s->queue, errp);
}

/* Truncate before data that was not written, so that it is not read as zero. */
static void block_abandon(DumpSink *sink)
{
    BlockSink *s = container_of(sink, BlockSink, parent);
    uint64_t end;

    if (sink->progress) {
        dump_progress_set_grace(sink->progress, ABANDON_GRACE_MS);
    }
    block_push(s, NULL);
    if (block_queue_recover(s->queue, NULL) && !sink->finished) {
        end = block_end(s, MIN(s->high, block_arrived(sink)));
        if (end < s->length) {
            block_try_cut(s, end);
        }
    }
}

static void block_free(DumpSink *sink)
{
    BlockSink *s = container_of(sink, BlockSink, parent);

    block_drop(s);
    block_queue_free(s->queue);
    g_free(s);
}

static const DumpSinkOps block_ops = {
    .write = block_write,
    .finish = block_finish,
    .flush = block_flush,
    .sync = block_sync,
    .arrived = block_arrived,
    .resume = block_resume,
    .reserve = block_reserve,
    .abandon = block_abandon,
    .free = block_free,
};

DumpSink *dump_sink_block_new(BlockBackend *blk, uint64_t length,
                              DumpProgress *progress)
{
    BlockSink *s = g_new0(BlockSink, 1);

    dump_sink_init(&s->parent, &block_ops, progress);
    s->parent.random_access = true;
    s->parent.rewinds = true;
    s->parent.holes = true;
    s->align = blk_get_request_alignment(blk);
    s->queue = block_queue_new(blk, progress);
    s->length = length;
    s->clean = UINT64_MAX;
    s->lost = UINT64_MAX;
    return &s->parent;
}
