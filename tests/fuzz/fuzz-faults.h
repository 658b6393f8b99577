/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Injection of faults below the engine's sinks and into reads of guest memory:
 * the linker diverts the engine's system calls (--wrap).
 */

#ifndef FUZZ_FAULTS_H
#define FUZZ_FAULTS_H

#include "fuzz.h"
#include <sys/socket.h>
#include <sys/uio.h>
#include "fuzz-memory.h"
#include "progress.h"

/* Faults of one descriptor and of memory. */
typedef struct FuzzFaults {
    int fd;                     /* -1: no faults */
    uint64_t fail_at;           /* bytes that can be written, then: */
    int error;                  /* errno; 0: no failure */
    uint64_t cancel_at;         /* bytes after which the dump is cancelled */
    unsigned cancel_reads;      /* the same, in reads; 0: never */
    DumpProgress *progress;
    size_t shorten;             /* maximum bytes per call; 0: no limit */
    unsigned interrupt;         /* every n-th call fails: EINTR; 0: none */
    unsigned block;             /* the same with EAGAIN */
    int close_error;            /* errno of close; 0: success */
    int truncate_error;
    int reserve_error;
    gint no_memory;             /* the n-th g_try_malloc fails; 0: none */
    const FuzzMemory *memory;   /* with its lost pages; NULL: none */
    bool whole;                 /* process_vm_readv splits no element */

    uint64_t written;           /* result */
    uint64_t reserved;          /* end of reserved space in the file */
    unsigned calls;
    gint allocations;           /* atomic */
    unsigned reads;             /* of any thread, atomic */
    bool failed, closed;
} FuzzFaults;

/* There is one dump at a time; one thread writes its output. */
extern FuzzFaults fuzz_faults;

/* Select faults by the input; about half of all dumps get none. */
void fuzz_faults_make(FuzzInput *in);

/* The diverted calls, with the linker's names. */
ssize_t __real_writev(int fd, const struct iovec *iov, int niov);
ssize_t __wrap_writev(int fd, const struct iovec *iov, int niov);
ssize_t __real_pwritev64(int fd, const struct iovec *iov, int niov,
                         off_t offset);
ssize_t __wrap_pwritev64(int fd, const struct iovec *iov, int niov,
                         off_t offset);
ssize_t __real_pwritev64v2(int fd, const struct iovec *iov, int niov,
                           off_t offset, int flags);
ssize_t __wrap_pwritev64v2(int fd, const struct iovec *iov, int niov,
                           off_t offset, int flags);
ssize_t __real_write(int fd, const void *buf, size_t size);
ssize_t __wrap_write(int fd, const void *buf, size_t size);
ssize_t __real_sendmsg(int fd, const struct msghdr *msg, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *msg, int flags);
int __real_ftruncate64(int fd, off_t size);
int __wrap_ftruncate64(int fd, off_t size);
int __real_fallocate64(int fd, int mode, off_t offset, off_t len);
int __wrap_fallocate64(int fd, int mode, off_t offset, off_t len);
int __real_madvise(void *start, size_t len, int advice);
int __wrap_madvise(void *start, size_t len, int advice);
ssize_t __real_process_vm_readv(pid_t pid, const struct iovec *local,
                                unsigned long nlocal,
                                const struct iovec *remote,
                                unsigned long nremote, unsigned long flags);
ssize_t __wrap_process_vm_readv(pid_t pid, const struct iovec *local,
                                unsigned long nlocal,
                                const struct iovec *remote,
                                unsigned long nremote, unsigned long flags);
int __real_close(int fd);
int __wrap_close(int fd);
gpointer __real_g_try_malloc(gsize size);
gpointer __wrap_g_try_malloc(gsize size);
gpointer __real_g_try_malloc0(gsize size);
gpointer __wrap_g_try_malloc0(gsize size);
gpointer __real_g_try_malloc0_n(gsize n, gsize size);
gpointer __wrap_g_try_malloc0_n(gsize n, gsize size);
gpointer __real_g_try_realloc_n(gpointer mem, gsize n, gsize size);
gpointer __wrap_g_try_realloc_n(gpointer mem, gsize n, gsize size);
gpointer __real_g_try_malloc_n(gsize n, gsize size);
gpointer __wrap_g_try_malloc_n(gsize n, gsize size);

#endif
