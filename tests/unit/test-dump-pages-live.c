/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A snapshot of memory, read while threads continue to write to it.
 *
 * Writers stamp pages in any order with an increasing number, in three words
 * per page. The writers are stopped while the snapshot is taken, so the stamp
 * of each page at that time is known. Skipped if this process cannot use
 * userfaultfd.
 */

#include "qemu/osdep.h"
#include <sys/mman.h>
#include <sys/resource.h>
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "qemu/units.h"
#include "pages-live.h"

#define PAGES       4096
#define PADDR       0x40000000
#define MAX_THREADS 4

typedef struct Kind {
    const char *name;
    bool file, shared;
    bool thp;                   /* use transparent huge pages */
    bool half;                  /* half of it is untouched */
    unsigned writers, readers;
    bool prepare;               /* protect before the moment */
    bool alias;                 /* mapped twice in guest memory */
} Kind;

static const Kind kinds[] = {
    { "anon", .writers = 1, .readers = 1 },
    { "anon-prepared", .writers = 1, .readers = 1, .prepare = true },
    { "anon-2-2", .writers = 2, .readers = 2, .prepare = true },
    { "anon-half", .half = true, .writers = 2, .readers = 2 },
    { "anon-half-prepared", .half = true, .writers = 2, .readers = 1,
      .prepare = true },
    { "anon-thp", .thp = true, .writers = 1, .readers = 4, .prepare = true },
    { "anon-alias", .writers = 2, .readers = 1, .alias = true },
    { "shared-file", .file = true, .shared = true, .writers = 2,
      .readers = 2 },
    { "shared-file-half", .file = true, .shared = true, .half = true,
      .writers = 2, .readers = 2, .prepare = true },
    { "private-file", .file = true, .writers = 2, .readers = 2,
      .prepare = true },
    { "private-file-half", .file = true, .half = true, .writers = 1,
      .readers = 1 },
};

typedef struct Live {
    const Kind *kind;
    size_t page, size;
    uint8_t *host;
    int fd;
    GuestRam ram;
    DumpUntouched *untouched;
    DumpSnapshot *snapshot;
    DumpPages *pages;
    unsigned full, broken;      /* calls; atomic */
    bool stop;                  /* atomic */
    GRWLock moment;             /* writers hold it for reading */
    uint64_t *moments;          /* by page: its stamp at the moment */
    uint64_t *stamps;           /* by page: its stamp now; its writer's */
    unsigned pieces;            /* of 64 pages, to be read */
    unsigned next_reader;       /* atomic */
} Live;

typedef struct Writer {
    Live *t;
    unsigned number;
} Writer;

static void on_full(void *opaque)
{
    Live *t = opaque;

    qatomic_inc(&t->full);
}

static void on_broken(void *opaque)
{
    Live *t = opaque;

    qatomic_inc(&t->broken);
}

static DumpSnapshot *snapshot_new(Live *t, uint64_t limit)
{
    const DumpSnapshotEvents events = { on_full, on_broken, t };
    Error *err = NULL;
    DumpSnapshot *s = dump_snapshot_new(-1, limit, 4 * limit,
                                        t->untouched, &events, &err);

    if (!s) {
        g_test_skip(error_get_pretty(err));
        error_free(err);
    }
    return s;
}

static void stamp(Live *t, unsigned page, uint64_t number)
{
    uint64_t *words = (uint64_t *)(t->host + page * t->page);
    size_t last = t->page / 8 - 1;

    qatomic_set(&words[0], number);
    qatomic_set(&words[last / 2], number);
    qatomic_set(&words[last], number);
    t->stamps[page] = number;
}

/* Writer k of n writes the pages that are k modulo n. */
static gpointer writer_main(gpointer opaque)
{
    Writer *w = opaque;
    Live *t = w->t;
    GRand *rand = g_rand_new_with_seed(w->number + 1);

    for (uint64_t number = 1; !qatomic_read(&t->stop); number++) {
        unsigned page = g_rand_int_range(rand, 0, PAGES / t->kind->writers) *
                        t->kind->writers + w->number;

        g_rw_lock_reader_lock(&t->moment);
        stamp(t, page, number);
        g_rw_lock_reader_unlock(&t->moment);
    }
    g_rand_free(rand);
    return NULL;
}

static void check_page(Live *t, unsigned page, const uint8_t *bytes)
{
    const uint64_t *words = (const uint64_t *)bytes;
    size_t last = t->page / 8 - 1;

    g_assert_cmpuint(words[0], ==, t->moments[page]);
    g_assert_cmpuint(words[last / 2], ==, t->moments[page]);
    g_assert_cmpuint(words[last], ==, t->moments[page]);
}

static uint64_t piece_paddr(const Live *t, unsigned piece)
{
    uint64_t paddr = PADDR + piece * 64 * t->page;

    return piece < PAGES / 64 ? paddr : paddr + t->size;
}

/* A reader: takes pieces of 64 pages. */
static gpointer reader_main(gpointer opaque)
{
    Live *t = opaque;
    g_autoptr(DumpPagesReader) reader = dump_pages_reader_new(t->pages, NULL);
    g_autofree uint8_t *buf = g_malloc(64 * t->page);
    unsigned piece;

    while ((piece = __atomic_fetch_add(&t->next_reader, 1,
                                       __ATOMIC_SEQ_CST)) < t->pieces) {
        /* The memory is followed by an alias of its first half. */
        unsigned first = piece * 64 % PAGES;
        uint64_t paddr = piece_paddr(t, piece);
        size_t lost;

        g_assert_cmpuint(dump_pages_read(reader, paddr, buf, 64 * t->page,
                                         &lost), ==, 64 * t->page);
        g_assert_cmpuint(lost, ==, 0);
        for (unsigned i = 0; i < 64; i++) {
            check_page(t, first + i, buf + i * t->page);
        }
        dump_pages_give(t->pages, paddr, 64 * t->page);
    }
    return NULL;
}

static void run_readers(Live *t)
{
    GThread *threads[MAX_THREADS];

    t->pieces = PAGES / 64 + (t->kind->alias ? PAGES / 128 : 0);
    t->next_reader = 0;
    for (unsigned i = 0; i < t->kind->readers; i++) {
        threads[i] = g_thread_new("reader", reader_main, t);
    }
    for (unsigned i = 0; i < t->kind->readers; i++) {
        g_thread_join(threads[i]);
    }
}

static void live_map(Live *t)
{
    int flags = t->kind->shared ? MAP_SHARED : MAP_PRIVATE;

    t->page = qemu_real_host_page_size();
    t->size = PAGES * t->page;
    t->fd = -1;
    if (t->kind->file) {
        t->fd = memfd_create("memory", 0);
        g_assert_cmpint(t->fd, >=, 0);
        g_assert_cmpint(ftruncate(t->fd, t->size), ==, 0);
    } else {
        flags |= MAP_ANONYMOUS;
    }
    t->host = mmap(NULL, t->size, PROT_READ | PROT_WRITE, flags, t->fd, 0);
    g_assert_true(t->host != MAP_FAILED);
    madvise(t->host, t->size, t->kind->thp ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    for (unsigned i = 0; i < PAGES; i += t->kind->half ? 2 : 1) {
        stamp(t, i, UINT64_MAX - i);
    }
}

static void live_describe(Live *t)
{
    GuestRamRun run = {
        .paddr = PADDR, .size = t->size, .host = t->host, .fd = t->fd,
        .backing = !t->kind->file ? GUEST_RAM_ANON :
                   t->kind->shared ? GUEST_RAM_SHARED_FILE :
                                     GUEST_RAM_PRIVATE_FILE,
    };

    guest_ram_init(&t->ram);
    guest_ram_add_run(&t->ram, &run);
    if (t->kind->alias) {
        run.paddr += 2 * t->size;
        run.size = t->size / 2;
        guest_ram_add_run(&t->ram, &run);
    }
    guest_ram_seal(&t->ram);
}

static void live_open(Live *t, const Kind *kind)
{
    *t = (Live) { .kind = kind };
    t->moments = g_new0(uint64_t, PAGES);
    t->stamps = g_new0(uint64_t, PAGES);
    g_rw_lock_init(&t->moment);
    live_map(t);
    live_describe(t);
    t->untouched = dump_untouched_new();
}

static void live_close(Live *t)
{
    dump_pages_free(t->pages);
    dump_snapshot_free(t->snapshot);
    dump_untouched_free(t->untouched);
    guest_ram_deinit(&t->ram);
    munmap(t->host, t->size);
    if (t->fd >= 0) {
        close(t->fd);
    }
    g_rw_lock_clear(&t->moment);
    g_free(t->moments);
    g_free(t->stamps);
}

/* Returns false if not supported on this host. */
static bool live_watch(Live *t, uint64_t limit)
{
    DumpSnapshotRange range = {
        .start = t->host, .len = t->size, .page = t->page,
        .anon = !t->kind->file, .fd = t->kind->shared ? t->fd : -1,
    };

    t->snapshot = snapshot_new(t, limit);
    if (!t->snapshot) {
        return false;
    }
    dump_snapshot_add(t->snapshot, &range, &error_abort);
    g_assert_true(dump_snapshot_has(t->snapshot, t->host, t->size));
    t->pages = dump_pages_live_new(dump_pages_still_new(&t->ram,
                                                        t->untouched),
                                   &t->ram, t->snapshot);
    return true;
}

static void live_take(Live *t)
{
    DumpProgress progress;

    if (t->kind->prepare) {
        dump_progress_init(&progress);
        g_assert_true(dump_snapshot_prepare(t->snapshot, &progress,
                                            &error_abort));
    }
    g_rw_lock_writer_lock(&t->moment);
    memcpy(t->moments, t->stamps, PAGES * sizeof(t->moments[0]));
    g_assert_true(dump_snapshot_take(t->snapshot, &error_abort));
    g_rw_lock_writer_unlock(&t->moment);
}

/* On a busy machine the writers may need time. */
static void wait_for_saved(Live *t)
{
    DumpSnapshotStats stats = { 0 };

    for (unsigned i = 0; i < 100000 && !stats.saved; i++) {
        g_usleep(100);
        dump_snapshot_get_stats(t->snapshot, &stats);
    }
    g_assert_cmpuint(stats.saved, >, 0);
}

static void test_kind(gconstpointer opaque)
{
    const Kind *kind = opaque;
    Live t;
    Writer writers[MAX_THREADS];
    GThread *threads[MAX_THREADS];
    DumpSnapshotStats stats;

    live_open(&t, kind);
    if (live_watch(&t, 1 * GiB)) {
        for (unsigned i = 0; i < kind->writers; i++) {
            writers[i] = (Writer) { &t, i };
            threads[i] = g_thread_new("writer", writer_main, &writers[i]);
        }
        g_usleep(20000);
        live_take(&t);
        wait_for_saved(&t);
        run_readers(&t);
        dump_snapshot_get_stats(t.snapshot, &stats);
        /* All copies were freed, except for aliased memory. */
        if (!kind->alias) {
            g_assert_cmpuint(stats.held, ==, 0);
        }
        dump_snapshot_end(t.snapshot);
        qatomic_set(&t.stop, true);
        for (unsigned i = 0; i < kind->writers; i++) {
            g_thread_join(threads[i]);
        }
        g_assert_null(dump_snapshot_broken(t.snapshot));
        g_assert_cmpuint(t.broken + t.full, ==, 0);
    }
    live_close(&t);
}

/* Write to all pages in order, with a number that grows in each pass. */
static gpointer sweep_main(gpointer opaque)
{
    Live *t = opaque;

    for (uint64_t number = 1; !qatomic_read(&t->stop); number++) {
        for (unsigned i = 0; i < PAGES && !qatomic_read(&t->stop); i++) {
            stamp(t, i, number);
        }
    }
    return NULL;
}

/* The pages of the current pass must precede those of the previous one. */
static void check_cut(Live *t)
{
    g_autoptr(DumpPagesReader) reader = dump_pages_reader_new(t->pages, NULL);
    g_autofree uint8_t *buf = g_malloc(t->size);
    unsigned cuts = 0;

    g_assert_cmpuint(dump_pages_read(reader, PADDR, buf, t->size, NULL), ==,
                     t->size);
    for (unsigned i = 1; i < PAGES; i++) {
        uint64_t before = *(uint64_t *)(buf + (i - 1) * t->page);
        uint64_t here = *(uint64_t *)(buf + i * t->page);

        if (here != before) {
            g_assert_cmpuint(here + 1, ==, before);
            cuts++;
        }
    }
    g_assert_cmpuint(cuts, <=, 1);
}

static const Kind swept = { "swept", .prepare = true };

/* With write-protect faults, Linux does not wake waiters by itself. */
static const Kind swept_file = { "swept-file", .file = true, .shared = true,
                                 .prepare = true };

/* Wait until the writer has made progress. */
static void wait_for_pass(const Live *t)
{
    const uint64_t *number = (const uint64_t *)t->host;
    uint64_t before = qatomic_read(number);

    for (unsigned i = 0; i < 100000 && qatomic_read(number) == before; i++) {
        g_usleep(100);
    }
    g_assert_cmpuint(qatomic_read(number), !=, before);
}

/* @check: if false, end the snapshot at once, while the writer waits. */
static void run_swept(const Kind *kind, unsigned rounds, bool check)
{
    Live t;
    GThread *writer;

    live_open(&t, kind);
    /* Pages not yet written in the first pass have the stamp before it. */
    for (unsigned i = 0; i < PAGES; i++) {
        stamp(&t, i, 0);
    }
    writer = g_thread_new("sweep", sweep_main, &t);
    for (unsigned round = 0; round < rounds; round++) {
        if (!live_watch(&t, 1 * GiB)) {
            break;
        }
        live_take(&t);
        if (check) {
            check_cut(&t);
        }
        dump_snapshot_end(t.snapshot);
        wait_for_pass(&t);
        g_clear_pointer(&t.pages, dump_pages_free);
        g_clear_pointer(&t.snapshot, dump_snapshot_free);
    }
    qatomic_set(&t.stop, true);
    g_thread_join(writer);
    live_close(&t);
}

/*
 * A device that writes while the snapshot is taken: of its writes, which are in
 * order, the snapshot contains the first ones.
 */
static void test_cut(void)
{
    run_swept(&swept, 20, true);
    run_swept(&swept_file, 10, true);
}

/* No writer waits forever. */
static void test_ended_at_once(void)
{
    run_swept(&swept, 30, false);
    run_swept(&swept_file, 70, false);
}

/* Write to all memory in the main thread, without a reader. */
static void overwrite(Live *t)
{
    for (unsigned i = 0; i < PAGES; i++) {
        stamp(t, i, i + 1);
    }
}

static const Kind alone = { "alone", .readers = 1 };

/* Writers never wait: the limit is exceeded, and this is reported. */
static void test_full(void)
{
    Live t;
    DumpSnapshotStats stats;

    live_open(&t, &alone);
    if (live_watch(&t, t.size / 2)) {
        live_take(&t);
        g_assert_cmpuint(qatomic_read(&t.full), ==, 0);
        memcpy(t.moments, t.stamps, PAGES * sizeof(t.moments[0]));
        overwrite(&t);
        g_assert_cmpuint(qatomic_read(&t.full), ==, 1);
        dump_snapshot_get_stats(t.snapshot, &stats);
        g_assert_cmpuint(stats.held, ==, t.size);
        g_assert_cmpuint(stats.saved, ==, PAGES);
        run_readers(&t);
        dump_snapshot_get_stats(t.snapshot, &stats);
        g_assert_cmpuint(stats.held, ==, 0);
        g_assert_cmpuint(stats.held_max, ==, t.size);
        g_assert_cmpuint(qatomic_read(&t.broken), ==, 0);
    }
    live_close(&t);
}

/* The report may come after the writers have continued. */
static void wait_for_broken(const Live *t)
{
    for (unsigned i = 0; i < 100000 && !qatomic_read(&t->broken); i++) {
        g_usleep(100);
    }
    g_assert_cmpuint(qatomic_read(&t->broken), ==, 1);
}

static DumpPagesKind kind_of_first(Live *t)
{
    g_autoptr(DumpPagesReader) reader = dump_pages_reader_new(t->pages, NULL);
    g_autofree uint8_t *buf = g_malloc(t->page);
    uint64_t len = t->page;

    return dump_pages_get_copy(reader, PADDR, buf, &len);
}

/* Far above the limit: the dump is given up to save memory. */
static void test_much_too_full(void)
{
    Live t;

    live_open(&t, &alone);
    if (live_watch(&t, t.size / 8)) {
        live_take(&t);
        overwrite(&t);
        wait_for_broken(&t);
        g_assert_cmpstr(dump_snapshot_broken(t.snapshot), ==,
                        "the guest's memory was changed faster than it could "
                        "be saved");
        g_assert_cmpint(kind_of_first(&t), ==, DUMP_PAGES_LOST);
    }
    live_close(&t);
}

/* Remapped memory loses its write protection. */
static void test_protection_lost(void)
{
    Live t;

    live_open(&t, &alone);
    if (live_watch(&t, 1 * GiB)) {
        live_take(&t);
        g_assert_cmpint(kind_of_first(&t), ==, DUMP_PAGES_DATA);
        g_assert_true(mmap(t.host, t.size, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
                      t.host);
        stamp(&t, 0, 1);
        g_assert_cmpint(kind_of_first(&t), ==, DUMP_PAGES_LOST);
        wait_for_broken(&t);
        g_assert_nonnull(strstr(dump_snapshot_broken(t.snapshot),
                                "lost its protection"));
        /* No writer waits. */
        overwrite(&t);
    }
    live_close(&t);
}

/* A watch that is never used for a snapshot, or never ended. */
static void test_never_taken(void)
{
    Live t;

    live_open(&t, &alone);
    if (live_watch(&t, 1 * GiB)) {
        DumpProgress progress;
        DumpSnapshotStats stats;

        dump_progress_init(&progress);
        g_assert_true(dump_snapshot_prepare(t.snapshot, &progress,
                                            &error_abort));
        overwrite(&t);
        dump_snapshot_end(t.snapshot);
        overwrite(&t);
        dump_snapshot_get_stats(t.snapshot, &stats);
        g_assert_cmpuint(stats.saved, ==, 0);
        dump_snapshot_end(t.snapshot);
    }
    live_close(&t);
}

/* Write to the second page, which is untouched, when asked to. */
static gpointer touch_main(gpointer opaque)
{
    Live *t = opaque;

    while (!qatomic_read(&t->stop)) {
        g_usleep(100);
    }
    stamp(t, 1, 1);
    return NULL;
}

static const Kind half = { "half", .half = true };

/*
 * The watch thread fails while memory is added: poll() of two descriptors does
 * if only one is allowed.
 */
static void test_watch_fails(void)
{
    struct rlimit old, one;
    Live t;

    live_open(&t, &half);
    t.snapshot = snapshot_new(&t, 1 * GiB);
    if (t.snapshot) {
        GThread *writer = g_thread_new("writer", touch_main, &t);
        DumpSnapshotRange range = { t.host, t.page, t.page, true, -1 };

        g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &old), ==, 0);
        one = old;
        one.rlim_cur = 1;
        for (unsigned i = 0; i < PAGES; i++, range.start += t.page) {
            dump_snapshot_add(t.snapshot, &range, &error_abort);
            if (i == 1) {
                g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &one), ==, 0);
                qatomic_set(&t.stop, true);
            }
        }
        g_thread_join(writer);
        wait_for_broken(&t);
        g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &old), ==, 0);
        g_assert_nonnull(strstr(dump_snapshot_broken(t.snapshot),
                                "failed to read write faults"));
        dump_snapshot_end(t.snapshot);
        /* No writer waits. */
        overwrite(&t);
    }
    live_close(&t);
}

/* Two regions with an unwatched one in between. */
static void test_regions(void)
{
    Live t;
    DumpSnapshotRange range;

    live_open(&t, &alone);
    t.snapshot = snapshot_new(&t, 1 * GiB);
    if (t.snapshot) {
        range = (DumpSnapshotRange) { t.host + 2 * t.page, t.page, t.page,
                                      true, -1 };
        dump_snapshot_add(t.snapshot, &range, &error_abort);
        range.start = t.host;
        dump_snapshot_add(t.snapshot, &range, &error_abort);
        dump_snapshot_add(t.snapshot, &range, &error_abort);
        g_assert_true(dump_snapshot_has(t.snapshot, t.host, t.page));
        g_assert_false(dump_snapshot_has(t.snapshot, t.host, 2 * t.page));
        g_assert_false(dump_snapshot_has(t.snapshot, t.host + t.page,
                                         t.page));
        t.pages = dump_pages_live_new(dump_pages_still_new(&t.ram,
                                                           t.untouched),
                                      &t.ram, t.snapshot);
        memcpy(t.moments, t.stamps, PAGES * sizeof(t.moments[0]));
        live_take(&t);
        stamp(&t, 0, 1);
        stamp(&t, 1, 1);
        stamp(&t, 2, 1);
        t.moments[1] = 1;
        run_readers(&t);
    }
    live_close(&t);
}

/* The error is not that the host has no userfaultfd. */
static void test_no_descriptor(void)
{
    const DumpSnapshotEvents events = { 0 };
    g_autoptr(DumpUntouched) untouched = dump_untouched_new();
    struct rlimit old, none;
    Error *err = NULL;

    g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &old), ==, 0);
    none = old;
    none.rlim_cur = 0;
    g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &none), ==, 0);
    g_assert_null(dump_snapshot_new(-1, GiB, GiB, untouched, &events, &err));
    g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &old), ==, 0);
    if (strstr(error_get_pretty(err), strerror(EMFILE))) {
        g_assert_null(strstr(error_get_pretty(err), "has no userfaultfd"));
    } else {
        g_test_skip(error_get_pretty(err));
    }
    error_free(err);
}

/* Memory on ext4 cannot be watched. */
static void test_refused(void)
{
    g_autofree char *path = g_strdup("dump-test-XXXXXX");
    size_t page = qemu_real_host_page_size();
    int fd = g_mkstemp(path);
    Live t = { .untouched = dump_untouched_new() };
    DumpSnapshotRange range = { .len = page, .page = page, .fd = -1 };
    Error *err = NULL;

    g_assert_cmpint(ftruncate(fd, page), ==, 0);
    range.start = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    g_assert_true(range.start != MAP_FAILED);
    t.snapshot = snapshot_new(&t, 1 * GiB);
    if (t.snapshot && !dump_untouched_trusts_fd(fd)) {
        g_test_skip("temporary files are on an unknown file system");
    } else if (t.snapshot &&
               !dump_snapshot_add(t.snapshot, &range, &err)) {
        g_assert_nonnull(strstr(error_get_pretty(err),
                                "the kernel cannot track writes to it"));
        error_free(err);
    }
    dump_snapshot_free(t.snapshot);
    dump_untouched_free(t.untouched);
    munmap((void *)range.start, page);
    unlink(path);
    close(fd);
}

/* Size of this process's page tables in KiB. */
static uint64_t page_tables(void)
{
    g_autofree char *text = NULL;
    const char *line;

    g_assert_true(g_file_get_contents("/proc/self/status", &text, NULL, NULL));
    line = strstr(text, "VmPTE:");
    g_assert_nonnull(line);
    return g_ascii_strtoull(line + strlen("VmPTE:"), NULL, 10);
}

/* Check the first byte of a page at the moment; it was changed later. */
static void check_saved(DumpSnapshot *s, const uint8_t *host, uint8_t byte)
{
    uint64_t len = qemu_real_host_page_size();
    const uint8_t *bytes;

    g_assert_cmpint(dump_snapshot_look(s, host, &len, &bytes), ==,
                    byte ? DUMP_PAGES_DATA : DUMP_PAGES_ZERO);
    g_assert_true(!byte == !bytes && (!bytes || *bytes == byte));
}

/* Page tables for all memory would take 64 MiB (32-bit hosts: 2 MiB). */
static void test_sparse(gconstpointer opaque)
{
    const Kind *kind = opaque;
    const size_t size = (sizeof(size_t) > 4 ? 32 : 1) * GiB;
    Live t = { .untouched = dump_untouched_new() };
    DumpSnapshotRange range = { .len = size, .anon = !kind->file, .fd = -1 };
    DumpProgress progress;
    uint64_t before;
    uint8_t *host;

    range.page = qemu_real_host_page_size();
    if (kind->file) {
        range.fd = memfd_create("memory", 0);
        g_assert_cmpint(ftruncate(range.fd, size), ==, 0);
    }
    host = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_NORESERVE |
                (kind->file ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS),
                range.fd, 0);
    g_assert_true(host != MAP_FAILED);
    host[0] = host[size / 2] = host[size - 1] = 1;
    range.start = host;
    t.snapshot = snapshot_new(&t, 1 * GiB);
    if (t.snapshot) {
        dump_progress_init(&progress);
        before = page_tables();
        dump_snapshot_add(t.snapshot, &range, &error_abort);
        dump_snapshot_prepare(t.snapshot, &progress, &error_abort);
        host[size / 8] = 3;
        dump_snapshot_take(t.snapshot, &error_abort);
        host[size / 8] = host[size / 4] = host[size / 2] = 2;
        /* Only page tables of touched memory and of allocations. */
        g_assert_cmpuint(page_tables(), <, before + 512);
        check_saved(t.snapshot, host + size / 8, 3);
        check_saved(t.snapshot, host + size / 4, 0);
        check_saved(t.snapshot, host + size / 2, 1);
        g_assert_cmpuint(host[size / 4] + host[size / 2], ==, 4);
    }
    dump_snapshot_free(t.snapshot);
    munmap(host, size);
    if (range.fd >= 0) {
        close(range.fd);
    }
    dump_untouched_free(t.untouched);
}

/*
 * A file of which some pages were allocated in advance, but never written to:
 * tmpfs reports holes, but access to them is not a fault of a missing page.
 *
 * @part: MiB that are allocated, of 8
 */
static void test_allocated(gconstpointer part)
{
    const size_t size = 8 * MiB;
    Live t = { .untouched = dump_untouched_new() };
    DumpSnapshotRange range = { .len = size };
    uint8_t *host;

    range.page = qemu_real_host_page_size();
    range.fd = memfd_create("memory", 0);
    g_assert_cmpint(ftruncate(range.fd, size), ==, 0);
    g_assert_cmpint(fallocate(range.fd, 0, 0, GPOINTER_TO_SIZE(part) * MiB),
                    ==, 0);
    host = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, range.fd, 0);
    g_assert_true(host != MAP_FAILED);
    range.start = host;
    host[0] = host[size - 1] = 1;
    t.snapshot = snapshot_new(&t, 1 * GiB);
    if (t.snapshot) {
        dump_snapshot_add(t.snapshot, &range, &error_abort);
        dump_snapshot_take(t.snapshot, &error_abort);
        host[0] = host[3 * MiB] = host[6 * MiB] = 2;
        check_saved(t.snapshot, host, 1);
        check_saved(t.snapshot, host + 3 * MiB, 0);
        check_saved(t.snapshot, host + 6 * MiB, 0);
        g_assert_cmpuint(host[3 * MiB] + host[6 * MiB], ==, 4);
    }
    dump_snapshot_free(t.snapshot);
    munmap(host, size);
    close(range.fd);
    dump_untouched_free(t.untouched);
}

/* Memory of a stopped guest that counts the bytes which it is asked for. */
typedef struct Counted {
    DumpPages parent;
    DumpPages *still;
    uint64_t asked;
} Counted;

typedef struct CountedReader {
    DumpPagesReader parent;
    DumpPagesReader *still;
} CountedReader;

static DumpPagesReader *counted_reader_new(DumpPages *pages, Error **errp)
{
    CountedReader *r = g_new0(CountedReader, 1);

    r->still = dump_pages_reader_new(
        container_of(pages, Counted, parent)->still, &error_abort);
    return &r->parent;
}

static void counted_reader_free(DumpPagesReader *reader)
{
    CountedReader *r = container_of(reader, CountedReader, parent);

    dump_pages_reader_free(r->still);
    g_free(r);
}

static DumpPagesKind counted_get(DumpPagesReader *reader, uint64_t paddr,
                                 uint64_t *len, const uint8_t **bytes)
{
    container_of(reader->pages, Counted, parent)->asked += *len;
    return dump_pages_get(container_of(reader, CountedReader, parent)->still,
                          paddr, len, bytes);
}

static void counted_free(DumpPages *pages)
{
    Counted *c = container_of(pages, Counted, parent);

    dump_pages_free(c->still);
    g_free(c);
}

static const DumpPagesOps counted_ops = {
    .reader_new = counted_reader_new,
    .reader_free = counted_reader_free,
    .get = counted_get,
    .free = counted_free,
};

/* Read all memory; returns the number of gets. */
static unsigned read_all(DumpPagesReader *reader, uint8_t *buf, uint64_t size)
{
    unsigned gets = 0;

    for (uint64_t at = 0, n; at < size; at += n, gets++) {
        n = size - at;
        g_assert_cmpint(dump_pages_get_copy(reader, PADDR + at, buf + at, &n),
                        ==, DUMP_PAGES_DATA);
    }
    return gets;
}

/*
 * Memory is examined once, although each second page is saved; before those,
 * as long as the limit allows it, adjacent pages, which are also read together.
 */
static void test_examined_once(void)
{
    g_autofree uint8_t *buf = NULL;
    unsigned gets;
    Counted *c;
    Live t;

    live_open(&t, &alone);
    if (live_watch(&t, t.size / 2)) {
        DumpPagesReader *reader;

        dump_pages_free(t.pages);
        c = g_new0(Counted, 1);
        c->parent.ops = &counted_ops;
        c->still = dump_pages_still_new(&t.ram, t.untouched);
        t.pages = dump_pages_live_new(&c->parent, &t.ram, t.snapshot);
        live_take(&t);
        for (unsigned i = 0; i < PAGES; i += 2) {
            stamp(&t, i, 1);
        }
        buf = g_malloc(t.size);
        reader = dump_pages_reader_new(t.pages, &error_abort);
        gets = read_all(reader, buf, t.size);
        for (unsigned i = 0; i < PAGES; i++) {
            check_page(&t, i, buf + i * t.page);
        }
        g_assert_cmpuint(gets, >, PAGES / 2);
        if (t.page < 64 * KiB) {
            g_assert_cmpuint(gets, <, PAGES * 7 / 8);
        }
        g_assert_cmpuint(c->asked, >=, t.size / 4);
        g_assert_cmpuint(c->asked, <=, t.size);
        dump_pages_reader_free(reader);
    }
    live_close(&t);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#ifdef DUMP_UNDER_TSAN
    /* Guest memory is read while it is written to, on purpose. */
    g_test_add_func("/dump/pages-live/never-taken", test_never_taken);
    g_test_add_func("/dump/pages-live/watch-fails", test_watch_fails);
    return g_test_run();
#endif
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        g_autofree char *path = g_strdup_printf("/dump/pages-live/%s",
                                                kinds[i].name);

        g_test_add_data_func(path, &kinds[i], test_kind);
    }
    g_test_add_data_func("/dump/pages-live/sparse", &alone, test_sparse);
    g_test_add_data_func("/dump/pages-live/sparse-file", &swept_file,
                         test_sparse);
    g_test_add_data_func("/dump/pages-live/allocated",
                         GSIZE_TO_POINTER(8), test_allocated);
    g_test_add_data_func("/dump/pages-live/allocated-half",
                         GSIZE_TO_POINTER(4), test_allocated);
    g_test_add_func("/dump/pages-live/cut", test_cut);
    g_test_add_func("/dump/pages-live/ended-at-once", test_ended_at_once);
    g_test_add_func("/dump/pages-live/full", test_full);
    g_test_add_func("/dump/pages-live/much-too-full", test_much_too_full);
    g_test_add_func("/dump/pages-live/protection-lost", test_protection_lost);
    g_test_add_func("/dump/pages-live/never-taken", test_never_taken);
    g_test_add_func("/dump/pages-live/watch-fails", test_watch_fails);
    g_test_add_func("/dump/pages-live/examined-once", test_examined_once);
    g_test_add_func("/dump/pages-live/regions", test_regions);
    g_test_add_func("/dump/pages-live/no-descriptor", test_no_descriptor);
    g_test_add_func("/dump/pages-live/refused", test_refused);
    return g_test_run();
}
