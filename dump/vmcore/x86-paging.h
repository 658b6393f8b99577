/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Guest-virtual addresses of x86, looked up in the guest's own page tables
 * in guest memory.
 *
 * The tables are the guest's: nothing is read but guest memory, and how far
 * tables that point at one another are followed is bounded. Access rights
 * do not matter here.
 *
 * Layout source: Intel SDM volume 3, "Paging".
 *
 * Any thread may call these, with a reader of its own.
 */

#ifndef DUMP_VMCORE_X86_PAGING_H
#define DUMP_VMCORE_X86_PAGING_H

#include "mappings.h"
#include "pages.h"
#include "progress.h"

typedef enum X86PagingMode {
    X86_PAGING_32BIT,
    X86_PAGING_PSE,             /* the same, with pages of 4 MiB too */
    X86_PAGING_PAE,
    X86_PAGING_4LEVEL,
    X86_PAGING_5LEVEL,
} X86PagingMode;

typedef struct X86Paging {
    X86PagingMode mode;
    uint64_t root;              /* CR3; its low bits are not looked at */
} X86Paging;

/* Are addresses of 64 bits translated? */
static inline bool x86_paging_is64(X86PagingMode mode)
{
    return mode >= X86_PAGING_4LEVEL;
}

/*
 * Translate @vaddr. On success *@paddr is its guest-physical address, and
 * *@left the bytes from there to the end of the page. False if it is not
 * mapped, not canonical, or a table is not in guest memory. Whether
 * *@paddr is memory is not asked.
 */
bool x86_paging_translate(const X86Paging *paging, DumpPagesReader *mem,
                          uint64_t vaddr, uint64_t *paddr, uint64_t *left);

/* The same as a DumpPagesTranslate; @tables: X86Paging. */
bool x86_paging_translator(const void *tables, DumpPagesReader *mem,
                           uint64_t vaddr, uint64_t *paddr, uint64_t *left);

/*
 * Read @len bytes at @vaddr. False, with undefined bytes in @buf, unless
 * all of them are mapped and in guest memory.
 */
bool x86_paging_read(const X86Paging *paging, DumpPagesReader *mem,
                     uint64_t vaddr, void *buf, size_t len);

/* Bytes of the smallest page. */
#define X86_PAGING_PAGE_SIZE            4096

/*
 * The most pieces of address space that are found, and the most tables that
 * are read. For the latter, memory of which every page were mapped eight
 * times over by pages of 4 KiB has one for each 64 pages.
 */
#define X86_PAGING_MAX_MAPPINGS         (1u << 19)
#define X86_PAGING_MAX_TABLES(ram)      ((1u << 20) + (ram)->bytes / 4096 / 64)

/*
 * All memory that the page tables of several CPUs map: a GArray of
 * DumpMapping as dump_mappings_sort leaves it, for the caller to free. No
 * piece has a gap of memory in it. The upper halves, where kernels are, come
 * first.
 *
 * @paging: X86Paging of the CPUs
 * @ram: all memory, which is read by @mem
 * @progress: looked at for a cancel; may be NULL
 * @whole: false if there was more than the bounds allow, or the dump was
 *         cancelled: the rest is missing
 */
GArray *x86_paging_mappings(const GArray *paging, const GuestRam *ram,
                            DumpPagesReader *mem,
                            const DumpProgress *progress, bool *whole);

#endif
