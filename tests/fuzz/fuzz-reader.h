/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A strict reader of the files, for the fuzzers. It shares no code and no
 * constants with the engine: offsets are those of
 * docs/interop/vmcore-formats.rst, written down once more.
 *
 * Whatever is not as it has to be is a finding.
 */

#ifndef FUZZ_READER_H
#define FUZZ_READER_H

#include "fuzz-memory.h"

/* A piece of guest-virtual address space that was asked for. */
typedef struct FuzzMapping {
    uint64_t paddr, vaddr, size;
} FuzzMapping;

/* What a file must say. */
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
    uint64_t info_pos, info_size;       /* VMCOREINFO's text in notes */
    const FuzzMemory *memory;
    GArray *mappings;                   /* FuzzMapping; NULL: no paging */
    uint32_t codec_flag;                /* as in page descriptors */
    uint32_t sections;                  /* of the target, 0 for none */
    uint64_t section_data;              /* bytes of theirs */
} FuzzFacts;

typedef struct FuzzImage {
    const uint8_t *data;
    uint64_t len;
    bool be;
} FuzzImage;

/* @n bytes of the file, which must have them. */
const uint8_t *fuzz_at(const FuzzImage *img, uint64_t offset, uint64_t n);

/* An integer of @n bytes. */
uint64_t fuzz_get(const FuzzImage *img, uint64_t offset, unsigned n);

/* What byte @i of the target's section data is. */
static inline uint8_t fuzz_section_byte(uint64_t i)
{
    return i * 7 + 1;
}

/* What a dump that was reported as good has to pass. */
void fuzz_read_elf(const FuzzImage *img, const FuzzFacts *f);
void fuzz_read_kdump(const FuzzImage *img, const FuzzFacts *f);

/*
 * What a dump that failed has to pass: it is not taken for a whole one
 * unless it is. A kdump file that says it is incomplete is read, too.
 */
void fuzz_read_failed_elf(const FuzzImage *img, const FuzzFacts *f);
void fuzz_read_failed_kdump(const FuzzImage *img, const FuzzFacts *f);

/*
 * The file inside a flattened one; NULL if that is not whole, which is a
 * finding unless @failed. At most @limit bytes.
 */
GByteArray *fuzz_unflatten(const FuzzImage *img, uint64_t limit, bool failed);

#endif
