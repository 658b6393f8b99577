/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A set of page frames; see the header.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/bswap.h"
#include "qemu/host-utils.h"
#include "pfn-set.h"
#include "spare.h"

#define BLOCK_BYTES     (PFN_SET_BLOCK / 8)
#define WORD            64u     /* bits per access */

typedef struct PfnBlock {
    uint64_t index;             /* number of its first frame / PFN_SET_BLOCK */
    uint64_t rank;              /* frames in the blocks before it, if sealed */
    uint32_t count;             /* frames of the set in this block */
    uint8_t *bits;              /* BLOCK_BYTES; NULL: block is full or empty */
} PfnBlock;

struct PfnSet {
    PfnBlock *blocks;           /* sorted by index; n of them */
    size_t n;
    uint64_t count;             /* frames in the set, if sealed */
};

static bool no_memory(Error **errp)
{
    dump_no_memory(errp, "for a set of page frames");
    return false;
}

static uint64_t run_last(const PfnRun *run)
{
    return run->first + (run->count - 1);
}

/* Number of blocks that the runs intersect. */
static size_t count_blocks(const PfnRun *runs, size_t nr_runs)
{
    size_t n = 0;

    for (size_t i = 0; i < nr_runs; i++) {
        uint64_t first = runs[i].first / PFN_SET_BLOCK;

        n += run_last(&runs[i]) / PFN_SET_BLOCK - first + 1;
        if (i && run_last(&runs[i - 1]) / PFN_SET_BLOCK == first) {
            n--;
        }
    }
    return n;
}

/* Allocate the bits of a block that was full or empty. */
static bool block_need_bits(PfnBlock *b, Error **errp)
{
    if (!b->bits) {
        b->bits = g_try_malloc(BLOCK_BYTES);
        if (!b->bits) {
            return no_memory(errp);
        }
        memset(b->bits, b->count ? 0xff : 0, BLOCK_BYTES);
    }
    return true;
}

/* Add frames [@first, @first + @count), none of which is in the block. */
static bool block_add(PfnBlock *b, uint32_t first, uint32_t count,
                      Error **errp)
{
    const PfnRun run = { .first = first, .count = count };

    if (count == PFN_SET_BLOCK) {
        b->count = count;
        return true;
    }
    if (!block_need_bits(b, errp)) {
        return false;
    }
    pfn_bitmap_set(&run, 1, 0, b->bits, BLOCK_BYTES);
    b->count += count;
    return true;
}

/* The part of @run in block @index, relative to the block's first frame. */
static PfnRun run_in_block(const PfnRun *run, uint64_t index)
{
    uint64_t start = index * PFN_SET_BLOCK;
    uint64_t from = MAX(run->first, start);
    uint64_t last = MIN(run_last(run), start + (PFN_SET_BLOCK - 1));

    return (PfnRun) { .first = from - start, .count = last - from + 1 };
}

static bool set_add_run(PfnSet *set, const PfnRun *run, Error **errp)
{
    for (uint64_t index = run->first / PFN_SET_BLOCK;
         index <= run_last(run) / PFN_SET_BLOCK; index++) {
        PfnRun part = run_in_block(run, index);

        if (!set->n || set->blocks[set->n - 1].index != index) {
            set->blocks[set->n++] = (PfnBlock) { .index = index };
        }
        if (!block_add(&set->blocks[set->n - 1], part.first, part.count,
                       errp)) {
            return false;
        }
    }
    return true;
}

PfnSet *pfn_set_new(const PfnRun *runs, size_t nr_runs, Error **errp)
{
    g_autoptr(PfnSet) set = g_try_new0(PfnSet, 1);
    size_t n = count_blocks(runs, nr_runs);

    if (set) {
        set->blocks = g_try_new0(PfnBlock, MAX(n, 1));
    }
    if (!set || !set->blocks) {
        no_memory(errp);
        return NULL;
    }
    for (size_t i = 0; i < nr_runs; i++) {
        if (!set_add_run(set, &runs[i], errp)) {
            return NULL;
        }
    }
    assert(set->n == n);
    pfn_set_seal(set);
    return g_steal_pointer(&set);
}

void pfn_set_free(PfnSet *set)
{
    if (set) {
        for (size_t i = 0; i < set->n; i++) {
            g_free(set->blocks[i].bits);
        }
        g_free(set->blocks);
        g_free(set);
    }
}

void pfn_set_seal(PfnSet *set)
{
    set->count = 0;
    for (size_t i = 0; i < set->n; i++) {
        set->blocks[i].rank = set->count;
        set->count += set->blocks[i].count;
    }
}

static uint64_t block_word(const PfnBlock *b, uint32_t i)
{
    return ldq_le_p(b->bits + i * (WORD / 8));
}

/*
 * The first frame of the block, from @from on, that is in the set (@in) or is
 * not (!@in); PFN_SET_BLOCK if there is none.
 */
static uint32_t block_find(const PfnBlock *b, uint32_t from, bool in)
{
    uint32_t i = from / WORD;
    uint64_t word;

    if (!b->bits) {
        return (b->count != 0) == in ? from : PFN_SET_BLOCK;
    }
    word = (in ? block_word(b, i) : ~block_word(b, i)) &
           UINT64_MAX << from % WORD;
    while (!word) {
        if (++i == PFN_SET_BLOCK / WORD) {
            return PFN_SET_BLOCK;
        }
        word = in ? block_word(b, i) : ~block_word(b, i);
    }
    return i * WORD + ctz64(word);
}

/* Number of frames in [@first, @first + @count) that are in the set. */
static uint32_t block_count(const PfnBlock *b, uint32_t first,
                            uint32_t count)
{
    uint32_t n = 0, end = first + count;

    while (first < end) {
        uint32_t bits = MIN(WORD - first % WORD, end - first);
        uint64_t word = block_word(b, first / WORD) >> first % WORD;

        n += ctpop64(word & UINT64_MAX >> (WORD - bits));
        first += bits;
    }
    return n;
}

/* The @n-th frame (from 0) of a block that has more than @n. */
static uint32_t block_nth(const PfnBlock *b, uint32_t n)
{
    uint32_t i = 0, here;
    uint64_t word;

    if (!b->bits) {
        return n;
    }
    for (; n >= (here = ctpop64(block_word(b, i))); i++) {
        n -= here;
    }
    for (word = block_word(b, i); n; n--) {
        word &= word - 1;
    }
    return i * WORD + ctz64(word);
}

/* The first block that ends above @pfn. */
static size_t set_block_above(const PfnSet *set, uint64_t pfn)
{
    size_t lo = 0, hi = set->n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (set->blocks[mid].index < pfn / PFN_SET_BLOCK) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

static bool block_remove(PfnBlock *b, uint32_t first, uint32_t count,
                         uint64_t *removed, Error **errp)
{
    const PfnRun run = { .first = first, .count = count };
    uint32_t n;

    if (!b->count) {
        return true;
    }
    if (count == PFN_SET_BLOCK) {
        n = b->count;
    } else {
        if (!block_need_bits(b, errp)) {
            return false;
        }
        n = block_count(b, first, count);
        pfn_bitmap_clear(&run, 1, 0, b->bits, BLOCK_BYTES);
    }
    b->count -= n;
    *removed += n;
    if (!b->count) {
        g_clear_pointer(&b->bits, g_free);
    }
    return true;
}

bool pfn_set_remove(PfnSet *set, const PfnRun *run, uint64_t *removed,
                    Error **errp)
{
    *removed = 0;
    for (size_t i = set_block_above(set, run->first);
         i < set->n &&
         set->blocks[i].index <= run_last(run) / PFN_SET_BLOCK; i++) {
        PfnRun part = run_in_block(run, set->blocks[i].index);

        if (!block_remove(&set->blocks[i], part.first, part.count, removed,
                          errp)) {
            return false;
        }
    }
    return true;
}

uint64_t pfn_set_count(const PfnSet *set)
{
    return set->count;
}

/* The first frame of the set at or above @from, and its block. */
static bool set_find(const PfnSet *set, uint64_t from, size_t *block,
                     uint64_t *pfn)
{
    for (size_t i = set_block_above(set, from); i < set->n; i++) {
        uint64_t start = set->blocks[i].index * PFN_SET_BLOCK;
        uint32_t at = block_find(&set->blocks[i],
                                 from > start ? from - start : 0, true);

        if (at < PFN_SET_BLOCK) {
            *block = i;
            *pfn = start + at;
            return true;
        }
    }
    return false;
}

bool pfn_set_next(const PfnSet *set, uint64_t from, uint64_t max,
                  PfnRun *run)
{
    uint64_t pfn, start;
    size_t i;

    if (!set_find(set, from, &i, &pfn)) {
        return false;
    }
    *run = (PfnRun) { .first = pfn };
    for (; i < set->n && run->count < max; i++) {
        start = set->blocks[i].index * PFN_SET_BLOCK;
        if (start > pfn) {
            break;              /* a gap between blocks */
        }
        pfn = start + block_find(&set->blocks[i], pfn - start, false);
        run->count = pfn - run->first;
        if (pfn < start + PFN_SET_BLOCK) {
            break;
        }
    }
    run->count = MIN(run->count, max);
    return true;
}

uint64_t pfn_set_nth(const PfnSet *set, uint64_t index)
{
    size_t lo = 0, hi = set->n;

    if (index >= set->count) {
        return UINT64_MAX;
    }
    while (hi - lo > 1) {
        size_t mid = lo + (hi - lo) / 2;

        if (set->blocks[mid].rank <= index) {
            lo = mid;
        } else {
            hi = mid;
        }
    }
    return set->blocks[lo].index * PFN_SET_BLOCK +
           block_nth(&set->blocks[lo], index - set->blocks[lo].rank);
}

uint64_t pfn_set_rank(const PfnSet *set, uint64_t pfn)
{
    size_t i = set_block_above(set, pfn);
    uint32_t below = pfn % PFN_SET_BLOCK;
    const PfnBlock *b;

    if (i == set->n) {
        return set->count;
    }
    b = &set->blocks[i];
    if (b->index != pfn / PFN_SET_BLOCK || !b->count) {
        return b->rank;
    }
    return b->rank + (b->bits ? block_count(b, 0, below) : below);
}

/* Copy the part of block @b that is inside of @buf. */
static void fill_block(const PfnBlock *b, uint64_t first_pfn, uint8_t *buf,
                       size_t len)
{
    uint64_t start = b->index * PFN_SET_BLOCK;
    size_t skip = start < first_pfn ? (first_pfn - start) / 8 : 0;
    size_t at = start > first_pfn ? (start - first_pfn) / 8 : 0;
    size_t n = MIN(BLOCK_BYTES - skip, len - at);

    if (b->bits) {
        memcpy(buf + at, b->bits + skip, n);
    } else if (b->count) {
        memset(buf + at, 0xff, n);
    }
}

void pfn_set_fill(const PfnSet *set, uint64_t first_pfn, uint64_t limit,
                  uint8_t *buf, size_t len)
{
    uint64_t end = first_pfn + (uint64_t)len * 8;
    const PfnRun behind = { .first = limit, .count = UINT64_MAX - limit };

    memset(buf, 0, len);
    for (size_t i = set_block_above(set, first_pfn);
         i < set->n && set->blocks[i].index * PFN_SET_BLOCK < end; i++) {
        fill_block(&set->blocks[i], first_pfn, buf, len);
    }
    if (limit < end) {
        pfn_bitmap_clear(&behind, 1, first_pfn, buf, len);
    }
}
