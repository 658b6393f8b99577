/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Bounded, ordered pool of workers.
 *
 * Item i uses slot i modulo the number of slots, and may be claimed once the
 * previous item in that slot is consumed. So claims run at most nr_slots ahead
 * of the consumer, and no queue is needed.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/thread.h"
#include "pipeline.h"
#include "thread.h"

/* How often the waiting consumer checks for cancellation. */
#define PIPELINE_POLL_MS        100

/* With many workers, further slots do not make a dump faster. */
#define PIPELINE_ENOUGH_SLOTS   64
#define PIPELINE_MAX_SLOTS      (DUMP_PIPELINE_MAX_THREADS + 16)

/* Memory to leave free for the rest of QEMU, in slots. */
#define PIPELINE_RESERVE        8

typedef struct PipelineSlot {
    void *slot;                 /* user data; passed worker -> consumer */
    Error *error;               /* likewise */
    bool done;                  /* lock */
} PipelineSlot;

typedef struct Pipeline Pipeline;

typedef struct PipelineWorker {
    Pipeline *p;
    void *worker;               /* user data */
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
    uint64_t claimed;           /* lock: items given to workers */
    uint64_t consumed;          /* lock */
    bool stop;                  /* lock: do not claim further items */
};

static PipelineSlot *pipeline_slot(Pipeline *p, uint64_t index)
{
    return &p->slots[index % p->nr_slots];
}

/* Wait for an item to work on; false if none is left or on stop. */
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

/* Process all items in this thread. */
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

/* Start as many threads as possible; returns their number. */
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

/* Free all but @workers workers and @slots slots. */
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

/* Add workers and slots until out of memory, in which case return false. */
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
 * Per worker, one slot being worked on and three waiting, plus a few: while
 * the consumer waits for a CPU that runs a worker, the workers should not
 * starve. With many workers this rarely affects all of them, so there are
 * fewer slots per worker to save memory.
 */
static unsigned pipeline_wanted_slots(unsigned workers)
{
    return workers == 1 ? 1 : MIN(4 * workers + 8,
                                  MAX(PIPELINE_ENOUGH_SLOTS, workers + 16));
}

/*
 * One worker and one slot are required. Allocate the others plus a reserve,
 * and free the reserve again. If out of memory, free half of all slots: many
 * parts of QEMU abort on allocation failure.
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
