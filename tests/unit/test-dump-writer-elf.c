/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * ELF cores are read back: headers, notes, and every byte of memory.
 */

#include "qemu/osdep.h"
#include "dump-test-guest.h"
#include "dump-test-host.h"

static const DumpFormat elf = { .kind = DUMP_KIND_ELF };

static const DumpAbi abis[] = {
    { ELFCLASS64, ELFDATA2LSB, EM_X86_64 },
    { ELFCLASS64, ELFDATA2MSB, EM_S390 },
    { ELFCLASS32, ELFDATA2LSB, EM_ARM },
    { ELFCLASS32, ELFDATA2MSB, EM_PPC },
};

typedef struct Segment {
    uint64_t type, offset, vaddr, paddr, filesz, memsz, align;
} Segment;

static bool is64(const TestImage *f)
{
    return f->data[4] == ELFCLASS64;
}

static Segment get_segment(const TestImage *f, uint64_t i)
{
    uint64_t at = is64(f) ? 64 + 56 * i : 52 + 32 * i;
    Segment s = { .type = test_get(f, at, 4) };

    if (is64(f)) {
        s.offset = test_get(f, at + 8, 8);
        s.vaddr = test_get(f, at + 16, 8);
        s.paddr = test_get(f, at + 24, 8);
        s.filesz = test_get(f, at + 32, 8);
        s.memsz = test_get(f, at + 40, 8);
        s.align = test_get(f, at + 48, 8);
    } else {
        s.offset = test_get(f, at + 4, 4);
        s.vaddr = test_get(f, at + 8, 4);
        s.paddr = test_get(f, at + 12, 4);
        s.filesz = test_get(f, at + 16, 4);
        s.memsz = test_get(f, at + 20, 4);
        s.align = test_get(f, at + 28, 4);
    }
    return s;
}

static void check_ehdr(const TestImage *f, const DumpAbi *abi)
{
    g_assert_cmpmem(test_at(f, 0, 4), 4, "\177ELF", 4);
    g_assert_cmpuint(f->data[4], ==, abi->elf_class);
    g_assert_cmpuint(f->data[5], ==, abi->elf_data);
    g_assert_cmpuint(test_get(f, 16, 2), ==, 4);            /* ET_CORE */
    g_assert_cmpuint(test_get(f, 18, 2), ==, abi->elf_machine);
    if (is64(f)) {
        g_assert_cmpuint(test_get(f, 32, 8), ==, 64);       /* e_phoff */
        g_assert_cmpuint(test_get(f, 52, 2), ==, 64);       /* e_ehsize */
        g_assert_cmpuint(test_get(f, 54, 2), ==, 56);
        g_assert_cmpuint(test_get(f, 48, 4), ==, 0);        /* e_flags */
    } else {
        g_assert_cmpuint(test_get(f, 28, 4), ==, 52);
        g_assert_cmpuint(test_get(f, 40, 2), ==, 52);
        g_assert_cmpuint(test_get(f, 42, 2), ==, 32);
        g_assert_cmpuint(test_get(f, 36, 4), ==, 0);
    }
}

static uint64_t get_phnum(const TestImage *f)
{
    return test_get(f, is64(f) ? 56 : 44, 2);
}

static uint64_t get_shnum(const TestImage *f)
{
    return test_get(f, is64(f) ? 60 : 48, 2);
}

/* A field of section header @i; its offset is given for both classes. */
static uint64_t get_section(const TestImage *f, uint64_t i, unsigned at64,
                            unsigned size64, unsigned at32)
{
    uint64_t table = is64(f) ? test_get(f, 40, 8) : test_get(f, 32, 4);

    return is64(f) ? test_get(f, table + 64 * i + at64, size64) :
                     test_get(f, table + 40 * i + at32, 4);
}

static void check_note(const TestImage *f, const TestGuest *t)
{
    Segment note = get_segment(f, 0);

    g_assert_cmpuint(note.type, ==, PT_NOTE);
    g_assert_cmpuint(note.offset % 4, ==, 0);
    g_assert_cmpuint(note.memsz, ==, note.filesz);
    g_assert_cmpmem(test_at(f, note.offset, note.filesz), note.filesz,
                    t->g.notes->data, t->g.notes->len);
}

/* Segment @i maps @size bytes of @paddr at @vaddr, with right contents. */
static void check_load(const TestImage *f, const TestGuest *t, uint64_t i,
                       uint64_t paddr, uint64_t vaddr, uint64_t size)
{
    g_autofree uint8_t *want = g_malloc(size);
    Segment s = get_segment(f, i);

    g_assert_cmpuint(s.type, ==, PT_LOAD);
    g_assert_cmphex(s.paddr, ==, paddr);
    g_assert_cmphex(s.vaddr, ==, vaddr);
    g_assert_cmphex(s.filesz, ==, size);
    g_assert_cmphex(s.memsz, ==, size);
    g_assert_cmphex(s.align, ==, 0);
    g_assert_cmpuint(test_guest_expect(t, paddr, want, size), ==, size);
    g_assert_cmpmem(test_at(f, s.offset, size), size, want, size);
}

static void add_notes(TestGuest *t)
{
    for (int i = 0; i < 100; i++) {
        uint8_t b[4] = { 'n', i, 0xff, 0 };

        g_byte_array_append(t->g.notes, b, 4);
    }
}

static void check_memory(const DumpAbi *abi, TestOutput kind)
{
    g_autoptr(TestImage) f = NULL;
    g_auto(TestGuest) t;
    uint64_t plan;

    test_guest_init(&t, abi, 4096);
    add_notes(&t);
    /* Unsorted; contiguous in the guest, not on the host; unaligned. */
    test_guest_add(&t, 0x40000000, 0x280000);
    test_guest_add(&t, 0, 0xa0000);
    test_guest_add(&t, 0xa0000, 0x10);
    test_guest_add(&t, 0x100123, 0x4321);
    test_guest_add(&t, 0xfffff000, 0x1000);
    dump_guest_seal(&t.g, 0, 0);

    f = test_dump(&elf, &t, kind, 1, &plan);
    if (kind != TEST_OLD_FILE) {
        g_assert_cmpuint(f->len, ==, plan);
    }
    check_ehdr(f, abi);
    g_assert_cmpuint(get_phnum(f), ==, 5);
    g_assert_cmpuint(get_shnum(f), ==, 0);
    check_note(f, &t);
    check_load(f, &t, 1, 0, 0, 0xa0010);
    check_load(f, &t, 2, 0x100123, 0x100123, 0x4321);
    check_load(f, &t, 3, 0x40000000, 0x40000000, 0x280000);
    check_load(f, &t, 4, 0xfffff000, 0xfffff000, 0x1000);
}

static void test_memory(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(abis); i++) {
        check_memory(&abis[i], TEST_FILE);
        check_memory(&abis[i], TEST_STREAM);
        /* Zero memory must overwrite old data. */
        check_memory(&abis[i], TEST_OLD_FILE);
    }
}

static void test_clip(void)
{
    g_autoptr(TestImage) f = NULL;
    g_auto(TestGuest) t;
    uint64_t plan;

    test_guest_init(&t, &abis[0], 4096);
    test_guest_add(&t, 0, 0x10000);
    test_guest_add(&t, 0x20000, 0x10000);
    dump_guest_seal(&t.g, 0xfff0, 0x10020);

    f = test_dump(&elf, &t, TEST_FILE, 1, &plan);
    g_assert_cmpuint(get_phnum(f), ==, 3);
    check_load(f, &t, 1, 0xfff0, 0xfff0, 0x10);
    check_load(f, &t, 2, 0x20000, 0x20000, 0x10);
}

/* Segments describe the kept pages, clipped to memory. */
static void test_kept(void)
{
    g_autoptr(TestImage) f = NULL;
    g_autofree char *nothing = NULL;
    g_auto(TestGuest) t;
    uint64_t plan;

    test_guest_init(&t, &abis[0], 4096);
    test_guest_add(&t, 0, 0x4000);
    test_guest_add(&t, 0x4000, 0x4000);
    test_guest_add(&t, 0x100123, 0x4321);
    test_guest_add(&t, 0x200000, 0x2000);
    dump_guest_seal(&t.g, 0, 0);
    test_guest_leave_out(&t.g, 1, 1);
    test_guest_leave_out(&t.g, 7, 1);
    test_guest_leave_out(&t.g, 0x101, 2);
    test_guest_leave_out(&t.g, 0x200, 2);
    f = test_dump(&elf, &t, TEST_FILE, 1, &plan);
    g_assert_cmpuint(f->len, ==, plan);
    g_assert_cmpuint(get_phnum(f), ==, 5);
    check_load(f, &t, 1, 0, 0, 0x1000);
    check_load(f, &t, 2, 0x2000, 0x2000, 0x5000);
    check_load(f, &t, 3, 0x100123, 0x100123, 0xedd);
    check_load(f, &t, 4, 0x103000, 0x103000, 0x1444);
    test_guest_leave_out(&t.g, 0, 0x300);
    nothing = test_plan_error(&elf, &t.g);
    g_assert_cmpstr(nothing, ==, "dump: no guest memory to dump: all of "
                    "it is in excluded classes of pages");
}

/* If there are too many segments, those with small gaps are merged. */
static void test_many_kept(void)
{
    g_auto(TestGuest) t;
    DumpProgress progress;
    uint64_t pfn = 0;
    DumpWriter *w;

    test_guest_init(&t, &abis[0], 4096);
    guest_ram_add(&t.g.all, 0, 1ULL << 30, (const uint8_t *)0x1000);
    dump_guest_seal(&t.g, 0, 0);
    for (unsigned i = 0; i < 60000; i++, pfn += 2) {
        test_guest_leave_out(&t.g, pfn, 1);
    }
    w = test_plan(&elf, &t.g, 1, &progress);
    g_assert_cmpuint(dump_progress_total(&progress), ==,
                     (1ULL << 30) - 60000 * 4096);
    dump_writer_free(w);
    for (unsigned i = 0; i < 10000; i++, pfn += 5) {
        test_guest_leave_out(&t.g, pfn, 4);
    }
    w = test_plan(&elf, &t.g, 1, &progress);
    g_assert_cmpuint(dump_progress_total(&progress), ==,
                     (1ULL << 30) - (1 + 10000 * 4) * 4096);
    dump_writer_free(w);
}

static const DumpPagesOps *true_ops;
static uint8_t untrue[1 << 20];
static unsigned gets;
static bool told_lies;

/* Some reads return data that is changed, which put reports. */
static DumpPagesKind get_at_times(DumpPagesReader *reader, uint64_t paddr,
                                  uint64_t *len, const uint8_t **bytes)
{
    DumpPagesKind kind = true_ops->get(reader, paddr, len, bytes);

    told_lies = kind == DUMP_PAGES_DATA && gets++ % 3 == 0;
    if (told_lies) {
        *bytes = untrue;
        *len = MIN(*len, sizeof(untrue));
    }
    return kind;
}

static bool put_at_times(DumpPagesReader *reader, uint64_t paddr, uint64_t len)
{
    return !told_lies;
}

/* Wrong data is overwritten in a file, and never written to a stream. */
static void check_changing(TestOutput kind, uint8_t lie)
{
    g_auto(TestGuest) t;
    g_autoptr(TestImage) f = NULL, g = NULL;
    DumpPagesOps ops;
    uint64_t plan;

    test_guest_init(&t, &abis[0], 4096);
    test_guest_add(&t, 0, 0x280000);
    test_guest_add(&t, 0x400123, 0x4321);
    dump_guest_seal(&t.g, 0, 0);
    f = test_dump(&elf, &t, kind, 1, &plan);
    memset(untrue, lie, sizeof(untrue));
    true_ops = t.g.pages->ops;
    ops = *true_ops;
    ops.get = get_at_times;
    ops.put = put_at_times;
    t.g.pages->ops = &ops;
    gets = 0;
    g = test_dump(&elf, &t, kind, 1, &plan);
    g_assert_cmpuint(gets, >, 5);
    g_assert_cmpmem(f->data, f->len, g->data, g->len);
    t.g.pages->ops = true_ops;
}

static void test_changing(void)
{
    for (unsigned lie = 0; lie < 256; lie += 255) {
        check_changing(TEST_FILE, lie);
        check_changing(TEST_OLD_FILE, lie);
        check_changing(TEST_STREAM, lie);
    }
}

/* All memory is released exactly once, including excluded pages. */
static void test_given(void)
{
    g_autoptr(TestImage) f = NULL;
    g_auto(TestGuest) t;
    TestGiving giving;
    uint64_t plan;

    test_guest_init_giving(&t, &abis[0], &giving);
    f = test_dump(&elf, &t, TEST_FILE, 1, &plan);
    g_assert_cmpuint(giving.bytes, ==, UINT64_MAX);
}

/* Unreadable memory is zero in the dump, and reported. */
static void check_lost(TestOutput kind)
{
    g_autoptr(TestImage) f = NULL;
    g_auto(TestGuest) t;
    size_t page = qemu_real_host_page_size();
    uint64_t plan;
    TestLossy l;
    Segment s;

    test_guest_init(&t, &abis[0], 4096);
    test_guest_add(&t, 0, 0x10000);
    test_lossy_add(&l, &t, 0x100000);
    dump_guest_seal(&t.g, 0, 0);
    f = test_dump(&elf, &t, kind, 1, &plan);
    check_load(f, &t, 1, 0, 0, 0x10000);
    s = get_segment(f, 2);
    g_assert_cmphex(s.paddr, ==, l.paddr);
    g_assert_cmphex(s.filesz, ==, l.size);
    g_assert_cmpmem(test_at(f, s.offset, l.size), l.size, l.bytes, l.size);
    g_assert_cmpuint(dump_report_lost(&l.report), ==, 12 * page);
    test_lossy_free(&l);
}

static void test_lost(void)
{
    if (test_skip_unknown_pages()) {
        return;
    }
    check_lost(TEST_FILE);
    check_lost(TEST_OLD_FILE);
    check_lost(TEST_STREAM);
}

/* The last page of the address space, whose end is 2^64. */
static void test_top(void)
{
    g_autoptr(TestImage) f = NULL;
    g_auto(TestGuest) t;
    Segment s;
    TestBlock *b;
    uint64_t plan;

    test_guest_init(&t, &abis[0], 4096);
    b = test_guest_add(&t, -0x1000ULL, 0x1000);
    dump_guest_seal(&t.g, 0, 0);

    f = test_dump(&elf, &t, TEST_FILE, 1, &plan);
    s = get_segment(f, 1);
    g_assert_cmphex(s.paddr, ==, -0x1000ULL);
    g_assert_cmpmem(test_at(f, s.offset, s.filesz), s.filesz,
                    b->host, 0x1000);
}

/* Zeroes in the middle and at the end of a new file become holes. */
static void test_holes(void)
{
    g_autoptr(TestImage) f = NULL;
    g_auto(TestGuest) t;
    TestBlock *b;
    uint64_t plan;

    test_guest_init(&t, &abis[0], 4096);
    b = test_guest_add(&t, 0, 8 << 20);
    memset(b->host, 0, b->size);
    memset(b->host + (3 << 20) + 5, 0x77, 10);
    dump_guest_seal(&t.g, 0, 0);

    f = test_dump(&elf, &t, TEST_FILE, 1, &plan);
    g_assert_cmpuint(f->len, ==, plan);
    g_assert_cmpuint(f->blocks * 512, <=, 256 * 1024);
    check_load(f, &t, 1, 0, 0, 8 << 20);
}

static void map(TestGuest *t, uint64_t paddr, uint64_t vaddr, uint64_t size)
{
    DumpMapping m = { .paddr = paddr, .vaddr = vaddr, .size = size };

    if (!t->g.mappings) {
        t->g.mappings = g_array_new(false, false, sizeof(DumpMapping));
    }
    g_array_append_val(t->g.mappings, m);
}

static void check_paging(TestOutput kind)
{
    g_autoptr(TestImage) f = NULL;
    g_auto(TestGuest) t;
    uint64_t plan;

    test_guest_init(&t, &abis[0], 4096);
    test_guest_add(&t, 0, 0x10000);
    test_guest_add(&t, 0x10000, 0x10000);
    test_guest_add(&t, 0x40000, 0x10000);
    dump_guest_seal(&t.g, 0, 0);
    map(&t, 0x8000, 0xffffffff80000000ULL, 0x10000);    /* two blocks */
    map(&t, 0x8000, 0xffff888000000000ULL, 0x1000);     /* alias */
    map(&t, 0x1f000, 0x7000, 0x22000);                  /* across a gap */
    map(&t, 0x30000, 0x9000, 0x1000);                   /* not memory */
    map(&t, 0x1000, 0x1000, 0);                         /* empty */
    map(&t, 0x4f000, 0xa000, UINT64_MAX);               /* beyond 2^64 */

    f = test_dump(&elf, &t, kind, 1, &plan);
    g_assert_cmpuint(f->len, ==, plan);
    g_assert_cmpuint(get_phnum(f), ==, 6);
    check_load(f, &t, 1, 0x8000, 0xffffffff80000000ULL, 0x10000);
    check_load(f, &t, 2, 0x8000, 0xffff888000000000ULL, 0x1000);
    check_load(f, &t, 3, 0x1f000, 0x7000, 0x1000);
    check_load(f, &t, 4, 0x40000, 0x28000, 0x1000);
    check_load(f, &t, 5, 0x4f000, 0xa000, 0x1000);
    /* Two mappings of a page share its bytes in the file. */
    g_assert_cmpuint(get_segment(f, 1).offset, ==, get_segment(f, 2).offset);
}

static void test_paging(void)
{
    check_paging(TEST_FILE);
    check_paging(TEST_STREAM);
}

/* Without mappings the core still has notes. */
static void test_paging_nothing(void)
{
    g_autoptr(TestImage) f = NULL;
    g_auto(TestGuest) t;
    uint64_t plan;

    test_guest_init(&t, &abis[0], 4096);
    add_notes(&t);
    test_guest_add(&t, 0, 0x1000);
    dump_guest_seal(&t.g, 0, 0);
    map(&t, 0x100000, 0x100000, 0x1000);

    f = test_dump(&elf, &t, TEST_FILE, 1, &plan);
    g_assert_cmpuint(get_phnum(f), ==, 1);
    check_note(f, &t);
}

static void check_names(const TestImage *f, uint64_t shnum)
{
    uint64_t index = test_get(f, is64(f) ? 62 : 50, 2);
    uint64_t offset, size, name;

    g_assert_cmpuint(index, ==, shnum - 1);
    offset = get_section(f, index, 24, 8, 16);
    size = get_section(f, index, 32, 8, 20);
    name = get_section(f, index, 0, 4, 0);
    g_assert_cmpuint(get_section(f, index, 4, 4, 4), ==, SHT_STRTAB);
    g_assert_cmpuint(offset + size, <=, f->len);
    g_assert_cmpuint(f->data[offset], ==, 0);
    g_assert_cmpuint(f->data[offset + size - 1], ==, 0);
    g_assert_cmpstr((char *)f->data + offset + name, ==, ".shstrtab");
}

static void check_many(const DumpAbi *abi, unsigned loads, bool xnum)
{
    g_autoptr(TestImage) f = NULL;
    g_auto(TestGuest) t;
    uint64_t plan;

    test_guest_init(&t, abi, 4096);
    test_guest_add(&t, 0, 0x20000);
    dump_guest_seal(&t.g, 0, 0);
    for (unsigned i = 0; i < loads; i++) {
        map(&t, i, 0x1000000 + i, 16);
    }

    f = test_dump(&elf, &t, TEST_STREAM, 1, &plan);
    g_assert_cmpuint(f->len, ==, plan);
    check_ehdr(f, abi);
    check_load(f, &t, loads, loads - 1, 0x1000000 + loads - 1, 16);
    if (!xnum) {
        g_assert_cmpuint(get_phnum(f), ==, loads + 1);
        g_assert_cmpuint(get_shnum(f), ==, 0);
        return;
    }
    g_assert_cmphex(get_phnum(f), ==, 0xffff);
    g_assert_cmpuint(get_shnum(f), ==, 2);
    g_assert_cmpuint(get_section(f, 0, 4, 4, 4), ==, SHT_NULL);
    g_assert_cmpuint(get_section(f, 0, 44, 4, 28), ==, loads + 1);
    check_names(f, 2);
}

static void test_xnum(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(abis); i++) {
        check_many(&abis[i], 0xfffd, false);
        check_many(&abis[i], 0xfffe, true);
        check_many(&abis[i], 70000, true);
    }
}

/* Two sections of a target, one of them with data. */
static const char extra_data[] = "section data";

static bool extra_headers(void *opaque, uint64_t data_offset, GArray *names,
                          uint8_t *buf, size_t len)
{
    const DumpAbi *abi = opaque;
    size_t size = dump_abi_is64(abi) ? 64 : 40;
    uint32_t name = names->len;

    g_assert_cmpuint(len, ==, 2 * size);
    for (size_t i = 0; i < len; i++) {
        g_assert_cmpuint(buf[i], ==, 0);
    }
    dump_put32(abi, buf, name);
    if (dump_abi_is64(abi)) {
        dump_put64(abi, buf + 24, data_offset);
    } else {
        dump_put32(abi, buf + 16, data_offset);
    }
    dump_put32(abi, buf + size, name + 2);
    g_array_append_vals(names, "a\0b", 4);
    return true;
}

static bool extra_fill(void *opaque, uint8_t *buf, size_t len, Error **errp)
{
    g_assert_cmpuint(len, ==, sizeof(extra_data));
    memcpy(buf, extra_data, len);
    return true;
}

static bool extra_headers_fail(void *opaque, uint64_t data_offset,
                               GArray *names, uint8_t *buf, size_t len)
{
    return false;
}

static bool extra_fill_fail(void *opaque, uint8_t *buf, size_t len,
                            Error **errp)
{
    error_setg(errp, "the target says no");
    return false;
}

static void check_extra(const DumpAbi *abi, TestOutput kind)
{
    DumpExtraSections extra = {
        .count = 2, .data_size = sizeof(extra_data), .opaque = (void *)abi,
        .headers = extra_headers, .data = extra_fill,
    };
    g_autoptr(TestImage) f = NULL;
    g_auto(TestGuest) t;
    uint64_t plan, names, data;

    test_guest_init(&t, abi, 4096);
    add_notes(&t);
    test_guest_add(&t, 0, 0x3000);
    dump_guest_seal(&t.g, 0, 0);
    t.g.extra = &extra;

    f = test_dump(&elf, &t, kind, 1, &plan);
    g_assert_cmpuint(f->len, ==, plan);
    check_ehdr(f, abi);
    check_note(f, &t);
    check_load(f, &t, 1, 0, 0, 0x3000);
    g_assert_cmpuint(get_shnum(f), ==, 4);
    g_assert_cmpuint(test_get(f, is64(f) ? 58 : 46, 2), ==,
                     is64(f) ? 64 : 40);
    g_assert_cmpuint(get_section(f, 0, 44, 4, 28), ==, 0);
    check_names(f, 4);
    names = get_section(f, 3, 24, 8, 16);
    g_assert_cmpstr((char *)f->data + names + get_section(f, 1, 0, 4, 0), ==,
                    "a");
    g_assert_cmpstr((char *)f->data + names + get_section(f, 2, 0, 4, 0), ==,
                    "b");
    data = get_section(f, 1, 24, 8, 16);
    g_assert_cmpmem(test_at(f, data, sizeof(extra_data)), sizeof(extra_data),
                    extra_data, sizeof(extra_data));
}

static void test_extra(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(abis); i++) {
        check_extra(&abis[i], TEST_FILE);
        check_extra(&abis[i], TEST_STREAM);
    }
}

static void test_extra_fails(void)
{
    DumpExtraSections extra = {
        .count = 1, .data_size = 1, .headers = extra_headers_fail,
    };
    g_autofree char *text = NULL;
    g_auto(TestGuest) t;
    Error *err = NULL;
    uint64_t plan;

    test_guest_init(&t, &abis[1], 4096);
    test_guest_add(&t, 0, 0x1000);
    dump_guest_seal(&t.g, 0, 0);
    t.g.extra = &extra;
    text = test_plan_error(&elf, &t.g);
    g_assert_nonnull(strstr(text, "section headers"));

    extra = (DumpExtraSections) {
        .count = 2, .data_size = sizeof(extra_data),
        .opaque = (void *)&abis[1], .headers = extra_headers,
        .data = extra_fill_fail,
    };
    g_assert_false(test_dump_fd(&elf, &t.g, open("/dev/null", O_WRONLY), 1,
                                &plan, &err));
    g_assert_cmpstr(error_get_pretty(err), ==, "the target says no");
    error_free(err);
}

/* Planning does not read memory, so any size can be tested. */
static char *plan_error(const DumpAbi *abi, uint64_t paddr, uint64_t size)
{
    g_auto(TestGuest) t;

    test_guest_init(&t, abi, 4096);
    guest_ram_add(&t.g.all, paddr, size, (const uint8_t *)0x1000);
    dump_guest_seal(&t.g, 0, 0);
    return test_plan_error(&elf, &t.g);
}

static void test_refused(void)
{
    static const struct {
        uint64_t paddr, size;
    } large32[] = {
        { 0x100000000ULL, 0x1000 }, { 0xffff0000, 0x10001 },
        { 0, 0x100000000ULL }, { 0, 0xffffffff }, { 1, UINT64_MAX },
    };
    g_autofree char *none = plan_error(&abis[0], 0, 0);
    g_autofree char *large = plan_error(&abis[0], 0, 1ULL << 63);
    const DumpFormat flat = { .kind = DUMP_KIND_ELF, .flat = true };

    g_assert_cmpstr(none, ==, "dump: no guest memory to dump");
    g_assert_cmpstr(large, ==,
                    "dump: guest memory is too large for an ELF64 core");
    for (size_t i = 0; i < ARRAY_SIZE(large32); i++) {
        g_autofree char *text = plan_error(&abis[2], large32[i].paddr,
                                           large32[i].size);

        g_assert_cmpstr(text, ==,
                        "dump: guest memory is too large for an ELF32 core");
    }
    g_assert_false(dump_writer_available(&flat));
    g_assert_null(dump_writer_must_seek(&flat));
}

static void test_failures(void)
{
    g_autofree char *full = NULL, *cancel = NULL;
    g_auto(TestGuest) t;

    test_guest_init(&t, &abis[0], 4096);
    test_guest_add(&t, 0, 0x10000);
    dump_guest_seal(&t.g, 0, 0);

    full = test_full_error(&elf, &t.g, 1);
    g_assert_cmpstr(full, ==,
                    "dump: writing ELF header: No space left on device");
    cancel = test_cancel_error(&elf, &t.g, 1);
    g_assert_cmpstr(cancel, ==, "dump: cancelled");
}

/*
 * Dump to a file that cannot grow beyond @limit. Memory in the file must be
 * correct, and the header must mark the core as incomplete.
 */
static void check_incomplete(const DumpAbi *abi, const TestGuest *t,
                             uint64_t limit)
{
    g_autofree char *path = test_dump_limited(&elf, &t->g, 1, limit);
    g_autofree uint8_t *want = NULL;
    g_autoptr(TestImage) f = NULL;
    Segment s;

    f = test_image_load(path, abi->elf_data == ELFDATA2MSB);
    g_unlink(path);
    g_assert_cmpuint(f->len, <=, limit);
    g_assert_cmpmem(test_at(f, 0, 4), 4, "\177ELF", 4);
    g_assert_cmpuint(test_get(f, is64(f) ? 48 : 36, 4), ==, 1);
    s = get_segment(f, 1);
    g_assert_cmpuint(f->len, >, s.offset);
    want = g_malloc(f->len - s.offset);
    test_guest_expect(t, s.paddr, want, f->len - s.offset);
    g_assert_cmpmem(test_at(f, s.offset, f->len - s.offset),
                    f->len - s.offset, want, f->len - s.offset);
}

/* The last limit is only exceeded by extending over the trailing hole. */
static void test_incomplete(void)
{
    signal(SIGXFSZ, SIG_IGN);
    for (size_t i = 0; i < ARRAY_SIZE(abis); i++) {
        g_auto(TestGuest) t;
        TestBlock *b;

        test_guest_init(&t, &abis[i], 4096);
        add_notes(&t);
        b = test_guest_add(&t, 0x10000, 0x301000);
        memset(b->host + 0x2f0000, 0, 0x11000);
        dump_guest_seal(&t.g, 0, 0);
        check_incomplete(&abis[i], &t, 0x3000);
        check_incomplete(&abis[i], &t, 0x123456);
        check_incomplete(&abis[i], &t, 0x2f8000);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dump/writer-elf/memory", test_memory);
    g_test_add_func("/dump/writer-elf/clip", test_clip);
    g_test_add_func("/dump/writer-elf/kept", test_kept);
    g_test_add_func("/dump/writer-elf/changing", test_changing);
    g_test_add_func("/dump/writer-elf/given", test_given);
    g_test_add_func("/dump/writer-elf/many-kept", test_many_kept);
    g_test_add_func("/dump/writer-elf/lost", test_lost);
    g_test_add_func("/dump/writer-elf/top", test_top);
    g_test_add_func("/dump/writer-elf/holes", test_holes);
    g_test_add_func("/dump/writer-elf/paging", test_paging);
    g_test_add_func("/dump/writer-elf/paging-nothing", test_paging_nothing);
    g_test_add_func("/dump/writer-elf/xnum", test_xnum);
    g_test_add_func("/dump/writer-elf/extra", test_extra);
    g_test_add_func("/dump/writer-elf/extra-fails", test_extra_fails);
    g_test_add_func("/dump/writer-elf/refused", test_refused);
    g_test_add_func("/dump/writer-elf/failures", test_failures);
    g_test_add_func("/dump/writer-elf/incomplete", test_incomplete);
    return g_test_run();
}
