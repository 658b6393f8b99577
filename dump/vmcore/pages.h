/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Guest memory as it was at the moment of the dump: the one way by which a
 * dump reads it.
 *
 * A DumpPages is a source of guest memory, which any number of threads may
 * read, each by a DumpPagesReader of its own. What is in memory, and whether
 * it can be read at all, is up to the source; who reads does not know
 * which one it is.
 *
 *   pages-still.c   memory of a guest that stands still, or of one that
 *                   runs, as it is at the time of each read
 *   pages-live.c    memory of a guest that runs, as it was at one moment
 */

#ifndef DUMP_VMCORE_PAGES_H
#define DUMP_VMCORE_PAGES_H

#include "untouched.h"

/* What a stretch of guest-physical addresses is. */
typedef enum DumpPagesKind {
    DUMP_PAGES_NONE,            /* no memory */
    DUMP_PAGES_ZERO,            /* memory that is zero, and was not read */
    DUMP_PAGES_DATA,            /* memory to be read */
    DUMP_PAGES_LEFT_OUT,        /* memory that the dump is not to have */
    DUMP_PAGES_LOST,            /* memory that cannot be read */
} DumpPagesKind;

typedef struct DumpPages DumpPages;
typedef struct DumpPagesReader DumpPagesReader;

/* Implemented by each source. */
typedef struct DumpPagesOps {
    DumpPagesReader *(*reader_new)(DumpPages *pages, Error **errp);
    void (*reader_free)(DumpPagesReader *reader);
    DumpPagesKind (*get)(DumpPagesReader *reader, uint64_t paddr,
                         uint64_t *len, const uint8_t **bytes);
    /* May be NULL: nothing is known without a look. */
    uint64_t (*zero_ahead)(DumpPagesReader *reader, uint64_t paddr,
                           uint64_t len);
    /* May be NULL: what was read is always that of the moment. */
    bool (*put)(DumpPagesReader *reader, uint64_t paddr, uint64_t len);
    /* May be NULL: what is in memory does not change. */
    void (*give)(DumpPages *pages, uint64_t paddr, uint64_t len);
    void (*free)(DumpPages *pages);
} DumpPagesOps;

/* Head of each source's structure. */
struct DumpPages {
    const DumpPagesOps *ops;
};

/* Head of what a source keeps for each thread that reads. */
struct DumpPagesReader {
    DumpPages *pages;
};

/*
 * A guest that stands still. @ram and @untouched (NULL: all memory is read)
 * must outlive the result; @ram is sealed, and may be changed only while
 * nobody reads. Never fails.
 */
DumpPages *dump_pages_still_new(const GuestRam *ram,
                                const DumpUntouched *untouched);

/*
 * The same of a guest that runs. Memory may go away at any time there (a
 * balloon, a DIMM), so that it is not loaded from where it is mapped: the
 * kernel copies it, or fails to, if the host has a way for that. What is read
 * may have been changed halfway.
 */
DumpPages *dump_pages_running_new(const GuestRam *ram,
                                  const DumpUntouched *untouched);

/*
 * Does one of these read all memory where it is mapped? Not on a host that can
 * do no better than make a copy, nor if some is mapped without PROT_READ.
 */
bool dump_pages_still_in_place(const DumpPages *pages);

/* NULL is allowed. All readers are to be freed before. */
void dump_pages_free(DumpPages *pages);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DumpPages, dump_pages_free)

/* A reader for one thread at a time; NULL with @errp if there is no memory. */
DumpPagesReader *dump_pages_reader_new(DumpPages *pages, Error **errp);

/* NULL is allowed. */
void dump_pages_reader_free(DumpPagesReader *reader);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DumpPagesReader, dump_pages_reader_free)

/*
 * What is at guest-physical @paddr?
 *
 * @len: bytes asked for, not 0; on return the bytes, at least 1 and no more
 *       than were asked for, that the answer is for
 * @bytes: for DUMP_PAGES_DATA, where they can be read until the next get or
 *         put of this reader. Devices may still be writing to them.
 */
DumpPagesKind dump_pages_get(DumpPagesReader *reader, uint64_t paddr,
                             uint64_t *len, const uint8_t **bytes);

/*
 * How many of the @len bytes from @paddr on are memory that is zero, and has
 * not to be read to know that? 0 if the first is not, and often where a piece
 * of memory ends. It is asked for any length at little more cost than for a
 * page, and there is no put.
 */
uint64_t dump_pages_zero_ahead(DumpPagesReader *reader, uint64_t paddr,
                               uint64_t len);

/*
 * The @len bytes at @paddr were used as the last get gave them. False if
 * what was read is not that of the moment after all: then get them again.
 */
bool dump_pages_put(DumpPagesReader *reader, uint64_t paddr, uint64_t len);

/* May what was got turn out not to be that of the moment? */
bool dump_pages_may_change(const DumpPages *pages);

/*
 * Get, with put: what is at @paddr, of the moment for certain. If it is
 * data it is copied to @buf, which has room for *@len bytes. @len: as in
 * dump_pages_get.
 */
DumpPagesKind dump_pages_get_copy(DumpPagesReader *reader, uint64_t paddr,
                                  uint8_t *buf, uint64_t *len);

/*
 * The @len bytes at @paddr are in the output and will not be asked for
 * again: a guest that runs may have them. Any thread.
 */
void dump_pages_give(DumpPages *pages, uint64_t paddr, uint64_t len);

/*
 * Copy @len bytes from @paddr to @buf. What is no memory, or not to be had,
 * reads as zero. Addresses beyond 2^64 are no memory.
 *
 * @lost: if not NULL, the bytes of memory that could not be read, which were
 *        not wanted in the dump included
 *
 * Returns the number of bytes that are memory and were read.
 */
size_t dump_pages_read(DumpPagesReader *reader, uint64_t paddr, void *buf,
                       size_t len, size_t *lost);

/*
 * What translates an address for dump_pages_read_virtual: *@paddr is where
 * @vaddr is in guest-physical memory, *@left the bytes from there to the end
 * of the page. False if it is not mapped.
 */
typedef bool DumpPagesTranslate(const void *tables, DumpPagesReader *reader,
                                uint64_t vaddr, uint64_t *paddr,
                                uint64_t *left);

/*
 * Copy @len bytes at guest-virtual @vaddr. False, with undefined bytes in
 * @buf, unless all of them are mapped and in guest memory.
 */
bool dump_pages_read_virtual(DumpPagesReader *reader,
                             DumpPagesTranslate *translate,
                             const void *tables, uint64_t vaddr, void *buf,
                             size_t len);

/* -- for sources ------------------------------------------------------- */

/*
 * Have the kernel map @len bytes at @host, so that they can be read without a
 * signal; false if it cannot.
 */
bool dump_pages_populate(const uint8_t *host, uint64_t len);

/* -- for tests --------------------------------------------------------- */

/* How pages-still.c sees to it that a read does not fault. */
typedef enum DumpPagesMethod {
    DUMP_PAGES_POPULATE,        /* MADV_POPULATE_READ, Linux 5.14 */
    DUMP_PAGES_COPY,            /* a copy by the kernel, older Linux */
    DUMP_PAGES_TRUST,           /* not at all: other hosts */
} DumpPagesMethod;

/* Another method than the best that the host has. Before any reader. */
void dump_pages_still_set_method(DumpPages *pages, DumpPagesMethod method);

#endif
