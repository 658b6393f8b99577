/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Classes of pages that a dump can exclude, in the order of the bits of
 * makedumpfile's dump level.
 */

#ifndef DUMP_VMCORE_PAGE_CLASS_H
#define DUMP_VMCORE_PAGE_CLASS_H

typedef enum PageClass {
    PAGE_CLASS_ZERO,            /* all zero; not known from struct page */
    PAGE_CLASS_CACHE,           /* page cache without private data */
    PAGE_CLASS_CACHE_PRIVATE,   /* all of the page cache */
    PAGE_CLASS_USER,            /* anonymous memory, huge pages */
    PAGE_CLASS_FREE,
    PAGE_CLASS_UNUSABLE,        /* memory errors, offline */
    PAGE_CLASS__MAX,
} PageClass;

#define PAGE_CLASS_BIT(class)   (1u << (class))

/* All bits of a dump level; makedumpfile has no bit for the last class. */
#define PAGE_CLASS_LEVEL_MAX    (PAGE_CLASS_BIT(PAGE_CLASS_UNUSABLE) - 1)

#endif
