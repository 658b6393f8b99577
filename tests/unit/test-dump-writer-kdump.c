/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * kdump-compressed files are read back: headers, bitmaps, and every page,
 * decompressed by the compression libraries.
 */

#include "qemu/osdep.h"
#include <sys/resource.h>
#include <sys/wait.h>
#include <zlib.h>
#ifdef CONFIG_LZO
#include <lzo/lzo1x.h>
#endif
#ifdef CONFIG_SNAPPY
#include <snappy-c.h>
#endif
#ifdef CONFIG_ZSTD
#include <zstd.h>
#endif
#include "qemu/units.h"
#include "dump-test-guest.h"
#include "dump-test-host.h"

static const DumpAbi abis[] = {
    { ELFCLASS64, ELFDATA2LSB, EM_X86_64 },
    { ELFCLASS64, ELFDATA2MSB, EM_S390 },
    { ELFCLASS32, ELFDATA2LSB, EM_386 },
    { ELFCLASS32, ELFDATA2LSB, EM_ARM },
    { ELFCLASS32, ELFDATA2MSB, EM_PPC },
};

static const DumpFormat zlib_raw = {
    .kind = DUMP_KIND_KDUMP, .codec = DUMP_CODEC_ZLIB,
};
static const DumpFormat zlib_flat = {
    .kind = DUMP_KIND_KDUMP, .codec = DUMP_CODEC_ZLIB, .flat = true,
};

/* The format's flag for each codec. */
static const uint32_t codec_flags[DUMP_CODEC__MAX] = {
    [DUMP_CODEC_ZLIB] = 0x1,
    [DUMP_CODEC_LZO] = 0x2,
    [DUMP_CODEC_SNAPPY] = 0x4,
    [DUMP_CODEC_ZSTD] = 0x20,
};

static uint64_t get_be64(const TestImage *f, uint64_t offset)
{
    const uint8_t *p = test_at(f, offset, 8);
    uint64_t v = 0;

    for (int i = 0; i < 8; i++) {
        v = v << 8 | p[i];
    }
    return v;
}

typedef struct FlatStats {
    unsigned records;
    uint64_t last_offset;       /* of the last record in the dump */
} FlatStats;

typedef struct FlatRecord {
    uint64_t offset, size;      /* in the dump */
} FlatRecord;

/* Readers differ in handling bytes that are written twice. */
static void check_overlap(const GArray *records)
{
    for (guint i = 0; i < records->len; i++) {
        const FlatRecord *a = &g_array_index(records, FlatRecord, i);

        for (guint j = 0; j < i; j++) {
            const FlatRecord *b = &g_array_index(records, FlatRecord, j);

            g_assert_true(a->offset + a->size <= b->offset ||
                          b->offset + b->size <= a->offset);
        }
    }
}

static void place_record(TestImage *image, const FlatRecord *r,
                         const uint8_t *data)
{
    uint64_t end = r->offset + r->size;

    g_assert_cmpuint(r->size, >, 0);
    g_assert_cmpuint(end, <, 1 << 30);
    if (end > image->len) {
        image->data = g_realloc(image->data, end);
        memset(image->data + image->len, 0, end - image->len);
        image->len = end;
    }
    memcpy(image->data + r->offset, data, r->size);
}

/* The file that the records describe; gaps are zero. */
static TestImage *rearrange(const TestImage *flat, FlatStats *stats)
{
    g_autoptr(GArray) records = g_array_new(false, false, sizeof(FlatRecord));
    TestImage *image = g_new0(TestImage, 1);
    uint64_t pos = 4096;

    g_assert_cmpmem(test_at(flat, 0, 16), 16, "makedumpfile\0\0\0\0", 16);
    g_assert_cmpuint(get_be64(flat, 16), ==, 1);
    g_assert_cmpuint(get_be64(flat, 24), ==, 1);

    image->be = flat->be;
    while (get_be64(flat, pos) != UINT64_MAX) {
        FlatRecord r = { get_be64(flat, pos), get_be64(flat, pos + 8) };

        place_record(image, &r, test_at(flat, pos + 16, r.size));
        g_array_append_val(records, r);
        pos += 16 + r.size;
        stats->last_offset = r.offset;
    }
    /* Both words of the end record, and nothing after it. */
    g_assert_cmpuint(get_be64(flat, pos + 8), ==, UINT64_MAX);
    g_assert_cmpuint(pos + 16, ==, flat->len);
    check_overlap(records);
    stats->records = records->len;
    return image;
}

typedef struct Kdump {
    const TestImage *f;
    uint64_t block;
    uint64_t max_mapnr;
    uint64_t bitmap1, bitmap2, descs;   /* file offsets */
    uint64_t nr_descs;                  /* bits of bitmap 2 */
    uint64_t limit;                     /* pages from here on are missing */
    uint32_t status;
} Kdump;

/* The first page frame that is in bitmap 1 but not in bitmap 2. */
static uint64_t find_limit(const Kdump *k)
{
    for (uint64_t i = 0; i < k->descs - k->bitmap2; i++) {
        uint8_t gone = k->f->data[k->bitmap1 + i] &
                       ~k->f->data[k->bitmap2 + i];

        if (gone) {
            return i * 8 + __builtin_ctz(gone);
        }
    }
    return UINT64_MAX;
}

/* Offsets from the format's description. */
static Kdump open_any_kdump(const TestImage *f, const DumpAbi *abi)
{
    bool is64 = abi->elf_class == ELFCLASS64;
    uint64_t status = is64 ? 424 : 412;
    uint64_t mapnr64 = is64 ? 96 : abi->elf_machine == EM_ARM ? 88 : 72;
    Kdump k = { .f = f };
    uint64_t bitmap_blocks;

    g_assert_cmpmem(test_at(f, 0, 8), 8, "KDUMP   ", 8);
    g_assert_cmpuint(test_get(f, 8, 4), ==, 6);
    k.block = test_get(f, status + 4, 4);
    bitmap_blocks = test_get(f, status + 12, 4);
    k.max_mapnr = test_get(f, k.block + mapnr64, 8);
    g_assert_cmpuint(test_get(f, status + 16, 4), ==,
                     MIN(k.max_mapnr, UINT32_MAX));

    g_assert_cmpuint(bitmap_blocks % 2, ==, 0);
    g_assert_cmpuint(bitmap_blocks / 2 * k.block * 8, >=, k.max_mapnr);
    k.bitmap1 = k.block * (1 + test_get(f, status + 8, 4));
    k.bitmap2 = k.bitmap1 + bitmap_blocks / 2 * k.block;
    k.descs = k.bitmap2 + bitmap_blocks / 2 * k.block;
    test_at(f, k.bitmap2, k.descs - k.bitmap2);
    for (uint64_t i = k.bitmap2; i < k.descs; i++) {
        k.nr_descs += __builtin_popcount(f->data[i]);
    }
    test_at(f, k.descs, k.nr_descs * 24);
    k.limit = find_limit(&k);
    k.status = test_get(f, status, 4);
    return k;
}

/* Pages may be missing only if the file is marked incomplete. */
static Kdump open_kdump(const TestImage *f, const DumpAbi *abi)
{
    Kdump k = open_any_kdump(f, abi);

    g_assert_true(k.limit == UINT64_MAX || k.status & 0x8);
    return k;
}

static void unpack(uint32_t flags, const uint8_t *src, size_t len,
                   uint8_t *dst, size_t size)
{
    switch (flags) {
    case 0:
        g_assert_cmpuint(len, ==, size);
        memcpy(dst, src, size);
        return;
    case 0x1: {
        uLongf n = size;

        g_assert_cmpint(uncompress(dst, &n, src, len), ==, Z_OK);
        g_assert_cmpuint(n, ==, size);
        return;
    }
#ifdef CONFIG_LZO
    case 0x2: {
        lzo_uint n = size;

        g_assert_cmpint(lzo1x_decompress_safe(src, len, dst, &n, NULL), ==,
                        LZO_E_OK);
        g_assert_cmpuint(n, ==, size);
        return;
    }
#endif
#ifdef CONFIG_SNAPPY
    case 0x4: {
        size_t n = size;

        g_assert_cmpint(snappy_uncompress((const char *)src, len,
                                          (char *)dst, &n), ==, SNAPPY_OK);
        g_assert_cmpuint(n, ==, size);
        return;
    }
#endif
#ifdef CONFIG_ZSTD
    case 0x20:
        g_assert_cmpuint(ZSTD_decompress(dst, size, src, len), ==, size);
        return;
#endif
    }
    g_assert_not_reached();
}

typedef struct PageCount {
    unsigned zero, packed, raw;
} PageCount;

/* Compare one page's descriptor and data to guest memory. */
static void check_page(const Kdump *k, uint64_t index, uint32_t flag,
                       const uint8_t *want, uint64_t *zero_at,
                       PageCount *count)
{
    g_autofree uint8_t *got = g_malloc(k->block);
    uint64_t desc = k->descs + 24 * index;
    uint64_t offset = test_get(k->f, desc, 8);
    uint64_t size = test_get(k->f, desc + 8, 4);
    uint32_t flags = test_get(k->f, desc + 12, 4);
    bool zero = want[0] == 0 && !memcmp(want, want + 1, k->block - 1);

    g_assert_cmpuint(test_get(k->f, desc + 16, 8), ==, 0);
    g_assert_cmpuint(offset, >=, k->descs + 24 * k->nr_descs);
    g_assert_true(flags == 0 || flags == flag);
    unpack(flags, test_at(k->f, offset, size), size, got, k->block);
    g_assert_cmpmem(got, k->block, want, k->block);
    if (zero) {
        g_assert_cmpuint(flags, ==, 0);
        g_assert_true(!*zero_at || *zero_at == offset);
        *zero_at = offset;
        count->zero++;
    } else if (flags) {
        g_assert_cmpuint(size, <, k->block);
        count->packed++;
    } else {
        count->raw++;
    }
}

/* Returns the bits of eight pages, compared to guest memory. */
static uint8_t check_bits(const Kdump *k, const TestGuest *t, uint64_t pfn)
{
    uint8_t bits = *test_at(k->f, k->bitmap1 + pfn / 8, 1);

    for (int i = 0; i < 8; i++) {
        g_assert_cmpint(*test_at(k->f, k->bitmap2 + pfn / 8, 1) >> i & 1, ==,
                        (bits >> i & 1) && pfn + i < k->limit);
    }
    if (!bits) {
        g_assert_false(test_guest_has(t, pfn * k->block, 8 * k->block));
        return 0;
    }
    for (int i = 0; i < 8; i++) {
        g_assert_cmpint(bits >> i & 1, ==,
                        test_guest_has(t, (pfn + i) * k->block, k->block));
        g_assert_true(!(bits >> i & 1) || pfn + i < k->max_mapnr);
    }
    return bits;
}

/* Check all pages, and that only memory is in the file. */
static PageCount check_pages(const Kdump *k, const TestGuest *t,
                             uint32_t flag)
{
    g_autofree uint8_t *want = g_malloc(k->block);
    uint64_t index = 0, zero_at = 0;
    PageCount count = { 0 };

    for (uint64_t pfn = 0; pfn < (k->bitmap2 - k->bitmap1) * 8; pfn += 8) {
        uint8_t bits = check_bits(k, t, pfn);

        for (int i = 0; i < 8; i++) {
            if (bits >> i & 1 && pfn + i < k->limit) {
                test_guest_expect(t, (pfn + i) * k->block, want, k->block);
                check_page(k, index++, flag, want, &zero_at, &count);
            }
        }
    }
    g_assert_cmpuint(index, ==, k->nr_descs);
    return count;
}

/* Write a dump and load it, unpacking the flattened form. */
static TestImage *dump(const DumpFormat *format, TestGuest *t,
                       TestOutput kind, unsigned threads, FlatStats *stats)
{
    uint64_t plan;
    TestImage *image = test_dump(format, t, kind, threads, &plan);

    if (format->flat) {
        g_autoptr(TestImage) flat = image;

        image = rearrange(flat, stats);
    }
    return image;
}

/*
 * Unaligned blocks, two that meet inside a page, two in one page with a gap,
 * and enough memory for several chunks.
 */
static void add_memory(TestGuest *t)
{
    test_guest_add(t, 0x2000000 + 0x10, 0x1fffe0);
    test_guest_add(t, 0, 0x9fc00);
    test_guest_add(t, 0x9fc00, 0x400);
    test_guest_add(t, 0x100000, 0x134567);
    test_guest_add(t, 0x3000100, 0x80);
    test_guest_add(t, 0x3000f00, 0x80);
    test_guest_add(t, 0x4000000, 0x10001);
    dump_guest_seal(&t->g, 0, 0);
}

static void check_pages_of(const DumpFormat *format, const DumpAbi *abi,
                           uint32_t page_size, TestOutput kind,
                           unsigned threads)
{
    g_autoptr(TestImage) f = NULL;
    g_auto(TestGuest) t;
    FlatStats stats;
    PageCount count;
    Kdump k;

    test_guest_init(&t, abi, page_size);
    add_memory(&t);
    f = dump(format, &t, kind, threads, &stats);
    k = open_kdump(f, abi);
    g_assert_cmpuint(k.block, ==, page_size);
    /* The last, partial page is included. */
    g_assert_cmpuint(k.max_mapnr, ==, 0x4010000 / page_size + 1);
    count = check_pages(&k, &t, codec_flags[format->codec]);
    g_assert_cmpuint(count.packed, >, 0);
    if (page_size == 4096) {
        g_assert_cmpuint(count.zero, >, 0);
        g_assert_cmpuint(count.raw, >, 0);
    }
    if (format->flat) {
        /* Records are large, and the main header is written last. */
        g_assert_cmpuint(stats.records, <, 16);
        g_assert_cmpuint(stats.last_offset, ==, 0);
    }
}

static void test_codecs(void)
{
    unsigned tried = 0;

    for (int codec = 0; codec < DUMP_CODEC__MAX; codec++) {
        DumpFormat format = { .kind = DUMP_KIND_KDUMP, .codec = codec };

        if (!dump_writer_available(&format)) {
            continue;
        }
        tried++;
        for (uint32_t page = 4096; page <= 65536; page *= 4) {
            for (unsigned threads = 1; threads <= 3; threads += 2) {
                format.flat = false;
                check_pages_of(&format, &abis[0], page, TEST_FILE, threads);
                format.flat = true;
                check_pages_of(&format, &abis[0], page, TEST_FILE, threads);
            }
        }
    }
    g_assert_cmpuint(tried, >, 0);
    g_assert_true(dump_writer_available(&zlib_raw));
    g_assert_nonnull(dump_writer_must_seek(&zlib_raw));
    g_assert_null(dump_writer_must_seek(&zlib_flat));
}

static void test_abis(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(abis); i++) {
        check_pages_of(&zlib_raw, &abis[i], 4096, TEST_FILE, 1);
        check_pages_of(&zlib_raw, &abis[i], 4096, TEST_OLD_FILE, 2);
        check_pages_of(&zlib_flat, &abis[i], 65536, TEST_STREAM, 2);
    }
}

/* Bitmap 2, descriptors and data have the kept pages only. */
static void check_kept(const DumpFormat *format, const DumpAbi *abi)
{
    uint64_t sub_level = abi->elf_class == ELFCLASS64 ? 8 : 4;
    g_autofree uint8_t *want = g_malloc(4096);
    g_autofree uint8_t *bits = NULL;
    g_autoptr(TestImage) f = NULL;
    uint64_t index = 0, zero_at = 0;
    g_auto(TestGuest) t;
    PageCount count;
    FlatStats stats;
    size_t size;
    Kdump k;

    test_guest_init(&t, abi, 4096);
    add_memory(&t);
    for (uint64_t pfn = 0x100; pfn < 0x180; pfn += 3) {
        test_guest_leave_out(&t.g, pfn, 1);
    }
    test_guest_leave_out(&t.g, 0x2010, 0x1e0);
    t.g.dump_level = 0x3f;              /* the file's dump_level is 31 */
    f = dump(format, &t, TEST_FILE, 2, &stats);
    k = open_any_kdump(f, abi);
    g_assert_cmpuint(test_get(f, 4096 + sub_level, 4), ==, 31);
    g_assert_cmpuint(k.status & 0x8, ==, 0);
    g_assert_cmpuint(k.max_mapnr, ==, 0x4011);
    size = k.descs - k.bitmap2;
    bits = g_malloc(size);
    pfn_set_fill(t.g.kept, 0, UINT64_MAX, bits, size);
    g_assert_cmpmem(test_at(f, k.bitmap2, size), size, bits, size);
    for (uint64_t pfn = 0; pfn < size * 8; pfn++) {
        g_assert_cmpint(*test_at(f, k.bitmap1 + pfn / 8, 1) >> pfn % 8 & 1,
                        ==, test_guest_has(&t, pfn * 4096, 4096));
        if (bits[pfn / 8] >> pfn % 8 & 1) {
            test_guest_expect(&t, pfn * 4096, want, 4096);
            check_page(&k, index++, 1, want, &zero_at, &count);
        }
    }
    g_assert_cmpuint(index, ==, pfn_set_count(t.g.kept));
    g_assert_cmpuint(index, ==, k.nr_descs);
}

static void test_kept(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(abis); i++) {
        check_kept(&zlib_raw, &abis[i]);
        check_kept(&zlib_flat, &abis[i]);
    }
}

/* All memory is released exactly once, including excluded pages. */
static void test_given(void)
{
    g_autoptr(TestImage) f = NULL;
    g_auto(TestGuest) t;
    TestGiving giving;
    FlatStats stats;

    test_guest_init_giving(&t, &abis[0], &giving);
    f = dump(&zlib_raw, &t, TEST_FILE, 1, &stats);
    g_assert_cmpuint(giving.bytes, ==, UINT64_MAX);
}

/* Anonymous memory of the guest, initially untouched. */
typedef struct Sparse {
    uint8_t *host;
    uint64_t size;
} Sparse;

static void sparse_map(Sparse *s, uint64_t size)
{
    s->size = size;
    s->host = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE |
                   MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    g_assert_true(s->host != MAP_FAILED);
    madvise(s->host, size, MADV_NOHUGEPAGE);
}

static void sparse_add(TestGuest *t, const Sparse *s, uint64_t at,
                       uint64_t size, uint64_t paddr)
{
    GuestRamRun run = {
        .paddr = paddr, .size = size, .host = s->host + at,
        .backing = GUEST_RAM_ANON, .fd = -1,
    };

    guest_ram_add_run(&t->g.all, &run);
}

/*
 * Long and short untouched ranges; gaps, a partial page, excluded pages; chunks
 * with zero pages at the start, at the end and in the middle.
 */
static void sparse_guest(TestGuest *t, const Sparse *s, bool told)
{
    test_guest_init(t, &abis[0], 4096);
    t->g.untouched = told ? dump_untouched_new() : NULL;
    sparse_add(t, s, 0, 60 * MiB, 0x1000);
    sparse_add(t, s, 60 * MiB, 5 * MiB + 0x234, 0x20000000);
    sparse_add(t, s, 70 * MiB, 60 * MiB, 0x100000000);
    dump_guest_seal(&t->g, 0, 0);
    for (uint64_t pfn = 0x1000; pfn < 0x3000; pfn += 7) {
        test_guest_leave_out(&t->g, pfn, 1 + pfn % 3);
    }
}

static void sparse_touch(const Sparse *s)
{
    static const uint64_t pages[] = {
        3000, 3001, 3200, 9000, 9128, 9255, 60 * 256, 65 * 256 + 1,
        70 * 256 + 130, 130 * 256 - 2000,
    };

    for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
        memset(s->host + pages[i] * 4096 + i, i % 3 ? 'x' : 0, 100 * i);
    }
}

/* The file, including its records, is the same as if all were read. */
static void test_untouched(void)
{
    for (unsigned threads = 1; threads <= 3; threads++) {
        const DumpFormat *format = threads % 2 ? &zlib_flat : &zlib_raw;
        g_autoptr(TestImage) read = NULL, told = NULL;
        g_auto(TestGuest) a, b;
        uint64_t plan;
        Sparse s;

        sparse_map(&s, 130 * MiB);
        sparse_touch(&s);
        sparse_guest(&b, &s, true);
        told = test_dump(format, &b, TEST_FILE, threads, &plan);
        sparse_guest(&a, &s, false);
        read = test_dump(format, &a, TEST_FILE, threads, &plan);
        g_assert_cmpmem(told->data, told->len, read->data, read->len);
        munmap(s.host, s.size);
    }
}

/* Untouched memory is not read, and is released exactly once. */
static void check_untouched_given(void)
{
    g_autoptr(TestImage) f = NULL;
    g_auto(TestGuest) t;
    TestGiving giving;
    uint64_t plan;
    Sparse s;

    sparse_map(&s, 130 * MiB);
    sparse_touch(&s);
    sparse_guest(&t, &s, true);
    test_guest_make_giving(&t, &giving);
    f = test_dump(&zlib_raw, &t, TEST_FILE, 1, &plan);
    g_assert_cmpuint(giving.bytes, ==, UINT64_MAX);
    g_assert_cmpuint(giving.got, <, 20 * MiB);
    munmap(s.host, s.size);
}

static void test_untouched_given(void)
{
    if (!test_skip_unknown_pages()) {
        check_untouched_given();
    }
}

/* A million runs (32-bit hosts: 100,000), each 256th with a page of data. */
static void test_islands(void)
{
    const size_t islands = sizeof(size_t) > 4 ? 1000000 : 100000;
    g_autoptr(TestImage) f = NULL;
    g_auto(TestGuest) t;
    uint64_t plan, removed;
    PfnRun run = { .count = 1 };
    Sparse s;
    Kdump k;

    sparse_map(&s, 2 * islands * 4096);
    test_guest_init(&t, &abis[0], 4096);
    t.g.untouched = dump_untouched_new();
    sparse_add(&t, &s, 0, s.size, 0);
    dump_guest_seal(&t.g, 0, 0);
    test_guest_leave_out(&t.g, 1, 1);
    for (run.first = 3; run.first < 2 * islands; run.first += 2) {
        g_assert_true(pfn_set_remove(t.g.kept, &run, &removed, &error_abort));
    }
    pfn_set_seal(t.g.kept);
    for (uint64_t i = 0; i < islands; i += 256) {
        memcpy(s.host + 2 * i * 4096, &i, sizeof(i));
        s.host[2 * i * 4096 + 8] = 1;
    }
    f = test_dump(&zlib_raw, &t, TEST_FILE, 2, &plan);
    k = open_any_kdump(f, &abis[0]);
    g_assert_cmpuint(k.nr_descs, ==, islands);
    for (uint64_t i = 0; i < islands; i += 256 * 15 + 1) {
        g_autofree uint8_t *want = g_malloc0(4096);
        uint64_t zero_at = 0;
        PageCount count;

        if (i % 256 == 0) {
            memcpy(want, &i, sizeof(i));
            want[8] = 1;
        }
        check_page(&k, i, 1, want, &zero_at, &count);
    }
    munmap(s.host, s.size);
}

/* The smallest guest: part of one page. */
static void test_one_page(void)
{
    g_autoptr(TestImage) f = NULL;
    g_auto(TestGuest) t;
    FlatStats stats;
    PageCount count;
    TestBlock *b;
    Kdump k;

    test_guest_init(&t, &abis[0], 4096);
    b = test_guest_add(&t, 0x5800, 1);
    b->host[0] = 0x42;
    dump_guest_seal(&t.g, 0, 0);
    f = dump(&zlib_flat, &t, TEST_STREAM, 4, &stats);
    k = open_kdump(f, &abis[0]);
    g_assert_cmpuint(k.max_mapnr, ==, 6);
    g_assert_cmpuint(k.nr_descs, ==, 1);
    count = check_pages(&k, &t, 0x1);
    g_assert_cmpuint(count.packed, ==, 1);
}

/* All pages are zero and share one page of the file. */
static void test_zero_guest(void)
{
    g_autoptr(TestImage) f = NULL;
    g_auto(TestGuest) t;
    FlatStats stats;
    PageCount count;
    TestBlock *b;
    Kdump k;

    test_guest_init(&t, &abis[0], 4096);
    b = test_guest_add(&t, 0, 5 << 20);
    memset(b->host, 0, b->size);
    dump_guest_seal(&t.g, 0, 0);
    f = dump(&zlib_raw, &t, TEST_FILE, 3, &stats);
    k = open_kdump(f, &abis[0]);
    count = check_pages(&k, &t, 0x1);
    g_assert_cmpuint(count.zero, ==, 1280);
    g_assert_cmpuint(f->len, <=, k.descs + 1280 * 24 + 2 * 4096);
}

/* High addresses: bitmaps of more than 1 MiB, written in pieces. */
static void test_far_up(void)
{
    g_autoptr(TestImage) f = NULL;
    g_auto(TestGuest) t;
    FlatStats stats;
    Kdump k;

    test_guest_init(&t, &abis[0], 4096);
    test_guest_add(&t, 0, 0x4000);
    test_guest_add(&t, (1ULL << 35) - 0x8000, 0x10000);
    dump_guest_seal(&t.g, 0, 0);
    f = dump(&zlib_raw, &t, TEST_FILE, 2, &stats);
    k = open_kdump(f, &abis[0]);
    g_assert_cmpuint(k.bitmap2 - k.bitmap1, ==, (1 << 20) + 4096);
    g_assert_cmpuint(k.nr_descs, ==, 20);
    check_pages(&k, &t, 0x1);
}

/* The file does not depend on the number of workers. */
static void test_threads_agree(void)
{
    g_autoptr(TestImage) one = NULL;
    g_auto(TestGuest) t;
    FlatStats stats;

    test_guest_init(&t, &abis[0], 4096);
    add_memory(&t);
    one = dump(&zlib_raw, &t, TEST_FILE, 1, &stats);
    for (unsigned threads = 2; threads <= 64; threads *= 4) {
        g_autoptr(TestImage) many = dump(&zlib_raw, &t, TEST_FILE, threads,
                                         &stats);

        g_assert_cmpmem(many->data, many->len, one->data, one->len);
    }
}

static void describe(TestGuest *t)
{
    DumpGuest *g = &t->g;

    strcpy(g->uts.sysname, "Linux");
    strcpy(g->uts.release, "6.1.0");
    strcpy(g->uts.machine, "some-machine");
    g->time_sec = 0x66778899;
    g->time_usec = 123456;
    g->nr_cpus = 5;
    g->phys_base = -0x1f600000;
    /* More than a block of notes that include VMCOREINFO. */
    g_byte_array_set_size(g->notes, 10000);
    test_fill(g->notes->data, 10000, 1);
    g->vmcoreinfo_pos = 5000;
    g->vmcoreinfo_size = 11;
    memcpy(g->notes->data + 5000, "OSRELEASE=x", 11);
}

static void check_headers(const DumpAbi *abi)
{
    bool is64 = abi->elf_class == ELFCLASS64;
    bool is_arm = abi->elf_machine == EM_ARM;
    unsigned word = is64 ? 8 : 4;
    uint64_t vmci = 4096 + (is64 ? 32 : is_arm ? 24 : 20);
    uint64_t note = 4096 + (is64 ? 48 : is_arm ? 40 : 32);
    uint64_t time = is64 ? 408 : 404;
    uint64_t status = is64 ? 424 : 412;
    g_autoptr(TestImage) f = NULL;
    g_auto(TestGuest) t;
    FlatStats stats;
    uint64_t at;

    test_guest_init(&t, abi, 4096);
    describe(&t);
    test_guest_add(&t, 0, 0x10000);
    dump_guest_seal(&t.g, 0, 0);
    f = dump(&zlib_flat, &t, TEST_STREAM, 1, &stats);
    open_kdump(f, abi);

    g_assert_cmpstr((char *)f->data + 12, ==, "Linux");
    g_assert_cmpstr((char *)f->data + 12 + 2 * 65, ==, "6.1.0");
    g_assert_cmpstr((char *)f->data + 12 + 4 * 65, ==, "some-machine");
    g_assert_cmpuint(test_get(f, time, word), ==, 0x66778899);
    g_assert_cmpuint(test_get(f, time + word, word), ==, 123456);
    g_assert_cmpuint(test_get(f, status, 4), ==, 0x1);
    g_assert_cmpuint(test_get(f, status + 36, 4), ==, 5);

    g_assert_cmphex(test_get(f, 4096, word), ==,
                    is64 ? -0x1f600000ULL : -0x1f600000U);
    at = test_get(f, vmci, 8);
    g_assert_cmpuint(test_get(f, vmci + 8, word), ==, 11);
    g_assert_cmpmem(test_at(f, at, 11), 11, "OSRELEASE=x", 11);
    at = test_get(f, note, 8);
    g_assert_cmpuint(test_get(f, note + 8, word), ==, 10000);
    g_assert_cmpmem(test_at(f, at, 10000), 10000, t.g.notes->data, 10000);
    g_assert_cmpuint(at % 4, ==, 0);
}

static void test_headers(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(abis); i++) {
        check_headers(&abis[i]);
    }
}

/* Without a guest note the sub header has no VMCOREINFO. */
static void test_no_vmcoreinfo(void)
{
    g_autoptr(TestImage) f = NULL;
    g_auto(TestGuest) t;
    FlatStats stats;

    test_guest_init(&t, &abis[0], 4096);
    test_guest_add(&t, 0, 0x1000);
    dump_guest_seal(&t.g, 0, 0);
    f = dump(&zlib_raw, &t, TEST_FILE, 1, &stats);
    open_kdump(f, &abis[0]);
    g_assert_cmpuint(test_get(f, 4096 + 32, 8), ==, 0);
    g_assert_cmpuint(test_get(f, 4096 + 40, 8), ==, 0);
    g_assert_cmpuint(test_get(f, 4096 + 56, 8), ==, 0);
}

static void test_nothing_kept(void)
{
    g_autofree char *text = NULL;
    g_auto(TestGuest) t;

    test_guest_init(&t, &abis[0], 4096);
    test_guest_add(&t, 0x1000, 0x2000);
    dump_guest_seal(&t.g, 0, 0);
    test_guest_leave_out(&t.g, 0, 3);
    text = test_plan_error(&zlib_raw, &t.g);
    g_assert_cmpstr(text, ==, "dump: no guest memory to dump: all of it is in "
                    "excluded classes of pages");
}

static char *plan_error(uint64_t paddr, uint64_t size)
{
    g_auto(TestGuest) t;

    test_guest_init(&t, &abis[0], 4096);
    guest_ram_add(&t.g.all, paddr, size, (const uint8_t *)0x1000);
    dump_guest_seal(&t.g, 0, 0);
    return test_plan_error(&zlib_raw, &t.g);
}

static void test_refused(void)
{
    g_autofree char *none = plan_error(0, 0);
    g_autofree char *large = plan_error(-0x1000ULL, 0x1000);
    const DumpFormat unknown = { .kind = DUMP_KIND_KDUMP,
                                 .codec = DUMP_CODEC__MAX };

    g_assert_cmpstr(none, ==, "dump: no guest memory to dump");
    g_assert_cmpstr(large, ==, "dump: guest memory is too large for a "
                    "kdump-compressed file");
    g_assert_false(dump_writer_available(&unknown));
}

/*
 * Unreadable pages are in bitmap 1 only. All other pages are in the file, with
 * their own descriptors.
 */
static void check_lost(const DumpFormat *format, uint32_t page_size,
                       TestOutput kind, unsigned threads)
{
    g_autofree uint8_t *want = g_malloc(page_size);
    g_autoptr(TestImage) f = NULL;
    g_auto(TestGuest) t;
    uint64_t index = 0, lost = 0, zero_at = 0;
    PageCount count = { 0 };
    FlatStats stats;
    TestLossy l;
    Kdump k;

    test_guest_init(&t, &abis[0], page_size);
    test_guest_add(&t, 0x1000000, 0x20000);
    test_lossy_add(&l, &t, 0x100000);
    dump_guest_seal(&t.g, 0, 0);
    f = dump(format, &t, kind, threads, &stats);
    k = open_any_kdump(f, &abis[0]);
    g_assert_cmphex(k.status, ==, 0x1);
    for (uint64_t pfn = 0; pfn < k.max_mapnr; pfn++) {
        uint64_t at = pfn * page_size - l.paddr;
        bool ram = at < l.size || test_guest_has(&t, pfn * page_size,
                                                 page_size);
        bool gone = test_lossy_has(&l, pfn * page_size, page_size);

        g_assert_cmpint(f->data[k.bitmap1 + pfn / 8] >> pfn % 8 & 1, ==, ram);
        g_assert_cmpint(f->data[k.bitmap2 + pfn / 8] >> pfn % 8 & 1, ==,
                        ram && !gone);
        lost += gone;
        if (!ram || gone) {
            continue;
        }
        test_guest_expect(&t, pfn * page_size, want, page_size);
        if (at < l.size) {
            memcpy(want, l.bytes + at, MIN(page_size, l.size - at));
        }
        check_page(&k, index++, 0x1, want, &zero_at, &count);
    }
    g_assert_cmpuint(index, ==, k.nr_descs);
    g_assert_cmpuint(lost, >, 0);
    g_assert_cmpuint(dump_report_lost(&l.report), ==, lost * page_size);
    test_lossy_free(&l);
}

static void test_lost(void)
{
    if (test_skip_unknown_pages()) {
        return;
    }
    check_lost(&zlib_raw, 4096, TEST_FILE, 1);
    check_lost(&zlib_raw, 4096, TEST_OLD_FILE, 3);
    check_lost(&zlib_flat, 4096, TEST_STREAM, 2);
    check_lost(&zlib_flat, 65536, TEST_FILE, 1);
    check_lost(&zlib_raw, 65536, TEST_OLD_FILE, 2);
}

static void test_failures(void)
{
    const DumpFormat *const formats[] = { &zlib_raw, &zlib_flat };
    g_auto(TestGuest) t;

    test_guest_init(&t, &abis[0], 4096);
    add_memory(&t);
    for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
        for (unsigned threads = 1; threads <= 3; threads += 2) {
            g_autofree char *full = test_full_error(formats[i], &t.g,
                                                    threads);
            g_autofree char *cancel = test_cancel_error(&zlib_raw, &t.g,
                                                        threads);

            g_assert_true(g_str_has_prefix(full, "dump: writing "));
            g_assert_true(g_str_has_suffix(full,
                                           ": No space left on device"));
            g_assert_cmpstr(cancel, ==, "dump: cancelled");
        }
    }
}

/* A lot of memory, of which one page in eight is incompressible. */
static void add_large_memory(TestGuest *t)
{
    uint64_t size = 56 << 20;
    TestBlock b = { 0x100000, size, g_malloc0(size) };
    GRand *rand = g_rand_new_with_seed(1);

    for (uint64_t at = 0; at < size; at += 8 * 4096) {
        for (size_t i = 0; i < 4096; i += 4) {
            *(uint32_t *)(b.host + at + i) = g_rand_int(rand);
        }
    }
    g_rand_free(rand);
    g_array_append_val(t->blocks, b);
    guest_ram_add(&t->g.all, b.paddr, b.size, b.host);
    test_guest_add(t, 0x4000000, 0x10001);
    dump_guest_seal(&t->g, 0, 0);
}

/* The number of pages in a file, 0 if it is not a dump. */
static uint64_t check_incomplete(const DumpFormat *format,
                                 const TestGuest *t, const char *path)
{
    g_autoptr(TestImage) f = test_image_load(path, false);
    FlatStats stats;
    Kdump k;

    if (format->flat) {
        static const uint8_t end[16] = {
            255, 255, 255, 255, 255, 255, 255, 255,
            255, 255, 255, 255, 255, 255, 255, 255,
        };
        g_autoptr(TestImage) flat = g_steal_pointer(&f);

        if (flat->len < 16 || memcmp(flat->data + flat->len - 16, end, 16)) {
            return 0;
        }
        f = rearrange(flat, &stats);
    } else if (f->len < 8 || memcmp(f->data, "KDUMP   ", 8)) {
        return 0;
    }
    k = open_kdump(f, &abis[0]);
    g_assert_cmphex(k.status, ==, 0x1 | 0x8);
    check_pages(&k, t, 0x1);
    return k.nr_descs;
}

/*
 * Dump to a file that cannot grow beyond @limit. Returns the number of
 * readable pages.
 */
static uint64_t check_disk_full(const DumpFormat *format, const TestGuest *t,
                                unsigned threads, uint64_t limit)
{
    g_autofree char *path = test_dump_limited(format, &t->g, threads, limit);
    uint64_t pages = check_incomplete(format, t, path);

    g_unlink(path);
    return pages;
}

/* Disk full at different stages: the pages written are readable. */
static void check_disks_full(const DumpFormat *format, unsigned threads)
{
    g_autofree char *path = NULL;
    g_auto(TestGuest) t;
    uint64_t all = 0, last = 0;
    uint64_t size;
    struct stat st;
    int fd = test_output_open(TEST_FILE, &path);

    signal(SIGXFSZ, SIG_IGN);
    test_guest_init(&t, &abis[0], 4096);
    add_large_memory(&t);
    g_assert_true(test_dump_fd(format, &t.g, fd, 1, &size, &error_abort));
    g_assert_cmpint(stat(path, &st), ==, 0);
    g_unlink(path);
    all = guest_ram_max_pfn(&t.g.ram, 4096);

    g_assert_cmpuint(check_disk_full(format, &t, threads, 4096), ==, 0);
    for (unsigned i = 1; i <= 6; i++) {
        uint64_t limit = i == 6 ? st.st_size - 1 : st.st_size * i / 6;
        uint64_t pages = check_disk_full(format, &t, threads, limit);

        g_assert_cmpuint(pages, >=, last);
        g_assert_cmpuint(pages, <=, all);
        /* Data in flight is lost: in this case at most a third. */
        g_assert_cmpuint(pages, >=, i < 2 ? 0 : all * (i - 2) / 6);
        last = pages;
    }
    g_assert_cmpuint(last, >, 0);
}

static void test_disk_full(void)
{
    check_disks_full(&zlib_raw, 1);
    check_disks_full(&zlib_raw, 3);
    check_disks_full(&zlib_flat, 1);
    check_disks_full(&zlib_flat, 3);
}

/* In a child process: overwrite @path, and be killed halfway. */
static void be_killed(const DumpFormat *format, const TestGuest *t,
                      const char *path, uint64_t size)
{
    const struct rlimit limit = { size / 2, size / 2 }, none = { 0 };
    uint64_t plan;

    signal(SIGXFSZ, SIG_DFL);
    setrlimit(RLIMIT_CORE, &none);
    setrlimit(RLIMIT_FSIZE, &limit);
    test_dump_fd(format, &t->g, open(path, O_RDWR), 1, &plan, NULL);
    _exit(0);
}

/* Returns the file that is left of an older dump and a new one. */
static TestImage *dump_killed(const DumpFormat *format, const TestGuest *t)
{
    g_autofree char *path = NULL;
    int fd = test_output_open(TEST_FILE, &path), status;
    TestImage *image;
    uint64_t plan;
    struct stat st;
    pid_t pid;

    g_assert_true(test_dump_fd(format, &t->g, fd, 1, &plan, &error_abort));
    g_assert_cmpint(stat(path, &st), ==, 0);
    pid = fork();
    g_assert_cmpint(pid, >=, 0);
    if (!pid) {
        be_killed(format, t, path, st.st_size);
    }
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGXFSZ);
    image = test_image_load(path, false);
    g_assert_cmpuint(image->len, ==, st.st_size);
    g_unlink(path);
    return image;
}

static void test_killed(void)
{
    g_autoptr(TestImage) raw = NULL;
    g_autoptr(TestImage) flat = NULL;
    g_auto(TestGuest) t;

    test_guest_init(&t, &abis[0], 4096);
    add_large_memory(&t);
    raw = dump_killed(&zlib_raw, &t);
    g_assert_cmpint(memcmp(raw->data, "KDUMP   ", 8), !=, 0);
    flat = dump_killed(&zlib_flat, &t);
    g_assert_cmpint(memcmp(flat->data, "makedumpfile", 12), !=, 0);
}

/* A reader that cancels the dump but keeps its end open. */
typedef struct CancellingReader {
    int fd;
    uint64_t after;             /* bytes after which it cancels */
    bool stall;                 /* stop reading after that */
    DumpProgress *progress;
    GByteArray *got;
} CancellingReader;

static gpointer cancelling_reader(gpointer opaque)
{
    CancellingReader *r = opaque;
    uint8_t buf[65536];
    ssize_t n;

    while (true) {
        if (r->got->len >= r->after &&
            !dump_progress_cancelled(r->progress)) {
            dump_progress_cancel(r->progress);
            if (r->stall) {
                return NULL;
            }
        }
        n = read(r->fd, buf, sizeof(buf));
        if (n <= 0) {
            return NULL;
        }
        g_byte_array_append(r->got, buf, n);
    }
}

/* Cancel a stream after @after bytes. Returns the readable pages. */
static uint64_t check_cancel(const TestGuest *t, unsigned threads,
                             uint64_t after, bool stall)
{
    g_autoptr(GByteArray) got = g_byte_array_new();
    g_autofree char *path = NULL;
    DumpProgress progress;
    CancellingReader r = { .after = after, .stall = stall,
                           .progress = &progress, .got = got };
    DumpWriter *w;
    DumpSink *sink;
    GThread *thread;
    Error *err = NULL;
    uint64_t pages;
    int fds[2];

    g_assert_cmpint(pipe(fds), ==, 0);
    r.fd = fds[0];
    w = test_plan(&zlib_flat, &t->g, threads, &progress);
    sink = dump_sink_flat_new(dump_sink_fd_new(fds[1], &progress));
    thread = g_thread_new("reader", cancelling_reader, &r);
    g_assert_false(dump_writer_write(w, sink, &err));
    g_assert_cmpstr(error_get_pretty(err), ==, "dump: cancelled");
    error_free(err);
    dump_sink_free(sink);
    dump_writer_free(w);
    g_thread_join(thread);
    close(fds[0]);

    close(test_output_open(TEST_FILE, &path));
    g_assert_true(g_file_set_contents(path, (char *)got->data, got->len,
                                      NULL));
    pages = check_incomplete(&zlib_flat, t, path);
    g_unlink(path);
    return pages;
}

static void test_cancel(void)
{
    g_auto(TestGuest) t;

    test_guest_init(&t, &abis[0], 4096);
    add_large_memory(&t);
    for (unsigned threads = 1; threads <= 3; threads += 2) {
        uint64_t early = check_cancel(&t, threads, 100000, false);
        uint64_t late = check_cancel(&t, threads, 5 << 20, false);

        g_assert_cmpuint(early, <, late);
        /* Without a reader the dump cannot be closed. */
        g_assert_cmpuint(check_cancel(&t, threads, 100000, true), ==, 0);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dump/writer-kdump/codecs", test_codecs);
    g_test_add_func("/dump/writer-kdump/abis", test_abis);
    g_test_add_func("/dump/writer-kdump/kept", test_kept);
    g_test_add_func("/dump/writer-kdump/given", test_given);
    g_test_add_func("/dump/writer-kdump/nothing-kept", test_nothing_kept);
    g_test_add_func("/dump/writer-kdump/untouched", test_untouched);
    g_test_add_func("/dump/writer-kdump/untouched-given",
                    test_untouched_given);
    g_test_add_func("/dump/writer-kdump/islands", test_islands);
    g_test_add_func("/dump/writer-kdump/one-page", test_one_page);
    g_test_add_func("/dump/writer-kdump/zero-guest", test_zero_guest);
    g_test_add_func("/dump/writer-kdump/far-up", test_far_up);
    g_test_add_func("/dump/writer-kdump/threads-agree", test_threads_agree);
    g_test_add_func("/dump/writer-kdump/headers", test_headers);
    g_test_add_func("/dump/writer-kdump/no-vmcoreinfo", test_no_vmcoreinfo);
    g_test_add_func("/dump/writer-kdump/refused", test_refused);
    g_test_add_func("/dump/writer-kdump/lost", test_lost);
    g_test_add_func("/dump/writer-kdump/failures", test_failures);
    g_test_add_func("/dump/writer-kdump/killed", test_killed);
    g_test_add_func("/dump/writer-kdump/disk-full", test_disk_full);
    g_test_add_func("/dump/writer-kdump/cancel", test_cancel);
    return g_test_run();
}
