/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Detects memory that was never written to, without reading it.
 *
 * Reading an unused page takes time and, in shared memory, makes the host
 * allocate it. A private page that is neither present nor in swap was never
 * written to, and a hole in a file reads as zero. Memory for which this is not
 * known must be read.
 *
 * Sources: Linux Documentation/admin-guide/mm/pagemap.rst, PAGEMAP_SCAN
 * included; lseek(2) for SEEK_DATA and SEEK_HOLE.
 *
 * A result is that of the time of the call: if the guest runs, it may touch the
 * memory afterwards. An object may be used by several threads at once.
 */

#ifndef DUMP_VMCORE_UNTOUCHED_H
#define DUMP_VMCORE_UNTOUCHED_H

#include "guest-ram.h"

typedef struct DumpUntouched DumpUntouched;

/*
 * Open /proc/self/pagemap for all objects created later: a process that drops
 * its privileges or changes its root directory cannot open it afterwards. Must
 * be called after the last fork(), once, by one thread.
 */
void dump_untouched_prepare(void);

/* Never fails; without pagemap, no memory is known to be untouched. */
DumpUntouched *dump_untouched_new(void);
void dump_untouched_free(DumpUntouched *u);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DumpUntouched, dump_untouched_free)

/*
 * Are holes reported for the file reliable? This requires that a dirty page in
 * the page cache counts as data, which network file systems do not guarantee.
 */
bool dump_untouched_trusts_fd(int fd);

/* Is @fd a file on hugetlbfs? */
bool dump_untouched_is_huge(int fd);

/*
 * hugetlbfs reports no holes, but the number of pages of a file. If the mapping
 * of @len bytes at @host has as many pages, the file has no others, and the
 * memory can be treated as GUEST_RAM_HUGE. (Pages of a private mapping do not
 * belong to the file, which then must have none.) False if @fd is on another
 * file system, or @u is NULL.
 */
bool dump_untouched_maps_all(const DumpUntouched *u, int fd,
                             const uint8_t *host, uint64_t len, bool shared);

/*
 * Can huge pages being migrated be distinguished from absent ones in this
 * mapping, for which the function above returned true? Not if this process has
 * no permissions on the file (-runas): mincore() then reports all pages as
 * present.
 */
bool dump_untouched_sees_moving(const DumpUntouched *u, const uint8_t *host,
                                uint64_t len);

/*
 * Is the memory at @paddr untouched, and therefore zero?
 *
 * @u: if NULL, the result is false
 * @len: number of bytes to check, not 0; on return the number of bytes, at
 *       least 1, to which the result applies
 */
bool dump_untouched_probe(const DumpUntouched *u, const GuestRam *ram,
                          uint64_t paddr, uint64_t *len);

/*
 * How many of the @len bytes at @paddr are untouched before the first one that
 * may not be? @u: as above. Takes almost no time for gigabytes of absent pages
 * on Linux 6.7 (about a millisecond per gigabyte of private memory on older
 * kernels), and one or two system calls otherwise.
 */
uint64_t dump_untouched_ahead(const DumpUntouched *u, const GuestRam *ram,
                              uint64_t paddr, uint64_t len);

/* For tests: do not use PAGEMAP_SCAN. */
void dump_untouched_set_no_scan(DumpUntouched *u);

/*
 * Is there a hole in the file at @offset? Data may be reported up to @grain
 * bytes too long. @len: as above.
 */
bool dump_untouched_hole(int fd, uint64_t offset, uint64_t grain,
                         uint64_t *len);

/*
 * May the file have pages that are holes according to dump_untouched_hole? On
 * tmpfs, those allocated by fallocate() are, until they are used. Takes some
 * milliseconds per gigabyte of data, unless there is a page for all memory.
 * Also true if not known, for example since pages are being added.
 *
 * @offset: of the @len bytes, whole pages, in the file that are mapped at @host
 */
bool dump_untouched_allocated(int fd, uint64_t offset, const uint8_t *host,
                              uint64_t len);

/*
 * Is the memory at @host in the page tables of this process, so that it can
 * be read without a page fault? @u and @len: as above. False if not known.
 */
bool dump_untouched_mapped(const DumpUntouched *u, const uint8_t *host,
                           uint64_t *len);

/* Is it neither present nor in swap? @u and @len: as above. */
bool dump_untouched_absent(const DumpUntouched *u, const uint8_t *host,
                           uint64_t *len);

/*
 * Is it present and write-protected by userfaultfd? @u and @len: as above.
 * Requires Linux 5.14.
 */
bool dump_untouched_protected(const DumpUntouched *u, const uint8_t *host,
                              uint64_t *len);

#endif
