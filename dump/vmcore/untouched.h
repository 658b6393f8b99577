/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Memory that was never touched, told without touching it.
 *
 * Reading a page that nobody has used yet costs time and, where memory is
 * shared, makes the host allocate it. The kernel knows better: a private
 * page that is neither present nor swapped out was never written, and a
 * hole in a file reads as zero. What cannot be proven has to be read.
 *
 * Sources: Linux Documentation/admin-guide/mm/pagemap.rst, PAGEMAP_SCAN
 * included; lseek(2) for SEEK_DATA and SEEK_HOLE.
 *
 * The guest must not run meanwhile. An object may be used by any number
 * of threads at once.
 */

#ifndef DUMP_VMCORE_UNTOUCHED_H
#define DUMP_VMCORE_UNTOUCHED_H

#include "guest-ram.h"

typedef struct DumpUntouched DumpUntouched;

/*
 * Open what the kernel tells by, for all objects that are made from now on: a
 * process that gives its rights up, or changes its root, cannot open it
 * later. But not before it forks. One thread, once.
 */
void dump_untouched_prepare(void);

/* Never fails: where the kernel does not tell, nothing is proven. */
DumpUntouched *dump_untouched_new(void);
void dump_untouched_free(DumpUntouched *u);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DumpUntouched, dump_untouched_free)

/*
 * Can holes of the file be believed? Only where a page that is dirty in
 * memory counts as data, which file systems over a network do not promise.
 */
bool dump_untouched_trusts_fd(int fd);

/* Is @fd a file on hugetlbfs? */
bool dump_untouched_is_huge(int fd);

/*
 * Huge pages: hugetlbfs does not tell the holes of a file, but how many
 * pages it has. If the mapping of @len bytes at @host has as many, the
 * file has no others, and the memory can be handled as GUEST_RAM_HUGE.
 * (Those of a private mapping are not the file's, so it must have none.)
 * False if @fd is of another file system, or @u is NULL.
 */
bool dump_untouched_maps_all(const DumpUntouched *u, int fd,
                             const uint8_t *host, uint64_t len, bool shared);

/*
 * Can huge pages that the host is moving be told from those that are not
 * there, in this mapping of which all is known as above? Not where this
 * process has no rights on the file (-runas): mincore() calls all of it
 * present then.
 */
bool dump_untouched_sees_moving(const DumpUntouched *u, const uint8_t *host,
                                uint64_t len);

/*
 * Is the memory from @paddr on untouched, and so zero?
 *
 * @u: NULL is allowed: nothing is proven then
 * @len: bytes asked for, not 0; on return the bytes, at least 1, that the
 *       answer is for
 */
bool dump_untouched_probe(const DumpUntouched *u, const GuestRam *ram,
                          uint64_t paddr, uint64_t *len);

/*
 * How many of the @len bytes from @paddr on are untouched before the first that
 * may not be? @u: as before. It takes as good as no time for the gigabytes of
 * which the kernel has nothing (Linux 6.7; before, about a millisecond each in
 * private memory), and a system call or two otherwise.
 */
uint64_t dump_untouched_ahead(const DumpUntouched *u, const GuestRam *ram,
                              uint64_t paddr, uint64_t len);

/* For tests: go without PAGEMAP_SCAN. */
void dump_untouched_set_no_scan(DumpUntouched *u);

/*
 * Is there a hole in the file at @offset? What counts as data may be up to
 * @grain bytes longer than that is. @len: as before.
 */
bool dump_untouched_hole(int fd, uint64_t offset, uint64_t grain,
                         uint64_t *len);

/*
 * Is the memory at @host in the page tables of this process, so that it can
 * be read without a page fault? @u and @len: as before. NULL and what is
 * not known are no.
 */
bool dump_untouched_mapped(const DumpUntouched *u, const uint8_t *host,
                           uint64_t *len);

/* Is nothing there, not even in swap? @u, @len and what is no: the same. */
bool dump_untouched_absent(const DumpUntouched *u, const uint8_t *host,
                           uint64_t *len);

/*
 * Is it there, and protected from writes by userfaultfd? @u, @len and what is
 * no: the same. Linux 5.14.
 */
bool dump_untouched_protected(const DumpUntouched *u, const uint8_t *host,
                              uint64_t *len);

#endif
