/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Translation of x86 guest-virtual addresses by the guest's own page tables.
 *
 * The tables are guest memory and not trusted: nothing but guest memory is
 * read, and walks over tables that refer to one another are bounded. Access
 * permissions are ignored.
 *
 * Layout source: Intel SDM volume 3, "Paging".
 *
 * Any thread may call these functions, with a reader of its own.
 */

#ifndef DUMP_VMCORE_X86_PAGING_H
#define DUMP_VMCORE_X86_PAGING_H

#include "mappings.h"
#include "pages.h"
#include "progress.h"

typedef enum X86PagingMode {
    X86_PAGING_32BIT,
    X86_PAGING_PSE,             /* the same, with 4 MiB pages */
    X86_PAGING_PAE,
    X86_PAGING_4LEVEL,
    X86_PAGING_5LEVEL,
} X86PagingMode;

typedef struct X86Paging {
    X86PagingMode mode;
    uint64_t root;              /* CR3; its low bits are ignored */
} X86Paging;

/* Does this mode translate 64-bit addresses? */
static inline bool x86_paging_is64(X86PagingMode mode)
{
    return mode >= X86_PAGING_4LEVEL;
}

/*
 * Translate @vaddr. On success *@paddr is its guest-physical address, and
 * *@left the bytes from there to the end of the page. Returns false if @vaddr
 * is not mapped or not canonical, or if a table is not in guest memory.
 * *@paddr need not be the address of memory.
 */
bool x86_paging_translate(const X86Paging *paging, DumpPagesReader *mem,
                          uint64_t vaddr, uint64_t *paddr, uint64_t *left);

/* The same as a DumpPagesTranslate; @tables: X86Paging. */
bool x86_paging_translator(const void *tables, DumpPagesReader *mem,
                           uint64_t vaddr, uint64_t *paddr, uint64_t *left);

/*
 * Read @len bytes at @vaddr. Returns false, with @buf undefined, unless all of
 * them are mapped and in guest memory.
 */
bool x86_paging_read(const X86Paging *paging, DumpPagesReader *mem,
                     uint64_t vaddr, void *buf, size_t len);

/* Bytes of the smallest page. */
#define X86_PAGING_PAGE_SIZE            4096

/*
 * Maximum number of mappings found and of tables read. The latter is 2^20 plus
 * one table per 64 pages of RAM, enough to map every page eight times with
 * 4 KiB pages.
 */
#define X86_PAGING_MAX_MAPPINGS         (1u << 19)
#define X86_PAGING_MAX_TABLES(ram)      ((1u << 20) + (ram)->bytes / 4096 / 64)

/*
 * Collect all memory that the page tables of several CPUs map. Returns a
 * GArray of DumpMapping in the order of dump_mappings_sort, owned by the
 * caller. No mapping extends over a gap in RAM. The upper half of the address
 * space, used by kernels, is walked first.
 *
 * @paging: X86Paging of the CPUs
 * @ram: all memory, which is read by @mem
 * @progress: checked for cancellation; may be NULL
 * @whole: set to false if the bounds were exceeded or the dump was cancelled;
 *         the result is then incomplete
 */
GArray *x86_paging_mappings(const GArray *paging, const GuestRam *ram,
                            DumpPagesReader *mem,
                            const DumpProgress *progress, bool *whole);

#endif
