/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Layout of a kdump-compressed file; see the header.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/units.h"
#include "kdump-format.h"
#include "kdump-layout.h"
#include "spare.h"

#define KDUMP_BITMAP_PIECE      (256 * KiB)

/* Bound on the bytes that a sink adds to one write. */
#define KDUMP_WRITE_OVERHEAD    64

/* Bytes of one bitmap in the file, rounded up to blocks. */
static uint64_t kdump_bitmap_size(const KdumpLayout *l)
{
    return ROUND_UP(DIV_ROUND_UP(l->max_pfn, 8),
                    (uint64_t)l->guest->page_size);
}

static uint64_t kdump_sub_header_bytes(const KdumpLayout *l)
{
    return kdump_sub_header_size(&l->guest->abi) + l->guest->notes->len;
}

/*
 * The header counts the bitmaps' blocks in 32 bits, and as an int in some
 * readers; with 4 KiB pages that is 2^45 page frames, or 2^57 bytes.
 */
static bool kdump_check_size(const KdumpLayout *l, Error **errp)
{
    if (!l->chunks->nr_pages) {
        dump_guest_set_empty_error(l->guest, errp);
        return false;
    }
    if (2 * kdump_bitmap_size(l) / l->guest->page_size > INT32_MAX) {
        error_setg(errp, "dump: guest memory is too large for a "
                   "kdump-compressed file");
        return false;
    }
    return true;
}

static void kdump_lay_out(KdumpLayout *l)
{
    uint64_t block = l->guest->page_size;
    uint64_t bitmap = kdump_bitmap_size(l);

    l->header = dump_layout_add(l->file, "kdump header", block, block);
    l->sub_header = dump_layout_add(l->file, "kdump sub header and notes",
                                    ROUND_UP(kdump_sub_header_bytes(l),
                                             block), block);
    l->bitmap1 = dump_layout_add(l->file, "page bitmap", bitmap, block);
    l->bitmap2 = dump_layout_add(l->file, "page bitmap", bitmap, block);
    l->descs = dump_layout_add(l->file, "page descriptors",
                               l->chunks->nr_pages * KDUMP_PAGE_DESC_SIZE,
                               block);
    l->data = dump_layout_add(l->file, "page data", DUMP_EXTENT_OPEN, block);
}

bool kdump_layout_init(KdumpLayout *l, const DumpGuest *guest,
                       const KdumpChunks *chunks, DumpLayout *file,
                       Error **errp)
{
    *l = (KdumpLayout) {
        .guest = guest,
        .chunks = chunks,
        .file = file,
        .max_pfn = guest_ram_max_pfn(&guest->ram, guest->page_size),
    };
    if (!kdump_check_size(l, errp)) {
        return false;
    }
    kdump_lay_out(l);
    return true;
}

uint64_t kdump_layout_data(const KdumpLayout *l)
{
    return dump_layout_offset(l->file, l->data);
}

uint64_t kdump_layout_closing_bytes(const KdumpLayout *l)
{
    uint64_t bitmap = kdump_bitmap_size(l);

    return bitmap + l->guest->page_size + KDUMP_WRITE_OVERHEAD *
           (DIV_ROUND_UP(bitmap, KDUMP_BITMAP_PIECE) + 3);
}

/* Fill @buf with the bits of the page frames from @first_pfn on. */
typedef void KdumpFill(const KdumpLayout *l, const void *opaque,
                       uint64_t first_pfn, uint8_t *buf, size_t len);

static bool kdump_write_bitmap(const KdumpLayout *l, unsigned extent,
                               KdumpFill *fill, const void *opaque,
                               DumpSink *sink, Error **errp)
{
    uint64_t size = dump_layout_size(l->file, extent);
    g_autofree uint8_t *buf = g_try_malloc(MIN(size, KDUMP_BITMAP_PIECE));

    if (!buf) {
        dump_no_memory(errp, "to make the page bitmap");
        return false;
    }
    for (uint64_t pos = 0; pos < size; pos += KDUMP_BITMAP_PIECE) {
        size_t n = MIN(size - pos, KDUMP_BITMAP_PIECE);

        fill(l, opaque, pos * 8, buf, n);
        if (!dump_layout_write(l->file, extent, pos, buf, n, sink, errp)) {
            return false;
        }
    }
    return true;
}

static void kdump_fill_ram(const KdumpLayout *l, const void *opaque,
                           uint64_t first_pfn, uint8_t *buf, size_t len)
{
    const GArray *ram = l->chunks->ram;

    pfn_bitmap_fill((PfnRun *)ram->data, ram->len, first_pfn, UINT64_MAX, buf,
                    len);
}

bool kdump_layout_write_bitmap1(const KdumpLayout *l, DumpSink *sink,
                                Error **errp)
{
    return kdump_write_bitmap(l, l->bitmap1, kdump_fill_ram, NULL, sink,
                              errp);
}

/* The frames of the set that are in bitmap 2. */
typedef struct KdumpWritten {
    uint64_t limit;             /* those below this frame, */
    const KdumpMissing *missing;        /* except these */
} KdumpWritten;

static void kdump_fill_written(const KdumpLayout *l, const void *opaque,
                               uint64_t first_pfn, uint8_t *buf, size_t len)
{
    const KdumpWritten *written = opaque;

    pfn_set_fill(l->chunks->set, first_pfn, written->limit, buf, len);
    pfn_bitmap_clear(written->missing->runs, written->missing->n, first_pfn,
                     buf, len);
}

bool kdump_layout_write_bitmap2(const KdumpLayout *l, uint64_t nr_pages,
                                const KdumpMissing *missing, DumpSink *sink,
                                Error **errp)
{
    const KdumpWritten written = {
        .limit = pfn_set_nth(l->chunks->set, nr_pages),
        .missing = missing,
    };

    return kdump_write_bitmap(l, l->bitmap2, kdump_fill_written, &written,
                              sink, errp);
}

bool kdump_layout_fill_descs(const KdumpLayout *l, uint64_t nr_pages,
                             DumpSink *sink, Error **errp)
{
    static const uint8_t zero[64 * KDUMP_PAGE_DESC_SIZE];
    uint64_t size = dump_layout_size(l->file, l->descs);
    uint64_t pos = nr_pages * KDUMP_PAGE_DESC_SIZE;

    if (dump_sink_has_holes(sink)) {
        dump_layout_skip(l->file, l->descs, size - pos);
        return true;
    }
    while (pos < size) {
        size_t n = MIN(size - pos, sizeof(zero));

        if (!dump_layout_write(l->file, l->descs, pos, zero, n, sink, errp)) {
            return false;
        }
        pos += n;
    }
    return true;
}

static void kdump_fill_sub_header(const KdumpLayout *l, uint8_t *buf)
{
    const DumpGuest *guest = l->guest;
    size_t sub_size = kdump_sub_header_size(&guest->abi);
    uint64_t note = dump_layout_offset(l->file, l->sub_header) + sub_size;
    KdumpSubHeader sub = {
        .phys_base = guest->phys_base,
        .dump_level = guest->dump_level & PAGE_CLASS_LEVEL_MAX,
        .offset_note = note,
        .size_note = guest->notes->len,
        .max_mapnr = l->max_pfn,
    };

    if (guest->vmcoreinfo_size) {
        sub.offset_vmcoreinfo = note + guest->vmcoreinfo_pos;
        sub.size_vmcoreinfo = guest->vmcoreinfo_size;
    }
    kdump_put_sub_header(&guest->abi, &sub, buf);
    if (guest->notes->len) {
        memcpy(buf + sub_size, guest->notes->data, guest->notes->len);
    }
}

bool kdump_layout_write_sub_header(const KdumpLayout *l, DumpSink *sink,
                                   Error **errp)
{
    size_t size = dump_layout_size(l->file, l->sub_header);
    g_autofree uint8_t *buf = g_try_malloc0(size);

    if (!buf) {
        dump_no_memory(errp, "to write the notes");
        return false;
    }
    kdump_fill_sub_header(l, buf);
    return dump_layout_write(l->file, l->sub_header, 0, buf, size, sink,
                             errp);
}

/* @buf: one block of zeroes. @status: KDUMP_STATUS_INCOMPLETE or 0 */
static void kdump_fill_header(const KdumpLayout *l, uint32_t status,
                              uint8_t *buf)
{
    const DumpGuest *guest = l->guest;
    uint32_t block = guest->page_size;
    KdumpHeader hdr = {
        .uts = guest->uts,
        .time_sec = guest->time_sec,
        .time_usec = guest->time_usec,
        .status = l->chunks->codec->kdump_flag | status,
        .block_size = block,
        .sub_hdr_blocks = dump_layout_size(l->file, l->sub_header) / block,
        .bitmap_blocks = 2 * kdump_bitmap_size(l) / block,
        .max_mapnr = l->max_pfn,
        .nr_cpus = guest->nr_cpus,
    };

    kdump_put_header(&guest->abi, &hdr, buf);
}

bool kdump_layout_write_header(const KdumpLayout *l, bool incomplete,
                               DumpSink *sink, Error **errp)
{
    size_t block = l->guest->page_size;
    g_autofree uint8_t *buf = g_try_malloc0_n(2, block);

    if (!buf) {
        dump_no_memory(errp, "to write the header");
        return false;
    }
    kdump_fill_header(l, KDUMP_STATUS_INCOMPLETE, buf);
    kdump_fill_header(l, 0, buf + block);
    return incomplete ?
           dump_layout_write(l->file, l->header, 0, buf, block, sink, errp) :
           dump_layout_seal(l->file, l->header, buf, buf + block, sink, errp);
}

void kdump_layout_restart_closing(const KdumpLayout *l)
{
    dump_layout_restart(l->file, l->bitmap2);
    dump_layout_restart(l->file, l->header);
}
