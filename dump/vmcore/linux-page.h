/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Decoding of Linux's struct page with the offsets and numbers in VMCOREINFO.
 * The classes of pages and their criteria are those of makedumpfile.
 *
 * Supports 64-bit little-endian kernels, Linux 4.16 or later.
 *
 * Sources: Linux kernel/vmcore_info.c, include/linux/page-flags.h,
 * include/linux/mm_types.h; makedumpfile(8).
 */

#ifndef DUMP_VMCORE_LINUX_PAGE_H
#define DUMP_VMCORE_LINUX_PAGE_H

#include "page-class.h"
#include "vmcoreinfo.h"

/* How hugetlb pages are marked; depends on the kernel's version. */
typedef enum LinuxPageHuge {
    LINUX_PAGE_HUGE_DTOR,       /* destructor's number in the second page */
    LINUX_PAGE_HUGE_FLAG,       /* flag in the second page */
    LINUX_PAGE_HUGE_TYPE,       /* type of page */
} LinuxPageHuge;

/* A type of page, in the same field as the map count. */
typedef struct LinuxPageType {
    bool known;
    uint32_t value;
} LinuxPageType;

/* Layout of struct page; constant after initialization. */
typedef struct LinuxPageLayout {
    unsigned size;              /* bytes of a struct page */
    unsigned flags, mapping, mapcount, private, head;   /* offsets */
    unsigned order;             /* offset in the second page; one byte */
    unsigned dtor;              /* likewise; LINUX_PAGE_HUGE_DTOR */
    /* Masks of flags; 0 if the kernel does not have the flag. */
    uint64_t lru, has_private, swapcache, swapbacked, slab, hwpoison,
             compound, hugetlb;
    LinuxPageType buddy, unaccepted, offline, slab_type, hugetlb_type;
    LinuxPageHuge huge;
    uint8_t hugetlb_dtor;
    unsigned nr_orders;         /* number of orders of free pages */
} LinuxPageLayout;

/*
 * Get the layout from @info; all offsets are checked to be inside a struct
 * page. Returns false, with @errp set, if a value is missing or invalid.
 */
bool linux_page_layout_init(LinuxPageLayout *layout, const VmcoreInfo *info,
                            Error **errp);

/*
 * The class of page frame @pfn, whose struct page is @page, if it is one of the
 * classes in @level (PAGE_CLASS_BIT) or unusable; otherwise PAGE_CLASS__MAX.
 * All of the 2^*@order pages from @pfn on are in this class. *@order is less
 * than LINUX_PAGE_MAX_ORDER, and @pfn is aligned to it. Blocks of pages that
 * are returned for different frames may overlap.
 *
 * @next: the struct page of the following frame, NULL if not available
 *
 * Any thread. The struct pages may have arbitrary contents.
 */
PageClass linux_page_class(const LinuxPageLayout *layout, unsigned level,
                           uint64_t pfn, const uint8_t *page,
                           const uint8_t *next, unsigned *order);

#define LINUX_PAGE_MAX_ORDER    32

#endif
