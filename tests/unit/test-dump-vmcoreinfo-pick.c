/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Selection of the running kernel among several.
 */

#include "qemu/osdep.h"
#include "dump-test-notes.h"
#include "vmcoreinfo-pick.h"

#define KERNEL_VADDR    0xffffffffa1000000ULL

typedef struct Case {
    TestGuest t;
    GPtrArray *notes;
    GArray *paging;
    DumpReport report;
} Case;

static void note_free(void *note)
{
    vmcoreinfo_note_free(note);
}

static void case_init(Case *c)
{
    test_guest_init(&c->t, &test_x86_64, 4096);
    test_zero_memory(&c->t, 0, 0x400000);
    dump_guest_seal(&c->t.g, 0, 0);
    c->notes = g_ptr_array_new_with_free_func(note_free);
    c->paging = g_array_new(false, false, sizeof(X86Paging));
    dump_report_init(&c->report);
    c->t.g.report = &c->report;
}

static void case_deinit(Case *c)
{
    g_ptr_array_unref(c->notes);
    g_array_unref(c->paging);
    test_guest_deinit(&c->t);
    dump_report_deinit(&c->report);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Case, case_deinit)

/* Put a kernel at @paddr and its note, with @more appended, at @at. */
static void add_kernel(Case *c, uint64_t at, uint64_t paddr,
                       const char *release, const char *more)
{
    g_autofree char *text = test_kernel_text(release, KERNEL_VADDR, paddr);
    g_autofree char *longer = g_strconcat(text, more, NULL);
    g_autoptr(DumpPagesReader) mem = dump_pages_reader_new(c->t.g.pages,
                                                           &error_abort);
    VmcoreInfoNote *note;

    test_put_kernel(&c->t, paddr, release);
    test_put_note(&c->t, at, longer);
    note = vmcoreinfo_note_at(&c->t.g, mem, at);
    g_assert_nonnull(note);
    g_ptr_array_add(c->notes, note);
}

static void put_entry(Case *c, uint64_t table, uint64_t vaddr,
                      unsigned shift, uint64_t entry)
{
    uint8_t bytes[8];

    stq_le_p(bytes, entry);
    test_put(&c->t, table + (vaddr >> shift) % 512 * 8, bytes, 8);
}

/* Add a CPU with CR3 @root; its table maps kernels to @paddr, if not 0. */
static void add_cpu(Case *c, uint64_t root, uint64_t table, uint64_t paddr)
{
    X86Paging p = { .mode = X86_PAGING_4LEVEL, .root = root };

    g_array_append_val(c->paging, p);
    if (paddr) {
        put_entry(c, table, KERNEL_VADDR, 39, (table + 0x2000) | 1);
        put_entry(c, table + 0x2000, KERNEL_VADDR, 30, (table + 0x3000) | 1);
        put_entry(c, table + 0x3000, KERNEL_VADDR, 21, (table + 0x4000) | 1);
        put_entry(c, table + 0x4000, KERNEL_VADDR + TEST_UTS_OFFSET, 12,
                  (paddr + TEST_UTS_OFFSET) | 1);
    }
}

/* @at: address of the selected note, 0 for none. @says: the warning. */
static void check(Case *c, uint64_t at, const char *says)
{
    g_autoptr(DumpPagesReader) mem = dump_pages_reader_new(c->t.g.pages,
                                                           &error_abort);
    const VmcoreInfoNote *note = vmcoreinfo_pick(&c->t.g, mem, c->paging,
                                                 c->notes);
    g_auto(GStrv) warnings = dump_report_warnings(&c->report);

    g_assert_cmphex(note ? note->paddr : 0, ==, at);
    g_assert_cmpuint(g_strv_length(warnings), ==, says != NULL);
    g_assert_true(!says || strstr(warnings[0], says));
}

static void test_none(void)
{
    g_auto(Case) c;

    case_init(&c);
    add_cpu(&c, 0x100000, 0x100000, 0x10000);
    check(&c, 0, NULL);
}

static void test_runs(void)
{
    g_auto(Case) c;

    case_init(&c);
    add_kernel(&c, 0x8000, 0x10000, "6.1.0", "");
    add_cpu(&c, 0x100000, 0x100000, 0x10000);
    check(&c, 0x8000, NULL);
}

/* kexec: both kernels and their notes are in memory. */
static void test_two(void)
{
    for (unsigned second = 0; second < 2; second++) {
        g_auto(Case) c;

        case_init(&c);
        add_kernel(&c, 0x8000, 0x10000, "6.1.0", "CRASHTIME=5\n");
        add_kernel(&c, 0x9000, 0x20000, "6.1.0", "");
        add_cpu(&c, 0, 0, 0);                   /* not started yet */
        add_cpu(&c, 0x100000, 0x100000, second ? 0x20000 : 0x10000);
        check(&c, second ? 0x9000 : 0x8000, NULL);
    }
}

/* There is one note, but its kernel is not mapped by the CPU. */
static void test_denied(void)
{
    g_auto(Case) c;

    case_init(&c);
    add_kernel(&c, 0x8000, 0x10000, "6.1.0", "");
    add_cpu(&c, 0x100000, 0x100000, 0x20000);
    check(&c, 0, "no CPU runs");
}

/* One CPU uses other tables, for example for a nested guest. */
static void test_one_cpu_of_two(void)
{
    g_auto(Case) c;

    case_init(&c);
    add_kernel(&c, 0x8000, 0x10000, "6.1.0", "");
    add_cpu(&c, 0x100000, 0x100000, 0x20000);
    add_cpu(&c, 0x110000, 0x110000, 0x10000);
    check(&c, 0x8000, NULL);
}

static void test_silent(void)
{
    g_auto(Case) c;

    case_init(&c);
    add_kernel(&c, 0x8000, 0x10000, "6.1.0", "");
    add_cpu(&c, 0x100000, 0x100000, 0);
    check(&c, 0x8000, "no CPU's page tables map");
}

/* Paging is disabled or unknown. */
static void test_nobody_to_ask(void)
{
    g_auto(Case) c;

    case_init(&c);
    add_kernel(&c, 0x8000, 0x10000, "6.1.0", "");
    check(&c, 0x8000, NULL);
    add_kernel(&c, 0x9000, 0x20000, "6.1.0", "");
    check(&c, 0, "2 kernels");
}

static void test_32bit_cpu(void)
{
    X86Paging p = { .mode = X86_PAGING_PAE, .root = 0x100000 };
    g_auto(Case) c;

    case_init(&c);
    add_kernel(&c, 0x8000, 0x10000, "6.1.0", "");
    g_array_append_val(c.paging, p);
    check(&c, 0x8000, "no CPU's page tables map");
}

/* CPU in user mode, with page table isolation. */
static void test_pti(void)
{
    g_auto(Case) c;

    case_init(&c);
    add_kernel(&c, 0x8000, 0x10000, "6.1.0", "");
    add_kernel(&c, 0x9000, 0x20000, "6.1.0", "");
    add_cpu(&c, 0x101000, 0x100000, 0x20000);
    check(&c, 0x9000, NULL);
}

/* A copy of the note from before the crash appended to it. */
static void test_goes_on(void)
{
    for (unsigned order = 0; order < 2; order++) {
        g_auto(Case) c;

        case_init(&c);
        add_kernel(&c, 0x8000, 0x10000, "6.1.0", order ? "" : "CRASHTIME=1");
        add_kernel(&c, 0x9000, 0x10000, "6.1.0", order ? "CRASHTIME=1" : "");
        add_cpu(&c, 0x100000, 0x100000, 0x10000);
        check(&c, order ? 0x9000 : 0x8000, NULL);
    }
}

/* Two different notes of the same kernel. */
static void test_contradiction(void)
{
    g_auto(Case) c;

    case_init(&c);
    add_kernel(&c, 0x8000, 0x10000, "6.1.0", "SIZE(page)=64\n");
    add_kernel(&c, 0x9000, 0x10000, "6.1.0", "SIZE(page)=56\n");
    add_cpu(&c, 0x100000, 0x100000, 0x10000);
    check(&c, 0, "2 kernels");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dump/vmcoreinfo-pick/none", test_none);
    g_test_add_func("/dump/vmcoreinfo-pick/runs", test_runs);
    g_test_add_func("/dump/vmcoreinfo-pick/two", test_two);
    g_test_add_func("/dump/vmcoreinfo-pick/denied", test_denied);
    g_test_add_func("/dump/vmcoreinfo-pick/one-cpu-of-two",
                    test_one_cpu_of_two);
    g_test_add_func("/dump/vmcoreinfo-pick/silent", test_silent);
    g_test_add_func("/dump/vmcoreinfo-pick/nobody-to-ask",
                    test_nobody_to_ask);
    g_test_add_func("/dump/vmcoreinfo-pick/32bit-cpu", test_32bit_cpu);
    g_test_add_func("/dump/vmcoreinfo-pick/pti", test_pti);
    g_test_add_func("/dump/vmcoreinfo-pick/goes-on", test_goes_on);
    g_test_add_func("/dump/vmcoreinfo-pick/contradiction",
                    test_contradiction);
    return g_test_run();
}
