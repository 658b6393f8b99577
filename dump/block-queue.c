/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Requests to a block node; see the header.
 *
 * A request has a pointer to the queue and its own copy of the data. If a
 * server does not answer, both may have to outlive the dump and the guest's
 * memory.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "block/aio.h"
#include "block/block_int.h"
#include "qapi/qapi-commands-yank.h"
#include "qemu/coroutine.h"
#include "qemu/main-loop.h"
#include "qemu/memalign.h"
#include "qemu/thread.h"
#include "system/runstate.h"
#include "system/runstate-action.h"
#include "block-queue.h"
#include "vmcore/spare.h"

/* Requests in flight; measured with NBD, see docs/devel/dump.rst. */
#define QUEUE_DEPTH     16

/* How often waiting functions check for cancellation. */
#define QUEUE_POLL_MS   100

/* Maximum bytes of a zero request, which cannot be cancelled once submitted. */
#define QUEUE_ZERO_MAX  (256 * 1024 * 1024)

typedef enum BlockRequestKind {
    REQUEST_WRITE,
    REQUEST_ZERO,
    REQUEST_TRUNCATE,
    REQUEST_FLUSH,
} BlockRequestKind;

typedef struct BlockRequest {
    BlockQueueWrite write;      /* public part, for REQUEST_WRITE */
    BlockQueue *queue;
    BlockRequestKind kind;
    uint64_t len;               /* bytes, for all kinds with a length */
    BdrvRequestFlags flags;
    bool exact;
    QEMUIOVector qiov;

    /* Under the queue's lock. */
    bool waited_for;            /* a caller waits for the result */
    bool done;
    int ret;
    Error *err;                 /* may be NULL with a negative ret */
    QTAILQ_ENTRY(BlockRequest) link;
} BlockRequest;

struct BlockQueue {
    BlockBackend *blk;
    AioContext *ctx;            /* constant, as blk does not allow changes */
    DumpProgress *progress;     /* used by the submitting thread */
    unsigned nr_buffers;        /* allocated ones; submitting thread */

    QemuMutex lock;             /* for the members below and requests */
    QemuCond changed;
    QTAILQ_HEAD(, BlockRequest) under_way;
    unsigned nr_under_way;
    QTAILQ_HEAD(, BlockRequest) idle;   /* writes that can be reused */
    int ret;                    /* of the first request that failed, or 0 */
    const char *what;           /* name of the part that it wrote */
    uint64_t arrived;           /* see block_queue_arrived */
    bool orphaned;              /* the last request frees the queue */

    QLIST_ENTRY(BlockQueue) orphan;     /* main thread, BQL */
};

/* Queues that were freed with requests in flight. Main thread, BQL. */
static QLIST_HEAD(, BlockQueue) orphans = QLIST_HEAD_INITIALIZER(orphans);

BlockQueue *block_queue_new(BlockBackend *blk, DumpProgress *progress)
{
    BlockQueue *q = g_new0(BlockQueue, 1);

    q->blk = blk;
    q->ctx = blk_get_aio_context(blk);
    q->progress = progress;
    q->arrived = UINT64_MAX;
    qemu_mutex_init(&q->lock);
    qemu_cond_init(&q->changed);
    QTAILQ_INIT(&q->under_way);
    QTAILQ_INIT(&q->idle);
    return q;
}

static void request_free(BlockRequest *r)
{
    error_free(r->err);
    qemu_vfree(r->write.buf);
    g_free(r);
}

/* Main thread, BQL held. */
static void queue_destroy(BlockQueue *q)
{
    BlockRequest *r, *next;

    QTAILQ_FOREACH_SAFE(r, &q->idle, link, next) {
        request_free(r);
    }
    blk_unref(q->blk);
    qemu_cond_destroy(&q->changed);
    qemu_mutex_destroy(&q->lock);
    g_free(q);
}

static void queue_destroy_orphan(void *opaque)
{
    BlockQueue *q = opaque;

    QLIST_REMOVE(q, orphan);
    queue_destroy(q);
}

static void queue_shutdown(Notifier *notifier, void *data)
{
    if (shutdown_action != SHUTDOWN_ACTION_PAUSE) {
        block_queue_break_all();
    }
}

static void queue_expect_shutdown(void)
{
    static Notifier shutdown = { .notify = queue_shutdown };
    static bool registered;

    if (!registered) {
        qemu_register_shutdown_notifier(&shutdown);
        registered = true;
    }
}

void block_queue_free(BlockQueue *q)
{
    qemu_mutex_lock(&q->lock);
    q->orphaned = q->nr_under_way;
    q->progress = NULL;
    if (q->orphaned) {
        /* queue_destroy_orphan runs in this thread, too. */
        QLIST_INSERT_HEAD(&orphans, q, orphan);
        qemu_mutex_unlock(&q->lock);
        queue_expect_shutdown();
        return;
    }
    qemu_mutex_unlock(&q->lock);
    queue_destroy(q);
}

/* Yank all nodes of a tree that support it. */
static void GRAPH_RDLOCK queue_break_node(BlockDriverState *bs)
{
    YankInstance instance = {
        .type = YANK_INSTANCE_TYPE_BLOCK_NODE,
        .u.block_node.node_name = bs->node_name,
    };
    YankInstanceList list = { .value = &instance };
    BdrvChild *child;

    qmp_yank(&list, NULL);
    QLIST_FOREACH(child, &bs->children, next) {
        queue_break_node(child->bs);
    }
}

void block_queue_break_all(void)
{
    BlockQueue *q;

    GRAPH_RDLOCK_GUARD_MAINLOOP();
    QLIST_FOREACH(q, &orphans, orphan) {
        if (blk_bs(q->blk)) {
            queue_break_node(blk_bs(q->blk));
        }
    }
}

/*
 * In the node's AioContext. Returns true if the caller must destroy the queue;
 * otherwise the queue may be gone on return.
 */
static bool queue_take_result(BlockQueue *q, BlockRequest *r)
{
    bool last;

    qemu_mutex_lock(&q->lock);
    QTAILQ_REMOVE(&q->under_way, r, link);
    q->nr_under_way--;
    r->done = true;
    if (!r->waited_for) {
        if (r->ret < 0 && !q->ret) {
            q->ret = r->ret;
            q->what = r->write.what;
        }
        if (r->ret < 0) {
            q->arrived = MIN(q->arrived, r->write.offset);
        }
        if (r->write.buf) {
            QTAILQ_INSERT_HEAD(&q->idle, r, link);
        } else {
            request_free(r);
        }
    }
    last = q->orphaned && !q->nr_under_way;
    qemu_cond_broadcast(&q->changed);
    qemu_mutex_unlock(&q->lock);
    return last;
}

static void coroutine_fn request_co(void *opaque)
{
    BlockRequest *r = opaque;
    BlockQueue *q = r->queue;

    switch (r->kind) {
    case REQUEST_WRITE:
        r->ret = blk_co_pwritev(q->blk, r->write.offset, r->len, &r->qiov,
                                r->flags);
        break;
    case REQUEST_ZERO:
        r->ret = blk_co_pwrite_zeroes(q->blk, r->write.offset, r->len,
                                      r->flags);
        break;
    case REQUEST_TRUNCATE:
        r->ret = blk_co_truncate(q->blk, r->write.offset, r->exact,
                                 PREALLOC_MODE_OFF, r->flags, &r->err);
        break;
    case REQUEST_FLUSH:
        r->ret = blk_co_flush(q->blk);
        break;
    }
    if (queue_take_result(q, r)) {
        aio_bh_schedule_oneshot(qemu_get_aio_context(), queue_destroy_orphan,
                                q);
    }
}

/*
 * Called by the submitting thread, as all functions below, with the lock held.
 * Returns false, with @errp set, if cancelled.
 */
static bool queue_wait_change(BlockQueue *q, Error **errp)
{
    if (q->progress && dump_progress_out_of_time(q->progress)) {
        error_setg(errp, "dump: cancelled");
        return false;
    }
    qemu_cond_timedwait(&q->changed, &q->lock, QUEUE_POLL_MS);
    return true;
}

/* Lock held. */
static bool queue_failed(const BlockQueue *q, Error **errp)
{
    if (q->ret) {
        error_setg_errno(errp, -q->ret, "dump: writing %s", q->what);
    }
    return q->ret;
}

static bool request_overlaps(const BlockRequest *r, uint64_t offset,
                             uint64_t len)
{
    return r->write.offset < offset + len && offset < r->write.offset + r->len;
}

static bool queue_is_free(const BlockQueue *q, uint64_t offset, uint64_t len)
{
    const BlockRequest *r;

    QTAILQ_FOREACH(r, &q->under_way, link) {
        if (request_overlaps(r, offset, len)) {
            return false;
        }
    }
    return q->nr_under_way < QUEUE_DEPTH;
}

/* Lock held. */
static void queue_begin(BlockQueue *q, BlockRequest *r)
{
    QTAILQ_INSERT_TAIL(&q->under_way, r, link);
    q->nr_under_way++;
    aio_co_schedule(q->ctx, qemu_coroutine_create(request_co, r));
}

/* Wait until @r can be started, and start it. */
static bool queue_submit(BlockQueue *q, BlockRequest *r, Error **errp)
{
    bool ok = true;

    qemu_mutex_lock(&q->lock);
    while (ok && !queue_is_free(q, r->write.offset, r->len)) {
        ok = queue_wait_change(q, errp);
    }
    ok = ok && !queue_failed(q, errp);
    if (ok) {
        queue_begin(q, r);
    }
    qemu_mutex_unlock(&q->lock);
    return ok;
}

static BlockRequest *request_new(BlockQueue *q, BlockRequestKind kind,
                                 Error **errp)
{
    BlockRequest *r = g_try_new0(BlockRequest, 1);

    if (!r) {
        dump_no_memory(errp, "for a request to the block node");
        return NULL;
    }
    r->queue = q;
    r->kind = kind;
    return r;
}

/*
 * Allocate a buffer. The first one is required. For a further one, as much
 * memory as all buffers take must remain free.
 */
static BlockRequest *queue_new_write(BlockQueue *q, Error **errp)
{
    BlockRequest *r = request_new(q, REQUEST_WRITE, errp);
    void *spare;

    if (!r) {
        return NULL;
    }
    r->write.buf = qemu_try_memalign(qemu_real_host_page_size(),
                                     BLOCK_QUEUE_WRITE_SIZE);
    spare = q->nr_buffers && r->write.buf ?
            g_try_malloc((q->nr_buffers + 1) * BLOCK_QUEUE_WRITE_SIZE) : NULL;
    if (!r->write.buf || (q->nr_buffers && !spare)) {
        dump_no_memory(errp, "for writes to the block node");
        request_free(r);
        r = NULL;
    }
    g_free(spare);
    q->nr_buffers += r != NULL;
    return r;
}

/* Lock held. An idle write; NULL, with @errp set if a request has failed. */
static BlockRequest *queue_take_idle(BlockQueue *q, Error **errp)
{
    BlockRequest *r = QTAILQ_FIRST(&q->idle);

    if (queue_failed(q, errp)) {
        return NULL;
    }
    if (r) {
        QTAILQ_REMOVE(&q->idle, r, link);
    }
    return r;
}

static BlockRequest *queue_wait_idle(BlockQueue *q, Error **errp)
{
    ERRP_GUARD();
    BlockRequest *r;

    qemu_mutex_lock(&q->lock);
    while (!(r = queue_take_idle(q, errp)) && !*errp &&
           queue_wait_change(q, errp)) {
        /* Wait for a request to complete. */
    }
    qemu_mutex_unlock(&q->lock);
    return r;
}

BlockQueueWrite *block_queue_get(BlockQueue *q, Error **errp)
{
    ERRP_GUARD();
    BlockRequest *r;

    qemu_mutex_lock(&q->lock);
    r = queue_take_idle(q, errp);
    qemu_mutex_unlock(&q->lock);
    if (!r && !*errp && q->nr_buffers < QUEUE_DEPTH) {
        r = queue_new_write(q, q->nr_buffers ? NULL : errp);
    }
    if (!r && !*errp) {
        r = queue_wait_idle(q, errp);
    }
    if (!r) {
        return NULL;
    }
    r->done = false;
    r->write.len = 0;
    return &r->write;
}

void block_queue_drop(BlockQueue *q, BlockQueueWrite *write)
{
    BlockRequest *r = container_of(write, BlockRequest, write);

    qemu_mutex_lock(&q->lock);
    QTAILQ_INSERT_HEAD(&q->idle, r, link);
    qemu_mutex_unlock(&q->lock);
}

bool block_queue_submit(BlockQueue *q, BlockQueueWrite *write, Error **errp)
{
    BlockRequest *r = container_of(write, BlockRequest, write);

    assert(write->len);
    r->len = write->len;
    if (q->progress) {
        dump_progress_await(q->progress, r->len);
    }
    qemu_iovec_init_buf(&r->qiov, write->buf, write->len);
    if (!queue_submit(q, r, errp)) {
        block_queue_drop(q, write);
        return false;
    }
    if (q->progress) {
        dump_progress_add_written(q->progress, r->len);
    }
    return true;
}

static BlockRequest *request_new_zero(BlockQueue *q, uint64_t offset,
                                      uint64_t len, BdrvRequestFlags flags,
                                      Error **errp)
{
    BlockRequest *r = request_new(q, REQUEST_ZERO, errp);

    if (r) {
        r->write.offset = offset;
        r->len = len;
        r->flags = flags;
    }
    return r;
}

bool block_queue_zero(BlockQueue *q, uint64_t offset, uint64_t len,
                      BdrvRequestFlags flags, const char *what, Error **errp)
{
    while (len) {
        uint64_t n = MIN(len, QUEUE_ZERO_MAX - offset % QUEUE_ZERO_MAX);
        BlockRequest *r = request_new_zero(q, offset, n, flags, errp);

        if (!r) {
            return false;
        }
        r->write.what = what;
        if (!queue_submit(q, r, errp)) {
            request_free(r);
            return false;
        }
        offset += n;
        len -= n;
    }
    return true;
}

/* Lock held. */
static bool queue_wait_all(BlockQueue *q, Error **errp)
{
    while (q->nr_under_way) {
        if (!queue_wait_change(q, errp)) {
            return false;
        }
    }
    return true;
}

bool block_queue_wait(BlockQueue *q, Error **errp)
{
    bool ok;

    qemu_mutex_lock(&q->lock);
    ok = queue_wait_all(q, errp) && !queue_failed(q, errp);
    qemu_mutex_unlock(&q->lock);
    return ok;
}

bool block_queue_recover(BlockQueue *q, Error **errp)
{
    bool ok;

    qemu_mutex_lock(&q->lock);
    ok = queue_wait_all(q, errp);
    if (ok) {
        q->ret = 0;
    }
    qemu_mutex_unlock(&q->lock);
    return ok;
}

uint64_t block_queue_arrived(const BlockQueue *q)
{
    BlockQueue *queue = (BlockQueue *)q;
    uint64_t arrived;

    qemu_mutex_lock(&queue->lock);
    arrived = queue->arrived;
    qemu_mutex_unlock(&queue->lock);
    return arrived;
}

/* Lock held. If the wait is cancelled, the request is freed when it ends. */
static bool queue_wait_for(BlockQueue *q, BlockRequest *r, Error **errp)
{
    while (!r->done) {
        if (!queue_wait_change(q, errp)) {
            r->waited_for = false;
            r->write.what = "the end";
            return false;
        }
    }
    return true;
}

/* Returns false, with @errp set, if @r has failed. @doing: for the message. */
static bool request_result(BlockRequest *r, const char *doing, Error **errp)
{
    if (r->ret >= 0) {
        return true;
    }
    if (r->err) {
        error_propagate_prepend(errp, g_steal_pointer(&r->err), "dump: %s: ",
                                doing);
    } else {
        error_setg_errno(errp, -r->ret, "dump: %s", doing);
    }
    return false;
}

/* Run @r and wait for it; takes ownership of @r, which may be NULL. */
static bool queue_run(BlockQueue *q, BlockRequest *r, const char *doing,
                      Error **errp)
{
    bool ok;

    if (!r) {
        return false;
    }
    r->waited_for = true;
    qemu_mutex_lock(&q->lock);
    queue_begin(q, r);
    ok = queue_wait_for(q, r, errp);
    qemu_mutex_unlock(&q->lock);
    if (!ok) {
        return false;
    }
    ok = request_result(r, doing, errp);
    request_free(r);
    return ok;
}

bool block_queue_truncate(BlockQueue *q, uint64_t length, bool exact,
                          BdrvRequestFlags flags, const char *doing,
                          Error **errp)
{
    BlockRequest *r = request_new(q, REQUEST_TRUNCATE, errp);

    if (r) {
        r->write.offset = length;
        r->exact = exact;
        r->flags = flags;
    }
    return queue_run(q, r, doing, errp);
}

bool block_queue_flush(BlockQueue *q, Error **errp)
{
    return queue_run(q, request_new(q, REQUEST_FLUSH, errp),
                     "flushing the output", errp);
}

bool block_queue_zero_quickly(BlockQueue *q, uint64_t offset, uint64_t len)
{
    BlockRequest *r = request_new_zero(q, offset, len, BDRV_REQ_MAY_UNMAP |
                                       BDRV_REQ_NO_FALLBACK, NULL);

    return queue_run(q, r, "zeroing", NULL);
}
