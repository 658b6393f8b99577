/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Guest-virtual addresses of AArch64's upper half, where kernels are (those
 * that TTBR1_EL1 is for), looked up in the guest's own tables in guest memory.
 *
 * The tables are the guest's: nothing is read but guest memory. Access rights
 * do not matter here.
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
    unsigned page_bits;         /* of the granule: 12, 14 or 16 */
    /*
     * That are translated: page_bits + 1 to 52. With a page_bits of 12 or 14,
     * 52 means that entries are of the form of FEAT_LPA2.
     */
    unsigned vaddr_bits;
} Arm64Paging;

/*
 * Translate @vaddr. On success *@paddr is its guest-physical address, and
 * *@left the bytes from there to the end of the page or block. False if it is
 * not mapped, not of the upper half, or a table is not in guest memory. Whether
 * *@paddr is memory is not asked.
 */
bool arm64_paging_translate(const Arm64Paging *paging, DumpPagesReader *mem,
                            uint64_t vaddr, uint64_t *paddr, uint64_t *left);

/* The same as a DumpPagesTranslate; @tables: Arm64Paging. */
bool arm64_paging_translator(const void *tables, DumpPagesReader *mem,
                             uint64_t vaddr, uint64_t *paddr, uint64_t *left);

#endif
