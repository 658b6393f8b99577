/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Write tracking for memory of this process: a thread that writes to a
 * protected page sleeps until it is unprotected; the fault can be read here.
 * Uses Linux's userfaultfd; on other hosts, it cannot be opened.
 *
 * Except for open and close, all functions may be called by any thread. None
 * takes a lock of QEMU. Ranges are whole host pages; on hugetlbfs, whole huge
 * pages.
 *
 * Sources: userfaultfd(2), ioctl_userfaultfd(2), Linux
 * Documentation/admin-guide/mm/userfaultfd.rst.
 */

#ifndef DUMP_VMCORE_WRITE_WATCH_H
#define DUMP_VMCORE_WRITE_WATCH_H

typedef struct WriteWatch {
    int fd;                     /* userfaultfd; -1 if not open */
    int stop[2];                /* pipe written to by write_watch_stop */
} WriteWatch;

/* A thread waits to write at @addr. */
typedef struct WriteFault {
    uintptr_t addr;
    bool missing;               /* no page is present; it may wait to read */
} WriteFault;

/*
 * @device: descriptor of /dev/userfaultfd, which remains the caller's. -1: use
 *          the device, or else the system call, with this process's
 *          permissions.
 *
 * False with @errp set on failure; the error says what would help.
 */
bool write_watch_open(WriteWatch *w, int device, Error **errp);

/* Unregisters all ranges and wakes all threads that sleep in them. */
void write_watch_close(WriteWatch *w);

/*
 * Register a range, without protecting it. @missing: from now on, access to
 * pages that are not present is a fault too; only for private memory without a
 * file, and for shared memory of a memfd or a file on tmpfs. False with @errp
 * set if the kernel does not support this for the memory.
 */
bool write_watch_register(const WriteWatch *w, const void *host, size_t len,
                          bool missing, Error **errp);

/* Undo it: removes the protection and wakes all threads that sleep. */
void write_watch_unregister(const WriteWatch *w, const void *host,
                            size_t len);

/*
 * Protect the range; of private memory without a file, only pages that are
 * present. Done in pieces of 64 MiB, as no other thread can map or unmap memory
 * during the system call. False with @errp set if it failed.
 */
bool write_watch_protect(const WriteWatch *w, const void *host, size_t len,
                         Error **errp);

/* Unprotect the range and wake its writers. False with errno set on failure. */
bool write_watch_unprotect(const WriteWatch *w, const void *host, size_t len);

/*
 * Map zero pages, not protected, wherever no page is present in the range, and
 * wake all threads that sleep in it. Other pages do not change. False with
 * errno set on failure.
 */
bool write_watch_zero(const WriteWatch *w, const void *host, size_t len);

/*
 * For shared memory of a file: create a protected zero page unless the file has
 * a page there; wakes no thread. @len is the size of a host page. Returns 1 if
 * it was created, 0 if there was one, -1 with errno set on failure.
 */
int write_watch_make(const WriteWatch *w, const void *host, size_t len);

/* Wake all threads that sleep in the range; they repeat their access. */
void write_watch_wake(const WriteWatch *w, const void *host, size_t len);

/*
 * Wait for faults and read up to @max of them. Returns their number; 0 if
 * write_watch_stop was called; -1 on failure.
 */
int write_watch_read(const WriteWatch *w, WriteFault *faults, size_t max);

/* Make write_watch_read return 0, from now on. */
void write_watch_stop(const WriteWatch *w);

#endif
