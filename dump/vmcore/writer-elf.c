/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * ELF core writer.
 *
 *   ELF header
 *   program headers     right after it, as makedumpfile expects
 *   section headers     only for more than 65,534 program headers, or when
 *                       the target has sections of its own
 *   notes               PT_NOTE, the first program header
 *   memory              one extent per range of RAM, page-aligned
 *   section data        of the target
 *   section names
 *
 * There is one PT_LOAD per range of RAM or of pages that are kept. With paging,
 * there is one per guest-virtual mapping; several of them may refer to the same
 * bytes of the file. The file is written front to back, so that it can be
 * written to a pipe.
 *
 * If the output can be overwritten, the header is first marked incomplete, and
 * rewritten at the end.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/units.h"
#include "elf-core.h"
#include "ram-copy.h"
#include "spare.h"
#include "writer.h"

/* Alignment of memory in the file. */
#define ELF_PAGE                4096

/* Program headers generated and written at a time. */
#define ELF_PHDR_BATCH          2048

/* Maximum size of an ELF header, in bytes. */
#define ELF_EHDR_MAX            64

/* Contiguous guest-physical RAM: one extent of the file. */
typedef struct ElfRange {
    uint64_t paddr;
    uint64_t size;
    unsigned extent;
} ElfRange;

typedef struct ElfWriter {
    DumpWriter parent;
    ElfRange *ranges;           /* sorted */
    size_t nr_ranges;
    ElfCoreSegment *segments;   /* [0] is PT_NOTE; NULL: only count them */
    size_t nr_segments;
    uint32_t shnum;             /* section headers, 0 for none */
    unsigned ehdr, phdrs, shdrs, notes, extra_data, shstrtab;  /* extents */
    uint8_t *shdr_bytes;        /* of shnum section headers */
    GArray *names;              /* of char */
} ElfWriter;

/* Returns false. */
static bool elf_no_memory(Error **errp)
{
    dump_no_memory(errp, "to plan an ELF core");
    return false;
}

static bool elf_find_all_ranges(ElfWriter *w, Error **errp)
{
    const GuestRam *ram = &w->parent.guest->ram;

    w->ranges = g_try_new(ElfRange, MAX(guest_ram_nr_runs(ram), 1));
    if (!w->ranges) {
        return elf_no_memory(errp);
    }
    for (size_t i = 0; i < guest_ram_nr_runs(ram); i++) {
        const GuestRamRun *run = guest_ram_run(ram, i);
        ElfRange *last = w->nr_ranges ? &w->ranges[w->nr_ranges - 1] : NULL;

        if (last && last->paddr + last->size == run->paddr) {
            last->size += run->size;
        } else {
            w->ranges[w->nr_ranges++] = (ElfRange) {
                .paddr = run->paddr,
                .size = run->size,
            };
        }
    }
    return true;
}

/* The pieces of ranges that are kept. */
typedef struct ElfPieces {
    ElfRange *pieces;           /* NULL: only count them */
    size_t n;
    uint64_t last;              /* last address of the last piece */
} ElfPieces;

static void elf_add_piece(ElfPieces *p, uint64_t start, uint64_t last,
                          bool join)
{
    if (!join) {
        p->n++;
    }
    if (p->pieces && !join) {
        p->pieces[p->n - 1].paddr = start;
    }
    if (p->pieces) {
        p->pieces[p->n - 1].size = last - p->pieces[p->n - 1].paddr + 1;
    }
    p->last = last;
}

/* The pieces of @range that are kept, merged across gaps of @gap bytes. */
static void elf_split_range(const DumpGuest *guest, const ElfRange *range,
                            uint64_t gap, ElfPieces *p)
{
    uint64_t page = guest->page_size;
    uint64_t pfn = range->paddr / page;
    uint64_t end = range->paddr + (range->size - 1);
    bool first = true;
    PfnRun run;

    while (pfn_set_next(guest->kept, pfn, UINT64_MAX, &run) &&
           run.first <= end / page) {
        uint64_t start = MAX(run.first * page, range->paddr);
        uint64_t last = MIN((run.first + run.count) * page - 1, end);

        elf_add_piece(p, start, last, !first && start - p->last - 1 <= gap);
        pfn = run.first + run.count;
        first = false;
    }
}

static size_t elf_split_ranges(const ElfWriter *w, uint64_t gap,
                               ElfRange *pieces)
{
    ElfPieces p = { .pieces = pieces };

    for (size_t i = 0; i < w->nr_ranges; i++) {
        elf_split_range(w->parent.guest, &w->ranges[i], gap, &p);
    }
    return p.n;
}

/*
 * Reduce the ranges to what is kept. Readers search segments linearly, so their
 * number is limited to what e_phnum can hold; if it is exceeded, pages in the
 * smallest gaps are included although they are excluded.
 */
static bool elf_keep_ranges(ElfWriter *w, Error **errp)
{
    uint64_t gap = 0;
    ElfRange *pieces;
    size_t n;

    while ((n = elf_split_ranges(w, gap, NULL)) >= ELF_CORE_MAX_PLAIN_PHNUM &&
           gap < UINT32_MAX) {
        gap = gap ? 2 * gap : w->parent.guest->page_size;
    }
    pieces = g_try_new(ElfRange, MAX(n, 1));
    if (!pieces) {
        return elf_no_memory(errp);
    }
    w->nr_ranges = elf_split_ranges(w, gap, pieces);
    g_free(w->ranges);
    w->ranges = pieces;
    return true;
}

static bool elf_find_ranges(ElfWriter *w, Error **errp)
{
    return elf_find_all_ranges(w, errp) &&
           (!w->parent.guest->kept || elf_keep_ranges(w, errp));
}

/* Bytes of guest memory in the file. */
static uint64_t elf_memory_bytes(const ElfWriter *w)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < w->nr_ranges; i++) {
        bytes += w->ranges[i].size;
    }
    return bytes;
}

static const ElfRange *elf_range(const ElfWriter *w, size_t i)
{
    return &w->ranges[i];
}

static void elf_add_segment(ElfWriter *w, const ElfCoreSegment *seg)
{
    if (w->segments) {
        w->segments[w->nr_segments] = *seg;
    }
    w->nr_segments++;
}

static void elf_add_load(ElfWriter *w, uint64_t paddr, uint64_t vaddr,
                         uint64_t size)
{
    ElfCoreSegment seg = {
        .type = PT_LOAD,
        .paddr = paddr,
        .vaddr = vaddr,
        .filesz = size,
        .memsz = size,
        /*
         * p_align is 0: crash takes page-aligned cores with a p_align for
         * another format.
         */
    };
    elf_add_segment(w, &seg);
}

/* The first range that ends above @paddr. */
static size_t elf_range_above(const ElfWriter *w, uint64_t paddr)
{
    size_t lo = 0, hi = w->nr_ranges;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        const ElfRange *r = elf_range(w, mid);

        if (r->paddr + (r->size - 1) < paddr) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

/* Add a segment for each part of the mapping that is RAM. */
static void elf_add_mapping(ElfWriter *w, const DumpMapping *m)
{
    uint64_t last = m->paddr + MIN(m->size - 1, UINT64_MAX - m->paddr);

    for (size_t i = elf_range_above(w, m->paddr); i < w->nr_ranges; i++) {
        const ElfRange *r = elf_range(w, i);
        uint64_t start = MAX(r->paddr, m->paddr);
        uint64_t end = MIN(r->paddr + (r->size - 1), last);

        if (r->paddr > last) {
            break;
        }
        elf_add_load(w, start, m->vaddr + (start - m->paddr),
                     end - start + 1);
    }
}

static void elf_add_segments(ElfWriter *w)
{
    const GArray *mappings = w->parent.guest->mappings;
    ElfCoreSegment note = {
        .type = PT_NOTE,
        .filesz = w->parent.guest->notes->len,
        .memsz = w->parent.guest->notes->len,
    };

    w->nr_segments = 0;
    elf_add_segment(w, &note);
    if (mappings) {
        for (size_t i = 0; i < mappings->len; i++) {
            const DumpMapping *m = &g_array_index(mappings, DumpMapping, i);

            if (m->size) {
                elf_add_mapping(w, m);
            }
        }
    } else {
        for (size_t i = 0; i < w->nr_ranges; i++) {
            const ElfRange *r = elf_range(w, i);

            elf_add_load(w, r->paddr, r->paddr, r->size);
        }
    }
}

/* Count the segments, then fill them in. */
static bool elf_find_segments(ElfWriter *w, Error **errp)
{
    elf_add_segments(w);
    w->segments = g_try_new(ElfCoreSegment, w->nr_segments);
    if (!w->segments) {
        return elf_no_memory(errp);
    }
    elf_add_segments(w);
    return true;
}

/* This check bounds all offsets and addresses in the functions below. */
static bool elf_check_size(const ElfWriter *w, Error **errp)
{
    const DumpGuest *guest = w->parent.guest;
    const DumpAbi *abi = &guest->abi;
    const ElfRange *last;
    uint64_t extra = guest->extra ? guest->extra->data_size : 0;
    uint64_t other, room;

    if (!w->nr_ranges) {
        dump_guest_set_empty_error(guest, errp);
        return false;
    }
    if (w->nr_segments >= UINT32_MAX) {
        error_setg(errp, "dump: too many mappings for an ELF core");
        return false;
    }
    last = elf_range(w, w->nr_ranges - 1);
    other = elf_core_ehdr_size(abi) +
            (uint64_t)elf_core_phdr_size(abi) * w->nr_segments +
            guest->notes->len + (uint64_t)ELF_PAGE * w->nr_ranges + MiB;
    room = dump_abi_is64(abi) ? (uint64_t)INT64_MAX : UINT32_MAX;
    if (other > room || extra > room - other ||
        elf_memory_bytes(w) > room - other - extra ||
        !elf_core_fits(abi, last->paddr + (last->size - 1))) {
        error_setg(errp, "dump: guest memory is too large for an ELF%d core",
                   dump_abi_is64(abi) ? 64 : 32);
        return false;
    }
    return true;
}

static void elf_count_sections(ElfWriter *w)
{
    uint32_t extra = w->parent.guest->extra ? w->parent.guest->extra->count : 0;

    assert(extra <= UINT32_MAX - 2);
    if (extra || w->nr_segments > ELF_CORE_MAX_PLAIN_PHNUM) {
        w->shnum = 1 + extra + 1;   /* null, the target's, section names */
    }
}

static void elf_lay_out(ElfWriter *w)
{
    const DumpAbi *abi = &w->parent.guest->abi;
    DumpLayout *l = w->parent.layout;

    w->ehdr = dump_layout_add(l, "ELF header", elf_core_ehdr_size(abi), 1);
    w->phdrs = dump_layout_add(l, "program headers",
                               (uint64_t)elf_core_phdr_size(abi) *
                               w->nr_segments, 1);
    w->shdrs = dump_layout_add(l, "section headers",
                               (uint64_t)elf_core_shdr_size(abi) * w->shnum,
                               w->shnum ? 8 : 1);
    w->notes = dump_layout_add(l, "notes", w->parent.guest->notes->len, 4);
    for (size_t i = 0; i < w->nr_ranges; i++) {
        w->ranges[i].extent = dump_layout_add(l, "memory", w->ranges[i].size,
                                              ELF_PAGE);
    }
    w->extra_data = dump_layout_add(l, "section data", w->parent.guest->extra ?
                                    w->parent.guest->extra->data_size : 0, 1);
}

static void elf_place_segments(ElfWriter *w)
{
    w->segments[0].offset = dump_layout_offset(w->parent.layout, w->notes);

    for (size_t i = 1; i < w->nr_segments; i++) {
        ElfCoreSegment *s = &w->segments[i];
        const ElfRange *r = elf_range(w, elf_range_above(w, s->paddr));

        s->offset = dump_layout_offset(w->parent.layout, r->extent) +
                    (s->paddr - r->paddr);
    }
}

/* The bytes of section header @i. */
static uint8_t *elf_shdr(const ElfWriter *w, uint32_t i)
{
    return w->shdr_bytes + i * elf_core_shdr_size(&w->parent.guest->abi);
}

/* Section headers filled in by the target; no-op if it has none. */
static bool elf_put_extra_sections(ElfWriter *w, Error **errp)
{
    const DumpExtraSections *extra = w->parent.guest->extra;

    if (extra &&
        !extra->headers(extra->opaque,
                        dump_layout_offset(w->parent.layout, w->extra_data),
                        w->names, elf_shdr(w, 1),
                        elf_core_shdr_size(&w->parent.guest->abi) *
                        extra->count)) {
        error_setg(errp, "dump: the target's section headers do not match "
                   "what it announced");
        return false;
    }
    return true;
}

/* Section headers and names; the names are at the end of the file. */
static bool elf_put_sections(ElfWriter *w, Error **errp)
{
    static const char own_name[] = ".shstrtab";
    const DumpAbi *abi = &w->parent.guest->abi;
    ElfCoreSection null = elf_core_null_section(w->nr_segments);
    ElfCoreSection names = { .type = SHT_STRTAB, .addralign = 1 };

    w->shdr_bytes = g_try_malloc0_n(w->shnum, elf_core_shdr_size(abi));
    if (!w->shdr_bytes) {
        return elf_no_memory(errp);
    }
    g_array_append_vals(w->names, "", 1);
    elf_core_put_shdr(abi, &null, elf_shdr(w, 0));
    if (!elf_put_extra_sections(w, errp)) {
        return false;
    }
    names.name = w->names->len;
    g_array_append_vals(w->names, own_name, sizeof(own_name));
    names.size = w->names->len;
    names.offset = dump_layout_end(w->parent.layout);
    elf_core_put_shdr(abi, &names, elf_shdr(w, w->shnum - 1));
    return true;
}

static bool elf_plan_sections(ElfWriter *w, Error **errp)
{
    w->names = g_array_new(false, false, 1);
    if (w->shnum && !elf_put_sections(w, errp)) {
        return false;
    }
    w->shstrtab = dump_layout_add(w->parent.layout, "section names",
                                  w->names->len, 1);
    return true;
}

static void elf_release(DumpWriter *parent)
{
    ElfWriter *w = container_of(parent, ElfWriter, parent);

    g_free(w->ranges);
    g_free(w->segments);
    g_free(w->shdr_bytes);
    g_clear_pointer(&w->names, g_array_unref);
}

static bool elf_plan(DumpWriter *parent, const DumpFormat *format,
                     uint64_t *total, Error **errp)
{
    ElfWriter *w = container_of(parent, ElfWriter, parent);

    if (!elf_find_ranges(w, errp) ||
        !elf_find_segments(w, errp) ||
        !elf_check_size(w, errp)) {
        return false;
    }
    elf_count_sections(w);
    elf_lay_out(w);
    elf_place_segments(w);
    *total = elf_memory_bytes(w);
    return elf_plan_sections(w, errp);
}

static void elf_put_ehdr(const ElfWriter *w, uint32_t flags,
                         uint8_t ehdr[ELF_EHDR_MAX])
{
    const DumpAbi *abi = &w->parent.guest->abi;
    ElfCoreHeader hdr = {
        .flags = flags,
        .phnum = w->nr_segments,
        .phoff = dump_layout_offset(w->parent.layout, w->phdrs),
        .shnum = w->shnum,
        .shoff = w->shnum ? dump_layout_offset(w->parent.layout, w->shdrs) : 0,
        .shstrndx = w->shnum ? w->shnum - 1 : 0,
    };

    assert(elf_core_ehdr_size(abi) <= ELF_EHDR_MAX);
    elf_core_put_ehdr(abi, &hdr, ehdr);
}

static bool elf_write_ehdr(ElfWriter *w, uint32_t flags, DumpSink *sink,
                           Error **errp)
{
    uint8_t ehdr[ELF_EHDR_MAX];

    elf_put_ehdr(w, flags, ehdr);
    return dump_layout_write(w->parent.layout, w->ehdr, 0, ehdr,
                             elf_core_ehdr_size(&w->parent.guest->abi), sink,
                             errp);
}

static bool elf_write_phdrs(ElfWriter *w, DumpSink *sink, Error **errp)
{
    const DumpAbi *abi = &w->parent.guest->abi;
    size_t size = elf_core_phdr_size(abi);
    size_t batch = MIN(w->nr_segments, ELF_PHDR_BATCH);
    g_autofree uint8_t *phdrs = g_try_malloc_n(batch, size);

    if (!phdrs) {
        dump_no_memory(errp, "to write the program headers");
        return false;
    }
    for (size_t first = 0; first < w->nr_segments; first += batch) {
        size_t n = MIN(w->nr_segments - first, batch);

        for (size_t i = 0; i < n; i++) {
            elf_core_put_phdr(abi, &w->segments[first + i], phdrs + i * size);
        }
        if (!dump_layout_write(w->parent.layout, w->phdrs, first * size, phdrs,
                               n * size, sink, errp)) {
            return false;
        }
    }
    return true;
}

static bool elf_write_headers(ElfWriter *w, DumpSink *sink, Error **errp)
{
    const GByteArray *notes = w->parent.guest->notes;
    uint32_t flags = dump_sink_rewinds(sink) ? ELF_CORE_FLAG_INCOMPLETE : 0;

    return elf_write_ehdr(w, flags, sink, errp) &&
           elf_write_phdrs(w, sink, errp) &&
           dump_layout_write(w->parent.layout, w->shdrs, 0,
                             w->shdr_bytes, w->shnum *
                             elf_core_shdr_size(&w->parent.guest->abi), sink,
                             errp) &&
           dump_layout_write(w->parent.layout, w->notes, 0, notes->data,
                             notes->len, sink, errp);
}

static bool elf_write_memory(ElfWriter *w, DumpSink *sink, Error **errp)
{
    DumpRamCopy copy = {
        .pages = w->parent.guest->pages,
        .report = w->parent.guest->report,
        .layout = w->parent.layout,
        .sink = sink,
        .progress = w->parent.progress,
        /* With paging, a page may be needed more than once. */
        .keep = w->parent.guest->mappings,
    };

    for (size_t i = 0; i < w->nr_ranges; i++) {
        const ElfRange *r = elf_range(w, i);

        if (!dump_ram_copy(&copy, r->extent, 0, r->paddr, r->size, errp)) {
            return false;
        }
    }
    return true;
}

static bool elf_write_sections(ElfWriter *w, DumpSink *sink, Error **errp)
{
    const DumpExtraSections *extra = w->parent.guest->extra;
    g_autofree uint8_t *data = NULL;

    if (extra) {
        data = g_try_malloc0(extra->data_size);
        if (!data && extra->data_size) {
            dump_no_memory(errp, "for %" PRIu64 " bytes of the target's "
                           "sections", extra->data_size);
            return false;
        }
        if (!extra->data(extra->opaque, data, extra->data_size, errp) ||
            !dump_layout_write(w->parent.layout, w->extra_data, 0, data,
                               extra->data_size, sink, errp)) {
            return false;
        }
    }
    return dump_layout_write(w->parent.layout, w->shstrtab, 0, w->names->data,
                             w->names->len, sink, errp);
}

static bool elf_mark_complete(ElfWriter *w, DumpSink *sink, Error **errp)
{
    uint8_t ehdr[ELF_EHDR_MAX];

    if (!dump_sink_rewinds(sink)) {
        return true;
    }
    elf_put_ehdr(w, 0, ehdr);
    dump_layout_restart(w->parent.layout, w->ehdr);
    return dump_layout_seal(w->parent.layout, w->ehdr, NULL, ehdr, sink, errp);
}

static void elf_mark_incomplete(ElfWriter *w, DumpSink *sink)
{
    if (dump_sink_rewinds(sink)) {
        dump_layout_restart(w->parent.layout, w->ehdr);
        elf_write_ehdr(w, ELF_CORE_FLAG_INCOMPLETE, sink, NULL);
    }
}

/* All data is written; only a trailing hole may still be missing. */
static bool elf_close(ElfWriter *w, DumpSink *sink, Error **errp)
{
    DumpSinkMark mark = dump_sink_mark(sink);

    assert(dump_layout_complete(w->parent.layout));
    dump_progress_set_phase(w->parent.progress, DUMP_PROGRESS_CLOSE);
    if (elf_mark_complete(w, sink, errp) &&
        dump_sink_finish(sink, dump_layout_end(w->parent.layout), errp)) {
        return true;
    }
    if (dump_sink_resume(sink, &mark, NULL)) {
        elf_mark_incomplete(w, sink);
    }
    return false;
}

/* Release memory that is in no range (dump_pages_give). */
static void elf_give_rest(const ElfWriter *w)
{
    DumpPages *pages = w->parent.guest->pages;
    uint64_t at = 0;

    for (size_t i = 0; i < w->nr_ranges; i++) {
        const ElfRange *r = elf_range(w, i);

        dump_pages_give(pages, at, r->paddr - at);
        if (r->size > UINT64_MAX - r->paddr) {
            return;
        }
        at = r->paddr + r->size;
    }
    dump_pages_give(pages, at, UINT64_MAX - at);
}

static bool elf_write(DumpWriter *parent, DumpSink *sink, Error **errp)
{
    ElfWriter *w = container_of(parent, ElfWriter, parent);

    if (!parent->guest->mappings) {
        elf_give_rest(w);
    }
    return elf_write_headers(w, sink, errp) &&
           elf_write_memory(w, sink, errp) &&
           elf_write_sections(w, sink, errp) &&
           dump_sink_sync(sink, errp) &&
           elf_close(w, sink, errp);
}

static bool elf_available(const DumpFormat *format)
{
    return !format->flat;
}

const DumpWriterOps dump_writer_elf = {
    .kind = DUMP_KIND_ELF,
    .size = sizeof(ElfWriter),
    .paging = true,
    .range = true,
    .plain_memory = true,
    .available = elf_available,
    .plan = elf_plan,
    .write = elf_write,
    .release = elf_release,
};
