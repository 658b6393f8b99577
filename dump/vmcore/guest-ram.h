/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Guest-physical memory as sorted runs, and the walk over it by page.
 *
 * The runs point into memory that belongs to somebody else and must stay
 * mapped while this object is used. After guest_ram_seal the object is
 * not changed and any thread may read it.
 */

#ifndef DUMP_VMCORE_GUEST_RAM_H
#define DUMP_VMCORE_GUEST_RAM_H

#include "pfn-bitmap.h"

/* Where a run's bytes come from: how untouched memory can be told. */
typedef enum GuestRamBacking {
    GUEST_RAM_OTHER,            /* not known: has to be read */
    GUEST_RAM_ANON,             /* zero where the process has no page */
    GUEST_RAM_SHARED_FILE,      /* shared mapping of fd */
    GUEST_RAM_PRIVATE_FILE,     /* private mapping of fd */
    GUEST_RAM_SHARED_HUGE,      /* the same on hugetlbfs: not known before */
    GUEST_RAM_PRIVATE_HUGE,     /* ... dump_guest_analyse has looked at it */
    GUEST_RAM_HUGE,             /* and found: as ANON; mincore() tells more */
} GuestRamBacking;

typedef struct GuestRamRun {
    uint64_t paddr;             /* guest-physical address, bytes */
    uint64_t size;              /* bytes, not 0; paddr + size may be 2^64 */
    const uint8_t *host;        /* where it is mapped */
    GuestRamBacking backing;
    int fd;                     /* of the file; not owned */
    uint64_t fd_offset;         /* of the run's first byte in it */
} GuestRamRun;

typedef struct GuestRam {
    GArray *runs;               /* GuestRamRun, sorted once sealed */
    uint64_t bytes;             /* in all runs, once sealed */
} GuestRam;

void guest_ram_init(GuestRam *ram);
void guest_ram_deinit(GuestRam *ram);

/*
 * Add memory, in any order; empty and wrapping pieces are passed over
 * (the part below 2^64 is kept).
 */
void guest_ram_add(GuestRam *ram, uint64_t paddr, uint64_t size,
                   const uint8_t *host);

/* The same of a whole description. */
void guest_ram_add_run(GuestRam *ram, const GuestRamRun *run);

/*
 * Sort, cut overlaps (the run that starts first keeps its bytes) and join
 * runs that follow one another in the guest, in the host and in the file.
 */
void guest_ram_seal(GuestRam *ram);

/*
 * Make @ram, which is initialized and empty, the part of @all in [begin,
 * begin + length); a length of 0 is all from begin on, else the sum does not
 * wrap beyond 2^64. @all is sealed, and so is @ram then.
 */
void guest_ram_clip_of(GuestRam *ram, const GuestRam *all, uint64_t begin,
                       uint64_t length);

/*
 * Drop memory that lies so far above all other that a table with a bit for
 * each page would dwarf it. A guest can move the memory of a PCI device to
 * any address; some firmware does so with 64-bit BARs without any malice.
 *
 * Ranges without a gap are judged as a whole, from below: one that ends
 * above both GUEST_RAM_NEAR and GUEST_RAM_FAR_FACTOR times the bytes kept
 * so far, its own included, goes. The lowest one stays. After sealing.
 *
 * Returns the bytes dropped.
 */
uint64_t guest_ram_drop_far(GuestRam *ram);

#define GUEST_RAM_NEAR          (1ULL << 42)    /* 4 TiB */
#define GUEST_RAM_FAR_FACTOR    64

/* Drop all from @last + 1 on; after sealing. Returns the bytes dropped. */
uint64_t guest_ram_drop_above(GuestRam *ram, uint64_t last);

static inline size_t guest_ram_nr_runs(const GuestRam *ram)
{
    return ram->runs->len;
}

static inline const GuestRamRun *guest_ram_run(const GuestRam *ram, size_t i)
{
    return &g_array_index(ram->runs, GuestRamRun, i);
}

/*
 * Let the @size bytes at @host stand for those at @paddr of a sealed object,
 * whose memory itself is not changed. @host must live as long. False, with
 * nothing done, unless one run has all of the range.
 */
bool guest_ram_overlay(GuestRam *ram, uint64_t paddr, uint64_t size,
                       const uint8_t *host);

/* The run that has @paddr; NULL if it is not RAM. */
const GuestRamRun *guest_ram_run_at(const GuestRam *ram, uint64_t paddr);

/*
 * Runs of whole page frames that cover every byte of the runs, sorted and
 * joined: a page that is RAM in part counts. @page_size is a power of two.
 * Returns a GArray of PfnRun; the caller owns it.
 */
GArray *guest_ram_pfn_runs(const GuestRam *ram, size_t page_size);

/* One past the highest page frame: ceil(end of RAM / page_size). */
uint64_t guest_ram_max_pfn(const GuestRam *ram, size_t page_size);

/*
 * Bytes from @paddr, which is not RAM, to the next RAM above it;
 * UINT64_MAX if there is none.
 */
uint64_t guest_ram_gap(const GuestRam *ram, uint64_t paddr);

/*
 * The longest stretch of mapped memory that starts at @paddr: its host
 * address, and in *@len its bytes; NULL if @paddr is not RAM.
 */
const uint8_t *guest_ram_host(const GuestRam *ram, uint64_t paddr,
                              uint64_t *len);

#endif
