/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a Linux kernel's struct page says of its page, by the offsets and
 * numbers in VMCOREINFO: the classes are makedumpfile's, and so is what
 * belongs to them.
 *
 * Little-endian kernels of 64 bits, Linux 4.16 or later.
 *
 * Sources: Linux kernel/vmcore_info.c, include/linux/page-flags.h,
 * include/linux/mm_types.h; makedumpfile(8).
 */

#ifndef DUMP_VMCORE_LINUX_PAGE_H
#define DUMP_VMCORE_LINUX_PAGE_H

#include "page-class.h"
#include "vmcoreinfo.h"

/* Where the order of a compound page is, in the page after its first. */
typedef enum LinuxPageHuge {
    LINUX_PAGE_HUGE_DTOR,       /* hugetlb pages have a destructor's number */
    LINUX_PAGE_HUGE_FLAG,       /* ... a flag in the second page */
    LINUX_PAGE_HUGE_TYPE,       /* ... a type of page */
} LinuxPageHuge;

/* A type of page, which takes the place of the count of mappings. */
typedef struct LinuxPageType {
    bool known;
    uint32_t value;
} LinuxPageType;

/* What is known of the kernel. Not changed once it is there. */
typedef struct LinuxPageLayout {
    unsigned size;              /* bytes of a struct page */
    unsigned flags, mapping, mapcount, private, head;   /* offsets */
    unsigned order;             /* offset in the second page, of a byte */
    unsigned dtor;              /* likewise; LINUX_PAGE_HUGE_DTOR */
    /* Masks of flags; 0 if there is none. */
    uint64_t lru, has_private, swapcache, swapbacked, slab, hwpoison,
             compound, hugetlb;
    LinuxPageType buddy, unaccepted, offline, slab_type, hugetlb_type;
    LinuxPageHuge huge;
    uint8_t hugetlb_dtor;
    unsigned nr_orders;         /* of free pages */
} LinuxPageLayout;

/*
 * The layout of the kernel of @info; every offset lies inside a struct page.
 * False with @errp set, to what is missing or makes no sense.
 */
bool linux_page_layout_init(LinuxPageLayout *layout, const VmcoreInfo *info,
                            Error **errp);

/*
 * Does page frame @pfn, which @page is the struct page of, begin a stretch of
 * pages that are of one of the classes in @level (PAGE_CLASS_BIT; unusable
 * ones always are)? Then *@order is the power of two of their number, less
 * than LINUX_PAGE_MAX_ORDER, to which @pfn is aligned; the class is returned.
 * PAGE_CLASS__MAX if not.
 *
 * @next: the struct page of the frame behind it, NULL if that is not known
 *
 * A page may belong to the stretches of several; what belongs to one is of its
 * class. Pure; the bytes may be any.
 */
PageClass linux_page_class(const LinuxPageLayout *layout, unsigned level,
                           uint64_t pfn, const uint8_t *page,
                           const uint8_t *next, unsigned *order);

#define LINUX_PAGE_MAX_ORDER    32

#endif
