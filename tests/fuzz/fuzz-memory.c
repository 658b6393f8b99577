/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Synthetic guest memory.
 */

#include "fuzz-memory.h"
#include <sys/mman.h>

#define FUZZ_PAGE       4096

#define FUZZ_TOP        ((FuzzAddr)1 << 64)

void fuzz_memory_init(FuzzMemory *m, size_t limit)
{
    m->blocks = g_array_new(false, false, sizeof(FuzzBlock));
    m->pieces = g_array_new(false, false, sizeof(FuzzPiece));
    m->left = limit;
    m->loses = false;
}

void fuzz_memory_deinit(FuzzMemory *m)
{
    for (size_t i = 0; i < m->blocks->len; i++) {
        FuzzBlock *b = &g_array_index(m->blocks, FuzzBlock, i);

        if (b->map) {
            munmap(b->map, b->map_size);
        } else {
            g_free((void *)b->run.host);
        }
        if (b->run.fd >= 0) {
            close(b->run.fd);
        }
        g_free(b->lost);
    }
    g_array_unref(m->blocks);
    g_array_unref(m->pieces);
}

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525 + 1013904223;
    return *state >> 8;
}

/* Fill a page. @fresh: it is zero and untouched; keep it so if possible. */
static void fill_page(uint8_t *p, size_t len, uint32_t *state, bool fresh)
{
    uint32_t kind = next_random(state) % 7;

    switch (kind) {
    case 0:
    case 1:
        if (!fresh) {
            memset(p, 0, len);
        }
        break;
    case 2:
        memset(p, next_random(state), len);
        break;
    case 3:
        for (size_t i = 0; i < len; i++) {
            p[i] = "guest memory "[i % 13] + (i / 512);
        }
        break;
    case 4:
        memset(p, 0, len);
        p[0] = 1;
        break;
    case 5:
        memset(p, 0, len);
        p[len - 1] = 1;
        break;
    default:
        for (size_t i = 0; i < len; i++) {
            p[i] = next_random(state);
        }
    }
}

static void fill(uint8_t *p, size_t size, uint32_t seed, bool fresh)
{
    for (size_t at = 0; at < size; at += FUZZ_PAGE) {
        fill_page(p + at, MIN(size - at, FUZZ_PAGE), &seed, fresh);
    }
}

static void alloc_plain(FuzzBlock *b, uint32_t seed)
{
    uint8_t *p = g_malloc(b->run.size);

    fill(p, b->run.size, seed, false);
    b->run.host = p;
}

/* @inside: offset of the block in its first page. */
static void alloc_map(FuzzBlock *b, uint32_t seed, size_t inside)
{
    bool anon = b->run.backing == GUEST_RAM_ANON ||
                b->run.backing == GUEST_RAM_OTHER;
    bool private = b->run.backing != GUEST_RAM_SHARED_FILE;
    uint8_t *p;

    b->map_size = inside + b->run.size;
    if (!anon) {
        b->run.fd = memfd_create("fuzz", MFD_CLOEXEC);
        FUZZ_CHECK(b->run.fd >= 0);
        FUZZ_CHECK(ftruncate(b->run.fd, b->map_size) == 0);
        b->run.fd_offset = inside;
    }
    p = mmap(NULL, b->map_size, PROT_READ | PROT_WRITE,
             (private ? MAP_PRIVATE : MAP_SHARED) |
             (anon ? MAP_ANONYMOUS : 0), b->run.fd, 0);
    FUZZ_CHECK(p != MAP_FAILED);
    b->map = p;
    b->run.host = p + inside;
    if (b->run.backing == GUEST_RAM_PRIVATE_FILE && b->run.size > 3) {
        /* Part of the data is in the file, part only in this mapping. */
        FUZZ_CHECK(pwrite(b->run.fd, "x", 1, inside + b->run.size / 3) == 1);
    }
    fill((uint8_t *)b->run.host, b->run.size, seed, true);
}

static void alloc_block(FuzzMemory *m, FuzzBlock *b, FuzzInput *in,
                        uint32_t seed)
{
    switch (fuzz_u8(in) % 8) {
    case 0:
        b->run.backing = GUEST_RAM_ANON;
        break;
    case 1:
        b->run.backing = GUEST_RAM_SHARED_FILE;
        break;
    case 2:
        b->run.backing = GUEST_RAM_PRIVATE_FILE;
        break;
    default:
        b->run.backing = GUEST_RAM_OTHER;
    }
    if (b->run.backing == GUEST_RAM_OTHER && !m->loses) {
        alloc_plain(b, seed);
    } else {
        alloc_map(b, seed, fuzz_seldom(in, 4) ? fuzz_u16(in) % 4096 : 0);
    }
}

static uint64_t pick_paddr(FuzzInput *in, uint64_t before)
{
    switch (fuzz_u8(in) % 8) {
    case 0:
        return before;                          /* adjacent */
    case 1:
        return before + fuzz_u16(in);
    case 2:
        return before - fuzz_u16(in);           /* overlapping */
    case 3:
        return (uint64_t)fuzz_u16(in) * FUZZ_PAGE;
    case 4:
        return before + (uint64_t)fuzz_u16(in) * FUZZ_PAGE;
    case 5:
        return fuzz_u32(in);
    default:
        return fuzz_edge(in);
    }
}

static uint64_t pick_size(FuzzInput *in)
{
    switch (fuzz_u8(in) % 8) {
    case 0:
    case 1:
        return 1 + fuzz_u16(in) % 0x3000;
    case 2:
        return 1 + fuzz_u16(in);
    case 3:
        return (1 + fuzz_u8(in) % 4) * 0x10000;
    case 4:
        return 0x100000 + fuzz_u8(in) * 0x1000;
    default:
        return (1 + fuzz_u8(in) % 16) * FUZZ_PAGE;
    }
}

static void add_block(FuzzMemory *m, FuzzInput *in, uint64_t before)
{
    FuzzBlock b = { .run.fd = -1 };
    uint32_t seed;

    b.run.paddr = pick_paddr(in, before);
    b.run.size = MIN(pick_size(in), m->left);
    b.split = fuzz_seldom(in, 4);
    seed = fuzz_u8(in);
    if (!b.run.size) {
        return;
    }
    m->left -= b.run.size;
    alloc_block(m, &b, in, seed);
    g_array_append_val(m->blocks, b);
}

void fuzz_memory_make(FuzzMemory *m, FuzzInput *in)
{
    unsigned n = fuzz_u8(in) % 12;
    uint64_t before = 0;

    for (unsigned i = 0; i < n; i++) {
        add_block(m, in, before);
        if (m->blocks->len) {
            GuestRamRun *last = &g_array_index(m->blocks, FuzzBlock,
                                               m->blocks->len - 1).run;

            before = last->paddr + last->size;
        }
    }
}

void fuzz_memory_add(FuzzMemory *m, uint64_t paddr, const void *host,
                     size_t size)
{
    FuzzBlock b = { .run = { .paddr = paddr, .size = size, .fd = -1 } };

    b.run.host = g_malloc(size);
    memcpy((void *)b.run.host, host, size);
    g_array_append_val(m->blocks, b);
}

/* One in @of is lost, in groups of @grain pages. */
static bool is_lost(size_t page, uint32_t seed, unsigned of, unsigned grain)
{
    uint32_t state = seed + page / grain * 2654435761u;

    next_random(&state);
    return next_random(&state) % of == 0;
}

/* Make pages inaccessible, so that every access is detected. */
static void lose_pages(FuzzBlock *b, uint32_t seed, unsigned of,
                       unsigned grain)
{
    size_t size = qemu_real_host_page_size();
    size_t n = (b->map_size + size - 1) / size;

    b->lost = g_malloc0(n);
    for (size_t i = 0; i < n; i++) {
        b->lost[i] = is_lost(i, seed, of, grain);
        FUZZ_CHECK(!b->lost[i] ||
                   mprotect(b->map + i * size, size, PROT_NONE) == 0);
    }
    /* Otherwise untouched lost pages would be known to be zero. */
    b->run.backing = GUEST_RAM_OTHER;
}

void fuzz_memory_lose(FuzzMemory *m, FuzzInput *in)
{
    unsigned of = 1 + fuzz_u8(in) % 16;
    unsigned grain = 1 << fuzz_u8(in) % 4;
    uint32_t seed = fuzz_u32(in);

    for (size_t i = 0; m->loses && i < m->blocks->len; i++) {
        lose_pages(&g_array_index(m->blocks, FuzzBlock, i), seed + i, of,
                   grain);
    }
}

/* Bytes from @host to the end of its host page, at most @len. */
static size_t page_rest(const uint8_t *host, size_t len)
{
    size_t size = qemu_real_host_page_size();

    return MIN(len, size - (uintptr_t)host % size);
}

static bool host_lost(const FuzzMemory *m, const uint8_t *host)
{
    for (size_t i = 0; m->loses && i < m->blocks->len; i++) {
        const FuzzBlock *b = &g_array_index(m->blocks, FuzzBlock, i);

        if (b->lost && host >= b->map && host < b->map + b->map_size) {
            return b->lost[(host - b->map) / qemu_real_host_page_size()];
        }
    }
    return false;
}

size_t fuzz_memory_readable(const FuzzMemory *m, const uint8_t *host,
                            size_t len)
{
    size_t n = 0;

    while (n < len && !host_lost(m, host + n)) {
        n += page_rest(host + n, len - n);
    }
    return n;
}

/* Copy readable bytes to @to unless NULL. Returns the bytes lost. */
static size_t copy_readable(const FuzzMemory *m, uint8_t *to,
                            const uint8_t *host, size_t len)
{
    size_t lost = 0;

    for (size_t at = 0, n; at < len; at += n) {
        n = page_rest(host + at, len - at);
        if (host_lost(m, host + at)) {
            lost += n;
        } else if (to) {
            memcpy(to + at, host + at, n);
        }
    }
    return lost;
}

/* Convert the block to one or two runs. Returns their number. */
static unsigned block_runs(const FuzzBlock *b, GuestRamRun runs[2])
{
    uint64_t half = b->run.size / 2;

    runs[0] = runs[1] = b->run;
    if (!b->split || !half || b->run.paddr + half < b->run.paddr) {
        return 1;
    }
    runs[0].size -= half;
    runs[0].paddr += half;
    runs[0].host += half;
    runs[0].fd_offset += half;
    runs[1].size = half;
    return 2;
}

static gint compare_addr(gconstpointer a, gconstpointer b)
{
    FuzzAddr x = *(const FuzzAddr *)a, y = *(const FuzzAddr *)b;

    return x < y ? -1 : x > y;
}

/* Clip the pieces to [from, to). */
static void keep_range(FuzzMemory *m, FuzzAddr from, FuzzAddr to)
{
    g_autoptr(GArray) all = m->pieces;

    m->pieces = g_array_new(false, false, sizeof(FuzzPiece));
    for (size_t i = 0; i < all->len; i++) {
        const FuzzPiece *p = &g_array_index(all, FuzzPiece, i);
        FuzzPiece kept = { .start = MAX(p->start, from),
                           .end = MIN(p->end, to) };

        if (kept.start < kept.end) {
            kept.host = p->host + (size_t)(kept.start - p->start);
            g_array_append_val(m->pieces, kept);
        }
    }
}

/* The host address of @at in the block with the lowest start. */
static const uint8_t *find_owner(const GArray *parts, FuzzAddr at)
{
    const FuzzPiece *best = NULL;

    for (size_t i = 0; i < parts->len; i++) {
        const FuzzPiece *p = &g_array_index(parts, FuzzPiece, i);

        if (p->start <= at && at < p->end &&
            (!best || p->start < best->start)) {
            best = p;
        }
    }
    return best ? best->host + (size_t)(at - best->start) : NULL;
}

/* Between two edges all bytes belong to the same block or to none. */
static void find_pieces(FuzzMemory *m, const GArray *parts, GArray *edges)
{
    g_array_sort(edges, compare_addr);
    for (size_t i = 0; i + 1 < edges->len; i++) {
        FuzzPiece p = {
            .start = g_array_index(edges, FuzzAddr, i),
            .end = g_array_index(edges, FuzzAddr, i + 1),
        };

        p.host = find_owner(parts, p.start);
        if (p.start < p.end && p.host) {
            g_array_append_val(m->pieces, p);
        }
    }
}

void fuzz_memory_tell(FuzzMemory *m, GuestRam *ram, uint64_t begin,
                      uint64_t length)
{
    g_autoptr(GArray) parts = g_array_new(false, false, sizeof(FuzzPiece));
    g_autoptr(GArray) edges = g_array_new(false, false, sizeof(FuzzAddr));

    for (size_t i = 0; i < m->blocks->len; i++) {
        GuestRamRun runs[2];
        unsigned n = block_runs(&g_array_index(m->blocks, FuzzBlock, i),
                                runs);

        for (unsigned k = 0; k < n; k++) {
            FuzzPiece part = {
                .start = runs[k].paddr,
                .end = MIN((FuzzAddr)runs[k].paddr + runs[k].size, FUZZ_TOP),
                .host = runs[k].host,
            };

            guest_ram_add_run(ram, &runs[k]);
            if (part.start < part.end) {
                g_array_append_val(parts, part);
                g_array_append_val(edges, part.start);
                g_array_append_val(edges, part.end);
            }
        }
    }
    find_pieces(m, parts, edges);
    if (length) {
        keep_range(m, begin, (FuzzAddr)begin + length);
    }
}

/* Is the contiguous range too far away for @bytes of memory? */
static bool is_far(FuzzAddr end, FuzzAddr bytes)
{
    return end > (FuzzAddr)4 << 40 && end > bytes * 64;
}

void fuzz_memory_drop_far(FuzzMemory *m)
{
    g_autoptr(GArray) all = g_array_copy(m->pieces);
    FuzzAddr kept = 0, bytes;
    size_t next;

    g_array_set_size(m->pieces, 0);
    for (size_t i = 0; i < all->len; i = next) {
        const FuzzPiece *p = &g_array_index(all, FuzzPiece, i);

        bytes = p->end - p->start;
        for (next = i + 1; next < all->len &&
             p[next - i].start == p[next - i - 1].end; next++) {
            bytes += p[next - i].end - p[next - i].start;
        }
        if (!i || !is_far(p[next - i - 1].end, kept + bytes)) {
            g_array_append_vals(m->pieces, p, next - i);
            kept += bytes;
        }
    }
}

size_t fuzz_memory_read(const FuzzMemory *m, FuzzAddr start, uint8_t *buf,
                        size_t len)
{
    size_t found = 0;

    memset(buf, 0, len);
    for (size_t i = 0; i < m->pieces->len; i++) {
        const FuzzPiece *p = fuzz_piece(m, i);
        FuzzAddr from = MAX(p->start, start);
        FuzzAddr to = MIN(p->end, start + len);

        if (from < to) {
            copy_readable(m, buf + (size_t)(from - start),
                          p->host + (size_t)(from - p->start),
                          (size_t)(to - from));
            found += (size_t)(to - from);
        }
    }
    return found;
}

size_t fuzz_memory_lost(const FuzzMemory *m, FuzzAddr start, size_t len)
{
    size_t lost = 0;

    for (size_t i = 0; m->loses && i < m->pieces->len; i++) {
        const FuzzPiece *p = fuzz_piece(m, i);
        FuzzAddr from = MAX(p->start, start);
        FuzzAddr to = MIN(p->end, start + len);

        if (from < to) {
            lost += copy_readable(m, NULL, p->host +
                                  (size_t)(from - p->start),
                                  (size_t)(to - from));
        }
    }
    return lost;
}
