/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Pipeline: order, bounds, failures, cancellation, and cleanup.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "pipeline.h"

typedef struct Job {
    unsigned threads;
    uint64_t items;
    uint64_t fail_work;         /* item whose work fails; UINT64_MAX: none */
    uint64_t fail_consume;
    uint64_t cancel_at;         /* consume sets the cancel flag here */
    uint64_t stall_at;          /* work waits here until cancelled */
    int room_for_slots;         /* slot_new fails at this number */
    int room_for_workers;
    DumpProgress progress;

    /* Caller's thread. */
    uint64_t next;              /* item that consume expects */
    int slots, slots_made, workers, workers_made;
    int slots_used;             /* when the first item is consumed */
    /* Any thread. */
    gint in_work;
    gint consumed;
    gint signals_open;          /* items worked on with SIGUSR1 unblocked */
} Job;

/* The opaque pointer of consume. */
typedef struct Consumer {
    Job *job;
} Consumer;

typedef struct Slot {
    uint64_t index;
    uint64_t square;
    gint busy;
} Slot;

static void *slot_new(void *opaque, Error **errp)
{
    Job *j = opaque;

    if (j->slots == j->room_for_slots) {
        error_setg(errp, "no slot");
        return NULL;
    }
    j->slots_made++;
    j->slots++;
    return g_new0(Slot, 1);
}

static void slot_free(void *opaque, void *slot)
{
    ((Job *)opaque)->slots--;
    g_free(slot);
}

static void *worker_new(void *opaque, Error **errp)
{
    Job *j = opaque;

    if (j->workers == j->room_for_workers) {
        error_setg(errp, "no worker");
        return NULL;
    }
    j->workers_made++;
    j->workers++;
    return g_new0(gint, 1);
}

static void worker_free(void *opaque, void *worker)
{
    ((Job *)opaque)->workers--;
    g_free(worker);
}

static bool signal_is_open(int sig)
{
    sigset_t set;

    pthread_sigmask(SIG_SETMASK, NULL, &set);
    return !sigismember(&set, sig);
}

static bool work(void *opaque, void *worker, uint64_t index, void *p,
                 Error **errp)
{
    Job *j = opaque;
    Slot *slot = p;

    /* Each worker and each slot is used by one thread at a time. */
    g_assert_cmpint(g_atomic_int_add((gint *)worker, 1), ==, 0);
    g_assert_cmpint(g_atomic_int_add(&slot->busy, 1), ==, 0);
    g_assert_cmpint(g_atomic_int_add(&j->in_work, 1), <, j->threads);
    /* Workers are ahead of the consumer by at most the number of slots. */
    g_assert_cmpuint(index, <, (unsigned)g_atomic_int_get(&j->consumed) +
                     j->slots_made);
    if (index % 7 == 3) {
        g_usleep(200);
    }
    while (index == j->stall_at && !dump_progress_cancelled(&j->progress)) {
        g_usleep(1000);
    }
    if (signal_is_open(SIGUSR1)) {
        g_atomic_int_inc(&j->signals_open);
    }
    slot->index = index;
    slot->square = index * index;
    g_atomic_int_add(&j->in_work, -1);
    g_atomic_int_add(&slot->busy, -1);
    g_atomic_int_add((gint *)worker, -1);
    if (index >= j->fail_work) {
        error_setg(errp, "work %" PRIu64, index);
        return false;
    }
    return true;
}

static bool consume(void *opaque, uint64_t index, void *p, Error **errp)
{
    Job *j = ((Consumer *)opaque)->job;
    Slot *slot = p;

    g_assert_cmpuint(index, ==, j->next++);
    j->slots_used = j->slots;
    g_assert_cmpuint(slot->index, ==, index);
    g_assert_cmpuint(slot->square, ==, index * index);
    g_assert_cmpint(g_atomic_int_get(&slot->busy), ==, 0);
    g_atomic_int_inc(&j->consumed);
    if (index == j->cancel_at) {
        dump_progress_cancel(&j->progress);
    }
    if (index == j->fail_consume) {
        error_setg(errp, "consume %" PRIu64, index);
        return false;
    }
    return true;
}

static const DumpPipelineOps ops = {
    slot_new, slot_free, worker_new, worker_free, work, consume,
};

static Job job(unsigned threads, uint64_t items)
{
    Job j = {
        .threads = threads, .items = items, .fail_work = UINT64_MAX,
        .fail_consume = UINT64_MAX, .cancel_at = UINT64_MAX,
        .stall_at = UINT64_MAX, .room_for_slots = -1, .room_for_workers = -1,
    };

    dump_progress_init(&j.progress);
    return j;
}

/* Run; @want is the error, NULL for success. Checks the cleanup. */
static void run(Job *j, const char *want)
{
    Consumer c = { j };
    Error *err = NULL;
    bool ok = dump_pipeline_run(&ops, j, &c, j->threads, j->items,
                                &j->progress, &err);

    g_assert_cmpint(ok, ==, want == NULL);
    g_assert_cmpstr(err ? error_get_pretty(err) : NULL, ==, want);
    g_assert_cmpint(j->slots, ==, 0);
    g_assert_cmpint(j->workers, ==, 0);
    g_assert_cmpint(j->in_work, ==, 0);
    error_free(err);
}

static void test_order(gconstpointer opaque)
{
    static const uint64_t counts[] = { 0, 1, 2, 3, 17, 500 };

    for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
        Job j = job(GPOINTER_TO_UINT(opaque), counts[i]);

        run(&j, NULL);
        g_assert_cmpuint(j.next, ==, counts[i]);
        g_assert_cmpint(j.slots_used, <=, 4 * j.threads + 8);
        g_assert_cmpint(j.workers_made, ==,
                        MAX(MIN(j.threads, counts[i]), 1));
    }
}

/* All items from one on fail: the error of the first one is reported. */
static void test_fail_work(gconstpointer opaque)
{
    static const uint64_t at[] = { 0, 1, 5, 99 };

    for (size_t i = 0; i < ARRAY_SIZE(at); i++) {
        Job j = job(GPOINTER_TO_UINT(opaque), 100);
        g_autofree char *want = g_strdup_printf("work %" PRIu64, at[i]);

        j.fail_work = at[i];
        run(&j, want);
        g_assert_cmpuint(j.next, ==, at[i]);
    }
}

static void test_fail_consume(gconstpointer opaque)
{
    Job j = job(GPOINTER_TO_UINT(opaque), 100);

    j.fail_consume = 42;
    run(&j, "consume 42");
    g_assert_cmpuint(j.next, ==, 43);
}

static void test_cancel(gconstpointer opaque)
{
    Job j = job(GPOINTER_TO_UINT(opaque), 1ULL << 60);

    j.cancel_at = 30;
    run(&j, "dump: cancelled");
    g_assert_cmpuint(j.next, ==, 31);
}

static gpointer cancel_soon(gpointer opaque)
{
    g_usleep(20 * 1000);
    dump_progress_cancel(opaque);
    return NULL;
}

/* Another thread cancels while the consumer waits for an item. */
static void test_cancel_waiting(gconstpointer opaque)
{
    Job j = job(GPOINTER_TO_UINT(opaque), 100);
    GThread *thread = g_thread_new("cancel", cancel_soon, &j.progress);

    j.stall_at = 50;
    run(&j, "dump: cancelled");
    g_assert_cmpuint(j.next, <=, 51);
    g_thread_join(thread);
}

static void test_cancelled_before(gconstpointer opaque)
{
    Job j = job(GPOINTER_TO_UINT(opaque), 100);

    dump_progress_cancel(&j.progress);
    run(&j, "dump: cancelled");
    g_assert_cmpuint(j.next, ==, 0);
}

/* Signals are blocked in workers. */
static void test_signals(gconstpointer opaque)
{
    Job j = job(GPOINTER_TO_UINT(opaque), 100);

    g_assert_true(signal_is_open(SIGUSR1));
    run(&j, NULL);
    g_assert_true(signal_is_open(SIGUSR1));
    g_assert_cmpint(j.signals_open, ==, j.threads == 1 ? 100 : 0);
}

/* The number of threads is limited; progress may be NULL. */
static void test_limits(void)
{
    Job j = job(DUMP_PIPELINE_MAX_THREADS, 1000);
    Consumer c = { &j };

    g_assert_true(dump_pipeline_run(&ops, &j, &c, 1000, j.items, NULL,
                                    &error_abort));
    g_assert_cmpuint(j.next, ==, 1000);
    g_assert_cmpint(j.workers_made, ==, DUMP_PIPELINE_MAX_THREADS);
    g_assert_cmpint(j.slots_used, ==, DUMP_PIPELINE_MAX_THREADS + 16);
    g_assert_cmpint(j.workers + j.slots, ==, 0);
}

/*
 * One worker and one slot are required. If not all can be allocated, half of
 * the slots are freed again.
 */
static void test_no_room(gconstpointer opaque)
{
    unsigned threads = GPOINTER_TO_UINT(opaque);
    Job j = job(threads, 10);

    j.room_for_slots = 0;
    run(&j, "no slot");
    j = job(threads, 10);
    j.room_for_workers = 0;
    run(&j, "no worker");
    for (unsigned i = 1; i < threads; i++) {
        j = job(threads, 10);
        j.room_for_slots = i;
        run(&j, NULL);
        g_assert_cmpint(j.slots_used, ==, MAX(i / 2, 1));
        j = job(threads, 10);
        j.room_for_workers = i;
        run(&j, NULL);
        g_assert_cmpint(j.slots_used, ==, MAX((i + 1) / 2, 1));
        g_assert_cmpuint(j.next, ==, 10);
    }
}

int main(int argc, char **argv)
{
    static const unsigned threads[] = { 1, 2, 3, 8 };
    static const struct {
        const char *name;
        void (*func)(gconstpointer);
    } tests[] = {
        { "order", test_order }, { "fail-work", test_fail_work },
        { "fail-consume", test_fail_consume }, { "cancel", test_cancel },
        { "cancel-waiting", test_cancel_waiting },
        { "cancelled-before", test_cancelled_before },
        { "signals", test_signals }, { "no-room", test_no_room },
    };

    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dump/pipeline/limits", test_limits);
    for (size_t i = 0; i < ARRAY_SIZE(threads); i++) {
        for (size_t k = 0; k < ARRAY_SIZE(tests); k++) {
            g_autofree char *path = g_strdup_printf("/dump/pipeline/%s/%u",
                                                    tests[k].name,
                                                    threads[i]);
            g_test_add_data_func(path, GUINT_TO_POINTER(threads[i]),
                                 tests[k].func);
        }
    }
    return g_test_run();
}
