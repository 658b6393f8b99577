/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Translation of guest-virtual addresses in the upper half of the AArch64
 * address space (TTBR1_EL1, used by kernels) by the guest's own tables.
 *
 * The tables are guest memory and not trusted: nothing but guest memory is
 * read. Access permissions are ignored.
 *
 * Layout source: Arm Architecture Reference Manual, DDI 0487, D8 "The AArch64
 * Virtual Memory System Architecture".
 *
 * Any thread may call these, with a reader of its own.
 */

#ifndef DUMP_VMCORE_ARM64_PAGING_H
#define DUMP_VMCORE_ARM64_PAGING_H

#include "pages.h"

typedef struct Arm64Paging {
    uint64_t root;              /* guest-physical address of the top table */
    unsigned page_bits;         /* log2 of the granule: 12, 14 or 16 */
    /*
     * Translated address bits: page_bits + 1 to 52. If page_bits is 12 or 14,
     * 52 implies the descriptor format of FEAT_LPA2.
     */
    unsigned vaddr_bits;
} Arm64Paging;

/*
 * Translate @vaddr. On success *@paddr is its guest-physical address, and
 * *@left the bytes from there to the end of the page or block. Returns false
 * if @vaddr is not mapped or not in the upper half, or if a table is not in
 * guest memory. *@paddr need not be the address of memory.
 */
bool arm64_paging_translate(const Arm64Paging *paging, DumpPagesReader *mem,
                            uint64_t vaddr, uint64_t *paddr, uint64_t *left);

/* The same as a DumpPagesTranslate; @tables: Arm64Paging. */
bool arm64_paging_translator(const void *tables, DumpPagesReader *mem,
                             uint64_t vaddr, uint64_t *paddr, uint64_t *left);

#endif
