/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Selection of the source of VMCOREINFO: the guest's driver, a search of
 * memory, or the result of an earlier search.
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "analyse.h"
#include "dump-test-host.h"
#include "dump-test-notes.h"

#define KERNEL_VADDR    0xffffffffa1000000ULL
#define KERNEL_PADDR    0x200000ULL
#define OTHER_PADDR     0x300000ULL
#define DRIVER_AT       0x5000ULL       /* address that the driver gives */
#define TABLES          0x100000ULL

typedef struct Case {
    TestGuest t;
    DumpFindings findings;
    DumpProgress progress;
    DumpReport report;
    VmcoreInfoFound found;
} Case;

static void case_init(Case *c)
{
    memset(c, 0, sizeof(*c));
    test_guest_init(&c->t, &test_x86_64, 4096);
    test_zero_memory(&c->t, 0, 0x400000);
    dump_findings_init(&c->findings);
    c->findings.threads = 1;
    c->findings.want_search = true;
    c->findings.paging = g_array_new(false, false, sizeof(X86Paging));
    dump_progress_init(&c->progress);
    dump_report_init(&c->report);
    c->t.g.report = &c->report;
}

static void case_deinit(Case *c)
{
    g_free(c->found.text);
    dump_findings_deinit(&c->findings);
    test_guest_deinit(&c->t);
    dump_report_deinit(&c->report);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Case, case_deinit)

static char *text_of(uint64_t paddr)
{
    return test_kernel_text("6.1.0", KERNEL_VADDR, paddr);
}

/* Put a kernel at @paddr and its note at @at. */
static void put_kernel(Case *c, uint64_t paddr, uint64_t at)
{
    g_autofree char *text = text_of(paddr);

    test_put_kernel(&c->t, paddr, "6.1.0");
    test_put_note(&c->t, at, text);
}

/* The driver publishes the note of the kernel at @paddr. */
static void tell(Case *c, uint64_t paddr)
{
    g_autofree char *text = text_of(paddr);
    GByteArray *note = g_byte_array_new();

    elf_note_append(note, &c->t.g.abi, "OTHER", 7, "abc", 3);
    elf_note_append(note, &c->t.g.abi, "VMCOREINFO", 0, text, strlen(text));
    c->findings.guest_note = note;
    c->findings.guest_note_paddr = DRIVER_AT;
}

/* Add a CPU whose page tables map its kernel to @paddr. */
static void add_cpu(Case *c, uint64_t paddr)
{
    static const unsigned shifts[] = { 39, 30, 21 };
    X86Paging p = { .mode = X86_PAGING_4LEVEL, .root = TABLES };

    for (unsigned i = 0; i < 3; i++) {
        uint64_t entry = i < 2 ? (TABLES + (i + 1) * 4096) | 3 : paddr | 0x83;
        uint8_t bytes[8];

        stq_le_p(bytes, entry);
        test_put(&c->t, TABLES + i * 4096 +
                 (KERNEL_VADDR >> shifts[i]) % 512 * 8, bytes, 8);
    }
    g_array_append_val(c->findings.paging, p);
}

static bool look(Case *c, Error **errp)
{
    dump_guest_seal(&c->t.g, 0, 0);
    return dump_guest_find_vmcoreinfo(&c->t.g, &c->findings, &c->progress,
                                      &c->found, errp);
}

/* @warning: part of the single expected warning; NULL for none. */
static void check(Case *c, uint64_t kernel, uint64_t at, bool searched,
                  const char *warning)
{
    g_autofree char *text = text_of(kernel);
    g_auto(GStrv) warnings = NULL;

    g_assert_true(look(c, &error_abort));
    g_assert_cmpstr(c->found.text, ==, kernel ? text : NULL);
    g_assert_cmphex(c->found.paddr, ==, at);
    g_assert_cmpuint(c->found.size, ==, kernel ? 24 + strlen(text) : 0);
    g_assert_cmpint(c->found.searched, ==, searched);
    g_assert_cmpint(c->t.g.vmcoreinfo_searched, ==, searched);
    warnings = dump_report_warnings(&c->report);
    g_assert_cmpuint(g_strv_length(warnings), ==, warning ? 1 : 0);
    if (warning) {
        g_assert_nonnull(strstr(warnings[0], warning));
    }
}

static void test_none(void)
{
    g_auto(Case) c;

    case_init(&c);
    check(&c, 0, 0, false, "guest memory has no VMCOREINFO");
}

static void test_not_searched(void)
{
    g_auto(Case) c;

    case_init(&c);
    put_kernel(&c, KERNEL_PADDR, 0x8000);
    c.findings.want_search = false;
    c.findings.note_awaited = true;
    check(&c, 0, 0, false, "guest note is not present");
}

static void test_search(void)
{
    for (unsigned running = 0; running < 2; running++) {
        g_auto(Case) c;

        case_init(&c);
        c.t.g.running = running;
        put_kernel(&c, KERNEL_PADDR, 0x8000);
        check(&c, KERNEL_PADDR, 0x8000, true, NULL);
        g_assert_cmphex(c.t.g.vmcoreinfo_place, ==, 0x8000);
    }
}

static void test_driver(void)
{
    g_auto(Case) c;

    case_init(&c);
    put_kernel(&c, KERNEL_PADDR, 0x8000);
    tell(&c, KERNEL_PADDR);
    /* After a note of 24 bytes. */
    check(&c, KERNEL_PADDR, DRIVER_AT + 24, false, NULL);
}

/* kexec: the driver's kernel is no longer in memory. */
static void test_driver_gone(void)
{
    g_auto(Case) c;

    case_init(&c);
    put_kernel(&c, KERNEL_PADDR, 0x8000);
    tell(&c, OTHER_PADDR);
    check(&c, KERNEL_PADDR, 0x8000, true, "is used instead");
}

/* kexec: the driver's kernel is in memory, but another one runs. */
static void test_driver_idle(void)
{
    for (unsigned place = 0; place < 2; place++) {
        g_auto(Case) c;

        case_init(&c);
        put_kernel(&c, OTHER_PADDR, 0x9000);
        put_kernel(&c, KERNEL_PADDR, 0x8000);
        tell(&c, OTHER_PADDR);
        add_cpu(&c, KERNEL_PADDR);
        c.findings.has_place = place;
        c.findings.place = 0x8000;
        check(&c, KERNEL_PADDR, 0x8000, true, "no CPU runs its kernel");
    }
}

/* The driver's kernel does not run, but no other note is found. */
static void test_driver_idle_only(void)
{
    g_auto(Case) c;

    case_init(&c);
    put_kernel(&c, OTHER_PADDR, 0x9000);
    tell(&c, OTHER_PADDR);
    add_cpu(&c, KERNEL_PADDR);
    check(&c, OTHER_PADDR, DRIVER_AT + 24, false, NULL);
}

/* A crash kernel runs: the note of the crashed kernel is used. */
static void test_driver_crashed(void)
{
    g_autofree char *text = text_of(OTHER_PADDR);
    g_autofree char *longer = g_strconcat(text, "CRASHTIME=1\n", NULL);
    g_auto(Case) c;

    case_init(&c);
    put_kernel(&c, OTHER_PADDR, 0x9000);
    put_kernel(&c, KERNEL_PADDR, 0x8000);
    add_cpu(&c, KERNEL_PADDR);
    c.findings.guest_note = g_byte_array_new();
    elf_note_append(c.findings.guest_note, &c.t.g.abi, "VMCOREINFO", 0,
                    longer, strlen(longer));
    g_assert_true(look(&c, &error_abort));
    g_assert_cmpstr(c.found.text, ==, longer);
    g_assert_false(c.found.searched);
}

static void test_driver_gone_only(void)
{
    g_auto(Case) c;

    case_init(&c);
    c.findings.want_search = false;
    tell(&c, OTHER_PADDR);
    check(&c, OTHER_PADDR, DRIVER_AT + 24, false, "does not match it");
}

static void test_driver_without(void)
{
    g_auto(Case) c;

    case_init(&c);
    c.findings.want_search = false;
    c.findings.guest_note = g_byte_array_new();
    elf_note_append(c.findings.guest_note, &c.t.g.abi, "OTHER", 7, "abc", 3);
    check(&c, 0, 0, false, "guest note has no VMCOREINFO");
}

/* The text returned ends at the first zero byte. */
static void test_text_ends(void)
{
    g_autofree char *text = text_of(KERNEL_PADDR);
    g_autoptr(GByteArray) longer = g_byte_array_new();
    g_auto(Case) c;

    case_init(&c);
    g_byte_array_append(longer, (uint8_t *)text, strlen(text));
    g_byte_array_append(longer, (const uint8_t *)"\0more", 5);
    c.findings.guest_note = g_byte_array_new();
    elf_note_append(c.findings.guest_note, &c.t.g.abi, "VMCOREINFO", 0,
                    longer->data, longer->len);
    g_assert_true(look(&c, &error_abort));
    g_assert_cmpstr(c.found.text, ==, text);
    g_assert_cmpuint(c.found.size, ==, 24 + longer->len);
}

static void test_cancelled(void)
{
    g_auto(Case) c;
    Error *err = NULL;

    case_init(&c);
    put_kernel(&c, KERNEL_PADDR, 0x8000);
    add_cpu(&c, KERNEL_PADDR);
    dump_progress_cancel(&c.progress);
    g_assert_false(look(&c, &err));
    error_free(err);
    g_assert_null(c.found.text);
}

/* No search is made: it would fail, as the query is cancelled. */
static void test_known_place(void)
{
    g_auto(Case) c;

    case_init(&c);
    put_kernel(&c, KERNEL_PADDR, 0x8000);
    add_cpu(&c, KERNEL_PADDR);
    c.findings.has_place = true;
    c.findings.place = 0x8000;
    dump_progress_cancel(&c.progress);
    check(&c, KERNEL_PADDR, 0x8000, true, NULL);
}

/* The kernel found earlier does not run any more, or is gone. */
static void test_known_place_outdated(void)
{
    static const uint64_t places[] = { 0x9000, 0xa000, UINT64_MAX };

    for (unsigned i = 0; i < ARRAY_SIZE(places); i++) {
        g_auto(Case) c;

        case_init(&c);
        put_kernel(&c, KERNEL_PADDR, 0x8000);
        put_kernel(&c, OTHER_PADDR, 0x9000);
        add_cpu(&c, KERNEL_PADDR);
        c.findings.has_place = true;
        c.findings.place = places[i];
        check(&c, KERNEL_PADDR, 0x8000, true, NULL);
    }
}

/* Without a CPU that confirms the kernel, memory is searched again. */
static void test_known_place_silent(void)
{
    g_auto(Case) c;

    case_init(&c);
    put_kernel(&c, KERNEL_PADDR, 0x8000);
    put_kernel(&c, OTHER_PADDR, 0x9000);
    c.findings.has_place = true;
    c.findings.place = 0x8000;
    check(&c, 0, 0, false, "2 kernels");
}

/* A guest whose memory is untouched except for the byte at @touched. */
static uint8_t *sparse_init(Case *c, uint64_t paddr, uint64_t size,
                            uint64_t touched)
{
    GuestRamRun run = {
        .paddr = paddr, .size = size, .backing = GUEST_RAM_ANON, .fd = -1,
    };
    uint8_t *host = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE |
                         MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    g_assert_true(host != MAP_FAILED);
    madvise(host, size, MADV_NOHUGEPAGE);
    host[touched] = 1;
    memset(c, 0, sizeof(*c));
    test_guest_init(&c->t, &test_x86_64, 4096);
    run.host = host;
    guest_ram_add_run(&c->t.g.all, &run);
    c->t.g.untouched = dump_untouched_new();
    dump_findings_init(&c->findings);
    c->findings.threads = 1;
    c->findings.dump_level = 1;
    c->findings.paging = g_array_new(false, false, sizeof(X86Paging));
    dump_progress_init(&c->progress);
    dump_report_init(&c->report);
    c->t.g.report = &c->report;
    dump_guest_seal(&c->t.g, 0, 0);
    return host;
}

/* Exactly the page frames [@first, @first + @count) are excluded. */
static void check_left_out(Case *c, uint64_t first, uint64_t count)
{
    const DumpGuest *g = &c->t.g;
    uint64_t end = guest_ram_max_pfn(&g->ram, 4096);
    PfnRun run;

    g_assert_true(dump_guest_analyse(&c->t.g, &c->findings, &c->progress,
                                     &error_abort));
    g_assert_cmpuint(g->dump_level, ==, 1);
    g_assert_cmpuint(dump_report_class(g->report, PAGE_CLASS_ZERO), ==,
                     count * 4096);
    if (!count) {
        g_assert_null(g->kept);
        return;
    }
    g_assert_true(pfn_set_next(g->kept, 0, UINT64_MAX, &run));
    g_assert_cmpuint(run.first, ==, g->ram.runs->len ?
                     guest_ram_run(&g->ram, 0)->paddr / 4096 : 0);
    g_assert_cmpuint(run.first + run.count, ==, first);
    if (first + count == end) {
        g_assert_false(pfn_set_next(g->kept, first, UINT64_MAX, &run));
        return;
    }
    g_assert_true(pfn_set_next(g->kept, first, UINT64_MAX, &run));
    g_assert_cmpuint(run.first, ==, first + count);
    g_assert_cmpuint(run.first + run.count, ==, end);
}

static void test_zero(void)
{
    static const struct {
        uint64_t paddr, size, touched, first, count;
    } cases[] = {
        /* The untouched range after or before it is long enough, or neither. */
        { 0, 5 * GiB, 0, 0x200, 0x140000 - 0x200 },
        { 0x10000, 6 * GiB, 4 * GiB + 0x5000, 0x11, 0x100004 },
        { 0, 6 * GiB, 3 * GiB, 0, 0 },
        /* Memory starts and ends inside a page. */
        { 0x10800, 5 * GiB, 4 * GiB + 0xf000, 0x11, 0x10000e },
        { 0x10800, 5 * GiB, 5 * GiB - 1, 0x11, 0x13fffe },
    };

    if (test_skip_unknown_pages()) {
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        g_auto(Case) c;
        uint8_t *host = sparse_init(&c, cases[i].paddr, cases[i].size,
                                    cases[i].touched);

        check_left_out(&c, cases[i].first, cases[i].count);
        munmap(host, cases[i].size);
    }
}

/* All that precedes the untouched range, and more, is excluded already. */
static void test_zero_after_others(void)
{
    const PfnRun rest = { .first = 0x148800, .count = 0x100 };
    uint64_t size = 6 * GiB;
    g_auto(Case) c;
    uint8_t *host = sparse_init(&c, 0, size, 0x148000000);

    c.t.g.kept = pfn_set_new(&rest, 1, &error_abort);
    g_assert_true(dump_guest_analyse(&c.t.g, &c.findings, &c.progress,
                                     &error_abort));
    g_assert_cmpuint(pfn_set_count(c.t.g.kept), ==, 0x100);
    g_assert_cmpuint(pfn_set_nth(c.t.g.kept, 0xff), ==, 0x1488ff);
    munmap(host, size);
}

static void test_zero_cancelled(void)
{
    uint64_t size = 5 * GiB;
    Error *err = NULL;
    g_auto(Case) c;
    uint8_t *host = sparse_init(&c, 0, size, 0);

    dump_progress_cancel(&c.progress);
    g_assert_false(dump_guest_analyse(&c.t.g, &c.findings, &c.progress,
                                      &err));
    g_assert_cmpstr(error_get_pretty(err), ==, "dump: cancelled");
    error_free(err);
    munmap(host, size);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    /* These map more than the address space of a 32-bit host. */
    if (sizeof(size_t) > 4) {
        g_test_add_func("/dump/analyse/zero", test_zero);
        g_test_add_func("/dump/analyse/zero-after-others",
                        test_zero_after_others);
        g_test_add_func("/dump/analyse/zero-cancelled", test_zero_cancelled);
    }
    g_test_add_func("/dump/analyse/none", test_none);
    g_test_add_func("/dump/analyse/not-searched", test_not_searched);
    g_test_add_func("/dump/analyse/search", test_search);
    g_test_add_func("/dump/analyse/driver", test_driver);
    g_test_add_func("/dump/analyse/driver-gone", test_driver_gone);
    g_test_add_func("/dump/analyse/driver-idle", test_driver_idle);
    g_test_add_func("/dump/analyse/driver-idle-only", test_driver_idle_only);
    g_test_add_func("/dump/analyse/driver-crashed", test_driver_crashed);
    g_test_add_func("/dump/analyse/driver-gone-only", test_driver_gone_only);
    g_test_add_func("/dump/analyse/driver-without", test_driver_without);
    g_test_add_func("/dump/analyse/text-ends", test_text_ends);
    g_test_add_func("/dump/analyse/cancelled", test_cancelled);
    g_test_add_func("/dump/analyse/known-place", test_known_place);
    g_test_add_func("/dump/analyse/known-place-outdated",
                    test_known_place_outdated);
    g_test_add_func("/dump/analyse/known-place-silent",
                    test_known_place_silent);
    return g_test_run();
}
