/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Made-up guest memory, and what a reader must find of it.
 *
 * The blocks are what the engine is told. The pieces say the same by this
 * folder's own arithmetic, in 128 bits, where no address wraps.
 */

#ifndef FUZZ_MEMORY_H
#define FUZZ_MEMORY_H

#include "fuzz.h"
#include "guest-ram.h"

typedef unsigned __int128 FuzzAddr;

typedef struct FuzzBlock {
    GuestRamRun run;
    uint8_t *map;               /* to unmap; NULL: g_malloc */
    size_t map_size;
    uint8_t *lost;              /* of each host page of map, is it? or NULL */
    bool split;                 /* told to the engine in two runs */
} FuzzBlock;

/* Bytes of memory without a gap; [start, end) */
typedef struct FuzzPiece {
    FuzzAddr start, end;
    const uint8_t *host;
} FuzzPiece;

typedef struct FuzzMemory {
    GArray *blocks;             /* FuzzBlock, in any order, may overlap */
    GArray *pieces;             /* FuzzPiece, sorted, do not overlap */
    size_t left;                /* bytes that may still be allocated */
    bool loses;                 /* some of it will be lost: see below */
} FuzzMemory;

void fuzz_memory_init(FuzzMemory *m, size_t limit);
void fuzz_memory_deinit(FuzzMemory *m);

/* Blocks anywhere in 64 bits, near one another or not. */
void fuzz_memory_make(FuzzMemory *m, FuzzInput *in);

/*
 * If @m loses memory, which is to be set before it is made: no host page of a
 * random set of them can be read any more.
 */
void fuzz_memory_lose(FuzzMemory *m, FuzzInput *in);

/* Bytes from @host on that can be read, @len at most. */
size_t fuzz_memory_readable(const FuzzMemory *m, const uint8_t *host,
                            size_t len);

/* One block of @size bytes at @paddr that holds @host's bytes. */
void fuzz_memory_add(FuzzMemory *m, uint64_t paddr, const void *host,
                     size_t size);

/*
 * Tell @ram of all memory, which is left to be sealed and clipped, and work
 * the pieces out. [begin, begin + length) is kept, all if @length is 0.
 */
void fuzz_memory_tell(FuzzMemory *m, GuestRam *ram, uint64_t begin,
                      uint64_t length);

/* Forget pieces that are too far away; see guest_ram_drop_far(). */
void fuzz_memory_drop_far(FuzzMemory *m);

static inline const FuzzPiece *fuzz_piece(const FuzzMemory *m, size_t i)
{
    return &g_array_index(m->pieces, FuzzPiece, i);
}

/*
 * What is at @start, zeroes between the pieces and for what is lost. Returns
 * the bytes of RAM, lost ones included.
 */
size_t fuzz_memory_read(const FuzzMemory *m, FuzzAddr start, uint8_t *buf,
                        size_t len);

/* Bytes of RAM in [@start, @start + @len) that are lost. */
size_t fuzz_memory_lost(const FuzzMemory *m, FuzzAddr start, size_t len);

#endif
