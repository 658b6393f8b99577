/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * x86 page table walk; see the header.
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "x86-paging.h"

#define X86_PTE_PRESENT         0x01
#define X86_PTE_LARGE           0x80
#define X86_PTE_ADDRESS         0x000ffffffffff000ULL

typedef struct X86PagingInfo {
    unsigned entry;             /* bytes of a table entry */
    unsigned bits[5];           /* index bits per level, top level first */
    uint64_t large;             /* bit n: large pages of 2^n bytes allowed */
    uint64_t root;              /* address bits of CR3 */
    unsigned vaddr_bits;
} X86PagingInfo;

static const X86PagingInfo x86_paging_info[] = {
    [X86_PAGING_32BIT] = { 4, { 10, 10 }, 0, 0xfffff000, 32 },
    [X86_PAGING_PSE] = { 4, { 10, 10 }, 1 << 22, 0xfffff000, 32 },
    [X86_PAGING_PAE] = { 8, { 2, 9, 9 }, 1 << 21, 0xffffffe0, 32 },
    [X86_PAGING_4LEVEL] = { 8, { 9, 9, 9, 9 }, 1 << 21 | 1 << 30,
                            X86_PTE_ADDRESS, 48 },
    [X86_PAGING_5LEVEL] = { 8, { 9, 9, 9, 9, 9 }, 1 << 21 | 1 << 30,
                            X86_PTE_ADDRESS, 57 },
};

/* Load the entry of @size bytes at @p; false if it is not present. */
static bool x86_get_entry(const uint8_t *p, unsigned size, uint64_t *entry)
{
    *entry = size == 8 ? ldq_le_p(p) : (uint32_t)ldl_le_p(p);
    return *entry & X86_PTE_PRESENT;
}

static bool x86_read_entry(DumpPagesReader *mem, uint64_t paddr,
                           unsigned size, uint64_t *entry)
{
    uint8_t buf[8];

    return dump_pages_read(mem, paddr, buf, size, NULL) == size &&
           x86_get_entry(buf, size, entry);
}

/* The guest-physical address of the page of 2^@shift bytes @entry maps. */
static uint64_t x86_page_address(X86PagingMode mode, uint64_t entry,
                                 unsigned shift)
{
    uint64_t paddr = entry & X86_PTE_ADDRESS & -(1ULL << shift);

    /* PSE-36: bits 13-20 of a 4 MiB page's entry are address bits 32-39. */
    if (mode == X86_PAGING_PSE && shift == 22) {
        paddr |= (entry >> 13 & 0xff) << 32;
    }
    return paddr;
}

/* Do the untranslated upper bits equal the highest translated bit? */
static bool x86_canonical(const X86PagingInfo *info, uint64_t vaddr)
{
    int64_t high = (int64_t)vaddr >> (info->vaddr_bits - 1);

    return info->vaddr_bits == 32 ? !(vaddr >> 32) : !high || high == -1;
}

/* Does @entry map a page, rather than refer to the next table? */
static bool x86_maps_page(const X86PagingInfo *info, uint64_t entry,
                          unsigned shift)
{
    return shift == 12 || (entry & X86_PTE_LARGE && info->large >> shift & 1);
}

bool x86_paging_translate(const X86Paging *paging, DumpPagesReader *mem,
                          uint64_t vaddr, uint64_t *paddr, uint64_t *left)
{
    const X86PagingInfo *info = &x86_paging_info[paging->mode];
    uint64_t table = paging->root & info->root;
    unsigned shift = info->vaddr_bits;
    uint64_t entry, index, offset;

    if (!x86_canonical(info, vaddr)) {
        return false;
    }
    for (const unsigned *bits = info->bits; ; bits++) {
        shift -= *bits;
        index = vaddr >> shift & ((1u << *bits) - 1);
        if (!x86_read_entry(mem, table + index * info->entry, info->entry,
                            &entry)) {
            return false;
        }
        if (x86_maps_page(info, entry, shift)) {
            break;
        }
        table = entry & X86_PTE_ADDRESS;
    }
    offset = vaddr & ((1ULL << shift) - 1);
    *paddr = x86_page_address(paging->mode, entry, shift) + offset;
    *left = (1ULL << shift) - offset;
    return true;
}

bool x86_paging_translator(const void *tables, DumpPagesReader *mem,
                           uint64_t vaddr, uint64_t *paddr, uint64_t *left)
{
    return x86_paging_translate(tables, mem, vaddr, paddr, left);
}

bool x86_paging_read(const X86Paging *paging, DumpPagesReader *mem,
                     uint64_t vaddr, void *buf, size_t len)
{
    return dump_pages_read_virtual(mem, x86_paging_translator, paging, vaddr,
                                   buf, len);
}

#define X86_TABLE_SIZE          4096    /* maximum, in bytes */

typedef struct X86Walk {
    X86PagingMode mode;
    const GuestRam *ram;
    DumpPagesReader *mem;
    const DumpProgress *progress;
    GArray *mappings;           /* DumpMapping */
    GHashTable *seen;           /* top-level entries, see x86_walk_is_new */
    uint64_t tables;            /* number of tables that may still be read */
    /* Copy of the current table of each level. */
    uint8_t table[ARRAY_SIZE(x86_paging_info[0].bits)][X86_TABLE_SIZE];
} X86Walk;

/*
 * Is this top-level entry seen for the first time? CPUs share the tables below
 * the kernel's entries; walk them only once.
 */
static bool x86_walk_is_new(X86Walk *w, uint64_t entry, unsigned index)
{
    /* Key: bits 0-9 index, 10 large, 12-51 address, 56 and up mode. */
    uint64_t key = (entry & X86_PTE_ADDRESS) | index |
                   (entry & X86_PTE_LARGE ? 1 << 10 : 0) |
                   (uint64_t)w->mode << 56;

    return g_hash_table_add(w->seen, g_memdup2(&key, sizeof(key)));
}

static uint64_t x86_sign_extend(const X86PagingInfo *info, uint64_t vaddr)
{
    unsigned spare = 64 - info->vaddr_bits;

    return info->vaddr_bits == 32 ? vaddr :
                                    (int64_t)(vaddr << spare) >> spare;
}

/* Add the RAM in the page of 2^@shift bytes that @entry maps. */
static bool x86_walk_add(X86Walk *w, uint64_t vaddr, uint64_t entry,
                         unsigned shift)
{
    uint64_t paddr = x86_page_address(w->mode, entry, shift);
    uint64_t left = 1ULL << shift;

    while (left) {
        DumpMapping m = { .paddr = paddr, .vaddr = vaddr };

        if (!guest_ram_host(w->ram, paddr, &m.size)) {
            m.size = MIN(left, guest_ram_gap(w->ram, paddr));
        } else if (w->mappings->len == X86_PAGING_MAX_MAPPINGS) {
            return false;
        } else {
            m.size = MIN(left, m.size);
            dump_mappings_add(w->mappings, &m);
        }
        paddr += m.size;
        vaddr += m.size;
        left -= m.size;
    }
    return true;
}

/* Walk the table at @paddr, which maps the 2^@shift bytes at @vaddr. */
static bool x86_walk_table(X86Walk *w, unsigned level, uint64_t paddr,
                           uint64_t vaddr, unsigned shift)
{
    const X86PagingInfo *info = &x86_paging_info[w->mode];
    unsigned count = 1u << info->bits[level];
    uint8_t *table = w->table[level];
    bool ok = true;

    if (!w->tables ||
        (w->progress && dump_progress_cancelled(w->progress))) {
        return false;
    }
    w->tables--;
    /* No entries outside of memory; a partial read is filled with zeroes. */
    if (!dump_pages_read(w->mem, paddr, table, count * info->entry, NULL)) {
        return true;
    }
    shift -= info->bits[level];
    for (unsigned i = 0; i < count && ok; i++) {
        /* Walk the upper half of the top level first. */
        unsigned index = level ? i : i ^ count / 2;
        uint64_t at = x86_sign_extend(info,
                                      vaddr | (uint64_t)index << shift);
        uint64_t entry;

        if (!x86_get_entry(table + index * info->entry, info->entry,
                           &entry) ||
            (!level && !x86_walk_is_new(w, entry, index))) {
            continue;
        }
        ok = x86_maps_page(info, entry, shift) ?
             x86_walk_add(w, at, entry, shift) :
             x86_walk_table(w, level + 1, entry & X86_PTE_ADDRESS, at, shift);
    }
    return ok;
}

GArray *x86_paging_mappings(const GArray *paging, const GuestRam *ram,
                            DumpPagesReader *mem,
                            const DumpProgress *progress, bool *whole)
{
    g_autofree X86Walk *w = g_new0(X86Walk, 1);

    w->ram = ram;
    w->mem = mem;
    w->progress = progress;
    w->mappings = g_array_new(false, false, sizeof(DumpMapping));
    w->seen = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    w->tables = X86_PAGING_MAX_TABLES(ram);
    *whole = true;
    for (size_t i = 0; i < paging->len && *whole; i++) {
        const X86Paging *p = &g_array_index(paging, X86Paging, i);
        const X86PagingInfo *info = &x86_paging_info[p->mode];

        w->mode = p->mode;
        *whole = x86_walk_table(w, 0, p->root & info->root, 0,
                                info->vaddr_bits);
    }
    g_hash_table_unref(w->seen);
    dump_mappings_sort(w->mappings);
    return w->mappings;
}
