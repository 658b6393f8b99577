/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Walk of AArch64 translation tables; see the header.
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "arm64-paging.h"

#define ARM64_ENTRY_SIZE        8
#define ARM64_ENTRY_BITS        3       /* log2 of ARM64_ENTRY_SIZE */
#define ARM64_VALID             0x1
#define ARM64_TABLE             0x2     /* or, on the last level, a page */

/* Bits @first to @last. */
static uint64_t bits(unsigned first, unsigned last)
{
    return UINT64_MAX >> (63 - last) & UINT64_MAX << first;
}

/*
 * The output address of an entry that maps 2^@shift bytes, or points to a
 * table if @shift is page_bits. Address bits above 47 are stored in low bits
 * of the entry: 12-15 with 64 KiB pages, 8-9 with FEAT_LPA2.
 */
static uint64_t arm64_address(const Arm64Paging *p, uint64_t entry,
                              unsigned shift)
{
    if (p->page_bits == 16) {
        return (entry & bits(shift, 47)) | (entry & bits(12, 15)) << 36;
    }
    if (p->vaddr_bits == 52) {
        return (entry & bits(shift, 49)) | (entry & bits(8, 9)) << 42;
    }
    return entry & bits(shift, 47);
}

/* The lowest address bit of the index into the top table. */
static unsigned arm64_top_shift(const Arm64Paging *p)
{
    unsigned per_level = p->page_bits - ARM64_ENTRY_BITS;
    unsigned levels = DIV_ROUND_UP(p->vaddr_bits - p->page_bits, per_level);

    return p->page_bits + (levels - 1) * per_level;
}

static bool arm64_read_entry(DumpPagesReader *mem, uint64_t paddr,
                             uint64_t *entry)
{
    uint8_t buf[ARM64_ENTRY_SIZE];

    if (dump_pages_read(mem, paddr, buf, sizeof(buf), NULL) != sizeof(buf)) {
        return false;
    }
    *entry = ldq_le_p(buf);
    return *entry & ARM64_VALID;
}

bool arm64_paging_translate(const Arm64Paging *p, DumpPagesReader *mem,
                            uint64_t vaddr, uint64_t *paddr, uint64_t *left)
{
    unsigned shift = arm64_top_shift(p), end = p->vaddr_bits;
    uint64_t table = p->root, entry, offset;

    if (vaddr < UINT64_MAX << p->vaddr_bits) {
        return false;
    }
    for (;;) {
        uint64_t index = (vaddr & bits(shift, end - 1)) >> shift;

        if (!arm64_read_entry(mem, table + index * ARM64_ENTRY_SIZE,
                              &entry)) {
            return false;
        }
        if (shift == p->page_bits || !(entry & ARM64_TABLE)) {
            break;
        }
        table = arm64_address(p, entry, p->page_bits);
        end = shift;
        shift -= p->page_bits - ARM64_ENTRY_BITS;
    }
    if (shift == p->page_bits && !(entry & ARM64_TABLE)) {
        return false;
    }
    offset = vaddr & ~(UINT64_MAX << shift);
    *paddr = arm64_address(p, entry, shift) + offset;
    *left = (1ULL << shift) - offset;
    return true;
}

bool arm64_paging_translator(const void *tables, DumpPagesReader *mem,
                             uint64_t vaddr, uint64_t *paddr, uint64_t *left)
{
    return arm64_paging_translate(tables, mem, vaddr, paddr, left);
}
