/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Guest-physical memory as sorted runs.
 *
 * The runs point to memory that is not owned and must stay mapped while this
 * object is used. After guest_ram_seal the object does not change and any
 * thread may read it.
 */

#ifndef DUMP_VMCORE_GUEST_RAM_H
#define DUMP_VMCORE_GUEST_RAM_H

#include "pfn-bitmap.h"

/* Kind of memory behind a run; decides how untouched pages are detected. */
typedef enum GuestRamBacking {
    GUEST_RAM_OTHER,            /* unknown: all of it must be read */
    GUEST_RAM_ANON,             /* pages not present in the process are zero */
    GUEST_RAM_SHARED_FILE,      /* shared mapping of fd */
    GUEST_RAM_PRIVATE_FILE,     /* private mapping of fd */
    GUEST_RAM_SHARED_HUGE,      /* the same on hugetlbfs; undecided until */
    GUEST_RAM_PRIVATE_HUGE,     /* dump_guest_classify_huge_pages is called */
    GUEST_RAM_HUGE,             /* like ANON; mincore() also finds pages */
} GuestRamBacking;

typedef struct GuestRamRun {
    uint64_t paddr;             /* guest-physical address, bytes */
    uint64_t size;              /* bytes, not 0; paddr + size may be 2^64 */
    const uint8_t *host;        /* host address of the first byte */
    GuestRamBacking backing;
    int fd;                     /* backing file; not owned */
    uint64_t fd_offset;         /* offset of the first byte in fd */
} GuestRamRun;

typedef struct GuestRam {
    GArray *runs;               /* GuestRamRun, sorted once sealed */
    uint64_t bytes;             /* in all runs, once sealed */
} GuestRam;

void guest_ram_init(GuestRam *ram);
void guest_ram_deinit(GuestRam *ram);

/*
 * Add memory, in any order. Empty runs are ignored; a run that wraps is cut at
 * 2^64.
 */
void guest_ram_add(GuestRam *ram, uint64_t paddr, uint64_t size,
                   const uint8_t *host);

/* The same for a complete description. */
void guest_ram_add_run(GuestRam *ram, const GuestRamRun *run);

/*
 * Sort the runs, remove overlaps (the run that starts first keeps its bytes)
 * and merge runs that are contiguous in guest, host and file.
 */
void guest_ram_seal(GuestRam *ram);

/*
 * Fill @ram, which is initialized and empty, with the part of @all in
 * [@begin, @begin + @length). A @length of 0 means everything from @begin on;
 * otherwise the sum must not exceed 2^64. @all is sealed; @ram becomes sealed.
 */
void guest_ram_clip_of(GuestRam *ram, const GuestRam *all, uint64_t begin,
                       uint64_t length);

/*
 * Drop memory that lies so far above all other memory that a table with a bit
 * per page would be out of proportion. A guest can move the memory of a PCI
 * device to any address; some firmware does so with 64-bit BARs.
 *
 * Contiguous ranges are judged as a whole, in ascending order. A range is
 * dropped if it ends above GUEST_RAM_NEAR and above GUEST_RAM_FAR_FACTOR times
 * the bytes kept so far, including its own. The lowest range is always kept.
 * @ram must be sealed.
 *
 * Returns the bytes dropped.
 */
uint64_t guest_ram_drop_far(GuestRam *ram);

#define GUEST_RAM_NEAR          (1ULL << 42)    /* 4 TiB */
#define GUEST_RAM_FAR_FACTOR    64

/* Drop all above @last from sealed @ram. Returns the bytes dropped. */
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
 * Replace the @size bytes at @paddr of sealed @ram with those at @host, which
 * must outlive @ram. Guest memory is not changed. Returns false, with nothing
 * done, unless a single run contains the range.
 */
bool guest_ram_overlay(GuestRam *ram, uint64_t paddr, uint64_t size,
                       const uint8_t *host);

/* The run that contains @paddr; NULL if it is not RAM. */
const GuestRamRun *guest_ram_run_at(const GuestRam *ram, uint64_t paddr);

/*
 * Sorted, merged runs of page frames that cover every byte of @ram, including
 * pages that are only partly RAM. @page_size is a power of two. Returns a
 * GArray of PfnRun, owned by the caller.
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
 * The host address of @paddr; *@len is the number of bytes to the end of its
 * run. NULL if @paddr is not RAM.
 */
const uint8_t *guest_ram_host(const GuestRam *ram, uint64_t paddr,
                              uint64_t *len);

#endif
