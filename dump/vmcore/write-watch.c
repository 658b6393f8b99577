/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Write tracking by userfaultfd; see the header.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/units.h"
#include "write-watch.h"

#ifdef CONFIG_LINUX
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#endif

#if defined(CONFIG_LINUX) && defined(SYS_userfaultfd)

/* Not defined by the headers of older kernels. */
#ifndef USERFAULTFD_IOC_NEW
#define USERFAULTFD_IOC_NEW             _IO(0xAA, 0x00)
#endif
#ifndef UFFD_FEATURE_WP_HUGETLBFS_SHMEM
#define UFFD_FEATURE_WP_HUGETLBFS_SHMEM (1 << 12)
#endif

/* Maximum number of bytes changed by one system call. */
#define WATCH_PIECE     (64 * MiB)

/* Maximum number of faults read by one system call. */
#define WATCH_BATCH     32

static int watch_open_device(void)
{
    int device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
    int fd;

    if (device < 0) {
        return -1;
    }
    fd = ioctl(device, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
    close(device);
    return fd;
}

/* Returns -1 with errno set on failure. */
static int watch_open_fd(int device)
{
    int fd;

    if (device >= 0) {
        return ioctl(device, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
    }
    fd = watch_open_device();
    return fd >= 0 ? fd : syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
}

/* Enable @features; can be tried only once per descriptor. */
static bool watch_agree(int fd, uint64_t features)
{
    struct uffdio_api api = { .api = UFFD_API, .features = features };

    return ioctl(fd, UFFDIO_API, &api) == 0;
}

static void watch_explain(int device, int err, Error **errp)
{
    if (device >= 0) {
        error_setg_errno(errp, err, "the descriptor is not one of "
                         "/dev/userfaultfd");
    } else if (err == EPERM || err == EACCES) {
        error_setg(errp, "this process is not permitted to use userfaultfd: "
                   "allow it to open /dev/userfaultfd, pass it a descriptor "
                   "of that, or set the sysctl vm.unprivileged_userfaultfd "
                   "to 1");
    } else {
        error_setg_errno(errp, err, err == ENOSYS ?
                         "this host has no userfaultfd" :
                         "failed to open userfaultfd");
    }
}

/* Open with the best set of features: the kernel rejects a set as a whole. */
static bool watch_open_best(WriteWatch *w, int device, Error **errp)
{
    static const uint64_t features[] = {
        UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_WP_HUGETLBFS_SHMEM,
        UFFD_FEATURE_PAGEFAULT_FLAG_WP,
    };

    for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
        w->fd = watch_open_fd(device);
        if (w->fd < 0) {
            watch_explain(device, errno, errp);
            return false;
        }
        if (watch_agree(w->fd, features[i])) {
            return true;
        }
        close(w->fd);
        w->fd = -1;
    }
    error_setg(errp, "userfaultfd of this host does not support write "
               "protection");
    return false;
}

bool write_watch_open(WriteWatch *w, int device, Error **errp)
{
    *w = (WriteWatch) { .fd = -1, .stop = { -1, -1 } };
    if (!watch_open_best(w, device, errp)) {
        return false;
    }
    if (pipe2(w->stop, O_CLOEXEC) < 0) {
        error_setg_errno(errp, errno, "failed to create a pipe");
        write_watch_close(w);
        return false;
    }
    return true;
}

void write_watch_close(WriteWatch *w)
{
    int fds[] = { w->fd, w->stop[0], w->stop[1] };

    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
    *w = (WriteWatch) { .fd = -1, .stop = { -1, -1 } };
}

static int watch_ioctl(const WriteWatch *w, unsigned long request, void *arg)
{
    int ret;

    do {
        ret = ioctl(w->fd, request, arg);
    } while (ret < 0 && errno == EINTR);
    return ret;
}

bool write_watch_register(const WriteWatch *w, const void *host, size_t len,
                          bool missing, Error **errp)
{
    struct uffdio_register reg = {
        .range = { .start = (uintptr_t)host, .len = len },
        .mode = UFFDIO_REGISTER_MODE_WP |
                (missing ? UFFDIO_REGISTER_MODE_MISSING : 0),
    };
    uint64_t need = UINT64_C(1) << _UFFDIO_WRITEPROTECT |
                    (missing ? UINT64_C(1) << _UFFDIO_ZEROPAGE |
                               UINT64_C(1) << _UFFDIO_COPY : 0);

    if (watch_ioctl(w, UFFDIO_REGISTER, &reg) < 0) {
        error_setg_errno(errp, errno, "the kernel cannot track writes to "
                         "it");
        return false;
    }
    if ((reg.ioctls & need) != need) {
        write_watch_unregister(w, host, len);
        error_setg(errp, "the kernel cannot write-protect it");
        return false;
    }
    return true;
}

void write_watch_unregister(const WriteWatch *w, const void *host,
                            size_t len)
{
    for (size_t done = 0; done < len; done += WATCH_PIECE) {
        struct uffdio_range range = {
            .start = (uintptr_t)host + done,
            .len = MIN(len - done, WATCH_PIECE),
        };

        watch_ioctl(w, UFFDIO_UNREGISTER, &range);
        /* UFFDIO_UNREGISTER wakes no writers, and others not reliably. */
        watch_ioctl(w, UFFDIO_WAKE, &range);
    }
}

/* Repeated while mappings are being changed by other threads (EAGAIN). */
static bool watch_change_piece(const WriteWatch *w, uintptr_t start,
                               size_t len, uint64_t mode)
{
    struct uffdio_writeprotect wp = {
        .range = { .start = start, .len = len },
        .mode = mode,
    };
    int ret;

    do {
        ret = watch_ioctl(w, UFFDIO_WRITEPROTECT, &wp);
    } while (ret < 0 && errno == EAGAIN);
    return ret == 0;
}

static bool watch_change(const WriteWatch *w, const void *host, size_t len,
                         uint64_t mode)
{
    for (size_t done = 0; done < len; done += WATCH_PIECE) {
        if (!watch_change_piece(w, (uintptr_t)host + done,
                                MIN(len - done, WATCH_PIECE), mode)) {
            return false;
        }
    }
    return true;
}

bool write_watch_protect(const WriteWatch *w, const void *host, size_t len,
                         Error **errp)
{
    bool ok = watch_change(w, host, len, UFFDIO_WRITEPROTECT_MODE_WP);

    if (!ok) {
        error_setg_errno(errp, errno, "dump: failed to protect guest memory "
                         "from writes");
    }
    return ok;
}

bool write_watch_unprotect(const WriteWatch *w, const void *host, size_t len)
{
    return watch_change(w, host, len, 0);
}

bool write_watch_zero(const WriteWatch *w, const void *host, size_t len)
{
    struct uffdio_zeropage zero = {
        .range = { .start = (uintptr_t)host, .len = len },
    };
    struct uffdio_range range = zero.range;

    while (zero.range.len && watch_ioctl(w, UFFDIO_ZEROPAGE, &zero) < 0) {
        size_t done = MAX(zero.zeropage, 0);

        if (errno == EEXIST) {
            done += qemu_real_host_page_size();
        } else if (errno != EAGAIN) {
            return false;
        }
        zero.range.start += done;
        zero.range.len -= MIN(done, zero.range.len);
        zero.zeropage = 0;
    }
    /* UFFDIO_ZEROPAGE wakes no threads at pages that were present. */
    return watch_ioctl(w, UFFDIO_WAKE, &range) == 0;
}

int write_watch_make(const WriteWatch *w, const void *host, size_t len)
{
    static const uint8_t zeroes[64 * KiB];
    struct uffdio_copy copy = {
        .dst = (uintptr_t)host,
        .src = (uintptr_t)zeroes,
        .len = len,
        .mode = UFFDIO_COPY_MODE_WP | UFFDIO_COPY_MODE_DONTWAKE,
    };
    int ret;

    assert(len <= sizeof(zeroes));
    do {
        ret = watch_ioctl(w, UFFDIO_COPY, &copy);
    } while (ret < 0 && errno == EAGAIN);
    return ret == 0 ? 1 : errno == EEXIST ? 0 : -1;
}

void write_watch_wake(const WriteWatch *w, const void *host, size_t len)
{
    struct uffdio_range range = { .start = (uintptr_t)host, .len = len };

    watch_ioctl(w, UFFDIO_WAKE, &range);
}

static WriteFault watch_fault(const struct uffd_msg *msg)
{
    return (WriteFault) {
        .addr = msg->arg.pagefault.address,
        .missing = !(msg->arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WP),
    };
}

/* Read faults without waiting. Returns 0 if they have vanished meanwhile. */
static int watch_read_some(const WriteWatch *w, WriteFault *faults,
                           size_t max)
{
    struct uffd_msg msgs[WATCH_BATCH];
    ssize_t got = read(w->fd, msgs, MIN(max, WATCH_BATCH) * sizeof(msgs[0]));
    int n = 0;

    if (got < 0) {
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    }
    for (size_t i = 0; i < got / sizeof(msgs[0]); i++) {
        if (msgs[i].event == UFFD_EVENT_PAGEFAULT) {
            faults[n++] = watch_fault(&msgs[i]);
        }
    }
    return n;
}

int write_watch_read(const WriteWatch *w, WriteFault *faults, size_t max)
{
    struct pollfd fds[] = {
        { .fd = w->fd, .events = POLLIN },
        { .fd = w->stop[0], .events = POLLIN },
    };
    int n = 0;

    while (!n) {
        if (poll(fds, ARRAY_SIZE(fds), -1) < 0) {
            if (errno != EINTR) {
                return -1;
            }
            continue;
        }
        if (fds[1].revents) {
            return 0;
        }
        n = watch_read_some(w, faults, max);
    }
    return n;
}

void write_watch_stop(const WriteWatch *w)
{
    ssize_t n;

    do {
        n = write(w->stop[1], "", 1);
    } while (n < 0 && errno == EINTR);
}

#else /* no userfaultfd: open fails, after which only close may be called */

bool write_watch_open(WriteWatch *w, int device, Error **errp)
{
    *w = (WriteWatch) { .fd = -1, .stop = { -1, -1 } };
    error_setg(errp, "this host cannot track writes to memory");
    return false;
}

void write_watch_close(WriteWatch *w)
{
}

bool write_watch_register(const WriteWatch *w, const void *host, size_t len,
                          bool missing, Error **errp)
{
    g_assert_not_reached();
}

void write_watch_unregister(const WriteWatch *w, const void *host, size_t len)
{
    g_assert_not_reached();
}

bool write_watch_protect(const WriteWatch *w, const void *host, size_t len,
                         Error **errp)
{
    g_assert_not_reached();
}

bool write_watch_unprotect(const WriteWatch *w, const void *host, size_t len)
{
    g_assert_not_reached();
}

bool write_watch_zero(const WriteWatch *w, const void *host, size_t len)
{
    g_assert_not_reached();
}

int write_watch_make(const WriteWatch *w, const void *host, size_t len)
{
    g_assert_not_reached();
}

void write_watch_wake(const WriteWatch *w, const void *host, size_t len)
{
    g_assert_not_reached();
}

int write_watch_read(const WriteWatch *w, WriteFault *faults, size_t max)
{
    g_assert_not_reached();
}

void write_watch_stop(const WriteWatch *w)
{
    g_assert_not_reached();
}

#endif
