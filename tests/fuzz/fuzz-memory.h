/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Synthetic guest memory, and the contents that a reader must find.
 *
 * The engine gets the blocks. The pieces are a reference for the result,
 * computed with 128-bit arithmetic, in which no address wraps.
 */

#ifndef FUZZ_MEMORY_H
#define FUZZ_MEMORY_H

#include "fuzz.h"
#include "guest-ram.h"

typedef unsigned __int128 FuzzAddr;

typedef struct FuzzBlock {
    GuestRamRun run;
    uint8_t *map;               /* mapping; NULL: host is from g_malloc */
    size_t map_size;
    uint8_t *lost;              /* flag per host page of map, or NULL */
    bool split;                 /* passed to the engine as two runs */
} FuzzBlock;

/* A contiguous range of memory: [start, end). */
typedef struct FuzzPiece {
    FuzzAddr start, end;
    const uint8_t *host;
} FuzzPiece;

typedef struct FuzzMemory {
    GArray *blocks;             /* FuzzBlock, in any order, may overlap */
    GArray *pieces;             /* FuzzPiece, sorted, do not overlap */
    size_t left;                /* bytes that may still be allocated */
    bool loses;                 /* see fuzz_memory_lose */
} FuzzMemory;

void fuzz_memory_init(FuzzMemory *m, size_t limit);
void fuzz_memory_deinit(FuzzMemory *m);

/* Create blocks anywhere in the 64-bit address space. */
void fuzz_memory_make(FuzzMemory *m, FuzzInput *in);

/*
 * If @m->loses, which must be set before fuzz_memory_make: make a random set
 * of host pages unreadable.
 */
void fuzz_memory_lose(FuzzMemory *m, FuzzInput *in);

/* The number of readable bytes at @host, at most @len. */
size_t fuzz_memory_readable(const FuzzMemory *m, const uint8_t *host,
                            size_t len);

/* Add a block of @size bytes at @paddr with a copy of the data at @host. */
void fuzz_memory_add(FuzzMemory *m, uint64_t paddr, const void *host,
                     size_t size);

/*
 * Add all memory to @ram, which the caller seals and clips, and compute the
 * pieces, clipped to [begin, begin + length), or not if @length is 0.
 */
void fuzz_memory_tell(FuzzMemory *m, GuestRam *ram, uint64_t begin,
                      uint64_t length);

/* Drop pieces that are too far away; see guest_ram_drop_far(). */
void fuzz_memory_drop_far(FuzzMemory *m);

static inline const FuzzPiece *fuzz_piece(const FuzzMemory *m, size_t i)
{
    return &g_array_index(m->pieces, FuzzPiece, i);
}

/*
 * Copy the bytes at @start; gaps and lost bytes become zero. Returns the number
 * of bytes of RAM, including lost ones.
 */
size_t fuzz_memory_read(const FuzzMemory *m, FuzzAddr start, uint8_t *buf,
                        size_t len);

/* The number of lost bytes of RAM in [@start, @start + @len). */
size_t fuzz_memory_lost(const FuzzMemory *m, FuzzAddr start, size_t len);

#endif
