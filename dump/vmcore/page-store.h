/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Allocator for copies of guest pages that are not written yet.
 *
 * Memory is allocated in larger pieces, which are freed by deinit only. All
 * functions except init and deinit may be called by any thread. They block
 * only for the store's lock, which is held for a short time, and to allocate.
 */

#ifndef DUMP_VMCORE_PAGE_STORE_H
#define DUMP_VMCORE_PAGE_STORE_H

#include "qemu/atomic.h"
#include "qemu/thread.h"

typedef struct PageStore {
    QemuMutex lock;
    size_t page;                /* bytes of a page */
    void *free, *last_free;     /* list of free pages; under lock */
    void *pieces;               /* list of all pieces; under lock */
    uint8_t *fresh, *end;       /* unused part of the newest; under lock */
    aligned_uint64_t held;      /* bytes allocated; atomic */
    aligned_uint64_t most;      /* maximum of held; atomic */
    aligned_uint64_t taken;     /* pages allocated in total; atomic */
} PageStore;

/* @page: size of a page in bytes. */
void page_store_init(PageStore *store, size_t page);

/* Frees all pages. */
void page_store_deinit(PageStore *store);

/*
 * Allocate a page, uninitialized; NULL if out of memory. Successive pages are
 * mostly adjacent if they were freed in that order, or never allocated before.
 */
void *page_store_take(PageStore *store);

/* Free @page, which is not NULL. */
void page_store_give(PageStore *store, void *page);

/* Bytes allocated now. */
uint64_t page_store_held(const PageStore *store);

/* Maximum of bytes allocated at a time. */
uint64_t page_store_most(const PageStore *store);

/* Pages allocated since init, including those that were freed. */
uint64_t page_store_taken(const PageStore *store);

#endif
