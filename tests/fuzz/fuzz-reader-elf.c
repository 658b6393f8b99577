/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Strict reader of ELF cores.
 */

#include "fuzz-reader.h"

/* A program header. */
typedef struct Segment {
    uint64_t type, flags, offset, vaddr, paddr, filesz, memsz, align;
} Segment;

/* Fields of the file header. */
typedef struct Header {
    uint64_t phoff, shoff, flags, ehsize, phentsize, phnum, shentsize, shnum,
             shstrndx;
    unsigned word;              /* bytes of an address */
} Header;

const uint8_t *fuzz_at(const FuzzImage *img, uint64_t offset, uint64_t n)
{
    FUZZ_CHECK(offset <= img->len && n <= img->len - offset);
    return img->data + offset;
}

uint64_t fuzz_get(const FuzzImage *img, uint64_t offset, unsigned n)
{
    const uint8_t *p = fuzz_at(img, offset, n);
    uint64_t v = 0;

    for (unsigned i = 0; i < n; i++) {
        v = v << 8 | p[img->be ? i : n - 1 - i];
    }
    return v;
}

static Header read_header(const FuzzImage *img, bool is64)
{
    Header h = is64 ? (Header) {
        .word = 8, .phoff = fuzz_get(img, 32, 8),
        .shoff = fuzz_get(img, 40, 8), .flags = fuzz_get(img, 48, 4),
        .ehsize = fuzz_get(img, 52, 2), .phentsize = fuzz_get(img, 54, 2),
        .phnum = fuzz_get(img, 56, 2), .shentsize = fuzz_get(img, 58, 2),
        .shnum = fuzz_get(img, 60, 2), .shstrndx = fuzz_get(img, 62, 2),
    } : (Header) {
        .word = 4, .phoff = fuzz_get(img, 28, 4),
        .shoff = fuzz_get(img, 32, 4), .flags = fuzz_get(img, 36, 4),
        .ehsize = fuzz_get(img, 40, 2), .phentsize = fuzz_get(img, 42, 2),
        .phnum = fuzz_get(img, 44, 2), .shentsize = fuzz_get(img, 46, 2),
        .shnum = fuzz_get(img, 48, 2), .shstrndx = fuzz_get(img, 50, 2),
    };

    if (h.phnum == 0xffff) {
        /*
         * Section header 0 has the number if it does not fit e_phnum. A
         * file that is too short for it lacks program headers, too.
         */
        uint64_t at = h.shoff + 12 + 4 * h.word;

        h.phnum = at + 4 > img->len ? UINT32_MAX : fuzz_get(img, at, 4);
        FUZZ_CHECK(h.phnum >= 0xffff);
    }
    return h;
}

static void check_header(const FuzzImage *img, const FuzzFacts *f,
                         const Header *h)
{
    FUZZ_CHECK(!memcmp(fuzz_at(img, 0, 4), "\177ELF", 4));
    FUZZ_CHECK(fuzz_get(img, 4, 1) == (f->is64 ? 2 : 1));
    FUZZ_CHECK(fuzz_get(img, 5, 1) == (f->be ? 2 : 1));
    FUZZ_CHECK(fuzz_get(img, 6, 1) == 1);
    FUZZ_CHECK(fuzz_get(img, 16, 2) == 4);              /* ET_CORE */
    FUZZ_CHECK(fuzz_get(img, 18, 2) == f->machine);
    FUZZ_CHECK(fuzz_get(img, 20, 4) == 1);
    FUZZ_CHECK(fuzz_get(img, 24, h->word) == 0);        /* entry */
    FUZZ_CHECK(h->flags == 0);
    FUZZ_CHECK(h->ehsize == (f->is64 ? 64 : 52));
    FUZZ_CHECK(h->phoff == h->ehsize);
    FUZZ_CHECK(h->phentsize == (f->is64 ? 56 : 32));
    FUZZ_CHECK(h->shnum == (f->sections || h->phnum >= 0xffff ?
                            f->sections + 2 : 0));
    FUZZ_CHECK(h->shentsize == (h->shnum ? (f->is64 ? 64 : 40) : 0));
    FUZZ_CHECK(!h->shoff == !h->shnum);
    FUZZ_CHECK(h->shstrndx == (h->shnum ? h->shnum - 1 : 0));
}

static Segment read_segment(const FuzzImage *img, const Header *h, uint64_t i)
{
    uint64_t at = h->phoff + i * h->phentsize;
    unsigned w = h->word;
    /* p_flags is second in ELF64, last but one in ELF32. */
    uint64_t words = w == 8 ? at + 8 : at + 4;

    return (Segment) {
        .type = fuzz_get(img, at, 4),
        .flags = fuzz_get(img, w == 8 ? at + 4 : at + 24, 4),
        .offset = fuzz_get(img, words, w),
        .vaddr = fuzz_get(img, words + w, w),
        .paddr = fuzz_get(img, words + 2 * w, w),
        .filesz = fuzz_get(img, words + 3 * w, w),
        .memsz = fuzz_get(img, words + 4 * w, w),
        .align = fuzz_get(img, w == 8 ? at + 48 : at + 28, w),
    };
}

/* Check that the range is RAM and has the right bytes in the file. */
static void check_memory(const FuzzImage *img, const FuzzFacts *f,
                         uint64_t offset, FuzzAddr paddr, uint64_t size)
{
    g_autofree uint8_t *want = g_malloc(size);

    FUZZ_CHECK(fuzz_memory_read(f->memory, paddr, want, size) == size);
    FUZZ_CHECK(!memcmp(fuzz_at(img, offset, size), want, size));
}

static void check_load(const FuzzImage *img, const FuzzFacts *f,
                       const Segment *s, FuzzAddr paddr, uint64_t vaddr,
                       FuzzAddr size)
{
    FUZZ_CHECK(s->type == 1);
    FUZZ_CHECK(s->paddr == paddr);
    FUZZ_CHECK(s->vaddr == (f->is64 ? vaddr : (uint32_t)vaddr));
    FUZZ_CHECK(s->filesz == size && s->memsz == size);
    FUZZ_CHECK(s->align == 0 && s->flags == 0);
    check_memory(img, f, s->offset, paddr, size);
}

/* Contiguous ranges of pieces. */
static GArray *find_ranges(const FuzzMemory *m)
{
    GArray *ranges = g_array_new(false, false, sizeof(FuzzPiece));

    for (size_t i = 0; i < m->pieces->len; i++) {
        FuzzPiece p = *fuzz_piece(m, i);
        FuzzPiece *last = ranges->len ?
            &g_array_index(ranges, FuzzPiece, ranges->len - 1) : NULL;

        if (last && last->end == p.start) {
            last->end = p.end;
        } else {
            g_array_append_val(ranges, p);
        }
    }
    return ranges;
}

/* Segments do not overlap in the file. */
static void check_apart(const FuzzImage *img, const Header *h, uint64_t from)
{
    for (uint64_t i = 1; i < h->phnum; i++) {
        Segment s = read_segment(img, h, i);

        FUZZ_CHECK(s.offset >= from && s.offset % 4096 == 0);
        from = s.offset + s.filesz;
    }
}

static void check_loads(const FuzzImage *img, const FuzzFacts *f,
                        const Header *h)
{
    g_autoptr(GArray) ranges = find_ranges(f->memory);
    uint64_t n = 1;

    for (size_t j = 0; !f->mappings && j < ranges->len; j++, n++) {
        const FuzzPiece *r = &g_array_index(ranges, FuzzPiece, j);
        Segment s = read_segment(img, h, n);

        check_load(img, f, &s, r->start, r->start, r->end - r->start);
    }
    for (size_t i = 0; f->mappings && i < f->mappings->len; i++) {
        const FuzzMapping *m = &g_array_index(f->mappings, FuzzMapping, i);

        for (size_t j = 0; j < ranges->len; j++) {
            const FuzzPiece *r = &g_array_index(ranges, FuzzPiece, j);
            FuzzAddr from = MAX(r->start, m->paddr);
            FuzzAddr to = MIN(r->end, (FuzzAddr)m->paddr + m->size);

            if (from < to) {
                Segment s = read_segment(img, h, n++);

                check_load(img, f, &s, from, m->vaddr +
                           (uint64_t)(from - m->paddr), to - from);
            }
        }
    }
    FUZZ_CHECK(h->phnum == n);
}

/* Section headers: null, the target's, names. */
static void check_sections(const FuzzImage *img, const FuzzFacts *f,
                           const Header *h)
{
    unsigned w = h->word;
    uint64_t last = h->shoff + (h->shnum - 1) * h->shentsize;
    uint64_t names = fuzz_get(img, last + 8 + 2 * w, w);
    uint64_t size = fuzz_get(img, last + 8 + 3 * w, w);
    uint64_t name = fuzz_get(img, last, 4);

    FUZZ_CHECK(h->shoff >= h->phoff + h->phnum * h->phentsize);
    for (uint64_t i = 0; i < h->shentsize; i++) {
        /* The first one is zero except sh_info, see read_header(). */
        FUZZ_CHECK(fuzz_get(img, h->shoff + i, 1) == 0 ||
                   (h->phnum >= 0xffff && i - (12 + 4 * w) < 4));
    }
    FUZZ_CHECK(fuzz_get(img, last + 4, 4) == 3);        /* SHT_STRTAB */
    FUZZ_CHECK(size > name && size - name == 10);
    FUZZ_CHECK(!memcmp(fuzz_at(img, names, size) + name, ".shstrtab", 10));
    for (uint64_t i = 0; i < f->sections; i++) {
        uint64_t at = h->shoff + (i + 1) * h->shentsize;
        uint64_t offset = fuzz_get(img, at + 8 + 2 * w, w);

        FUZZ_CHECK(fuzz_get(img, names + fuzz_get(img, at, 4), 1) == 's');
        for (uint64_t k = 0; !i && k < f->section_data; k++) {
            FUZZ_CHECK(fuzz_get(img, offset + k, 1) == fuzz_section_byte(k));
        }
    }
}

void fuzz_read_elf(const FuzzImage *img, const FuzzFacts *f)
{
    Header h = read_header(img, f->is64);
    Segment note;

    check_header(img, f, &h);
    note = read_segment(img, &h, 0);
    FUZZ_CHECK(note.type == 4 && note.filesz == f->notes_len);
    FUZZ_CHECK(note.offset >= h.phoff + h.phnum * h.phentsize);
    if (f->notes_len) {
        FUZZ_CHECK(!memcmp(fuzz_at(img, note.offset, f->notes_len), f->notes,
                           f->notes_len));
    }
    check_loads(img, f, &h);
    if (!f->mappings) {
        check_apart(img, &h, note.offset + note.filesz);
    }
    if (h.shnum) {
        check_sections(img, f, &h);
    }
}

void fuzz_read_failed_elf(const FuzzImage *img, const FuzzFacts *f)
{
    uint64_t need = 0;
    Header h;

    if (img->len < 64 || memcmp(img->data, "\177ELF", 4)) {
        return;
    }
    h = read_header(img, f->is64);
    if (h.flags & 1 || img->len < h.phoff + h.phnum * h.phentsize) {
        return;
    }
    for (uint64_t i = 0; i < h.phnum; i++) {
        Segment s = read_segment(img, &h, i);

        need = MAX(need, s.offset + s.filesz);
    }
    need = MAX(need, h.shoff + h.shnum * h.shentsize);
    if (h.shnum && img->len >= need) {
        uint64_t last = h.shoff + (h.shnum - 1) * h.shentsize;

        need = MAX(need, fuzz_get(img, last + 8 + 2 * h.word, h.word) +
                         fuzz_get(img, last + 8 + 3 * h.word, h.word));
    }
    /* Readers detect a file that is too short. */
    if (img->len >= need) {
        fuzz_read_elf(img, f);
    }
}
