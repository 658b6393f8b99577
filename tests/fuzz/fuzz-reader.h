/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A strict reader of dump files, for the fuzzers. It shares no code and no
 * constants with the engine: it has its own offsets, from
 * docs/interop/vmcore-formats.rst.
 *
 * Every deviation is a finding.
 */

#ifndef FUZZ_READER_H
#define FUZZ_READER_H

#include "fuzz-memory.h"

/* A requested guest-virtual mapping. */
typedef struct FuzzMapping {
    uint64_t paddr, vaddr, size;
} FuzzMapping;

/* Expected contents of a file. */
typedef struct FuzzFacts {
    bool is64, be;
    uint16_t machine;
    uint32_t page_size;
    uint64_t phys_base;
    uint32_t nr_cpus;
    uint64_t sec, usec;
    char uts[6][65];
    const uint8_t *notes;
    size_t notes_len;
    uint64_t info_pos, info_size;       /* text of VMCOREINFO in notes */
    const FuzzMemory *memory;
    GArray *mappings;                   /* FuzzMapping; NULL: no paging */
    uint32_t codec_flag;                /* flag in page descriptors */
    uint32_t sections;                  /* added by the target */
    uint64_t section_data;              /* bytes of their data */
} FuzzFacts;

typedef struct FuzzImage {
    const uint8_t *data;
    uint64_t len;
    bool be;
} FuzzImage;

/* @n bytes of the file; a finding if it is shorter. */
const uint8_t *fuzz_at(const FuzzImage *img, uint64_t offset, uint64_t n);

/* An integer of @n bytes. */
uint64_t fuzz_get(const FuzzImage *img, uint64_t offset, unsigned n);

/* Byte @i of the target's section data. */
static inline uint8_t fuzz_section_byte(uint64_t i)
{
    return i * 7 + 1;
}

/* Check a dump that was reported as complete. */
void fuzz_read_elf(const FuzzImage *img, const FuzzFacts *f);
void fuzz_read_kdump(const FuzzImage *img, const FuzzFacts *f);

/*
 * Check a dump that failed: readers must not take it for a complete one unless
 * it is. A kdump file that is marked incomplete is checked, too.
 */
void fuzz_read_failed_elf(const FuzzImage *img, const FuzzFacts *f);
void fuzz_read_failed_kdump(const FuzzImage *img, const FuzzFacts *f);

/*
 * Unpack a flattened file, at most @limit bytes. Returns NULL if it is not
 * complete, which is a finding unless @failed.
 */
GByteArray *fuzz_unflatten(const FuzzImage *img, uint64_t limit, bool failed);

#endif
