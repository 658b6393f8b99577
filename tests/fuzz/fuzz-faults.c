/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Faults of the output, and of guest memory.
 */

#include "fuzz-faults.h"
#include <sys/mman.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

FuzzFaults fuzz_faults = { .fd = -1 };

#define SHORT_CALLS     500

#define MAX_IOV         32      /* more than the engine uses */

/* For calls that write at the file offset. */
#define NO_OFFSET       (-1)

static const int errors[] = { ENOSPC, EIO, EDQUOT, EFBIG, EPIPE };

void fuzz_faults_make(FuzzInput *in)
{
    uint8_t kinds = fuzz_u8(in);

    fuzz_faults = (FuzzFaults) { .fd = -1, .fail_at = UINT64_MAX,
                                 .cancel_at = UINT64_MAX };
    switch (kinds % 16) {
    case 5:
    case 6:
        fuzz_faults.cancel_reads = 1 + fuzz_u16(in) % 300;
        break;
    case 7:
        fuzz_faults.reserve_error = ENOSPC;
        break;
    case 8:
    case 9:
    case 10:
        fuzz_faults.fail_at = fuzz_u32(in) % 0x80000;
        break;
    case 11:
        fuzz_faults.fail_at = fuzz_u16(in);
        break;
    case 12:
        fuzz_faults.cancel_at = fuzz_u32(in) % 0x80000;
        break;
    case 13:
        fuzz_faults.close_error = EIO;
        break;
    case 14:
        fuzz_faults.truncate_error = ENOSPC;
        break;
    case 15:
        fuzz_faults.no_memory = 1 + fuzz_u8(in) % 100;
        break;
    }
    if (fuzz_faults.fail_at != UINT64_MAX) {
        fuzz_faults.error = errors[fuzz_u8(in) % ARRAY_SIZE(errors)];
    }
    if (kinds & 0x40) {
        fuzz_faults.shorten = 1 + fuzz_u16(in);
    }
    if (kinds & 0x80) {
        fuzz_faults.interrupt = 2 + fuzz_u8(in) % 8;
        fuzz_faults.block = 2 + fuzz_u8(in) % 8;
    }
}

/* On a full disk, allocated parts of the file can be overwritten. */
static bool has_room(off_t offset, size_t len)
{
    const FuzzFaults *f = &fuzz_faults;
    struct stat st;

    return f->failed && (f->error == ENOSPC || f->error == EDQUOT) &&
           offset >= 0 && fstat(f->fd, &st) == 0 &&
           offset + len <= MAX((uint64_t)st.st_size, f->reserved);
}

/* Must call number @call be retried? If so, sets errno. */
static bool again(unsigned call)
{
    const FuzzFaults *f = &fuzz_faults;

    if (f->interrupt && call % f->interrupt == 0) {
        errno = EINTR;
        return true;
    }
    if (f->block && call % f->block == 0) {
        errno = EAGAIN;
        return true;
    }
    return false;
}

/* The number of bytes to write, at most @len; -1 with errno to fail. */
static ssize_t allow(off_t offset, size_t len)
{
    FuzzFaults *f = &fuzz_faults;
    unsigned call = ++f->calls;

    FUZZ_CHECK(!f->closed);
    if (again(call)) {
        return -1;
    }
    if (has_room(offset, len)) {
        return len;
    }
    if (f->error && f->written >= f->fail_at) {
        f->failed = true;
        errno = f->error;
        return -1;
    }
    if (f->error) {
        len = MIN(len, f->fail_at - f->written);
    }
    /* Only the first calls are shortened, to save time. */
    return f->shorten && call < SHORT_CALLS ? MIN(len, f->shorten) : len;
}

/* Returns @n, what the call returned. */
static ssize_t account(int fd, ssize_t n)
{
    FuzzFaults *f = &fuzz_faults;

    if (fd == f->fd && n > 0) {
        f->written += n;
        if (f->written >= f->cancel_at) {
            dump_progress_cancel(f->progress);
        }
    }
    return n;
}

/* Truncate the vector to @len bytes. Returns its number of elements. */
static int cut(struct iovec *to, const struct iovec *iov, int n, size_t len)
{
    int i;

    for (i = 0; i < n && len; i++) {
        to[i] = iov[i];
        to[i].iov_len = MIN(to[i].iov_len, len);
        len -= to[i].iov_len;
    }
    return i;
}

static size_t total(const struct iovec *iov, int n)
{
    size_t len = 0;

    for (int i = 0; i < n; i++) {
        len += iov[i].iov_len;
    }
    return len;
}

/*
 * Store the part of the vector to write in @some. Returns its number of
 * elements, or -1 with errno if the call must fail.
 */
static int divert(int fd, off_t offset, const struct iovec *iov, int n,
                  struct iovec some[MAX_IOV])
{
    ssize_t len = total(iov, n);

    FUZZ_CHECK(n <= MAX_IOV);
    if (fd == fuzz_faults.fd) {
        len = allow(offset, len);
    }
    return len < 0 ? -1 : cut(some, iov, n, len);
}

ssize_t __wrap_writev(int fd, const struct iovec *iov, int niov)
{
    struct iovec some[MAX_IOV];
    int n = divert(fd, NO_OFFSET, iov, niov, some);

    return n < 0 ? n : account(fd, __real_writev(fd, some, n));
}

ssize_t __wrap_pwritev64(int fd, const struct iovec *iov, int niov,
                         off_t offset)
{
    struct iovec some[MAX_IOV];
    int n = divert(fd, offset, iov, niov, some);

    return n < 0 ? n : account(fd, __real_pwritev64(fd, some, n, offset));
}

ssize_t __wrap_pwritev64v2(int fd, const struct iovec *iov, int niov,
                           off_t offset, int flags)
{
    struct iovec some[MAX_IOV];
    int n = divert(fd, offset, iov, niov, some);

    return n < 0 ? n : account(fd, __real_pwritev64v2(fd, some, n, offset,
                                                      flags));
}

ssize_t __wrap_write(int fd, const void *buf, size_t size)
{
    struct iovec iov = { (void *)buf, size };
    struct iovec some[MAX_IOV];
    int n = divert(fd, NO_OFFSET, &iov, 1, some);

    return n < 0 ? n : account(fd, __real_write(fd, buf, total(some, n)));
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *msg, int flags)
{
    struct iovec some[MAX_IOV];
    struct msghdr copy = *msg;
    int n = divert(fd, NO_OFFSET, msg->msg_iov, msg->msg_iovlen, some);

    copy.msg_iov = some;
    copy.msg_iovlen = n;
    return n < 0 ? n : account(fd, __real_sendmsg(fd, &copy, flags));
}

int __wrap_ftruncate64(int fd, off_t size)
{
    if (fd == fuzz_faults.fd && fuzz_faults.truncate_error) {
        fuzz_faults.failed = true;
        errno = fuzz_faults.truncate_error;
        return -1;
    }
    return __real_ftruncate64(fd, size);
}

int __wrap_fallocate64(int fd, int mode, off_t offset, off_t len)
{
    int ret;

    if (fd == fuzz_faults.fd && fuzz_faults.reserve_error) {
        fuzz_faults.failed = true;
        errno = fuzz_faults.reserve_error;
        return -1;
    }
    ret = __real_fallocate64(fd, mode, offset, len);
    if (fd == fuzz_faults.fd && ret == 0) {
        fuzz_faults.reserved = MAX(fuzz_faults.reserved, offset + len);
    }
    return ret;
}

int __wrap_close(int fd)
{
    int ret = __real_close(fd);

    if (fd == fuzz_faults.fd) {
        FUZZ_CHECK(!fuzz_faults.closed && ret == 0);
        fuzz_faults.closed = true;
        if (fuzz_faults.close_error) {
            fuzz_faults.failed = true;
            errno = fuzz_faults.close_error;
            return -1;
        }
    }
    return ret;
}

/* Count a read of memory. Returns its number. */
static unsigned count_read(void)
{
    FuzzFaults *f = &fuzz_faults;
    unsigned n = __atomic_add_fetch(&f->reads, 1, __ATOMIC_RELAXED);

    if (f->fd >= 0 && f->cancel_reads && n >= f->cancel_reads) {
        dump_progress_cancel(f->progress);
    }
    return n;
}

/* Fails for the whole range if any of it is lost; errno varies. */
int __wrap_madvise(void *start, size_t len, int advice)
{
    static const int lost[] = { EFAULT, EHWPOISON, ENOMEM };
    const FuzzFaults *f = &fuzz_faults;
    unsigned call;

    if (!f->memory || advice != MADV_POPULATE_READ) {
        return __real_madvise(start, len, advice);
    }
    call = count_read();
    if (again(call)) {
        return -1;
    }
    if (fuzz_memory_readable(f->memory, start, len) < len) {
        errno = lost[call % ARRAY_SIZE(lost)];
        return -1;
    }
    return __real_madvise(start, len, advice);
}

/*
 * Reads up to the first lost byte. According to the manual page no element of
 * the vector is split. Older kernels split none; current ones do.
 */
ssize_t __wrap_process_vm_readv(pid_t pid, const struct iovec *local,
                                unsigned long nlocal,
                                const struct iovec *remote,
                                unsigned long nremote, unsigned long flags)
{
    const FuzzFaults *f = &fuzz_faults;
    struct iovec some[MAX_IOV];
    size_t len = 0;

    FUZZ_CHECK(nremote <= MAX_IOV);
    count_read();
    for (unsigned long i = 0; f->memory && i < nremote; i++) {
        size_t n = fuzz_memory_readable(f->memory, remote[i].iov_base,
                                        remote[i].iov_len);
        bool all = n == remote[i].iov_len;

        len += all || !f->whole ? n : 0;
        if (!all) {
            nremote = cut(some, remote, nremote, len);
            remote = some;
            break;
        }
    }
    if (!nremote) {
        errno = EFAULT;
        return -1;
    }
    return __real_process_vm_readv(pid, local, nlocal, remote, nremote,
                                   flags);
}

/* Called by Snappy's workers, too. */
static bool refuse_memory(void)
{
    if (fuzz_faults.no_memory &&
        g_atomic_int_add(&fuzz_faults.allocations, 1) + 1 ==
        fuzz_faults.no_memory) {
        fuzz_faults.failed = true;
        return true;
    }
    return false;
}

gpointer __wrap_g_try_malloc(gsize size)
{
    return refuse_memory() ? NULL : __real_g_try_malloc(size);
}

gpointer __wrap_g_try_malloc0(gsize size)
{
    return refuse_memory() ? NULL : __real_g_try_malloc0(size);
}

gpointer __wrap_g_try_malloc0_n(gsize n, gsize size)
{
    return refuse_memory() ? NULL : __real_g_try_malloc0_n(n, size);
}

gpointer __wrap_g_try_realloc_n(gpointer mem, gsize n, gsize size)
{
    return refuse_memory() ? NULL : __real_g_try_realloc_n(mem, n, size);
}

gpointer __wrap_g_try_malloc_n(gsize n, gsize size)
{
    return refuse_memory() ? NULL : __real_g_try_malloc_n(n, size);
}
