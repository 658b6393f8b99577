/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Detection of untouched memory, without false positives.
 */

#include "qemu/osdep.h"
#include <sys/mman.h>
#include "qemu/units.h"
#include "untouched.h"
#include "dump-test-host.h"

#define SIZE (4 * MiB)

typedef struct Mapping {
    GuestRamBacking backing;
    int fd;
    uint8_t *host;
    size_t page;
    GuestRam ram;
    DumpUntouched *u;
} Mapping;

static void map(Mapping *m, GuestRamBacking backing)
{
    int flags = backing == GUEST_RAM_SHARED_FILE ? MAP_SHARED : MAP_PRIVATE;

    m->backing = backing;
    m->page = qemu_real_host_page_size();
    m->fd = -1;
    if (backing == GUEST_RAM_ANON) {
        flags |= MAP_ANONYMOUS;
    } else {
        m->fd = memfd_create("ram", 0);
        g_assert_cmpint(ftruncate(m->fd, SIZE), ==, 0);
        g_assert_true(dump_untouched_trusts_fd(m->fd));
    }
    m->host = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, flags, m->fd, 0);
    g_assert_true(m->host != MAP_FAILED);
    /* Huge pages would be touched as a whole. */
    madvise(m->host, SIZE, MADV_NOHUGEPAGE);
}

static void seal(Mapping *m, uint64_t paddr, size_t skip)
{
    GuestRamRun run = {
        .paddr = paddr, .size = SIZE - skip, .host = m->host + skip,
        .backing = m->backing, .fd = m->fd, .fd_offset = skip,
    };

    guest_ram_init(&m->ram);
    guest_ram_add_run(&m->ram, &run);
    guest_ram_seal(&m->ram);
    m->u = dump_untouched_new();
}

static void unmap(Mapping *m)
{
    dump_untouched_free(m->u);
    guest_ram_deinit(&m->ram);
    munmap(m->host, SIZE);
    if (m->fd >= 0) {
        close(m->fd);
    }
}

/* Walk all memory; returns the bytes detected as untouched. */
static uint64_t walk(Mapping *m, uint64_t step, const bool *touched)
{
    const GuestRamRun *run = guest_ram_run(&m->ram, 0);
    uint64_t proven = 0;

    for (uint64_t at = 0; at < run->size; ) {
        uint64_t len = MIN(step, run->size - at);
        uint64_t want = len;
        bool untouched = dump_untouched_probe(m->u, &m->ram, run->paddr + at,
                                              &len);

        g_assert_cmpuint(len, >=, 1);
        g_assert_cmpuint(len, <=, want);
        if (untouched) {
            size_t first = (run->host - m->host + at) / m->page;
            size_t last = (run->host - m->host + at + len - 1) / m->page;

            for (size_t i = first; i <= last; i++) {
                g_assert_false(touched[i]);
            }
            proven += len;
        }
        at += len;
    }
    return proven;
}

/* Query from the start of each page, and from inside it. */
static void check_ahead(const Mapping *m, const bool *touched)
{
    const GuestRamRun *run = guest_ram_run(&m->ram, 0);
    uint64_t next = SIZE;       /* touched page, or the end */

    for (uint64_t at = SIZE; at; ) {
        uint64_t n;

        at -= m->page;
        next = touched[at / m->page] ? at : next;
        n = MAX(next, at) - at;
        g_assert_cmpuint(dump_untouched_ahead(m->u, &m->ram, run->paddr + at,
                                              UINT64_MAX), ==, n);
        g_assert_cmpuint(dump_untouched_ahead(m->u, &m->ram, run->paddr + at,
                                              3 * m->page + 5), ==,
                         MIN(n, 3 * m->page + 5));
        g_assert_cmpuint(dump_untouched_ahead(m->u, &m->ram,
                                              run->paddr + at + 100,
                                              UINT64_MAX), ==,
                         n ? n - 100 : 0);
    }
}

/* Shared files need no pagemap. */
static bool skip_kind(gconstpointer kind)
{
    return GPOINTER_TO_INT(kind) != GUEST_RAM_SHARED_FILE &&
           test_skip_unknown_pages();
}

static void test_ahead(gconstpointer opaque)
{
    g_autofree bool *touched = g_new0(bool, SIZE / 4096);
    Mapping m;

    if (skip_kind(opaque)) {
        return;
    }
    map(&m, GPOINTER_TO_INT(opaque));
    for (size_t i = 20; i < SIZE / m.page; i = i * 3 / 2) {
        touched[i] = touched[i + 1] = true;
        m.host[i * m.page] = 1;
        m.host[(i + 1) * m.page + 7] = 1;
    }
    seal(&m, 0x100000, 0);
    check_ahead(&m, touched);
    dump_untouched_set_no_scan(m.u);
    check_ahead(&m, touched);
    /* Not RAM; no information; unknown backing. */
    g_assert_cmpuint(dump_untouched_ahead(m.u, &m.ram, 0xff000, 8192), ==, 0);
    g_assert_cmpuint(dump_untouched_ahead(NULL, &m.ram, 0x100000, 8192), ==,
                     0);
    g_array_index(m.ram.runs, GuestRamRun, 0).backing = GUEST_RAM_OTHER;
    g_assert_cmpuint(dump_untouched_ahead(m.u, &m.ram, 0x100000, 8192), ==,
                     0);
    unmap(&m);
}

/* A range that takes several steps to scan. */
static void test_far_ahead(void)
{
    const size_t size = (size_t)(sizeof(size_t) > 4 ? 5 : 1) << 30;
    GuestRamRun run = { .size = size, .backing = GUEST_RAM_ANON, .fd = -1 };
    uint8_t *host = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE |
                         MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    g_autoptr(DumpUntouched) u = dump_untouched_new();
    const uint64_t end = size - 3 * qemu_real_host_page_size();
    GuestRam ram;

    if (test_skip_unknown_pages()) {
        return;
    }
    g_assert_true(host != MAP_FAILED);
    madvise(host, size, MADV_NOHUGEPAGE);
    run.host = host;
    guest_ram_init(&ram);
    guest_ram_add_run(&ram, &run);
    guest_ram_seal(&ram);
    g_assert_cmpuint(dump_untouched_ahead(u, &ram, 0, UINT64_MAX), ==, size);
    host[end] = 1;
    g_assert_cmpuint(dump_untouched_ahead(u, &ram, 0, UINT64_MAX), ==, end);
    dump_untouched_set_no_scan(u);
    g_assert_cmpuint(dump_untouched_ahead(u, &ram, 0, UINT64_MAX), ==, end);
    guest_ram_deinit(&ram);
    munmap(host, size);
}

static void test_pattern(gconstpointer opaque)
{
    static const uint64_t steps[] = { 1000, 4096, MiB, 64 * MiB };
    g_autofree bool *touched = g_new0(bool, SIZE / 4096);
    size_t n = 0, pages;
    Mapping m;

    if (skip_kind(opaque)) {
        return;
    }
    map(&m, GPOINTER_TO_INT(opaque));
    pages = SIZE / m.page;
    for (size_t i = 0; i < pages; i++) {
        if (i % 7 == 3 || (i > 300 && i < 500)) {
            touched[i] = true;
            m.host[i * m.page + i % m.page] = 1;
            n++;
        }
    }
    seal(&m, 0x100000, 0);
    for (size_t k = 0; k < ARRAY_SIZE(steps); k++) {
        uint64_t proven = walk(&m, steps[k], touched);

        g_assert_cmpuint(proven, <=, (pages - n) * m.page);
        /* Holes after data are found only with steps of one page. */
        if (m.backing == GUEST_RAM_ANON || steps[k] == m.page) {
            g_assert_cmpuint(proven, ==, (pages - n) * m.page);
        }
        g_assert_cmpuint(proven, >, 0);
    }
    unmap(&m);
}

/* A run that starts inside a page, with an unrelated guest address. */
static void test_odd_start(gconstpointer opaque)
{
    g_autofree bool *touched = g_new0(bool, SIZE / 4096);
    Mapping m;

    if (skip_kind(opaque)) {
        return;
    }
    map(&m, GPOINTER_TO_INT(opaque));
    touched[0] = touched[2] = true;
    m.host[0] = m.host[2 * m.page] = 1;
    seal(&m, 0x12345, 100);
    g_assert_cmpuint(walk(&m, 1000, touched), <=, SIZE - 2 * m.page);
    /* At most the rest of a step after each touched page is missed. */
    g_assert_cmpuint(walk(&m, 1000, touched), >, SIZE - 2 * m.page - 2000);
    unmap(&m);
}

/* Zero pages that were written to, or only read. */
static void test_written_zero(gconstpointer opaque)
{
    g_autofree bool *touched = g_new0(bool, SIZE / 4096);
    Mapping m;

    map(&m, GPOINTER_TO_INT(opaque));
    memset(m.host, 1, SIZE);
    memset(m.host, 0, SIZE);
    memset(touched, true, SIZE / 4096);
    seal(&m, 0, 0);
    g_assert_cmpuint(walk(&m, MiB, touched), ==, 0);
    unmap(&m);
}

/* In a private mapping of a file with data, absent pages are not zero. */
static void test_private_of_data(void)
{
    g_autofree bool *touched = g_new0(bool, SIZE / 4096);
    Mapping m;

    if (test_skip_unknown_pages()) {
        return;
    }
    map(&m, GUEST_RAM_PRIVATE_FILE);
    for (size_t i = 0; i < SIZE / m.page; i += 2) {
        g_assert_cmpint(pwrite(m.fd, "x", 1, i * m.page), ==, 1);
        touched[i] = true;
    }
    m.host[m.page] = 1;
    touched[1] = true;
    seal(&m, 0, 0);
    g_assert_cmpuint(walk(&m, m.page, touched), ==, SIZE / 2 - m.page);
    unmap(&m);
}

static void test_nothing_known(void)
{
    g_autofree bool *touched = g_new0(bool, SIZE / 4096);
    uint64_t len = 4096;
    Mapping m;

    map(&m, GUEST_RAM_ANON);
    m.backing = GUEST_RAM_OTHER;
    seal(&m, 0x1000, 0);
    g_assert_cmpuint(walk(&m, MiB, touched), ==, 0);
    g_assert_false(dump_untouched_probe(NULL, &m.ram, 0x1000, &len));
    g_assert_cmpuint(len, ==, 4096);
    /* Not RAM at all. */
    g_assert_false(dump_untouched_probe(m.u, &m.ram, 0, &len));
    g_assert_cmpuint(len, >=, 1);
    unmap(&m);
}

/* Contiguous data gives one result, not one per block. */
static void test_all_data(void)
{
    Mapping m;

    map(&m, GUEST_RAM_SHARED_FILE);
    memset(m.host, 1, SIZE);
    seal(&m, 0, 0);
    for (uint64_t at = 0; at < SIZE; at += MiB) {
        uint64_t len = MiB;

        g_assert_false(dump_untouched_probe(m.u, &m.ram, at, &len));
        g_assert_cmpuint(len, ==, MiB);
    }
    unmap(&m);
}

static void test_trust(void)
{
    int fd = open("/proc/self/status", O_RDONLY);

    g_assert_false(dump_untouched_trusts_fd(fd));
    g_assert_false(dump_untouched_trusts_fd(-1));
    close(fd);
}

/* Huge pages: none, one of this process, one of the file. */
static void test_huge(gconstpointer opaque)
{
    bool shared = GPOINTER_TO_INT(opaque);
    g_autoptr(DumpUntouched) u = dump_untouched_new();
    int fd = memfd_create("huge", MFD_HUGETLB);
    uint8_t *host = MAP_FAILED, *other;
    size_t page = 0;
    struct stat st;

    if (fd >= 0 && fstat(fd, &st) == 0) {
        page = st.st_blksize;
        g_assert_cmpint(ftruncate(fd, 4 * page), ==, 0);
        host = mmap(NULL, 4 * page, PROT_READ | PROT_WRITE,
                    shared ? MAP_SHARED : MAP_PRIVATE, fd, 0);
    }
    if (host == MAP_FAILED) {
        g_test_skip("no free huge pages (/proc/sys/vm/nr_hugepages)");
        close(fd);
        return;
    }
    g_assert_false(dump_untouched_maps_all(NULL, fd, host, 4 * page, shared));
    g_assert_true(dump_untouched_maps_all(u, fd, host, 4 * page, shared));
    host[page] = 1;
    g_assert_true(dump_untouched_maps_all(u, fd, host, 4 * page, shared));

    /* Another user of the file. */
    other = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
                 2 * page);
    g_assert_true(other != MAP_FAILED);
    other[0] = 1;
    g_assert_false(dump_untouched_maps_all(u, fd, host, 4 * page, shared));
    if (shared) {
        g_assert_cmpint(host[2 * page], ==, 1);
        g_assert_true(dump_untouched_maps_all(u, fd, host, 4 * page, true));
    }
    munmap(other, page);
    munmap(host, 4 * page);
    close(fd);
}

static void test_not_huge(void)
{
    g_autoptr(DumpUntouched) u = dump_untouched_new();
    Mapping m;

    map(&m, GUEST_RAM_SHARED_FILE);
    seal(&m, 0, 0);
    g_assert_false(dump_untouched_maps_all(u, m.fd, m.host, SIZE, true));
    g_assert_false(dump_untouched_maps_all(u, -1, m.host, SIZE, true));
    unmap(&m);
}

int main(int argc, char **argv)
{
    static const char *const names[] = {
        [GUEST_RAM_ANON] = "anon",
        [GUEST_RAM_SHARED_FILE] = "shared",
        [GUEST_RAM_PRIVATE_FILE] = "private",
    };

    g_test_init(&argc, &argv, NULL);
    for (int i = GUEST_RAM_ANON; i <= GUEST_RAM_PRIVATE_FILE; i++) {
        g_autofree char *a = g_strdup_printf("/dump/untouched/%s/pattern",
                                             names[i]);
        g_autofree char *b = g_strdup_printf("/dump/untouched/%s/odd-start",
                                             names[i]);
        g_autofree char *c = g_strdup_printf("/dump/untouched/%s/zeroed",
                                             names[i]);
        g_autofree char *d = g_strdup_printf("/dump/untouched/%s/ahead",
                                             names[i]);

        g_test_add_data_func(a, GINT_TO_POINTER(i), test_pattern);
        g_test_add_data_func(d, GINT_TO_POINTER(i), test_ahead);
        g_test_add_data_func(b, GINT_TO_POINTER(i), test_odd_start);
        g_test_add_data_func(c, GINT_TO_POINTER(i), test_written_zero);
    }
    g_test_add_func("/dump/untouched/far-ahead", test_far_ahead);
    g_test_add_func("/dump/untouched/private/data", test_private_of_data);
    g_test_add_func("/dump/untouched/all-data", test_all_data);
    g_test_add_func("/dump/untouched/nothing-known", test_nothing_known);
    g_test_add_func("/dump/untouched/trust", test_trust);
    g_test_add_data_func("/dump/untouched/huge/shared", GINT_TO_POINTER(true),
                         test_huge);
    g_test_add_data_func("/dump/untouched/huge/private",
                         GINT_TO_POINTER(false), test_huge);
    g_test_add_func("/dump/untouched/not-huge", test_not_huge);
    return g_test_run();
}
