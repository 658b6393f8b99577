/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Analysis of Linux guests, with valid and with misleading data.
 */

#include "qemu/osdep.h"
#include "dump-test-guest.h"
#include "elf-notes.h"
#include "kdump-format.h"
#include "linux-guest.h"

static const DumpAbi x86_64 = { ELFCLASS64, ELFDATA2LSB, EM_X86_64 };
static const DumpAbi aarch64 = { ELFCLASS64, ELFDATA2LSB, EM_AARCH64 };

/* Put a struct new_utsname into the memory of @b. */
static void put_uts(TestBlock *b, uint64_t paddr, const char *release)
{
    uint8_t *p = b->host + (paddr - b->paddr);

    memset(p, 0, 6 * 65);
    strcpy((char *)p, "Linux");
    strcpy((char *)p + 65, "guest.example");
    strcpy((char *)p + 2 * 65, release);
    strcpy((char *)p + 3 * 65, "#1 SMP Debian");
    strcpy((char *)p + 4 * 65, "not-the-machine");
    memset(p + 5 * 65, 'd', 65);                        /* no terminator */
}

/* Let @report receive the warnings of @t. */
static void listen_to(TestGuest *t, DumpReport *report)
{
    dump_report_init(report);
    t->g.report = report;
}

/* The warnings it received, NULL for none. */
static char *told(TestGuest *t)
{
    g_auto(GStrv) warnings = dump_report_warnings(t->g.report);

    dump_report_deinit(t->g.report);
    t->g.report = NULL;
    return *warnings ? g_strjoinv("\n", warnings) : NULL;
}

/* Returns the warnings about @text, NULL for none. */
static char *doubt(TestGuest *t, const char *text)
{
    g_autoptr(VmcoreInfo) info = vmcoreinfo_parse((const uint8_t *)text,
                                                  strlen(text));
    g_autoptr(DumpPagesReader) mem = NULL;
    DumpReport report;

    listen_to(t, &report);
    mem = dump_pages_reader_new(t->g.pages, &error_abort);
    linux_guest_describe(&t->g, mem, info);
    return told(t);
}

static bool describe(TestGuest *t, const char *text)
{
    g_autofree char *against = doubt(t, text);

    return !against;
}

static void check_kernel_uts(const TestGuest *t, const char *machine)
{
    g_assert_cmpstr(t->g.uts.sysname, ==, "Linux");
    g_assert_cmpstr(t->g.uts.nodename, ==, "guest.example");
    g_assert_cmpstr(t->g.uts.release, ==, "6.1.0");
    g_assert_cmpstr(t->g.uts.version, ==, "#1 SMP Debian");
    g_assert_cmpstr(t->g.uts.machine, ==, machine);
    g_assert_cmpuint(strlen(t->g.uts.domainname), ==, 64);
}

/* Without the kernel's utsname, only values of the note are used. */
static void check_note_uts(const TestGuest *t, const char *release)
{
    g_assert_cmpstr(t->g.uts.sysname, ==, *release ? "Linux" : "");
    g_assert_cmpstr(t->g.uts.nodename, ==, "");
    g_assert_cmpstr(t->g.uts.release, ==, release);
    g_assert_cmpstr(t->g.uts.version, ==, "");
    g_assert_cmpstr(t->g.uts.domainname, ==, "");
}

static void test_x86_64(void)
{
    g_auto(TestGuest) t;
    TestBlock *b;

    test_guest_init(&t, &x86_64, 65536);
    b = test_guest_add(&t, 0x10000000, 0x100000);
    put_uts(b, 0x10020004, "6.1.0");
    dump_guest_seal(&t.g, 0, 0);

    /* Moved by KASLR: 0xffffffffb0020000 is at 0x10020000. */
    g_assert_true(describe(&t, "OSRELEASE=6.1.0\nPAGESIZE=4096\n"
                           "NUMBER(phys_base)=-536870912\n"
                           "SYMBOL(init_uts_ns)=ffffffffb0020000\n"
                           "OFFSET(uts_namespace.name)=4\n"));
    g_assert_cmpuint(t.g.page_size, ==, 4096);
    g_assert_cmpint(t.g.phys_base, ==, -536870912);
    check_kernel_uts(&t, "x86_64");
}

static bool find_tables(TestGuest *t, const char *text, uint64_t *root)
{
    g_autoptr(VmcoreInfo) info = vmcoreinfo_parse((const uint8_t *)text,
                                                  strlen(text));
    g_autoptr(DumpPagesReader) mem = dump_pages_reader_new(t->g.pages,
                                                           &error_abort);

    linux_guest_describe(&t->g, mem, info);
    return linux_guest_find_tables(&t->g, mem, info, root);
}

#define KERNEL \
    "OSRELEASE=6.1.0\nPAGESIZE=4096\nNUMBER(phys_base)=-536870912\n" \
    "SYMBOL(init_uts_ns)=ffffffffb0020000\nOFFSET(uts_namespace.name)=4\n"

/* The kernel's page tables are found only if the kernel is in memory. */
static void test_find_tables(void)
{
    g_auto(TestGuest) t;
    uint64_t root = 0;
    TestBlock *b;

    test_guest_init(&t, &x86_64, 65536);
    b = test_guest_add(&t, 0x10000000, 0x100000);
    put_uts(b, 0x10020004, "6.1.0");
    dump_guest_seal(&t.g, 0, 0);
    g_assert_false(linux_guest_find_tables(&t.g, NULL, NULL, &root));
    g_assert_false(find_tables(&t, KERNEL, &root));
    g_assert_false(find_tables(&t, KERNEL "SYMBOL(init_top_pgt)=x\n", &root));
    g_assert_true(find_tables(&t, KERNEL
                              "SYMBOL(init_top_pgt)=ffffffffb0050000\n",
                              &root));
    g_assert_cmphex(root, ==, 0x10050000);
    g_assert_true(find_tables(&t, KERNEL
                              "SYMBOL(swapper_pg_dir)=ffffffffb0060000\n",
                              &root));
    g_assert_cmphex(root, ==, 0x10060000);
    put_uts(b, 0x10020004, "5.10.0");
    g_assert_false(find_tables(&t, KERNEL
                               "SYMBOL(init_top_pgt)=ffffffffb0050000\n",
                               &root));
}

/* Each target gives the kernel's physical address in another way. */
static void test_other_targets(void)
{
    static const struct {
        DumpAbi abi;
        const char *text, *machine;
    } targets[] = {
        { { ELFCLASS32, ELFDATA2LSB, EM_386 },
          "SYMBOL(init_uts_ns)=c0020000", "i686" },
        { { ELFCLASS64, ELFDATA2LSB, EM_PPC64 },
          "SYMBOL(init_uts_ns)=c000000000020000", "ppc64le" },
        { { ELFCLASS64, ELFDATA2LSB, EM_AARCH64 },
          "NUMBER(kimage_voffset)=0xffff800008000000\n"
          "SYMBOL(init_uts_ns)=ffff800008020000", "aarch64" },
        { { ELFCLASS64, ELFDATA2LSB, EM_RISCV },
          "NUMBER(va_kernel_pa_offset)=0xffffffff80000000\n"
          "SYMBOL(init_uts_ns)=ffffffff80020000", "riscv64" },
        { { ELFCLASS64, ELFDATA2MSB, EM_S390 },
          "SYMBOL(init_uts_ns)=20000", "s390x" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
        g_autofree char *text = g_strdup_printf(
            "OSRELEASE=6.1.0\nOFFSET(uts_namespace.name)=0\n%s\n",
            targets[i].text);
        g_auto(TestGuest) t;

        test_guest_init(&t, &targets[i].abi, 4096);
        put_uts(test_guest_add(&t, 0, 0x100000), 0x20000, "6.1.0");
        dump_guest_seal(&t.g, 0, 0);
        g_assert_true(describe(&t, text));
        check_kernel_uts(&t, targets[i].machine);
    }
}

static void test_arm64_phys_offset(void)
{
    g_auto(TestGuest) t;

    test_guest_init(&t, &aarch64, 65536);
    dump_guest_seal(&t.g, 0, 0);
    g_assert_true(describe(&t, "NUMBER(PHYS_OFFSET)=0x40000000\n"
                           "PAGESIZE=16384\n"));
    g_assert_cmphex(t.g.phys_base, ==, 0x40000000);
    g_assert_cmpuint(t.g.page_size, ==, 16384);
    g_assert_cmpstr(t.g.uts.machine, ==, "aarch64");
}

/* Without a note, only the machine is set. */
static void test_no_info(void)
{
    g_auto(TestGuest) t;
    g_autoptr(DumpPagesReader) mem = NULL;

    test_guest_init(&t, &x86_64, 4096);
    t.g.phys_base = 77;
    dump_guest_seal(&t.g, 0, 0);
    mem = dump_pages_reader_new(t.g.pages, &error_abort);
    linux_guest_describe(&t.g, mem, NULL);
    g_assert_cmpuint(t.g.page_size, ==, 4096);
    g_assert_cmpint(t.g.phys_base, ==, 77);
    check_note_uts(&t, "");
    g_assert_cmpstr(t.g.uts.machine, ==, "x86_64");
}

static void test_unknown_machine(void)
{
    static const DumpAbi m32 = { ELFCLASS32, ELFDATA2MSB, EM_M32 };
    g_auto(TestGuest) t;

    test_guest_init(&t, &m32, 4096);
    dump_guest_seal(&t.g, 0, 0);
    g_assert_true(describe(&t, "OSRELEASE=6.1.0"));
    check_note_uts(&t, "6.1.0");
    g_assert_cmpstr(t.g.uts.machine, ==, "");
}

/* A utsname that does not match the note is ignored. */
static void test_uts_disagrees(void)
{
    static const char *const where[] = {
        "ffffffff80020000",                 /* another release */
        "ffffffff80030000",                 /* other data */
        "ffffffff800fff00",                 /* memory ends inside it */
        "ffffffff90000000",                 /* not memory */
        "0", "ffffffffffffffff", "7fffffffffffffff", "8000000000000000",
        "fffffffffffffffff", "-1", "", "0x", "garbage",
    };

    for (size_t i = 0; i < ARRAY_SIZE(where); i++) {
        g_autofree char *text = g_strdup_printf(
            "OSRELEASE=6.1.0\nSYMBOL(init_uts_ns)=%s\n"
            "OFFSET(uts_namespace.name)=0\n", where[i]);
        g_auto(TestGuest) t;
        TestBlock *b;

        test_guest_init(&t, &x86_64, 4096);
        b = test_guest_add(&t, 0, 0x100000);
        put_uts(b, 0x20000, "5.10.0");
        put_uts(b, 0x30000, "6.1.0");
        strcpy((char *)b->host + 0x30000, "Minix");
        strcpy((char *)b->host + 0xfff00, "Linux");
        strcpy((char *)b->host + 0xfff00 + 2 * 65, "6.1.0");
        dump_guest_seal(&t.g, 0, 0);
        g_assert_true(describe(&t, text));
        check_note_uts(&t, "6.1.0");
        g_assert_cmpstr(t.g.uts.machine, ==, "x86_64");
    }
}

/* The kernel is not, or not any more, at the address of its note. */
static void test_other_kernel(void)
{
    static const struct {
        DumpAbi abi;
        const char *text;           /* init_uts_ns is at 0x20000 */
        bool judged;                /* the address is certain */
    } cases[] = {
        { { ELFCLASS64, ELFDATA2LSB, EM_X86_64 }, "NUMBER(phys_base)=4096\n"
          "SYMBOL(init_uts_ns)=ffffffff8001f000", true },
        { { ELFCLASS64, ELFDATA2LSB, EM_X86_64 },
          "SYMBOL(init_uts_ns)=ffffffff80020000", false },
        { { ELFCLASS64, ELFDATA2LSB, EM_X86_64 }, "NUMBER(phys_base)=x\n"
          "SYMBOL(init_uts_ns)=ffffffff80020000", false },
        { { ELFCLASS64, ELFDATA2LSB, EM_X86_64 },
          "NUMBER(phys_base)=-9223372036854775808\n"
          "SYMBOL(init_uts_ns)=7fffffff80020000", false },
        { { ELFCLASS64, ELFDATA2LSB, EM_PPC64 },
          "SYMBOL(init_uts_ns)=c000000000020000", true },
        { { ELFCLASS64, ELFDATA2LSB, EM_AARCH64 },
          "NUMBER(kimage_voffset)=0xffff800008000000\n"
          "NUMBER(PHYS_OFFSET)=0x1000\n"
          "SYMBOL(init_uts_ns)=ffff800008020000", true },
        { { ELFCLASS64, ELFDATA2LSB, EM_AARCH64 },
          "SYMBOL(init_uts_ns)=20000", false },
        { { ELFCLASS64, ELFDATA2LSB, EM_RISCV },
          "NUMBER(va_kernel_pa_offset)=0xffffffff80000000\n"
          "SYMBOL(init_uts_ns)=ffffffff80020000", true },
        { { ELFCLASS64, ELFDATA2LSB, EM_RISCV },
          "SYMBOL(init_uts_ns)=20000", false },
        /* The address space split and s390x's kernel address vary. */
        { { ELFCLASS32, ELFDATA2LSB, EM_386 },
          "SYMBOL(init_uts_ns)=c0020000", false },
        { { ELFCLASS64, ELFDATA2MSB, EM_S390 },
          "SYMBOL(init_uts_ns)=20000", false },
        { { ELFCLASS64, ELFDATA2LSB, EM_X86_64 }, "NUMBER(phys_base)=4096\n"
          "SYMBOL(init_uts_ns)=no number", false },
        /* Not in memory. */
        { { ELFCLASS64, ELFDATA2LSB, EM_X86_64 }, "NUMBER(phys_base)=4096\n"
          "SYMBOL(init_uts_ns)=ffffffff800fef00", false },
    };
    static const char *const there[] = { "", "6.1.1", "6.1.0" };

    for (size_t i = 0; i < ARRAY_SIZE(cases) * ARRAY_SIZE(there); i++) {
        const DumpAbi *abi = &cases[i / ARRAY_SIZE(there)].abi;
        const char *what = cases[i / ARRAY_SIZE(there)].text;
        const char *release = there[i % ARRAY_SIZE(there)];
        bool other = cases[i / ARRAY_SIZE(there)].judged &&
                     strcmp(release, "6.1.0");
        g_autofree char *text = g_strdup_printf(
            "OSRELEASE=6.1.0\nPAGESIZE=8192\nOFFSET(uts_namespace.name)=0\n"
            "%s\n", what);
        g_autofree char *against = NULL;
        g_auto(TestGuest) t;
        TestBlock *b;

        test_guest_init(&t, abi, 4096);
        t.g.phys_base = 77;
        b = test_guest_add(&t, 0, 0x100000);
        if (*release) {
            put_uts(b, 0x20000, release);
        }
        dump_guest_seal(&t.g, 0, 0);
        against = doubt(&t, text);
        g_assert_cmpint(against && strstr(against, "match it"), ==, other);
        g_assert_cmpstr(t.g.uts.release, ==, other ? "" : "6.1.0");
        g_assert_cmpstr(t.g.uts.sysname, ==, other ? "" : "Linux");
        g_assert_cmpstr(t.g.uts.machine, ==, kdump_machine_name(abi));
        g_assert_cmpuint(t.g.page_size, ==, 8192);
        if (other) {
            g_assert_cmpint(t.g.phys_base, ==, 77);
        } else if (strstr(what, "=4096") || strstr(what, "=0x1000")) {
            g_assert_cmpint(t.g.phys_base, ==, 4096);
        }
    }
}

static void test_uts_offsets(void)
{
    static const char *const offsets[] = {
        "-9223372036854775808", "9223372036854775807", "-4", "", "x",
        "99999999999999999999",
    };

    for (size_t i = 0; i < ARRAY_SIZE(offsets); i++) {
        g_autofree char *text = g_strdup_printf(
            "OSRELEASE=6.1.0\nSYMBOL(init_uts_ns)=ffffffff80020000\n"
            "OFFSET(uts_namespace.name)=%s\n", offsets[i]);
        g_auto(TestGuest) t;

        test_guest_init(&t, &x86_64, 4096);
        put_uts(test_guest_add(&t, 0, 0x100000), 0x20000, "6.1.0");
        dump_guest_seal(&t.g, 0, 0);
        g_assert_true(describe(&t, text));
        check_note_uts(&t, "6.1.0");
    }
}

static void test_long_release(void)
{
    g_autofree char *release = g_strnfill(5000, 'r');
    g_autofree char *text = g_strdup_printf("OSRELEASE=%s", release);
    g_auto(TestGuest) t;

    test_guest_init(&t, &x86_64, 4096);
    dump_guest_seal(&t.g, 0, 0);
    g_assert_true(describe(&t, text));
    g_assert_cmpuint(strlen(t.g.uts.release), ==, 64);
}

/* Invalid numbers cause a warning; the others are used. */
static void test_bad_numbers(void)
{
    static const char *const bad[] = {
        "PAGESIZE=0", "PAGESIZE=", "PAGESIZE=-4096", "PAGESIZE=4097",
        "PAGESIZE=2048", "PAGESIZE=131072", "PAGESIZE=4294971392",
        "PAGESIZE=18446744073709555712", "PAGESIZE=4k",
        "NUMBER(phys_base)=", "NUMBER(phys_base)=ff",
        "NUMBER(phys_base)=99999999999999999999",
        "NUMBER(PHYS_OFFSET)=0x10000000000000000",
    };

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        g_autofree char *text = g_strdup_printf("%s\nOSRELEASE=6.1.0",
                                                bad[i]);
        g_auto(TestGuest) t;

        test_guest_init(&t, &x86_64, 65536);
        t.g.phys_base = 77;
        dump_guest_seal(&t.g, 0, 0);
        if (describe(&t, text)) {
            g_error("'%s' was taken for good", bad[i]);
        }
        g_assert_cmpuint(t.g.page_size, ==, 65536);
        g_assert_cmpint(t.g.phys_base, ==, 77);
        check_note_uts(&t, "6.1.0");
    }
}

/* One invalid number does not prevent the use of valid ones. */
static void test_one_bad_number(void)
{
    g_auto(TestGuest) t;

    test_guest_init(&t, &x86_64, 65536);
    dump_guest_seal(&t.g, 0, 0);
    g_assert_false(describe(&t, "PAGESIZE=3\nNUMBER(phys_base)=4096\n"));
    g_assert_cmpuint(t.g.page_size, ==, 65536);
    g_assert_cmpint(t.g.phys_base, ==, 4096);
}

/* *@against: the warnings about them, NULL for none. */
static VmcoreInfo *add_notes(TestGuest *t, const uint8_t *buf, size_t len,
                             char **against)
{
    DumpReport report;
    VmcoreInfo *info;

    listen_to(t, &report);
    info = linux_guest_add_notes(&t->g, buf, len);
    *against = told(t);
    return info;
}

/* The guest's notes are copied one by one. */
static void test_notes(void)
{
    static const char text[] = "PAGESIZE=4096\n";
    g_autoptr(GByteArray) theirs = g_byte_array_new();
    g_autofree char *against = NULL, *damage = NULL;
    g_autoptr(VmcoreInfo) info = NULL;
    g_auto(TestGuest) t;
    ElfNote note;
    size_t pos = 0;

    test_guest_init(&t, &x86_64, 4096);
    elf_note_append(t.g.notes, &x86_64, "CORE", 1, "registers", 9);
    elf_note_append(theirs, &x86_64, "GUEST", 7, "own", 3);
    elf_note_append(theirs, &x86_64, "VMCOREINFO", 0, text, strlen(text));
    elf_note_append(theirs, &x86_64, "VMCOREINFO", 0, "second", 6);
    elf_note_append(theirs, &x86_64, "CUT", 0, "1234", 4);

    info = add_notes(&t, theirs->data, theirs->len - 1, &against);
    g_assert_cmpstr(vmcoreinfo_get(info, "PAGESIZE"), ==, "4096");
    damage = g_strdup_printf("guest note is damaged: left out from byte %u "
                             "of %u on",
                             theirs->len - (ELF_NOTE_HEADER_SIZE + 8),
                             theirs->len - 1);
    g_assert_cmpstr(against, ==, damage);
    g_assert_cmpuint(t.g.vmcoreinfo_size, ==, strlen(text));
    g_assert_cmpmem(t.g.notes->data + t.g.vmcoreinfo_pos, strlen(text),
                    text, strlen(text));
    for (int i = 0; i < 4; i++) {
        static const char *const names[] = {
            "CORE", "GUEST", "VMCOREINFO", "VMCOREINFO",
        };

        g_assert_true(elf_note_next(&x86_64, t.g.notes->data, t.g.notes->len,
                                    &pos, &note));
        g_assert_true(elf_note_is(&note, names[i]));
    }
    g_assert_cmpuint(pos, ==, t.g.notes->len);
}

/*
 * Linux reserves 4 KiB for its note, which is followed by zeroes. These are
 * neither notes nor an error, and end the search for notes.
 */
static void test_padding(void)
{
    for (size_t room = 0; room < 40; room++) {
        g_autoptr(GByteArray) theirs = g_byte_array_new();
        g_autofree char *against = NULL, *late = NULL;
        g_autoptr(VmcoreInfo) info = NULL, again = NULL;
        g_auto(TestGuest) t;
        guint end;

        test_guest_init(&t, &x86_64, 4096);
        elf_note_append(theirs, &x86_64, "VMCOREINFO", 0, "A=1\n", 4);
        end = theirs->len;
        g_byte_array_set_size(theirs, end + room);
        memset(theirs->data + end, 0, room);
        info = add_notes(&t, theirs->data, theirs->len, &against);
        g_assert_cmpstr(against, ==, NULL);
        g_assert_cmpmem(t.g.notes->data, t.g.notes->len, theirs->data, end);

        if (room < ELF_NOTE_HEADER_SIZE) {
            continue;
        }
        elf_note_append(theirs, &x86_64, "X", 0, "late", 4);
        again = add_notes(&t, theirs->data, theirs->len, &late);
        g_assert_nonnull(late);
        g_assert_cmpuint(t.g.notes->len, ==, 2 * end);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dump/linux-guest/x86_64", test_x86_64);
    g_test_add_func("/dump/linux-guest/other-targets", test_other_targets);
    g_test_add_func("/dump/linux-guest/arm64-phys-offset",
                    test_arm64_phys_offset);
    g_test_add_func("/dump/linux-guest/no-info", test_no_info);
    g_test_add_func("/dump/linux-guest/unknown-machine", test_unknown_machine);
    g_test_add_func("/dump/linux-guest/uts-disagrees", test_uts_disagrees);
    g_test_add_func("/dump/linux-guest/other-kernel", test_other_kernel);
    g_test_add_func("/dump/linux-guest/uts-offsets", test_uts_offsets);
    g_test_add_func("/dump/linux-guest/long-release", test_long_release);
    g_test_add_func("/dump/linux-guest/bad-numbers", test_bad_numbers);
    g_test_add_func("/dump/linux-guest/notes", test_notes);
    g_test_add_func("/dump/linux-guest/padding", test_padding);
    g_test_add_func("/dump/linux-guest/one-bad-number", test_one_bad_number);
    g_test_add_func("/dump/linux-guest/find-tables", test_find_tables);
    return g_test_run();
}
