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

/* With more slots than workers and some, more make no dump faster. */
#define PIPELINE_ENOUGH_SLOTS   64
#define PIPELINE_MAX_SLOTS      (DUMP_PIPELINE_MAX_THREADS + 16)

/* Of the size of slots: what has to be left for others. */
#define PIPELINE_RESERVE        8

typedef struct PipelineSlot {
    void *slot;                 /* the user's; handed worker -> consumer */
    Error *error;               /* likewise */
    bool done;                  /* lock */
} PipelineSlot;

typedef struct Pipeline Pipeline;

typedef struct PipelineWorker {
    Pipeline *p;
    void *worker;               /* the user's */
    DumpThread thread;
} PipelineWorker;

struct Pipeline {
    const DumpPipelineOps *ops;
    void *work_opaque;
    void *consume_opaque;
    DumpProgress *progress;
    uint64_t nr_items;

    PipelineSlot slots[PIPELINE_MAX_SLOTS + PIPELINE_RESERVE];
    unsigned nr_slots;
    PipelineWorker workers[DUMP_PIPELINE_MAX_THREADS];
    unsigned nr_workers;

    QemuMutex lock;
    QemuCond done;              /* a slot became done */
    QemuCond space;             /* an item was consumed, or stop */
    uint64_t claimed;           /* lock: items handed to workers */
    uint64_t consumed;          /* lock */
    bool stop;                  /* lock: claim no more */
};

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

static void *pipeline_thread(void *opaque)
{
    PipelineWorker *w = opaque;
    uint64_t index;

    while (pipeline_claim(w->p, &index)) {
        pipeline_work(w->p, w->worker, index);
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
            !p->ops->work(p->work_opaque, p->workers[0].worker, i, slot,
                          errp) ||
            !p->ops->consume(p->consume_opaque, i, slot, errp)) {
            return false;
        }
    }
    return true;
}

/* Start as many threads as can be had. */
static unsigned pipeline_start(Pipeline *p)
{
    unsigned n = 0;

    while (n < p->nr_workers &&
           dump_thread_start(&p->workers[n].thread, "dump-worker",
                             pipeline_thread, &p->workers[n], NULL)) {
        n++;
    }
    return n;
}

static void pipeline_stop(Pipeline *p, unsigned n)
{
    qemu_mutex_lock(&p->lock);
    p->stop = true;
    qemu_cond_broadcast(&p->space);
    qemu_mutex_unlock(&p->lock);
    while (n--) {
        dump_thread_join(&p->workers[n].thread);
    }
}

static bool pipeline_run_threads(Pipeline *p, Error **errp)
{
    unsigned n = pipeline_start(p);
    bool ok;

    if (!n) {
        return pipeline_run_alone(p, errp);
    }
    ok = pipeline_consume_all(p, errp);
    pipeline_stop(p, n);
    return ok;
}

/* -- memory -------------------------------------------------------------- */

static bool pipeline_add_worker(Pipeline *p, Error **errp)
{
    PipelineWorker *w = &p->workers[p->nr_workers];

    w->p = p;
    w->worker = p->ops->worker_new(p->work_opaque, errp);
    p->nr_workers += w->worker != NULL;
    return w->worker;
}

static bool pipeline_add_slot(Pipeline *p, Error **errp)
{
    PipelineSlot *s = &p->slots[p->nr_slots];

    s->slot = p->ops->slot_new(p->work_opaque, errp);
    p->nr_slots += s->slot != NULL;
    return s->slot;
}

/* Free all but so many. */
static void pipeline_cut(Pipeline *p, unsigned workers, unsigned slots)
{
    while (p->nr_slots > slots) {
        p->nr_slots--;
        p->ops->slot_free(p->work_opaque, p->slots[p->nr_slots].slot);
        error_free(p->slots[p->nr_slots].error);
    }
    while (p->nr_workers > workers) {
        p->nr_workers--;
        p->ops->worker_free(p->work_opaque, p->workers[p->nr_workers].worker);
    }
}

/* False if there is not as much memory; what there is was added. */
static bool pipeline_grow(Pipeline *p, unsigned workers, unsigned slots)
{
    while (p->nr_workers < workers) {
        if (!pipeline_add_slot(p, NULL) || !pipeline_add_worker(p, NULL)) {
            return false;
        }
    }
    while (p->nr_slots < slots) {
        if (!pipeline_add_slot(p, NULL)) {
            return false;
        }
    }
    return true;
}

/*
 * One slot being worked on, three waiting, for each worker, and some more: the
 * consumer may have to wait for a CPU that a worker has, and the workers
 * are not to wait for the consumer meanwhile. With many workers it seldom
 * waits for all of them, and slots are what takes the memory.
 */
static unsigned pipeline_wanted_slots(unsigned workers)
{
    return workers == 1 ? 1 : MIN(4 * workers + 8,
                                  MAX(PIPELINE_ENOUGH_SLOTS, workers + 16));
}

/*
 * One worker and one slot have to be; the others, if there is memory, and a
 * reserve that is given back. If there is not, half of what could be
 * had is given back: many parts of QEMU end it if they get no memory.
 */
static bool pipeline_alloc(Pipeline *p, unsigned workers, Error **errp)
{
    unsigned slots = pipeline_wanted_slots(workers);

    if (!pipeline_add_worker(p, errp) || !pipeline_add_slot(p, errp)) {
        return false;
    }
    if (workers > 1 && !pipeline_grow(p, workers, slots + PIPELINE_RESERVE)) {
        slots = MIN(MAX(p->nr_slots / 2, 1), slots);
    }
    pipeline_cut(p, slots, slots);
    if (p->nr_workers == 1) {
        pipeline_cut(p, 1, 1);
    }
    return true;
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
    };
    unsigned workers = MIN(MIN(threads, DUMP_PIPELINE_MAX_THREADS), nr_items);
    bool ok;

    qemu_mutex_init(&p.lock);
    qemu_cond_init(&p.done);
    qemu_cond_init(&p.space);
    ok = pipeline_alloc(&p, MAX(workers, 1), errp);
    if (ok) {
        ok = p.nr_workers == 1 ? pipeline_run_alone(&p, errp) :
                                 pipeline_run_threads(&p, errp);
    }
    pipeline_cut(&p, 0, 0);
    qemu_cond_destroy(&p.space);
    qemu_cond_destroy(&p.done);
    qemu_mutex_destroy(&p.lock);
    return ok;
}
