/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The search for VMCOREINFO: valid notes, invalid notes, and obstacles that a
 * guest may create.
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "dump-test-host.h"
#include "dump-test-notes.h"

#define KERNEL_VADDR    0xffffffffa1000000ULL
#define KERNEL_PADDR    0x3000000ULL
#define NOTE_PADDR      0x2345000ULL
/* Three pieces, the last one incomplete. */
#define MEMORY_SIZE     (2 * VMCOREINFO_SCAN_PIECE + 0x1800000)

/* A guest of MEMORY_SIZE bytes with a kernel. Returns the note's text. */
static char *guest_init(TestGuest *t)
{
    test_guest_init(t, &test_x86_64, 4096);
    test_zero_memory(t, 0, MEMORY_SIZE);
    test_put_kernel(t, KERNEL_PADDR, "6.1.0");
    return test_kernel_text("6.1.0", KERNEL_VADDR, KERNEL_PADDR);
}

static GPtrArray *scan(TestGuest *t, unsigned threads, bool *whole)
{
    DumpProgress progress;

    if (!t->g.pages) {
        dump_guest_seal(&t->g, 0, 0);
    }
    dump_progress_init(&progress);
    return vmcoreinfo_scan(&t->g, threads, &progress, whole, &error_abort);
}

/* Check the number and addresses of the notes found. */
static void check(TestGuest *t, const uint64_t *places, guint n)
{
    for (unsigned threads = 1; threads <= 4; threads++) {
        bool whole;
        g_autoptr(GPtrArray) notes = scan(t, threads, &whole);

        g_assert_true(whole);
        g_assert_cmpuint(notes->len, ==, n);
        for (guint i = 0; i < n; i++) {
            const VmcoreInfoNote *note = g_ptr_array_index(notes, i);

            g_assert_cmphex(note->paddr, ==, places[i]);
        }
    }
}

static void check_one(TestGuest *t, uint64_t place)
{
    check(t, &place, 1);
}

static void test_one(void)
{
    g_auto(TestGuest) t;
    g_autofree char *text = guest_init(&t);
    const VmcoreInfoNote *note;
    g_autoptr(GPtrArray) notes = NULL;
    bool whole;

    test_put_note(&t, NOTE_PADDR, text);
    check_one(&t, NOTE_PADDR);
    notes = scan(&t, 2, &whole);
    note = g_ptr_array_index(notes, 0);
    g_assert_cmpmem(note->text, note->size, text, strlen(text));
    g_assert_cmpuint(note->bytes->len, ==, 24 + strlen(text));
    g_assert_cmpstr(vmcoreinfo_get(note->info, "OSRELEASE"), ==, "6.1.0");
}

static void test_known_place(void)
{
    g_auto(TestGuest) t;
    g_autofree char *text = guest_init(&t);
    g_autoptr(VmcoreInfoNote) note = NULL;
    g_autoptr(DumpPagesReader) mem = NULL;

    test_put_note(&t, NOTE_PADDR, text);
    dump_guest_seal(&t.g, 0, 0);
    mem = dump_pages_reader_new(t.g.pages, &error_abort);
    note = vmcoreinfo_note_at(&t.g, mem, NOTE_PADDR);
    g_assert_cmphex(note->paddr, ==, NOTE_PADDR);
    g_assert_null(vmcoreinfo_note_at(&t.g, mem, NOTE_PADDR + 4));
    g_assert_null(vmcoreinfo_note_at(&t.g, mem, MEMORY_SIZE - 4));
    g_assert_null(vmcoreinfo_note_at(&t.g, mem, UINT64_MAX));
}

static void test_none(void)
{
    g_auto(TestGuest) t;
    g_autofree char *text = guest_init(&t);

    check(&t, NULL, 0);
}

static void test_no_memory(void)
{
    g_auto(TestGuest) t;

    test_guest_init(&t, &test_x86_64, 4096);
    check(&t, NULL, 0);
}

/* First and last page of a piece and of all memory. */
static void test_edges(void)
{
    static const uint64_t places[] = {
        0, VMCOREINFO_SCAN_PIECE - 4096, VMCOREINFO_SCAN_PIECE,
        MEMORY_SIZE - 4096,
    };

    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        g_auto(TestGuest) t;
        g_autofree char *text = guest_init(&t);

        test_put_note(&t, places[i], text);
        check_one(&t, places[i]);
    }
}

/* A note that extends into the next piece and the next run. */
static void test_across(void)
{
    g_autofree char *filler = g_strnfill(3000, 'x');
    g_auto(TestGuest) t;
    g_autofree char *text, *longer;

    test_guest_init(&t, &test_x86_64, 4096);
    test_zero_memory(&t, 0x1000, VMCOREINFO_SCAN_PIECE);
    test_zero_memory(&t, 0x1000 + VMCOREINFO_SCAN_PIECE, 0x900);
    test_zero_memory(&t, 0x1900 + VMCOREINFO_SCAN_PIECE, 0x10008);
    test_put_kernel(&t, 0x4000, "6.1.0");
    text = test_kernel_text("6.1.0", KERNEL_VADDR, 0x4000);
    longer = g_strconcat(text, filler, NULL);
    test_put_note(&t, 0x1000 + VMCOREINFO_SCAN_PIECE, longer);
    check_one(&t, 0x1000 + VMCOREINFO_SCAN_PIECE);
}

/* Unaligned runs, one of them shorter than a header. */
static void test_odd_runs(void)
{
    g_auto(TestGuest) t;
    g_autofree char *text;

    test_guest_init(&t, &test_x86_64, 4096);
    test_zero_memory(&t, 0x1ff0, 0x18);
    test_zero_memory(&t, 0x2008, 0x9000);
    test_zero_memory(&t, 0xfffffffffffff000, 0x1000);
    test_put_kernel(&t, 0x4000, "6.1.0");
    text = test_kernel_text("6.1.0", KERNEL_VADDR, 0x4000);
    test_put_note(&t, 0x2000, text);
    check_one(&t, 0x2000);
}

/* Notes of a big-endian guest. */
static void test_big_endian(void)
{
    static const DumpAbi ppc64 = { ELFCLASS64, ELFDATA2MSB, EM_PPC64 };
    g_auto(TestGuest) t;

    test_guest_init(&t, &ppc64, 65536);
    test_zero_memory(&t, 0, 0x100000);
    test_put_kernel(&t, 0x4000, "6.1.0");
    test_put_note(&t, 0x30000, "OSRELEASE=6.1.0\nPAGESIZE=65536\n"
                  "SYMBOL(init_uts_ns)=c000000000006000\n"
                  "OFFSET(uts_namespace.name)=4\n");
    check_one(&t, 0x30000);
}

/* Duplicates count once; different text makes a different note. */
static void test_several(void)
{
    static const uint64_t places[] = { 0x8000, 0x9000, MEMORY_SIZE - 8192 };
    g_auto(TestGuest) t;
    g_autofree char *text = guest_init(&t);
    g_autofree char *panic = g_strconcat(text, "CRASHTIME=1\n", NULL);
    g_autofree char *second = test_kernel_text("5.10.0", KERNEL_VADDR,
                                               0x400000);

    test_put_kernel(&t, 0x400000, "5.10.0");
    test_put_note(&t, 0x8000, text);
    test_put_note(&t, 0x9000, panic);
    test_put_note(&t, 0xa000, text);
    test_put_note(&t, VMCOREINFO_SCAN_PIECE, panic);
    test_put_note(&t, VMCOREINFO_SCAN_PIECE + 4096, text);
    test_put_note(&t, MEMORY_SIZE - 8192, second);
    check(&t, places, ARRAY_SIZE(places));
}

/* Invalid notes. */
static void test_false_notes(void)
{
    static const char *const not[][2] = {
        { "OSRELEASE", "OSRELEASX" },
        { "PAGESIZE", "PAGESIZX" },
        { "PAGESIZE=4096", "PAGESIZE=4097" },
        { "PAGESIZE=4096", "PAGESIZE=-4096" },
        { "PAGESIZE=4096", "PAGESIZE=64" },     /* the text is longer */
        { "PAGESIZE=4096", "PAGESIZE=0000" },
        { "=6.1.0", "=6.1.1" },
        { "init_uts_ns", "init_uts_nS" },
        { "phys_base)=", "phys_base)=1" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(not); i++) {
        g_auto(TestGuest) t;
        g_autofree char *text = guest_init(&t);
        g_auto(GStrv) parts = g_strsplit(text, not[i][0], 2);
        g_autofree char *bad = g_strjoinv(not[i][1], parts);

        g_assert_cmpstr(text, !=, bad);
        test_put_note(&t, NOTE_PADDR, bad);
        check(&t, NULL, 0);
    }
}

/* Wrong name, type, alignment or size. */
static void test_false_headers(void)
{
    static const struct {
        unsigned at;
        uint8_t byte;
    } not[] = {
        { 0, 10 }, { 0, 12 }, { 3, 1 }, { 6, 2 }, { 7, 0x80 }, { 8, 1 },
        { 11, 1 }, { 12, 'v' }, { 21, 'x' }, { 22, 'x' }, { 23, 'x' },
    };

    for (size_t i = 0; i < ARRAY_SIZE(not); i++) {
        g_auto(TestGuest) t;
        g_autofree char *text = guest_init(&t);

        test_put_note(&t, NOTE_PADDR, text);
        test_put(&t, NOTE_PADDR + not[i].at, &not[i].byte, 1);
        check(&t, NULL, 0);
    }
}

/* Not at the start of a page; or memory ends inside the note. */
static void test_places(void)
{
    static const uint64_t places[] = {
        NOTE_PADDR + 4, NOTE_PADDR + 2048, NOTE_PADDR - 24,
    };

    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        g_auto(TestGuest) t;
        g_autofree char *text = guest_init(&t);

        test_put_note(&t, places[i], text);
        check(&t, NULL, 0);
    }
}

static void test_truncated(void)
{
    static const uint64_t sizes[] = { 1, 23, 24, 40, 100 };

    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        g_auto(TestGuest) t;
        g_autofree char *text = guest_init(&t);

        test_zero_memory(&t, 0x100000000, 0x1000 + sizes[i]);
        test_put_note(&t, 0x100001000, text);
        check(&t, NULL, 0);
    }
}

/* Every page is a note with maximum text; one of them is valid. */
static void test_full_of_notes(void)
{
    g_auto(TestGuest) t;
    g_autofree char *text = guest_init(&t);
    g_autofree char *lie = test_kernel_text("6.1.0", KERNEL_VADDR,
                                            KERNEL_PADDR + 0x1000);
    g_autofree char *filler = g_strnfill(4096 - 24 - strlen(lie), 'x');
    g_autofree char *page = g_strconcat(lie, filler, NULL);

    for (uint64_t at = 0; at < MEMORY_SIZE; at += 4096) {
        if (at < KERNEL_PADDR || at >= KERNEL_PADDR + 0x10000) {
            test_put_note(&t, at, page);
        }
    }
    test_put_note(&t, MEMORY_SIZE - 4096, text);
    check_one(&t, MEMORY_SIZE - 4096);
}

/* Each page claims 64 KiB of text, in total more than memory. */
static void test_too_much_text(void)
{
    uint8_t size[4];
    g_auto(TestGuest) t;
    g_autofree char *text = guest_init(&t);
    g_autoptr(GPtrArray) notes = NULL;
    bool whole;

    stl_le_p(size, VMCOREINFO_TEXT_MAX);
    for (uint64_t at = 0; at < VMCOREINFO_SCAN_PIECE; at += 4096) {
        test_put_note(&t, at, "");
        test_put(&t, at + 4, size, 4);
    }
    test_put_note(&t, NOTE_PADDR, text);
    notes = scan(&t, 2, &whole);
    g_assert_false(whole);
    g_assert_cmpuint(notes->len, ==, 1);        /* from another piece */
}

/* Notes with the maximum number of lines are ignored. */
static void test_many_lines(void)
{
    g_auto(TestGuest) t;
    g_autofree char *text = guest_init(&t);
    g_autofree char *filler = g_strnfill(3000, '\n');
    g_autofree char *longer = g_strconcat(text, filler, NULL);

    test_put_note(&t, NOTE_PADDR, longer);
    check(&t, NULL, 0);
    filler[strlen(text) / (VMCOREINFO_LINE_MIN * 2)] = '\0';
    g_clear_pointer(&longer, g_free);
    longer = g_strconcat(text, filler, NULL);
    test_put_note(&t, NOTE_PADDR, longer);
    check_one(&t, NOTE_PADDR);
}

/* A large number of valid notes. */
static void test_too_many(void)
{
    g_auto(TestGuest) t;
    g_autofree char *text = guest_init(&t);
    g_autoptr(GPtrArray) notes = NULL;
    bool whole;

    for (unsigned i = 0; i < VMCOREINFO_SCAN_KEPT + 1; i++) {
        g_autofree char *own = g_strdup_printf("%sX=%u\n", text, i);

        test_put_note(&t, i * 4096, own);
    }
    notes = scan(&t, 3, &whole);
    g_assert_false(whole);
    g_assert_cmpuint(notes->len, ==, VMCOREINFO_SCAN_KEPT);
}

/* Put a valid note into memory with unreadable pages. */
static void put_lossy_note(TestLossy *l, const TestGuest *t, size_t at,
                           const char *text)
{
    g_autoptr(GByteArray) note = g_byte_array_new();

    elf_note_append(note, &t->g.abi, "VMCOREINFO", 0, text, strlen(text));
    memcpy(l->host + at, note->data,
           MIN(note->len, qemu_real_host_page_size()));
}

static void test_lost(void)
{
    size_t at = 200 * qemu_real_host_page_size();
    g_auto(TestGuest) t;
    g_autofree char *text = guest_init(&t);
    TestLossy lossy;

    if (test_skip_unknown_pages()) {
        return;
    }
    test_lossy_add(&lossy, &t, 0x100000000);
    put_lossy_note(&lossy, &t, at, text);
    check_one(&t, 0x100000000 + at);
    test_lossy_free(&lossy);
}

/* The end of the text cannot be read. */
static void test_lost_text(void)
{
    size_t page = qemu_real_host_page_size();
    g_autofree char *filler = g_strnfill(page, 'x');
    g_auto(TestGuest) t;
    g_autofree char *text = guest_init(&t);
    g_autofree char *longer = g_strconcat(text, filler, NULL);
    TestLossy lossy;

    if (test_skip_unknown_pages()) {
        return;
    }
    test_lossy_add(&lossy, &t, 0x100000000);
    put_lossy_note(&lossy, &t, 129 * page, longer);
    check(&t, NULL, 0);
    test_lossy_free(&lossy);
}

static void test_cancel(void)
{
    for (unsigned threads = 1; threads <= 4; threads++) {
        g_auto(TestGuest) t;
        g_autofree char *text = guest_init(&t);
        DumpProgress progress;
        Error *err = NULL;
        bool whole;

        test_put_note(&t, NOTE_PADDR, text);
        dump_guest_seal(&t.g, 0, 0);
        dump_progress_init(&progress);
        dump_progress_cancel(&progress);
        g_assert_null(vmcoreinfo_scan(&t.g, threads, &progress, &whole,
                                      &err));
        g_assert_cmpstr(error_get_pretty(err), ==, "dump: cancelled");
        error_free(err);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dump/vmcoreinfo-scan/one", test_one);
    g_test_add_func("/dump/vmcoreinfo-scan/known-place",
                    test_known_place);
    g_test_add_func("/dump/vmcoreinfo-scan/none", test_none);
    g_test_add_func("/dump/vmcoreinfo-scan/no-memory", test_no_memory);
    g_test_add_func("/dump/vmcoreinfo-scan/edges", test_edges);
    g_test_add_func("/dump/vmcoreinfo-scan/across", test_across);
    g_test_add_func("/dump/vmcoreinfo-scan/odd-runs", test_odd_runs);
    g_test_add_func("/dump/vmcoreinfo-scan/big-endian", test_big_endian);
    g_test_add_func("/dump/vmcoreinfo-scan/several", test_several);
    g_test_add_func("/dump/vmcoreinfo-scan/false-notes", test_false_notes);
    g_test_add_func("/dump/vmcoreinfo-scan/false-headers",
                    test_false_headers);
    g_test_add_func("/dump/vmcoreinfo-scan/places", test_places);
    g_test_add_func("/dump/vmcoreinfo-scan/truncated", test_truncated);
    g_test_add_func("/dump/vmcoreinfo-scan/full-of-notes",
                    test_full_of_notes);
    g_test_add_func("/dump/vmcoreinfo-scan/too-much-text",
                    test_too_much_text);
    g_test_add_func("/dump/vmcoreinfo-scan/many-lines", test_many_lines);
    g_test_add_func("/dump/vmcoreinfo-scan/too-many", test_too_many);
    g_test_add_func("/dump/vmcoreinfo-scan/lost", test_lost);
    g_test_add_func("/dump/vmcoreinfo-scan/lost-text", test_lost_text);
    g_test_add_func("/dump/vmcoreinfo-scan/cancel", test_cancel);
    return g_test_run();
}
