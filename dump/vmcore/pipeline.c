/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Bounded, ordered pool of workers.
 *
 * Item i is worked on in slot i modulo the number of slots, and may be
 * claimed once the item that had the slot before is consumed. So claims
 * run at most nr_slots ahead of the consumer, and nothing needs a queue.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/thread.h"
#include "pipeline.h"
#include "thread.h"

/* How often the consumer looks for a cancel while it has to wait. */
#define PIPELINE_POLL_MS        100

typedef struct PipelineSlot {
    void *slot;                 /* the user's; handed worker -> consumer */
    Error *error;               /* likewise */
    bool done;                  /* lock */
} PipelineSlot;

typedef struct Pipeline {
    const DumpPipelineOps *ops;
    void *work_opaque;
    void *consume_opaque;
    DumpProgress *progress;
    uint64_t nr_items;

    PipelineSlot *slots;
    unsigned nr_slots;
    void **workers;             /* the user's, one per thread */
    unsigned nr_workers;

    QemuMutex lock;
    QemuCond done;              /* a slot became done */
    QemuCond space;             /* an item was consumed, or stop */
    uint64_t claimed;           /* lock: items handed to workers */
    uint64_t consumed;          /* lock */
    bool stop;                  /* lock: claim no more */
} Pipeline;

typedef struct PipelineThread {
    Pipeline *p;
    void *worker;
    GThread *thread;
} PipelineThread;

static PipelineSlot *pipeline_slot(Pipeline *p, uint64_t index)
{
    return &p->slots[index % p->nr_slots];
}

/* Wait for an item to work on; false when there is nothing left to do. */
static bool pipeline_claim(Pipeline *p, uint64_t *index)
{
    bool ok;

    qemu_mutex_lock(&p->lock);
    while (!p->stop && p->claimed < p->nr_items &&
           p->claimed - p->consumed >= p->nr_slots) {
        qemu_cond_wait(&p->space, &p->lock);
    }
    ok = !p->stop && p->claimed < p->nr_items;
    if (ok) {
        *index = p->claimed++;
    }
    qemu_mutex_unlock(&p->lock);
    return ok;
}

static void pipeline_work(Pipeline *p, void *worker, uint64_t index)
{
    PipelineSlot *s = pipeline_slot(p, index);

    p->ops->work(p->work_opaque, worker, index, s->slot, &s->error);

    qemu_mutex_lock(&p->lock);
    s->done = true;
    if (index == p->consumed) {
        qemu_cond_signal(&p->done);
    }
    qemu_mutex_unlock(&p->lock);
}

static gpointer pipeline_thread(gpointer opaque)
{
    PipelineThread *t = opaque;
    uint64_t index;

    while (pipeline_claim(t->p, &index)) {
        pipeline_work(t->p, t->worker, index);
    }
    return NULL;
}

static bool pipeline_cancelled(Pipeline *p, Error **errp)
{
    if (p->progress && dump_progress_cancelled(p->progress)) {
        error_setg(errp, "dump: cancelled");
        return true;
    }
    return false;
}

static bool pipeline_wait_done(Pipeline *p, uint64_t index, Error **errp)
{
    PipelineSlot *s = pipeline_slot(p, index);
    bool done;

    do {
        if (pipeline_cancelled(p, errp)) {
            return false;
        }
        qemu_mutex_lock(&p->lock);
        if (!s->done) {
            qemu_cond_timedwait(&p->done, &p->lock, PIPELINE_POLL_MS);
        }
        done = s->done;
        qemu_mutex_unlock(&p->lock);
    } while (!done);
    return true;
}

static bool pipeline_consume(Pipeline *p, uint64_t index, Error **errp)
{
    PipelineSlot *s = pipeline_slot(p, index);

    if (s->error) {
        error_propagate(errp, g_steal_pointer(&s->error));
        return false;
    }
    if (!p->ops->consume(p->consume_opaque, index, s->slot, errp)) {
        return false;
    }
    qemu_mutex_lock(&p->lock);
    s->done = false;
    p->consumed++;
    qemu_cond_signal(&p->space);
    qemu_mutex_unlock(&p->lock);
    return true;
}

static bool pipeline_consume_all(Pipeline *p, Error **errp)
{
    for (uint64_t i = 0; i < p->nr_items; i++) {
        if (!pipeline_wait_done(p, i, errp) ||
            !pipeline_consume(p, i, errp)) {
            return false;
        }
    }
    return true;
}

/* Without threads: one item after the other. */
static bool pipeline_run_alone(Pipeline *p, Error **errp)
{
    void *slot = p->slots[0].slot;

    for (uint64_t i = 0; i < p->nr_items; i++) {
        if (pipeline_cancelled(p, errp) ||
            !p->ops->work(p->work_opaque, p->workers[0], i, slot, errp) ||
            !p->ops->consume(p->consume_opaque, i, slot, errp)) {
            return false;
        }
    }
    return true;
}

/* Start as many threads as can be had. */
static unsigned pipeline_start(Pipeline *p, PipelineThread *threads)
{
    unsigned n;

    for (n = 0; n < p->nr_workers; n++) {
        threads[n] = (PipelineThread) { .p = p, .worker = p->workers[n] };
        threads[n].thread = dump_thread_new("dump-worker", pipeline_thread,
                                            &threads[n], NULL);
        if (!threads[n].thread) {
            break;
        }
    }
    return n;
}

static void pipeline_stop(Pipeline *p, PipelineThread *threads, unsigned n)
{
    qemu_mutex_lock(&p->lock);
    p->stop = true;
    qemu_cond_broadcast(&p->space);
    qemu_mutex_unlock(&p->lock);
    while (n--) {
        g_thread_join(threads[n].thread);
    }
}

static bool pipeline_run_threads(Pipeline *p, Error **errp)
{
    g_autofree PipelineThread *threads = g_new0(PipelineThread,
                                                p->nr_workers);
    unsigned n = pipeline_start(p, threads);
    bool ok;

    if (!n) {
        return pipeline_run_alone(p, errp);
    }
    ok = pipeline_consume_all(p, errp);
    pipeline_stop(p, threads, n);
    return ok;
}

static bool pipeline_alloc(Pipeline *p, Error **errp)
{
    for (unsigned i = 0; i < p->nr_workers; i++) {
        p->workers[i] = p->ops->worker_new(p->work_opaque, errp);
        if (!p->workers[i]) {
            return false;
        }
    }
    for (unsigned i = 0; i < p->nr_slots; i++) {
        p->slots[i].slot = p->ops->slot_new(p->work_opaque, errp);
        if (!p->slots[i].slot) {
            return false;
        }
    }
    return true;
}

static void pipeline_release(Pipeline *p)
{
    for (unsigned i = 0; i < p->nr_slots; i++) {
        error_free(p->slots[i].error);
        if (p->slots[i].slot) {
            p->ops->slot_free(p->work_opaque, p->slots[i].slot);
        }
    }
    for (unsigned i = 0; i < p->nr_workers; i++) {
        if (p->workers[i]) {
            p->ops->worker_free(p->work_opaque, p->workers[i]);
        }
    }
    g_free(p->slots);
    g_free(p->workers);
    qemu_cond_destroy(&p->space);
    qemu_cond_destroy(&p->done);
    qemu_mutex_destroy(&p->lock);
}

bool dump_pipeline_run(const DumpPipelineOps *ops, void *work_opaque,
                       void *consume_opaque, unsigned threads,
                       uint64_t nr_items, DumpProgress *progress,
                       Error **errp)
{
    Pipeline p = {
        .ops = ops,
        .work_opaque = work_opaque,
        .consume_opaque = consume_opaque,
        .progress = progress,
        .nr_items = nr_items,
        .nr_workers = MIN(threads, DUMP_PIPELINE_MAX_THREADS),
    };
    bool ok;

    p.nr_workers = MAX(MIN(p.nr_workers, nr_items), 1);
    /*
     * One slot being worked on, three waiting, for each, and some more: the
     * consumer may have to wait for a CPU that a worker has, and the workers
     * are not to wait for the consumer meanwhile.
     */
    p.nr_slots = p.nr_workers == 1 ? 1 : 4 * p.nr_workers + 8;
    p.slots = g_new0(PipelineSlot, p.nr_slots);
    p.workers = g_new0(void *, p.nr_workers);
    qemu_mutex_init(&p.lock);
    qemu_cond_init(&p.done);
    qemu_cond_init(&p.space);

    ok = pipeline_alloc(&p, errp);
    if (ok) {
        ok = p.nr_workers == 1 ? pipeline_run_alone(&p, errp) :
                                 pipeline_run_threads(&p, errp);
    }
    pipeline_release(&p);
    return ok;
}
