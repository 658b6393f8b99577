/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Helpers for tests of writers: a guest with known memory, a dump of it to a
 * real descriptor, and a reader that shares no code with the engine.
 */

#ifndef DUMP_TEST_GUEST_H
#define DUMP_TEST_GUEST_H

#include <glib/gstdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include "qapi/error.h"
#include "sink-fd.h"
#include "sink-flat.h"
#include "writer.h"

typedef struct TestBlock {
    uint64_t paddr;
    uint64_t size;
    uint8_t *host;              /* of exact size, for the sanitizer */
} TestBlock;

typedef struct TestGuest {
    DumpGuest g;
    GArray *blocks;             /* TestBlock */
} TestGuest;

static inline void test_guest_init(TestGuest *t, const DumpAbi *abi,
                                   uint32_t page_size)
{
    dump_guest_init(&t->g);
    t->g.abi = *abi;
    t->g.page_size = page_size;
    t->g.nr_cpus = 3;
    t->blocks = g_array_new(false, false, sizeof(TestBlock));
}

static inline void test_guest_deinit(TestGuest *t)
{
    for (guint i = 0; i < t->blocks->len; i++) {
        g_free(g_array_index(t->blocks, TestBlock, i).host);
    }
    g_array_unref(t->blocks);
    dump_guest_deinit(&t->g);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(TestGuest, test_guest_deinit)

/* Alternates zeroes, incompressible data, text, one byte repeated. */
static inline void test_fill(uint8_t *p, size_t size, uint32_t seed)
{
    GRand *rand = g_rand_new_with_seed(seed);

    for (size_t i = 0; i < size; i++) {
        switch ((i / 4096 + seed) % 4) {
        case 0:
            p[i] = 0;
            break;
        case 1:
            p[i] = g_rand_int(rand);
            break;
        case 2:
            p[i] = "guest memory "[i % 13];
            break;
        case 3:
            p[i] = 0x80 | seed;
            break;
        }
    }
    g_rand_free(rand);
}

static inline TestBlock *test_guest_add(TestGuest *t, uint64_t paddr,
                                        uint64_t size)
{
    TestBlock b = { paddr, size, g_malloc(size) };

    test_fill(b.host, size, t->blocks->len);
    g_array_append_val(t->blocks, b);
    guest_ram_add(&t->g.all, paddr, size, b.host);
    return &g_array_index(t->blocks, TestBlock, t->blocks->len - 1);
}

/* Exclude @count page frames from @first on. */
static inline void test_guest_leave_out(DumpGuest *g, uint64_t first,
                                        uint64_t count)
{
    const PfnRun run = { first, count };
    uint64_t removed;

    if (!g->kept) {
        g_autoptr(GArray) runs = guest_ram_pfn_runs(&g->ram, g->page_size);

        g->kept = pfn_set_new((PfnRun *)runs->data, runs->len, &error_abort);
    }
    g_assert_true(pfn_set_remove(g->kept, &run, &removed, &error_abort));
    pfn_set_seal(g->kept);
}

/* A source whose memory may change; records what is released. */
typedef struct TestGiving {
    DumpPagesOps ops;
    DumpPagesKind (*get)(DumpPagesReader *reader, uint64_t paddr,
                         uint64_t *len, const uint8_t **bytes);
    uint64_t bytes;
    uint64_t got;               /* bytes that were asked for; one thread */
} TestGiving;

static inline DumpPagesKind test_count_got(DumpPagesReader *reader,
                                           uint64_t paddr, uint64_t *len,
                                           const uint8_t **bytes)
{
    TestGiving *giving = container_of((DumpPagesOps *)reader->pages->ops,
                                      TestGiving, ops);
    DumpPagesKind kind = giving->get(reader, paddr, len, bytes);

    giving->got += *len;
    return kind;
}

static inline void test_count_given(DumpPages *pages, uint64_t paddr,
                                    uint64_t len)
{
    container_of((DumpPagesOps *)pages->ops, TestGiving, ops)->bytes += len;
}

static inline bool test_no_change(DumpPagesReader *reader, uint64_t paddr,
                                  uint64_t len)
{
    return true;
}

/* Make that of a sealed guest's memory. */
static inline void test_guest_make_giving(TestGuest *t, TestGiving *giving)
{
    *giving = (TestGiving) { .ops = *t->g.pages->ops };
    giving->get = giving->ops.get;
    giving->ops.get = test_count_got;
    giving->ops.give = test_count_given;
    giving->ops.put = test_no_change;
    t->g.pages->ops = &giving->ops;
}

/* A guest with such memory and some excluded pages. */
static inline void test_guest_init_giving(TestGuest *t, const DumpAbi *abi,
                                          TestGiving *giving)
{
    test_guest_init(t, abi, 4096);
    test_guest_add(t, 0, 0x40000);
    test_guest_add(t, 0x100000, 0x3000);
    dump_guest_seal(&t->g, 0, 0);
    test_guest_leave_out(&t->g, 0, 2);
    test_guest_leave_out(&t->g, 7, 1);
    test_guest_leave_out(&t->g, 0x3f, 1);
    test_guest_leave_out(&t->g, 0x100, 3);
    test_guest_make_giving(t, giving);
}

/* Read at @paddr as a dump does; returns the bytes that are memory. */
static inline size_t test_guest_read(const DumpGuest *g, uint64_t paddr,
                                     void *buf, size_t len)
{
    g_autoptr(DumpPagesReader) reader = dump_pages_reader_new(g->pages,
                                                              &error_abort);

    return dump_pages_read(reader, paddr, buf, len, NULL);
}

/* Memory with some unreadable host pages. */
typedef struct TestLossy {
    uint64_t paddr;
    size_t size;
    uint8_t *host;              /* mapped */
    uint8_t *bytes;             /* readable bytes; zero elsewhere */
    DumpReport report;
} TestLossy;

#define TEST_LOSSY_PAGES 300

static inline bool test_lossy_page(unsigned i)
{
    return i == 5 || (i >= 130 && i < 140) || i == TEST_LOSSY_PAGES - 1;
}

/* Called before the guest is sealed. */
static inline void test_lossy_add(TestLossy *l, TestGuest *t, uint64_t paddr)
{
    size_t page = qemu_real_host_page_size();

    l->paddr = paddr;
    l->size = TEST_LOSSY_PAGES * page;
    l->host = mmap(NULL, l->size, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    g_assert_true(l->host != MAP_FAILED);
    test_fill(l->host, l->size, 7);
    l->bytes = g_memdup2(l->host, l->size);
    for (unsigned i = 0; i < TEST_LOSSY_PAGES; i++) {
        if (test_lossy_page(i)) {
            g_assert_cmpint(mprotect(l->host + i * page, page, PROT_NONE), ==,
                            0);
            memset(l->bytes + i * page, 0, page);
        }
    }
    guest_ram_add(&t->g.all, paddr, l->size, l->host);
    dump_report_init(&l->report);
    t->g.report = &l->report;
}

/* Is any byte of [@paddr, @paddr + @len) unreadable? */
static inline bool test_lossy_has(const TestLossy *l, uint64_t paddr,
                                  uint64_t len)
{
    size_t page = qemu_real_host_page_size();

    for (unsigned i = 0; i < TEST_LOSSY_PAGES; i++) {
        uint64_t at = l->paddr + i * page;

        if (test_lossy_page(i) && at < paddr + len && paddr < at + page) {
            return true;
        }
    }
    return false;
}

static inline void test_lossy_free(TestLossy *l)
{
    munmap(l->host, l->size);
    g_free(l->bytes);
    dump_report_deinit(&l->report);
}

/*
 * The guest's bytes at @paddr, with zeroes outside of memory. Returns the
 * number of bytes that are memory.
 */
static inline size_t test_guest_expect(const TestGuest *t, uint64_t paddr,
                                       uint8_t *buf, size_t len)
{
    size_t found = 0;

    memset(buf, 0, len);
    for (guint i = 0; i < t->blocks->len; i++) {
        const TestBlock *b = &g_array_index(t->blocks, TestBlock, i);
        uint64_t from = MAX(b->paddr, paddr);
        uint64_t end = MIN(b->paddr + b->size, paddr + len);

        if (from < end) {
            memcpy(buf + (from - paddr), b->host + (from - b->paddr),
                   end - from);
            found += end - from;
        }
    }
    return found;
}

/* Is any byte of [@paddr, @paddr + @len) memory? */
static inline bool test_guest_has(const TestGuest *t, uint64_t paddr,
                                  uint64_t len)
{
    for (guint i = 0; i < t->blocks->len; i++) {
        const TestBlock *b = &g_array_index(t->blocks, TestBlock, i);

        if (b->paddr < paddr + len && paddr < b->paddr + b->size) {
            return true;
        }
    }
    return false;
}

typedef enum TestOutput {
    TEST_FILE,                  /* new regular file: holes are possible */
    TEST_OLD_FILE,              /* regular file full of old data */
    TEST_STREAM,                /* opened for appending: cannot seek */
} TestOutput;

#define TEST_OLD_SIZE (16 * 1024 * 1024)

static inline int test_output_open(TestOutput kind, char **path)
{
    int fd = g_file_open_tmp("dump-test-XXXXXX", path, NULL);

    g_assert_cmpint(fd, >=, 0);
    if (kind == TEST_OLD_FILE) {
        g_autofree uint8_t *old = g_malloc(TEST_OLD_SIZE);

        memset(old, 0xee, TEST_OLD_SIZE);
        g_assert_cmpint(pwrite(fd, old, TEST_OLD_SIZE, 0), ==,
                        TEST_OLD_SIZE);
    } else if (kind == TEST_STREAM) {
        g_assert_cmpint(fcntl(fd, F_SETFL, O_APPEND), ==, 0);
    }
    return fd;
}

/* Plan a dump, which must succeed. */
static inline DumpWriter *test_plan(const DumpFormat *format,
                                    const DumpGuest *g, unsigned threads,
                                    DumpProgress *progress)
{
    DumpFormat with_threads = *format;

    with_threads.threads = threads;
    g_assert_true(dump_writer_available(format));
    dump_progress_init(progress);
    return dump_writer_plan(&with_threads, g, progress, &error_abort);
}

/*
 * Plan and write to @fd, which is closed. Checks all counters.
 * @size: set to the planned file size, except for kdump formats
 */
static inline bool test_dump_fd(const DumpFormat *format, const DumpGuest *g,
                                int fd, unsigned threads, uint64_t *size,
                                Error **errp)
{
    DumpProgress progress;
    DumpSink *sink;
    DumpWriter *w = test_plan(format, g, threads, &progress);
    bool ok;

    *size = dump_layout_end(w->layout);
    sink = dump_sink_fd_new(fd, &progress);
    if (format->flat) {
        sink = dump_sink_flat_new(sink);
    }
    ok = dump_writer_write(w, sink, errp);
    if (ok) {
        g_assert_cmpuint(dump_progress_completed(&progress), ==,
                         dump_progress_total(&progress));
        if (!g->kept) {
            g_assert_cmpuint(dump_progress_total(&progress), >=,
                             g->ram.bytes);
        }
        g_assert_cmpuint(dump_progress_written(&progress), >, 0);
    }
    dump_sink_free(sink);
    dump_writer_free(w);
    return ok;
}

/*
 * Dump to a new file that cannot grow beyond @limit bytes; the dump must fail.
 * Returns the path, owned by the caller. SIGXFSZ must be ignored.
 */
static inline char *test_dump_limited(const DumpFormat *format,
                                      const DumpGuest *g, unsigned threads,
                                      uint64_t limit)
{
    struct rlimit old, new;
    Error *err = NULL;
    uint64_t size;
    char *path;
    bool ok;
    int fd = test_output_open(TEST_FILE, &path);

    g_assert_cmpint(getrlimit(RLIMIT_FSIZE, &old), ==, 0);
    new = (struct rlimit) { .rlim_cur = limit, .rlim_max = old.rlim_max };
    g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &new), ==, 0);
    ok = test_dump_fd(format, g, fd, threads, &size, &err);
    g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &old), ==, 0);

    g_assert_false(ok);
    g_assert_true(g_str_has_suffix(error_get_pretty(err),
                                   ": File too large"));
    error_free(err);
    return path;
}

/* The error of a plan that must fail; owned by the caller. */
static inline char *test_plan_error(const DumpFormat *format,
                                    const DumpGuest *g)
{
    DumpProgress progress;
    Error *err = NULL;
    char *text;

    dump_progress_init(&progress);
    g_assert_null(dump_writer_plan(format, g, &progress, &err));
    g_assert_nonnull(err);
    text = g_strdup(error_get_pretty(err));
    error_free(err);
    return text;
}

/* The error of a dump to a full device. */
static inline char *test_full_error(const DumpFormat *format,
                                    const DumpGuest *g, unsigned threads)
{
    Error *err = NULL;
    uint64_t size;
    char *text;

    g_assert_false(test_dump_fd(format, g, open("/dev/full", O_WRONLY),
                                threads, &size, &err));
    text = g_strdup(error_get_pretty(err));
    error_free(err);
    return text;
}

/* The error of a dump that was cancelled before its start. */
static inline char *test_cancel_error(const DumpFormat *format,
                                      const DumpGuest *g, unsigned threads)
{
    DumpProgress progress;
    DumpWriter *w = test_plan(format, g, threads, &progress);
    DumpSink *sink;
    Error *err = NULL;
    char *text;

    sink = dump_sink_fd_new(open("/dev/null", O_WRONLY), &progress);
    dump_progress_cancel(&progress);
    g_assert_false(dump_writer_write(w, sink, &err));
    g_assert_cmpuint(dump_progress_completed(&progress), ==, 0);
    dump_sink_free(sink);
    dump_writer_free(w);
    text = g_strdup(error_get_pretty(err));
    error_free(err);
    return text;
}

/* A finished file. */
typedef struct TestImage {
    uint8_t *data;
    size_t len;
    bool be;                    /* the guest's byte order */
    uint64_t blocks;            /* st_blocks: 512 bytes each */
} TestImage;

static inline void test_image_free(TestImage *image)
{
    g_free(image->data);
    g_free(image);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC(TestImage, test_image_free)

static inline TestImage *test_image_load(const char *path, bool be)
{
    TestImage *image = g_new0(TestImage, 1);
    struct stat st;

    g_assert_cmpint(stat(path, &st), ==, 0);
    g_assert_true(g_file_get_contents(path, (char **)&image->data,
                                      &image->len, NULL));
    image->be = be;
    image->blocks = st.st_blocks;
    return image;
}

/* @n bytes of the file. */
static inline const uint8_t *test_at(const TestImage *image, uint64_t offset,
                                     uint64_t n)
{
    g_assert_cmpuint(offset, <=, image->len);
    g_assert_cmpuint(n, <=, image->len - offset);
    return image->data + offset;
}

/* An integer of @n bytes. */
static inline uint64_t test_get(const TestImage *image, uint64_t offset,
                                unsigned n)
{
    const uint8_t *p = test_at(image, offset, n);
    uint64_t v = 0;

    for (unsigned i = 0; i < n; i++) {
        v = v << 8 | p[image->be ? i : n - 1 - i];
    }
    return v;
}

/* Dump @t, which must succeed; @plan: the planned file size. */
static inline TestImage *test_dump(const DumpFormat *format, TestGuest *t,
                                   TestOutput kind, unsigned threads,
                                   uint64_t *plan)
{
    g_autofree char *path = NULL;
    int fd = test_output_open(kind, &path);
    TestImage *image;

    test_dump_fd(format, &t->g, fd, threads, plan, &error_abort);
    image = test_image_load(path, t->g.abi.elf_data == ELFDATA2MSB);
    g_unlink(path);
    return image;
}

#endif
