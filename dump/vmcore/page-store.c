/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Allocator for copies of guest pages; see the header.
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "page-store.h"

/* Bytes for pages allocated at a time; no page is larger. */
#define STORE_PIECE     (1 * MiB)

/* Header of a piece; its pages follow. */
typedef struct StorePiece {
    struct StorePiece *next;
} StorePiece;

/* Contents of a free page. */
typedef struct FreePage {
    struct FreePage *next;
} FreePage;

void page_store_init(PageStore *store, size_t page)
{
    *store = (PageStore) { .page = page };
    qemu_mutex_init(&store->lock);
}

void page_store_deinit(PageStore *store)
{
    StorePiece *piece = store->pieces;

    while (piece) {
        StorePiece *next = piece->next;

        g_free(piece);
        piece = next;
    }
    qemu_mutex_destroy(&store->lock);
}

/* Allocate a piece; false if out of memory. Called with the lock held. */
static bool store_grow(PageStore *store)
{
    StorePiece *piece = g_try_malloc(sizeof(*piece) + STORE_PIECE);

    if (!piece) {
        return false;
    }
    piece->next = store->pieces;
    store->pieces = piece;
    store->fresh = (uint8_t *)(piece + 1);
    store->end = store->fresh + STORE_PIECE;
    return true;
}

/*
 * Prefers freed pages, which the process has already, in the order in which
 * they were freed, so that adjacent ones are likely to be so again.
 */
static void *store_pop(PageStore *store)
{
    FreePage *page = store->free;

    if (page) {
        store->free = page->next;
        return page;
    }
    if (store->end - store->fresh < (ptrdiff_t)store->page &&
        !store_grow(store)) {
        return NULL;
    }
    store->fresh += store->page;
    return store->fresh - store->page;
}

void *page_store_take(PageStore *store)
{
    void *page;

    qemu_mutex_lock(&store->lock);
    page = store_pop(store);
    if (page) {
        qatomic_set_u64(&store->taken, store->taken + 1);
        qatomic_set_u64(&store->held, store->held + store->page);
        qatomic_set_u64(&store->most, MAX(store->most, store->held));
    }
    qemu_mutex_unlock(&store->lock);
    return page;
}

void page_store_give(PageStore *store, void *page)
{
    FreePage *freed = page;

    freed->next = NULL;
    qemu_mutex_lock(&store->lock);
    if (store->free) {
        FreePage *last = store->last_free;

        last->next = freed;
    } else {
        store->free = freed;
    }
    store->last_free = freed;
    qatomic_set_u64(&store->held, store->held - store->page);
    qemu_mutex_unlock(&store->lock);
}

uint64_t page_store_held(const PageStore *store)
{
    return qatomic_read_u64(&store->held);
}

uint64_t page_store_most(const PageStore *store)
{
    return qatomic_read_u64(&store->most);
}

uint64_t page_store_taken(const PageStore *store)
{
    return qatomic_read_u64(&store->taken);
}
