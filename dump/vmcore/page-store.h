/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Copies of guest pages that are held until they are written.
 *
 * Memory comes from the kernel in pieces and goes back to it all at once, by
 * deinit. All functions but init and deinit may be called by any thread; none
 * sleeps but for the kernel's memory.
 */

#ifndef DUMP_VMCORE_PAGE_STORE_H
#define DUMP_VMCORE_PAGE_STORE_H

#include "qemu/atomic.h"
#include "qemu/thread.h"

typedef struct PageStore {
    QemuMutex lock;
    size_t page;                /* bytes of a page */
    void *free;                 /* a list of pages; under lock */
    void *pieces;               /* a list; under lock */
    uint8_t *fresh, *end;       /* of the newest, never taken; under lock */
    aligned_uint64_t held;      /* bytes that are taken; atomic */
    aligned_uint64_t most;      /* the most that ever were; atomic */
    aligned_uint64_t taken;     /* pages that were taken in all; atomic */
} PageStore;

/* @page: bytes of a host page. */
void page_store_init(PageStore *store, size_t page);
void page_store_deinit(PageStore *store);

/* Room for a page, with anything in it; NULL if there is no memory. */
void *page_store_take(PageStore *store);

/* It is not needed any more. */
void page_store_give(PageStore *store, void *page);

/* Bytes that are taken now. */
uint64_t page_store_held(const PageStore *store);

/* The most bytes that ever were. */
uint64_t page_store_most(const PageStore *store);

/* Pages that were taken, however many were given back. */
uint64_t page_store_taken(const PageStore *store);

#endif
