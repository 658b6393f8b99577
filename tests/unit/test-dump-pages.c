/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Reading guest memory that may be unreadable on the host: a direct access
 * would kill this program.
 */

#include "qemu/osdep.h"
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include "qapi/error.h"
#include "pages.h"
#include "dump-test-host.h"

#define PADDR   0x100000
#define PAGES   64

typedef struct Memory {
    size_t page;
    size_t size;
    uint8_t *host;
    int fd;
    GuestRam ram;
    DumpUntouched *untouched;
    DumpPages *pages;
    DumpPagesReader *reader;
} Memory;

/* Kind of memory and method of reading. */
typedef struct Kind {
    const char *name;
    bool file, shared, told;    /* told: its backing is known */
    bool pagemap;
    DumpPagesMethod method;
    bool no_split;              /* process_vm_readv splits no element */
} Kind;

static const Kind kinds[] = {
    { "anon", .told = true, .pagemap = true },
    { "anon-read-all", .pagemap = false },
    { "anon-copy", .told = true, .pagemap = true, .method = DUMP_PAGES_COPY },
    { "shared-file", .file = true, .shared = true, .told = true,
      .pagemap = true },
    { "private-file", .file = true, .told = true, .pagemap = true },
    { "anon-copy-no-split", .method = DUMP_PAGES_COPY, .no_split = true },
    { "shared-file-untold", .file = true, .shared = true, .pagemap = true },
    { "private-file-untold", .file = true },
    { "shared-file-copy", .file = true, .shared = true,
      .method = DUMP_PAGES_COPY },
};

static bool no_split;

static ssize_t read_element(pid_t pid, void *to, const struct iovec *from)
{
    struct iovec local = { .iov_base = to, .iov_len = from->iov_len };

    return syscall(SYS_process_vm_readv, pid, &local, 1UL, from, 1UL, 0UL);
}

/*
 * Replaces the C library's function: according to the manual page no element
 * of the vector is copied partially, but current kernels do so.
 */
ssize_t process_vm_readv(pid_t pid, const struct iovec *local,
                         unsigned long nlocal, const struct iovec *remote,
                         unsigned long nremote, unsigned long flags)
{
    ssize_t done = 0;

    if (!no_split) {
        return syscall(SYS_process_vm_readv, pid, local, nlocal, remote,
                       nremote, flags);
    }
    g_assert_cmpuint(nlocal, ==, 1);
    for (unsigned long i = 0; i < nremote; i++) {
        ssize_t n = read_element(pid, (char *)local->iov_base + done,
                                 &remote[i]);

        if (n != (ssize_t)remote[i].iov_len) {
            break;
        }
        done += n;
    }
    if (!done) {
        errno = EFAULT;
    }
    return done ? done : -1;
}

static void memory_map(Memory *m, const Kind *kind)
{
    int flags = kind->shared ? MAP_SHARED : MAP_PRIVATE;

    *m = (Memory) { .page = qemu_real_host_page_size(), .fd = -1 };
    m->size = PAGES * m->page;
    if (kind->file) {
        m->fd = memfd_create("memory", 0);
        g_assert_cmpint(m->fd, >=, 0);
        g_assert_cmpint(ftruncate(m->fd, m->size), ==, 0);
    } else {
        flags |= MAP_ANONYMOUS;
    }
    m->host = mmap(NULL, m->size, PROT_READ | PROT_WRITE, flags, m->fd, 0);
    g_assert_true(m->host != MAP_FAILED);
    /* The kernel must not populate more than requested. */
    madvise(m->host, m->size, MADV_NOHUGEPAGE);
}

/* Protection of memory must not change after this. */
static void memory_open(Memory *m, const Kind *kind)
{
    GuestRamRun run = { .paddr = PADDR, .size = m->size, .host = m->host,
                        .fd = m->fd };

    no_split = kind->no_split;
    if (kind->told) {
        run.backing = !kind->file ? GUEST_RAM_ANON :
                      kind->shared ? GUEST_RAM_SHARED_FILE :
                                     GUEST_RAM_PRIVATE_FILE;
    }
    guest_ram_init(&m->ram);
    guest_ram_add_run(&m->ram, &run);
    guest_ram_seal(&m->ram);
    m->untouched = kind->pagemap ? dump_untouched_new() : NULL;
    m->pages = dump_pages_still_new(&m->ram, m->untouched);
    if (kind->method) {
        dump_pages_still_set_method(m->pages, kind->method);
    }
    m->reader = dump_pages_reader_new(m->pages, &error_abort);
}

static void memory_free(Memory *m)
{
    dump_pages_reader_free(m->reader);
    dump_pages_free(m->pages);
    dump_untouched_free(m->untouched);
    guest_ram_deinit(&m->ram);
    munmap(m->host, m->size);
    if (m->fd >= 0) {
        close(m->fd);
    }
}

static void fill(Memory *m, unsigned first, unsigned n)
{
    for (unsigned i = first; i < first + n; i++) {
        memset(m->host + i * m->page, 1 + i, m->page);
    }
}

/*
 * Get all pages in pieces of @ask bytes. @want has a letter per page: L for
 * lost, 0 for zero, D for data.
 */
static void check(const Memory *m, const char *want, size_t ask)
{
    for (uint64_t at = 0; at < m->size; ) {
        uint64_t len = MIN(ask, m->size - at);
        const uint8_t *bytes = NULL;
        DumpPagesKind kind = dump_pages_get(m->reader, PADDR + at, &len,
                                            &bytes);

        for (uint64_t i = at; i < at + len; i++) {
            unsigned n = i / m->page;

            switch (want[n]) {
            case 'L':
                g_assert_cmpint(kind, ==, DUMP_PAGES_LOST);
                break;
            case '0':
                g_assert_true(kind == DUMP_PAGES_ZERO ||
                              (kind == DUMP_PAGES_DATA && !bytes[i - at]));
                break;
            default:
                g_assert_cmpint(kind, ==, DUMP_PAGES_DATA);
                g_assert_cmpuint(bytes[i - at], ==, 1 + n);
            }
        }
        g_assert_true(dump_pages_put(m->reader, PADDR + at, len));
        at += len;
    }
}

static void check_all(const Memory *m, const char *want)
{
    g_autofree uint8_t *buf = g_malloc(m->size + 2 * m->page);
    size_t good = 0, bad = 0, lost;

    g_assert_cmpuint(strlen(want), ==, PAGES);
    check(m, want, m->size);
    check(m, want, 3 * m->page + 5);
    check(m, want, 512);

    for (unsigned i = 0; i < PAGES; i++) {
        *(want[i] == 'L' ? &bad : &good) += m->page;
    }
    memset(buf, 0xee, m->size + 2 * m->page);
    g_assert_cmpuint(dump_pages_read(m->reader, PADDR - m->page, buf,
                                     m->size + 2 * m->page, &lost), ==,
                     good);
    g_assert_cmpuint(lost, ==, bad);
    for (size_t i = 0; i < m->size + 2 * m->page; i++) {
        unsigned n = i / m->page - 1;

        g_assert_cmpuint(buf[i], ==, n < PAGES && want[n] == 'D' ? 1 + n : 0);
    }
}

/* Set @n letters to @c. */
static void put(char *want, unsigned at, unsigned n, char c)
{
    memset(want + at, c, n);
}

static void test_whole(gconstpointer opaque)
{
    const Kind *kind = opaque;
    char want[PAGES + 1] = { 0 };
    Memory m;

    if (kind->method == DUMP_PAGES_COPY && test_skip_unknown_pages()) {
        return;
    }
    memory_map(&m, kind);
    put(want, 0, PAGES, '0');
    put(want, 3, 9, 'D');
    put(want, 40, 1, 'D');
    fill(&m, 3, 9);
    fill(&m, 40, 1);
    memory_open(&m, kind);
    g_assert_cmpint(dump_pages_still_in_place(m.pages), ==,
                    kind->method != DUMP_PAGES_COPY);
    check_all(&m, want);
    memory_free(&m);
}

/* Pages without read permission are lost, though they are present. */
static void test_protected(gconstpointer opaque)
{
    const Kind *kind = opaque;
    char want[PAGES + 1] = { 0 };
    Memory m;

    if (test_skip_unknown_pages()) {
        return;
    }
    memory_map(&m, kind);
    put(want, 0, PAGES, 'D');
    fill(&m, 0, PAGES);
    for (unsigned i = 5; i < PAGES; i += 2 + i % 7) {
        unsigned n = 1 + i % 2;

        n = MIN(n, PAGES - i);
        g_assert_cmpint(mprotect(m.host + i * m.page, n * m.page, PROT_NONE),
                        ==, 0);
        put(want, i, n, 'L');
    }
    memory_open(&m, kind);
    g_assert_false(dump_pages_still_in_place(m.pages));
    check_all(&m, want);
    memory_free(&m);
}

/* The file is truncated after the setup. */
static void test_truncated(gconstpointer opaque)
{
    const Kind *kind = opaque;
    char want[PAGES + 1] = { 0 };
    Memory m;

    if (test_skip_unknown_pages()) {
        return;
    }
    memory_map(&m, kind);
    put(want, 0, PAGES, 'D');
    if (kind->shared) {
        fill(&m, 0, PAGES);
    } else {
        /* Private pages of the process survive. */
        for (unsigned i = 0; i < PAGES; i++) {
            g_autofree uint8_t *page = g_malloc(m.page);

            memset(page, 1 + i, m.page);
            g_assert_cmpint(pwrite(m.fd, page, m.page, i * m.page), ==,
                            m.page);
        }
    }
    memory_open(&m, kind);
    check(&m, want, m.size);
    g_assert_cmpint(ftruncate(m.fd, 20 * m.page), ==, 0);
    put(want, 20, PAGES - 20, 'L');
    check_all(&m, want);
    memory_free(&m);
}

/* Untouched pages beyond the new end are lost, not zero. */
static void test_truncated_hole(gconstpointer opaque)
{
    const Kind *kind = opaque;
    char want[PAGES + 1] = { 0 };
    Memory m;

    if (test_skip_unknown_pages()) {
        return;
    }
    memory_map(&m, kind);
    memory_open(&m, kind);
    g_assert_cmpint(ftruncate(m.fd, 20 * m.page), ==, 0);
    put(want, 0, 20, '0');
    put(want, 20, PAGES - 20, 'L');
    check_all(&m, want);
    memory_free(&m);
}

static void test_none(void)
{
    uint8_t host[64], buf[32], want[32] = { 0 };
    g_autoptr(DumpPagesReader) reader = NULL;
    DumpPages *pages;
    const uint8_t *bytes;
    uint64_t len = 1000;
    size_t lost = 1;
    GuestRam ram;

    memset(host, 0xaa, sizeof(host));
    guest_ram_init(&ram);
    guest_ram_add(&ram, 100, 4, host);
    guest_ram_add(&ram, UINT64_MAX - 7, 8, host + 8);
    guest_ram_seal(&ram);
    pages = dump_pages_still_new(&ram, NULL);
    reader = dump_pages_reader_new(pages, &error_abort);

    g_assert_cmpint(dump_pages_get(reader, 0, &len, &bytes), ==,
                    DUMP_PAGES_NONE);
    g_assert_cmpuint(len, ==, 100);
    len = 1000;
    g_assert_cmpint(dump_pages_get(reader, 104, &len, &bytes), ==,
                    DUMP_PAGES_NONE);
    g_assert_cmpuint(len, ==, 1000);

    g_assert_cmpuint(dump_pages_read(reader, 90, buf, 32, &lost), ==, 4);
    g_assert_cmpuint(lost, ==, 0);
    memset(want + 10, 0xaa, 4);
    g_assert_cmpmem(buf, 32, want, 32);

    g_assert_cmpuint(dump_pages_read(reader, UINT64_MAX - 9, buf, 32, NULL),
                     ==, 8);
    memset(want, 0, 32);
    memset(want + 2, 0xaa, 8);
    g_assert_cmpmem(buf, 32, want, 32);
    g_assert_cmpuint(dump_pages_read(reader, 100, NULL, 0, NULL), ==, 0);

    g_clear_pointer(&reader, dump_pages_reader_free);
    dump_pages_free(pages);
    guest_ram_deinit(&ram);
}

typedef struct Check {
    Memory m;
    const char *want;
} Check;

static gpointer check_thread(gpointer opaque)
{
    const Check *c = opaque;
    Memory m = c->m;

    m.reader = dump_pages_reader_new(m.pages, &error_abort);
    check(&m, c->want, 3 * m.page + 5);
    dump_pages_reader_free(m.reader);
    return NULL;
}

static void test_threads(gconstpointer opaque)
{
    const Kind *kind = opaque;
    char want[PAGES + 1] = { 0 };
    Check c = { .want = want };
    GThread *threads[4];

    if (test_skip_unknown_pages()) {
        return;
    }
    memory_map(&c.m, kind);
    put(want, 0, PAGES, '0');
    put(want, 7, 22, 'D');
    put(want, 9, 1, 'L');
    fill(&c.m, 7, 22);
    g_assert_cmpint(mprotect(c.m.host + 9 * c.m.page, c.m.page, PROT_NONE),
                    ==, 0);
    memory_open(&c.m, kind);
    for (unsigned i = 0; i < ARRAY_SIZE(threads); i++) {
        threads[i] = g_thread_new("check", check_thread, &c);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(threads); i++) {
        g_thread_join(threads[i]);
    }
    memory_free(&c.m);
}

/* Memory of a running guest vanishes between get and the access. */
static void test_running(void)
{
    static const Kind kind = { "running", .file = true, .shared = true,
                               .told = true, .pagemap = true };
    const uint8_t *bytes;
    uint64_t len;
    Memory m;

    if (test_skip_unknown_pages()) {
        return;
    }
    memory_map(&m, &kind);
    fill(&m, 0, PAGES);
    memory_open(&m, &kind);
    dump_pages_reader_free(m.reader);
    dump_pages_free(m.pages);
    m.pages = dump_pages_running_new(&m.ram, m.untouched);
    m.reader = dump_pages_reader_new(m.pages, &error_abort);
    len = m.page;
    g_assert_cmpint(dump_pages_get(m.reader, PADDR, &len, &bytes), ==,
                    DUMP_PAGES_DATA);
    g_assert_cmpuint(len, ==, m.page);
    g_assert_cmpint(ftruncate(m.fd, 0), ==, 0);
    g_assert_cmpuint(bytes[0], ==, 1);
    g_assert_cmpuint(bytes[m.page - 1], ==, 1);
    memory_free(&m);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        GTestDataFunc function;
        bool file;              /* file-backed memory only */
    } tests[] = {
        { "whole", test_whole },
        { "protected", test_protected },
        { "truncated", test_truncated, true },
        { "truncated-hole", test_truncated_hole, true },
        { "threads", test_threads },
    };

    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dump/pages/none", test_none);
    g_test_add_func("/dump/pages/running", test_running);
    for (unsigned i = 0; i < ARRAY_SIZE(tests); i++) {
        for (unsigned k = 0; k < ARRAY_SIZE(kinds); k++) {
            g_autofree char *path = g_strdup_printf("/dump/pages/%s/%s",
                                                    tests[i].name,
                                                    kinds[k].name);

            if (tests[i].file && !kinds[k].file) {
                continue;
            }
            g_test_add_data_func(path, &kinds[k], tests[i].function);
        }
    }
    return g_test_run();
}
