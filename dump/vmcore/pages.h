/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Guest memory as of the moment of the dump. A dump does not read guest memory
 * in any other way.
 *
 * A DumpPages is a source of guest memory. Any number of threads may read it,
 * each with its own DumpPagesReader; the interface is the same for all sources:
 *
 *   pages-still.c   memory of a stopped guest; or of a running one, as of the
 *                   time of each read
 *   pages-live.c    memory of a running guest, as of one moment
 */

#ifndef DUMP_VMCORE_PAGES_H
#define DUMP_VMCORE_PAGES_H

#include "untouched.h"

/* Kind of a range of guest-physical addresses. */
typedef enum DumpPagesKind {
    DUMP_PAGES_NONE,            /* not memory */
    DUMP_PAGES_ZERO,            /* memory that is zero: no need to read it */
    DUMP_PAGES_DATA,            /* memory to be read */
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
    /* NULL: not supported. */
    uint64_t (*zero_ahead)(DumpPagesReader *reader, uint64_t paddr,
                           uint64_t len);
    /* NULL: data never has to be read again. */
    bool (*put)(DumpPagesReader *reader, uint64_t paddr, uint64_t len);
    /* NULL: there is nothing to release. */
    void (*give)(DumpPages *pages, uint64_t paddr, uint64_t len);
    void (*free)(DumpPages *pages);
} DumpPagesOps;

/* Base of each source's structure. */
struct DumpPages {
    const DumpPagesOps *ops;
};

/* Base of each source's structure for a reader. */
struct DumpPagesReader {
    DumpPages *pages;
};

/*
 * Memory of a stopped guest. @ram and @untouched (NULL: all memory is read)
 * must outlive the result; @ram is sealed, and must not be changed while a
 * thread reads. Never fails.
 */
DumpPages *dump_pages_still_new(const GuestRam *ram,
                                const DumpUntouched *untouched);

/*
 * The same for a running guest. Its memory may be removed at any time (balloon,
 * DIMM), so it is not accessed directly: the kernel copies it, or fails to, if
 * the host has a system call for that. Data may change while it is read.
 */
DumpPages *dump_pages_running_new(const GuestRam *ram,
                                  const DumpUntouched *untouched);

/*
 * Does this source, one of the above, read all memory where it is mapped? False
 * if it reads copies made by the kernel, or if memory is mapped without
 * PROT_READ.
 */
bool dump_pages_still_in_place(const DumpPages *pages);

/* NULL is allowed. All readers must have been freed. */
void dump_pages_free(DumpPages *pages);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DumpPages, dump_pages_free)

/* For use by one thread at a time. NULL with @errp set if out of memory. */
DumpPagesReader *dump_pages_reader_new(DumpPages *pages, Error **errp);

/* NULL is allowed. */
void dump_pages_reader_free(DumpPagesReader *reader);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DumpPagesReader, dump_pages_reader_free)

/*
 * Get the memory at guest-physical @paddr.
 *
 * @len: number of bytes wanted, not 0; on return the number of bytes to which
 *       the result applies, at least 1 and no more than wanted
 * @bytes: for DUMP_PAGES_DATA, where to read them until the next get or put of
 *         this reader. Devices may still be writing to them.
 */
DumpPagesKind dump_pages_get(DumpPagesReader *reader, uint64_t paddr,
                             uint64_t *len, const uint8_t **bytes);

/*
 * How many of the @len bytes at @paddr, counted from the first, are known to be
 * zero without reading them? May be too few. A large @len costs little more
 * than a page. No put is needed.
 */
uint64_t dump_pages_zero_ahead(DumpPagesReader *reader, uint64_t paddr,
                               uint64_t len);

/*
 * Must be called when the first @len bytes of the last get, which returned
 * DUMP_PAGES_DATA for @paddr, have been read, and before they are relied on.
 * False if they are not those of the moment: get them again. Has no effect if
 * the last get did not return DUMP_PAGES_DATA.
 */
bool dump_pages_put(DumpPagesReader *reader, uint64_t paddr, uint64_t len);

/* May dump_pages_put return false? */
bool dump_pages_may_change(const DumpPages *pages);

/*
 * Get and put, repeated until put succeeds. Data is copied to @buf, of *@len
 * bytes. @len: as in dump_pages_get.
 */
DumpPagesKind dump_pages_get_copy(DumpPagesReader *reader, uint64_t paddr,
                                  uint8_t *buf, uint64_t *len);

/*
 * Release the @len bytes at @paddr, which are in the output and will not be
 * read again, so that writes to them need not be tracked. Any thread.
 */
void dump_pages_give(DumpPages *pages, uint64_t paddr, uint64_t len);

/*
 * Copy @len bytes from @paddr to @buf. All that is not memory, which includes
 * addresses from 2^64 on, or is LOST, reads as zero.
 *
 * @lost: if not NULL, set to the number of bytes that are LOST
 *
 * Returns the number of bytes that are DATA or ZERO.
 */
size_t dump_pages_read(DumpPagesReader *reader, uint64_t paddr, void *buf,
                       size_t len, size_t *lost);

/*
 * Translates an address for dump_pages_read_virtual: sets *@paddr to the
 * guest-physical address of @vaddr, and *@left to the number of bytes from
 * there to the end of the page. False if @vaddr is not mapped.
 */
typedef bool DumpPagesTranslate(const void *tables, DumpPagesReader *reader,
                                uint64_t vaddr, uint64_t *paddr,
                                uint64_t *left);

/*
 * Copy @len bytes at guest-virtual @vaddr. False, with @buf undefined, unless
 * all of them are mapped to memory and could be read.
 */
bool dump_pages_read_virtual(DumpPagesReader *reader,
                             DumpPagesTranslate *translate,
                             const void *tables, uint64_t vaddr, void *buf,
                             size_t len);

/* For sources only. */

/*
 * Have the kernel map the host pages of the @len bytes at @host, so that
 * reading them raises no signal; false if it cannot. Always true on hosts other
 * than Linux.
 */
bool dump_pages_populate(const uint8_t *host, uint64_t len);

/* For tests only. */

/* How pages-still.c avoids signals for memory that cannot be read. */
typedef enum DumpPagesMethod {
    DUMP_PAGES_POPULATE,        /* MADV_POPULATE_READ, Linux 5.14 */
    DUMP_PAGES_COPY,            /* a copy by the kernel, older Linux */
    DUMP_PAGES_TRUST,           /* none: other hosts */
} DumpPagesMethod;

/* Override the method. Must be called before a reader is created. */
void dump_pages_still_set_method(DumpPages *pages, DumpPagesMethod method);

#endif
