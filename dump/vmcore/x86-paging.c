/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Walk of x86 page tables.
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "x86-paging.h"

#define X86_PTE_PRESENT         0x01
#define X86_PTE_LARGE           0x80
#define X86_PTE_ADDRESS         0x000ffffffffff000ULL

typedef struct X86PagingInfo {
    unsigned entry;             /* bytes of a table entry */
    unsigned bits[5];           /* of the index, top level first, down to 12 */
    uint64_t large;             /* bit n: a page may have 2^n bytes */
    uint64_t root;              /* bits of CR3 that are the address */
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

static bool x86_read_entry(const GuestRam *ram, uint64_t paddr, unsigned size,
                           uint64_t *entry)
{
    uint8_t buf[8];

    if (guest_ram_read(ram, paddr, buf, size) != size) {
        return false;
    }
    *entry = size == 8 ? ldq_le_p(buf) : (uint32_t)ldl_le_p(buf);
    return *entry & X86_PTE_PRESENT;
}

/* Where a page of 2^@shift bytes lies that @entry maps. */
static uint64_t x86_page_address(X86PagingMode mode, uint64_t entry,
                                 unsigned shift)
{
    uint64_t paddr = entry & X86_PTE_ADDRESS & -(1ULL << shift);

    /* PSE-36: a page of 4 MiB has eight address bits more, lower down. */
    if (mode == X86_PAGING_PSE && shift == 22) {
        paddr |= (entry >> 13 & 0xff) << 32;
    }
    return paddr;
}

/* The bits above those that are translated repeat the highest one. */
static bool x86_canonical(const X86PagingInfo *info, uint64_t vaddr)
{
    int64_t high = (int64_t)vaddr >> (info->vaddr_bits - 1);

    return info->vaddr_bits == 32 ? !(vaddr >> 32) : !high || high == -1;
}

/* Does @entry map a page, rather than name the next table? */
static bool x86_maps_page(const X86PagingInfo *info, uint64_t entry,
                          unsigned shift)
{
    return shift == 12 || (entry & X86_PTE_LARGE && info->large >> shift & 1);
}

bool x86_paging_translate(const X86Paging *paging, const GuestRam *ram,
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
        if (!x86_read_entry(ram, table + index * info->entry, info->entry,
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

bool x86_paging_read(const X86Paging *paging, const GuestRam *ram,
                     uint64_t vaddr, void *buf, size_t len)
{
    while (len) {
        uint64_t paddr, left;
        size_t n;

        if (!x86_paging_translate(paging, ram, vaddr, &paddr, &left)) {
            return false;
        }
        n = MIN(len, left);
        if (guest_ram_read(ram, paddr, buf, n) != n) {
            return false;
        }
        vaddr += n;
        buf = (uint8_t *)buf + n;
        len -= n;
    }
    return true;
}
