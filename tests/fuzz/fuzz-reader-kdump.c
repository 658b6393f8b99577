/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Strict reader of kdump-compressed files and of the flattened form.
 */

#include "fuzz-reader.h"
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

#define INCOMPLETE      8       /* bit of status */

/* Offsets of the parts of the file. */
typedef struct Places {
    uint64_t block;
    uint64_t max_pfn;
    uint64_t bitmap1, bitmap2, bitmap_size;     /* bytes */
    uint64_t descs;
} Places;

/* Check the fields after utsname. Returns the status. */
static uint32_t check_main(const FuzzImage *img, const FuzzFacts *f,
                           Places *p)
{
    unsigned w = f->is64 ? 8 : 4;
    uint64_t time = f->is64 ? 408 : 404;
    uint64_t at = time + 2 * w;
    uint64_t status = fuzz_get(img, at, 4);

    FUZZ_CHECK(!memcmp(fuzz_at(img, 0, 8), "KDUMP   ", 8));
    FUZZ_CHECK(fuzz_get(img, 8, 4) == 6);
    for (unsigned i = 0; i < 6; i++) {
        FUZZ_CHECK(!strncmp((const char *)fuzz_at(img, 12 + 65 * i, 65),
                            f->uts[i], 65));
    }
    FUZZ_CHECK(fuzz_get(img, time, w) == (f->is64 ? f->sec :
                                          (uint32_t)f->sec));
    FUZZ_CHECK(fuzz_get(img, time + w, w) == (f->is64 ? f->usec :
                                              (uint32_t)f->usec));
    FUZZ_CHECK((status & ~INCOMPLETE) == f->codec_flag);
    FUZZ_CHECK(fuzz_get(img, at + 4, 4) == f->page_size);
    FUZZ_CHECK(fuzz_get(img, at + 16, 4) == MIN(p->max_pfn, UINT32_MAX));
    for (unsigned i = 20; i < 36; i += 4) {
        FUZZ_CHECK(fuzz_get(img, at + i, 4) == 0);
    }
    FUZZ_CHECK(fuzz_get(img, at + 36, 4) == f->nr_cpus);

    p->block = f->page_size;
    p->bitmap1 = (1 + fuzz_get(img, at + 8, 4)) * p->block;
    p->bitmap_size = fuzz_get(img, at + 12, 4) * p->block / 2;
    p->bitmap2 = p->bitmap1 + p->bitmap_size;
    p->descs = p->bitmap2 + p->bitmap_size;
    return status;
}

/* Offsets of the sub header's fields, per target. */
typedef struct SubFields {
    unsigned word, dump_level, info, info_size, note, note_size, max_mapnr,
             end;
} SubFields;

static void check_sub(const FuzzImage *img, const FuzzFacts *f,
                      const Places *p)
{
    static const SubFields sub64 = { 8, 8, 32, 40, 48, 56, 96, 104 };
    static const SubFields sub32 = { 4, 4, 20, 28, 32, 40, 72, 80 };
    static const SubFields sub_arm = { 4, 4, 24, 32, 40, 48, 88, 96 };
    const SubFields *s = f->is64 ? &sub64 :
                         f->machine == 40 ? &sub_arm : &sub32;
    uint64_t at = p->block;
    uint64_t note = fuzz_get(img, at + s->note, 8);
    uint64_t info = fuzz_get(img, at + s->info, 8);

    FUZZ_CHECK(fuzz_get(img, at, s->word) ==
               (f->is64 ? f->phys_base : (uint32_t)f->phys_base));
    FUZZ_CHECK(fuzz_get(img, at + s->dump_level, 4) == 0);
    FUZZ_CHECK(fuzz_get(img, at + s->max_mapnr, 8) == p->max_pfn);
    FUZZ_CHECK(fuzz_get(img, at + s->note_size, s->word) == f->notes_len);
    if (f->notes_len) {
        FUZZ_CHECK(note >= at + s->end);
        FUZZ_CHECK(note + f->notes_len <= p->bitmap1);
        FUZZ_CHECK(!memcmp(fuzz_at(img, note, f->notes_len), f->notes,
                           f->notes_len));
    }
    FUZZ_CHECK(fuzz_get(img, at + s->info_size, s->word) == f->info_size);
    FUZZ_CHECK(info == (f->info_size ? note + f->info_pos : 0));
}

static void unpack(uint32_t flag, const uint8_t *src, uint32_t size,
                   uint8_t *dst, size_t page_size)
{
    size_t n = page_size;

    if (flag == 1) {
        uLongf len = page_size;

        FUZZ_CHECK(uncompress(dst, &len, src, size) == Z_OK);
        n = len;
#ifdef CONFIG_LZO
    } else if (flag == 2) {
        lzo_uint len = page_size;

        FUZZ_CHECK(lzo1x_decompress_safe(src, size, dst, &len, NULL) ==
                   LZO_E_OK);
        n = len;
#endif
#ifdef CONFIG_SNAPPY
    } else if (flag == 4) {
        FUZZ_CHECK(snappy_uncompress((const char *)src, size, (char *)dst,
                                     &n) == SNAPPY_OK);
#endif
#ifdef CONFIG_ZSTD
    } else if (flag == 0x20) {
        n = ZSTD_decompress(dst, page_size, src, size);
#endif
    } else {
        n = 0;
    }
    FUZZ_CHECK(n == page_size);
}

/* Buffers, and the locations of page data. */
typedef struct Pages {
    uint8_t *want, *got;
    uint64_t zero;              /* file offset, 0: not seen */
    GArray *places;             /* Place */
} Pages;

typedef struct Place {
    uint64_t offset, size;
} Place;

static gint compare_places(gconstpointer a, gconstpointer b)
{
    const Place *x = a, *y = b;

    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* Data of pages does not overlap, and is not below @from. */
static void check_apart(const Pages *pages, uint64_t from)
{
    g_array_sort(pages->places, compare_places);
    for (size_t i = 0; i < pages->places->len; i++) {
        const Place *p = &g_array_index(pages->places, Place, i);

        FUZZ_CHECK(p->offset >= from);
        from = p->offset + p->size;
    }
}

static void add_place(const FuzzFacts *f, Pages *pages, uint64_t offset,
                      uint32_t size)
{
    Place p = { offset, size };
    bool zero = true;

    for (size_t i = 0; zero && i < f->page_size; i++) {
        zero = !pages->want[i];
    }
    if (zero && pages->zero) {
        /* All zero pages share the same data. */
        FUZZ_CHECK(offset == pages->zero);
        return;
    }
    if (zero) {
        pages->zero = offset;
    }
    g_array_append_val(pages->places, p);
}

/* Pages with lost bytes are not in the file. */
static bool is_lost(const FuzzFacts *f, uint64_t pfn)
{
    return fuzz_memory_lost(f->memory, (FuzzAddr)pfn * f->page_size,
                            f->page_size) > 0;
}

static void check_page(const FuzzImage *img, const FuzzFacts *f,
                       uint64_t pfn, uint64_t desc, Pages *pages)
{
    uint64_t offset = fuzz_get(img, desc, 8);
    uint32_t size = fuzz_get(img, desc + 8, 4);
    uint32_t flags = fuzz_get(img, desc + 12, 4);

    FUZZ_CHECK(fuzz_get(img, desc + 16, 8) == 0);
    FUZZ_CHECK(!is_lost(f, pfn));
    fuzz_memory_read(f->memory, (FuzzAddr)pfn * f->page_size, pages->want,
                     f->page_size);
    if (flags) {
        FUZZ_CHECK(flags == f->codec_flag && size < f->page_size);
        unpack(flags, fuzz_at(img, offset, size), size, pages->got,
               f->page_size);
    } else {
        FUZZ_CHECK(size == f->page_size);
        memcpy(pages->got, fuzz_at(img, offset, size), size);
    }
    FUZZ_CHECK(!memcmp(pages->got, pages->want, f->page_size));
    add_place(f, pages, offset, size);
}

/* Is the page at least partly RAM? */
static bool is_ram(const FuzzFacts *f, uint64_t pfn)
{
    FuzzAddr start = (FuzzAddr)pfn * f->page_size;

    for (size_t i = 0; i < f->memory->pieces->len; i++) {
        const FuzzPiece *p = fuzz_piece(f->memory, i);

        if (p->start < start + f->page_size && start < p->end) {
            return true;
        }
    }
    return false;
}

static bool bit(const FuzzImage *img, uint64_t bitmap, uint64_t n)
{
    return fuzz_get(img, bitmap + n / 8, 1) >> n % 8 & 1;
}

/* Bits of pages that are not RAM are clear up to the bitmap's end. */
static void check_clear(const FuzzImage *img, const Places *p,
                        uint64_t from, uint64_t to)
{
    while (from < to) {
        if (from % 8 == 0 && to - from >= 8) {
            FUZZ_CHECK(!fuzz_get(img, p->bitmap1 + from / 8, 1));
            FUZZ_CHECK(!fuzz_get(img, p->bitmap2 + from / 8, 1));
            from += 8;
        } else {
            FUZZ_CHECK(!bit(img, p->bitmap1, from));
            FUZZ_CHECK(!bit(img, p->bitmap2, from));
            from++;
        }
    }
}

static uint64_t count_bits(const FuzzImage *img, uint64_t bitmap,
                           uint64_t size)
{
    uint64_t n = 0;

    for (uint64_t i = 0; i < size; i++) {
        n += __builtin_popcount(fuzz_get(img, bitmap + i, 1));
    }
    return n;
}

/* The rest of the table, reserved for missing descriptors, is zero. */
static void check_table_rest(const FuzzImage *img, uint64_t from, uint64_t to)
{
    for (uint64_t at = from; at < to; at += 8) {
        FUZZ_CHECK(fuzz_get(img, at, 8) == 0);
    }
}

/* @whole: all pages but lost ones must be in the file. */
static void check_pages(const FuzzImage *img, const FuzzFacts *f,
                        const Places *p, bool whole)
{
    g_autofree uint8_t *want = g_malloc(f->page_size);
    g_autofree uint8_t *got = g_malloc(f->page_size);
    g_autoptr(GArray) places = g_array_new(false, false, sizeof(Place));
    Pages pages = { .want = want, .got = got, .places = places };
    uint64_t done = 0, n = 0;           /* page frames, descriptors */
    uint64_t data = p->descs + 24 * count_bits(img, p->bitmap1,
                                               p->bitmap_size);

    for (size_t i = 0; i < f->memory->pieces->len; i++) {
        const FuzzPiece *piece = fuzz_piece(f->memory, i);
        uint64_t pfn = MAX((uint64_t)(piece->start / f->page_size), done);
        uint64_t last = (piece->end - 1) / f->page_size;

        check_clear(img, p, done, pfn);
        for (; pfn <= last; pfn++) {
            FUZZ_CHECK(is_ram(f, pfn) && bit(img, p->bitmap1, pfn));
            if (bit(img, p->bitmap2, pfn)) {
                check_page(img, f, pfn, p->descs + n++ * 24, &pages);
            } else {
                FUZZ_CHECK(!whole || is_lost(f, pfn));
            }
        }
        done = MAX(done, last + 1);
    }
    check_clear(img, p, done, p->bitmap_size * 8);
    FUZZ_CHECK(n == count_bits(img, p->bitmap2, p->bitmap_size));
    if (whole) {
        check_table_rest(img, p->descs + n * 24, data);
    }
    check_apart(&pages, data);
}

static uint32_t check_headers(const FuzzImage *img, const FuzzFacts *f,
                              Places *p)
{
    const GArray *pieces = f->memory->pieces;
    uint32_t status;

    p->max_pfn = (fuzz_piece(f->memory, pieces->len - 1)->end - 1) /
                 f->page_size + 1;
    status = check_main(img, f, p);
    check_sub(img, f, p);
    FUZZ_CHECK(p->bitmap_size * 8 >= p->max_pfn);
    FUZZ_CHECK(p->descs <= img->len);
    return status;
}

void fuzz_read_kdump(const FuzzImage *img, const FuzzFacts *f)
{
    Places p;

    FUZZ_CHECK(!(check_headers(img, f, &p) & INCOMPLETE));
    check_pages(img, f, &p, true);
}

void fuzz_read_failed_kdump(const FuzzImage *img, const FuzzFacts *f)
{
    uint32_t status;
    Places p;

    if (img->len < 8 || memcmp(img->data, "KDUMP   ", 8)) {
        return;
    }
    /* An incomplete header lacks its last field. */
    if (img->len < f->page_size || !f->nr_cpus ||
        fuzz_get(img, f->is64 ? 460 : 448, 4) != f->nr_cpus) {
        return;
    }
    status = check_headers(img, f, &p);
    check_pages(img, f, &p, !(status & INCOMPLETE));
}

typedef struct Record {
    uint64_t offset, size, at;
} Record;

static gint compare_records(gconstpointer a, gconstpointer b)
{
    const Record *x = a, *y = b;

    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* All records; false if the end record is missing. */
static bool find_records(const FuzzImage *img, GArray *records)
{
    uint64_t at = 4096;

    while (img->len >= 16 && at <= img->len - 16) {
        Record r = { fuzz_get(img, at, 8), fuzz_get(img, at + 8, 8), at + 16 };

        if (r.offset == UINT64_MAX && r.size == UINT64_MAX) {
            FUZZ_CHECK(r.at == img->len);
            return true;
        }
        FUZZ_CHECK(r.size > 0 && r.offset <= INT64_MAX && r.size <= INT64_MAX);
        if (r.size > img->len - r.at) {
            return false;
        }
        g_array_append_val(records, r);
        at = r.at + r.size;
    }
    return false;
}

static void check_flat_header(const FuzzImage *img)
{
    FUZZ_CHECK(!memcmp(fuzz_at(img, 0, 16), "makedumpfile\0\0\0\0", 16));
    FUZZ_CHECK(fuzz_get(img, 16, 8) == 1 && fuzz_get(img, 24, 8) == 1);
    for (unsigned i = 32; i < 4096; i++) {
        FUZZ_CHECK(fuzz_get(img, i, 1) == 0);
    }
}

GByteArray *fuzz_unflatten(const FuzzImage *guest, uint64_t limit,
                           bool failed)
{
    /* Always big-endian. */
    FuzzImage img = { guest->data, guest->len, true };
    g_autoptr(GArray) records = g_array_new(false, false, sizeof(Record));
    GByteArray *out;
    uint64_t end = 0;

    /* The header may be the last that is written. */
    if (img.len < 4096 || (failed && !fuzz_get(&img, 0, 8))) {
        FUZZ_CHECK(failed);
        return NULL;
    }
    check_flat_header(&img);
    if (!find_records(&img, records)) {
        FUZZ_CHECK(failed);
        return NULL;
    }
    out = g_byte_array_new();
    g_array_sort(records, compare_records);
    for (size_t i = 0; i < records->len; i++) {
        const Record *r = &g_array_index(records, Record, i);

        FUZZ_CHECK(r->offset >= end);           /* no overlap */
        FUZZ_CHECK(r->offset + r->size <= limit);
        g_byte_array_set_size(out, r->offset + r->size);
        memset(out->data + end, 0, r->offset - end);
        memcpy(out->data + r->offset, img.data + r->at, r->size);
        end = r->offset + r->size;
    }
    return out;
}
