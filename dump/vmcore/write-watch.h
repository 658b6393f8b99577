/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Memory of this process that is watched for writes: whoever writes to a
 * page that is protected sleeps until it is unprotected, and a thread that
 * reads the faults is told of it. Linux's userfaultfd; on other hosts it
 * cannot be opened.
 *
 * All functions may be called by any thread and take no lock of this
 * program. Ranges are whole host pages (of hugetlbfs: whole pages of that).
 *
 * Sources: userfaultfd(2), ioctl_userfaultfd(2), Linux
 * Documentation/admin-guide/mm/userfaultfd.rst.
 */

#ifndef DUMP_VMCORE_WRITE_WATCH_H
#define DUMP_VMCORE_WRITE_WATCH_H

typedef struct WriteWatch {
    int fd;                     /* of the userfaultfd, -1 if there is none */
    int stop[2];                /* a pipe: written to by write_watch_stop */
} WriteWatch;

/* Somebody wants to write at @addr. */
typedef struct WriteFault {
    uintptr_t addr;
    bool missing;               /* or to use it: there is no page at all */
} WriteFault;

/*
 * Open what faults are read from. @device: descriptor of /dev/userfaultfd,
 * not used up; -1: the device, or else the system call, by this process's
 * own rights. False with @errp set, which says what would help.
 */
bool write_watch_open(WriteWatch *w, int device, Error **errp);

/* All that is registered is free then, and who sleeps wakes up. */
void write_watch_close(WriteWatch *w);

/*
 * Register a range, with no protection yet. @missing: pages that are not there
 * are watched, too, from now on; only for private memory without a file, and
 * for what is shared of a file on tmpfs, or a memfd. False with @errp set if
 * the kernel cannot watch this memory.
 */
bool write_watch_register(const WriteWatch *w, const void *host, size_t len,
                          bool missing, Error **errp);

/* Undo it. No protection is left, and who sleeps wakes up. */
void write_watch_unregister(const WriteWatch *w, const void *host,
                            size_t len);

/*
 * Protect all pages of the range that are there. Large ranges in pieces, as
 * no other thread can map or unmap memory meanwhile. False with @errp set if
 * the system call failed.
 */
bool write_watch_protect(const WriteWatch *w, const void *host, size_t len,
                         Error **errp);

/* Unprotect the range and wake who sleeps for it. False with errno set. */
bool write_watch_unprotect(const WriteWatch *w, const void *host, size_t len);

/*
 * Map pages of zeroes, not protected, to a range of which none is there, and
 * wake who sleeps for it. What is there all the same is left as it is. False
 * with errno set.
 */
bool write_watch_zero(const WriteWatch *w, const void *host, size_t len);

/*
 * Make a page of zeroes, protected, if there is none; nobody is woken. Returns
 * 1, 0 if there is one, -1 with errno set. For files; @len: of the page, which
 * is the host's.
 */
int write_watch_make(const WriteWatch *w, const void *host, size_t len);

/* Wake who sleeps for the range, to look once more. */
void write_watch_wake(const WriteWatch *w, const void *host, size_t len);

/*
 * Wait for faults and read @max of them at most. Returns their number; 0 if
 * write_watch_stop was called; -1 if faults cannot be read.
 */
int write_watch_read(const WriteWatch *w, WriteFault *faults, size_t max);

/* Whoever reads faults, now or later, is told that it is over. */
void write_watch_stop(const WriteWatch *w);

#endif
