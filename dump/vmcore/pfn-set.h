/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A set of page frames, however many islands it has.
 *
 * It is kept in blocks of PFN_SET_BLOCK frames. One that is full or empty has
 * no more than its number; others have a bit for each frame (8 KiB). Blocks
 * without any memory are not there at all, so that a set takes some bytes for
 * each 256 MiB of guest memory, wherever that lies, up to a 32768th of it.
 * Each block knows how many frames the ones before it have: what is the n-th
 * frame, and how many there are below one, takes no walk through those before.
 *
 * Frames are page frame numbers, of whatever page size the user has. A set
 * that is not changed any more may be read by any thread.
 */

#ifndef DUMP_VMCORE_PFN_SET_H
#define DUMP_VMCORE_PFN_SET_H

#include "pfn-bitmap.h"

#define PFN_SET_BLOCK   65536u

typedef struct PfnSet PfnSet;

/*
 * All frames of @nr_runs runs, sorted and not overlapping, that end at 2^63 at
 * most. For the caller to free; NULL with @errp if there is no memory.
 */
PfnSet *pfn_set_new(const PfnRun *runs, size_t nr_runs, Error **errp);

/* NULL is allowed. */
void pfn_set_free(PfnSet *set);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PfnSet, pfn_set_free)

/*
 * Take the frames of @run out, as far as they are in the set; *@removed: how
 * many were. False with @errp if there is no memory, and then some may be out.
 * pfn_set_seal must be called before anything else is asked but
 * pfn_set_next.
 */
bool pfn_set_remove(PfnSet *set, const PfnRun *run, uint64_t *removed,
                    Error **errp);

/* All is removed: count. A new set needs none. */
void pfn_set_seal(PfnSet *set);

/* Frames in the set. */
uint64_t pfn_set_count(const PfnSet *set);

/*
 * The first frames of the set at or above @from that follow one another:
 * as many as there are, but not more than @max. False if there are none.
 */
bool pfn_set_next(const PfnSet *set, uint64_t from, uint64_t max,
                  PfnRun *run);

/* The @index-th frame (from 0); UINT64_MAX if there are not so many. */
uint64_t pfn_set_nth(const PfnSet *set, uint64_t index);

/* How many frames of the set are below @pfn? */
uint64_t pfn_set_rank(const PfnSet *set, uint64_t pfn);

/* As pfn_bitmap_fill, of the frames in the set. */
void pfn_set_fill(const PfnSet *set, uint64_t first_pfn, uint64_t limit,
                  uint8_t *buf, size_t len);

#endif
