/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Fault injection by LD_PRELOAD, for faults that a real file system does not
 * produce on demand: changes the results of system calls for one file.
 *
 *   DUMP_FAULT_PATH   the file, as in /proc/self/fd
 *   DUMP_FAULT        the fault:
 *     error:E:N       writes that extend beyond byte N fail with errno E
 *     close:E         close() closes the file, but fails with errno E
 *     sync:E          fdatasync() fails with errno E
 *     syncing         fdatasync() creates a file PATH.sync, and returns when a
 *                     file PATH.go exists
 *     short:N         a write writes at most N bytes
 *     eintr           every other write fails with EINTR
 *     pause:N         the write that reaches a total of N bytes returns when a
 *                     file PATH.go exists
 *     open:MS         opening the file takes MS milliseconds
 *     hold            process_vm_readv() of many pages creates a file
 *                     PATH.held, and returns when a file PATH.go exists
 *     protect         on SIGUSR2 the pages whose addresses are in the file, in
 *                     hex, become inaccessible; the file is then removed
 *     unwatch         on SIGUSR2 the write protection of these pages by a
 *                     userfaultfd is removed; the file is then removed
 *     cpus:N          g_get_num_processors() returns N
 *     thread          the file, if it exists, contains the number of threads
 *                     that may still be created
 *     uffd-STEP:E:N   the Nth system call of that kind for a userfaultfd, and
 *                     all later ones, fail with errno E. STEP is device, new,
 *                     syscall, open (all of these), api, register, protect,
 *                     unprotect, unregister, copy, zero, wake or read
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define PROTECT_SIZE    4096

#ifndef USERFAULTFD_IOC_NEW             /* Linux 6.1 */
#define USERFAULTFD_IOC_NEW _IO(0xAA, 0x00)
#endif

static long real_syscall(long number, long a, long b, long c, long d, long e,
                         long f)
{
    static long (*real)(long, ...);

    if (!real) {
        real = dlsym(RTLD_NEXT, "syscall");
    }
    return real(number, a, b, c, d, e, f);
}

static bool fault_is_just(const char *kind)
{
    const char *fault = getenv("DUMP_FAULT");

    return fault && !strcmp(fault, kind);
}

static bool is_uffd(int fd)
{
    char name[64], target[64] = "";

    snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    return readlink(name, target, sizeof(target) - 1) > 0 &&
           strstr(target, "[userfaultfd]");
}

/* Remove the write protection of a page, so that writes are missed. */
static int unwatch(uintptr_t address)
{
    struct uffdio_writeprotect wp = {
        .range = { .start = address, .len = PROTECT_SIZE },
    };

    for (int fd = 0; fd < 1024; fd++) {
        if (is_uffd(fd)) {
            return real_syscall(SYS_ioctl, fd, UFFDIO_WRITEPROTECT,
                                (long)&wp, 0, 0, 0);
        }
    }
    return -1;
}

static int spoil(uintptr_t address)
{
    return fault_is_just("unwatch") ? unwatch(address) :
           mprotect((void *)address, PROTECT_SIZE, PROT_NONE);
}

/* The next hex address of the text at *@at; 0 at the end. */
static uintptr_t next_address(const char **at)
{
    uintptr_t address = 0;
    int used = 0;

    if (sscanf(*at, "%" SCNxPTR "%n", &address, &used) < 1) {
        return 0;
    }
    *at += used;
    return address;
}

static void protect(int sig)
{
    const char *path = getenv("DUMP_FAULT_PATH");
    char text[1024] = "";
    const char *at = text;
    int fd = open(path, O_RDONLY);
    uintptr_t address;

    if (read(fd, text, sizeof(text) - 1) <= 0) {
        return;
    }
    close(fd);
    do {
        address = next_address(&at);
    } while (address && spoil(address) == 0);
    if (!address) {
        unlink(path);
    }
}

static void __attribute__((constructor)) init(void)
{
    struct sigaction action = { .sa_handler = protect };

    if (fault_is_just("protect") || fault_is_just("unwatch")) {
        sigaction(SIGUSR2, &action, NULL);
    }
}

/* Not locked: there is one writer at a time. */
static unsigned long long written;
static unsigned calls;

static bool is_target(int fd)
{
    const char *path = getenv("DUMP_FAULT_PATH");
    char name[64], target[PATH_MAX];
    ssize_t n;

    if (!path) {
        return false;
    }
    snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    n = readlink(name, target, sizeof(target));
    return n == strlen(path) && !memcmp(target, path, n);
}

/* Returns whether the fault is of that kind, and its parameters. */
static bool fault_is(const char *kind, int *error, unsigned long long *n)
{
    const char *fault = getenv("DUMP_FAULT");
    char name[16] = "";

    return fault && sscanf(fault, "%15[^:]:%d:%llu", name, error, n) >= 1 &&
           !strcmp(name, kind);
}

static unsigned long long size(const struct iovec *iov, int niov)
{
    unsigned long long sum = 0;

    for (int i = 0; i < niov; i++) {
        sum += iov[i].iov_len;
    }
    return sum;
}

static ssize_t pass(int fd, const struct iovec *iov, int niov, off64_t offset)
{
    ssize_t n = real_syscall(SYS_pwritev, fd, (long)iov, niov, offset, 0, 0);

    written += n > 0 ? n : 0;
    return n;
}

/* Write at most @limit bytes of the vector. */
static ssize_t pass_short(int fd, const struct iovec *iov, off64_t offset,
                          size_t limit)
{
    struct iovec one = *iov;

    if (one.iov_len > limit) {
        one.iov_len = limit;
    }
    return pass(fd, &one, 1, offset);
}

static void wait_to_go_on(void)
{
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s.go", getenv("DUMP_FAULT_PATH"));
    while (access(path, F_OK) < 0) {
        usleep(1000);
    }
}

/* Create a file whose name is PATH and @suffix. */
static void tell(const char *suffix)
{
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s%s", getenv("DUMP_FAULT_PATH"), suffix);
    close(open(path, O_WRONLY | O_CREAT, 0600));
}

ssize_t pwritev64(int fd, const struct iovec *iov, int niov, off64_t offset)
{
    unsigned long long n = 0;
    int error = 0;
    ssize_t done;

    if (!is_target(fd)) {
        return real_syscall(SYS_pwritev, fd, (long)iov, niov, offset, 0, 0);
    }
    if (fault_is("error", &error, &n) && offset + size(iov, niov) > n) {
        errno = error;
        return -1;
    }
    if (fault_is("eintr", &error, &n) && calls++ % 2 == 0) {
        errno = EINTR;
        return -1;
    }
    /* fault_is() parses the second field into @error. */
    if (fault_is("short", &error, &n)) {
        return pass_short(fd, iov, offset, error);
    }
    done = pass(fd, iov, niov, offset);
    if (fault_is("pause", &error, &n) && written >= error) {
        wait_to_go_on();
    }
    return done;
}

ssize_t pwritev(int fd, const struct iovec *iov, int niov, off_t offset)
{
    return pwritev64(fd, iov, niov, offset);
}

#define HOLD_PAGES  16

ssize_t process_vm_readv(pid_t pid, const struct iovec *local,
                         unsigned long nlocal, const struct iovec *remote,
                         unsigned long nremote, unsigned long flags)
{
    const char *fault = getenv("DUMP_FAULT");

    if (fault && !strcmp(fault, "hold") && nremote >= HOLD_PAGES) {
        tell(".held");
        wait_to_go_on();
    }
    return syscall(SYS_process_vm_readv, pid, local, nlocal, remote, nremote,
                   flags);
}

int close(int fd)
{
    unsigned long long n = 0;
    int error = 0;
    bool fail = is_target(fd) && fault_is("close", &error, &n);
    int ret = real_syscall(SYS_close, fd, 0, 0, 0, 0, 0);

    if (fail) {
        errno = error;
        return -1;
    }
    return ret;
}

int fdatasync(int fd)
{
    unsigned long long n;
    int error;

    if (is_target(fd) && fault_is("sync", &error, &n)) {
        errno = error;
        return -1;
    }
    if (is_target(fd) && fault_is_just("syncing")) {
        tell(".sync");
        wait_to_go_on();
    }
    return real_syscall(SYS_fdatasync, fd, 0, 0, 0, 0, 0);
}

unsigned g_get_num_processors(void)
{
    static unsigned (*real)(void);
    unsigned long long n = 0;
    int cpus = 0;

    if (!real) {
        real = dlsym(RTLD_NEXT, "g_get_num_processors");
    }
    return fault_is("cpus", &cpus, &n) ? cpus : real();
}

/* May a thread be created? Decrements the number in the file. */
static bool thread_allowed(void)
{
    const char *path = getenv("DUMP_FAULT_PATH");
    int left, fd;
    char text[16] = "";

    if (!fault_is_just("thread")) {
        return true;
    }
    fd = open(path, O_RDWR);
    if (fd < 0) {
        return true;
    }
    left = pread(fd, text, sizeof(text) - 1, 0) > 0 ? atoi(text) : 0;
    if (left) {
        snprintf(text, sizeof(text), "%-14d\n", left - 1);
        pwrite(fd, text, 15, 0);
    }
    close(fd);
    return left > 0;
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attr,
                   void *(*start)(void *), void *arg)
{
    static int (*real)(pthread_t *, const pthread_attr_t *,
                       void *(*)(void *), void *);

    if (!real) {
        real = dlsym(RTLD_NEXT, "pthread_create");
    }
    return thread_allowed() ? real(thread, attr, start, arg) : EAGAIN;
}

/* Returns whether this system call is to fail, with errno set. */
static bool uffd_fails(const char *step)
{
    static unsigned long long done;
    unsigned long long n = 1;
    char kind[16];
    int error = 0;

    snprintf(kind, sizeof(kind), "uffd-%s", step);
    if (!fault_is(kind, &error, &n) ||
        __atomic_add_fetch(&done, 1, __ATOMIC_SEQ_CST) < n) {
        return false;
    }
    errno = error;
    return true;
}

static bool uffd_open_fails(const char *step)
{
    return uffd_fails(step) || uffd_fails("open");
}

static bool writeprotect_fails(const struct uffdio_writeprotect *wp)
{
    return uffd_fails(wp->mode & UFFDIO_WRITEPROTECT_MODE_WP ? "protect" :
                      "unprotect");
}

static bool ioctl_fails(unsigned long request, void *arg)
{
    switch (request) {
    case USERFAULTFD_IOC_NEW:
        return uffd_open_fails("new");
    case UFFDIO_API:
        return uffd_fails("api");
    case UFFDIO_REGISTER:
        return uffd_fails("register");
    case UFFDIO_UNREGISTER:
        return uffd_fails("unregister");
    case UFFDIO_WRITEPROTECT:
        return writeprotect_fails(arg);
    case UFFDIO_COPY:
        return uffd_fails("copy");
    case UFFDIO_ZEROPAGE:
        return uffd_fails("zero");
    case UFFDIO_WAKE:
        return uffd_fails("wake");
    default:
        return false;
    }
}

int ioctl(int fd, unsigned long request, ...)
{
    va_list ap;
    void *arg;

    va_start(ap, request);
    arg = va_arg(ap, void *);
    va_end(ap);
    /* The type of a userfaultfd's ioctls is unique. */
    if (_IOC_TYPE(request) == 0xaa && ioctl_fails(request, arg)) {
        return -1;
    }
    return real_syscall(SYS_ioctl, fd, request, (long)arg, 0, 0, 0);
}

long syscall(long number, ...)
{
    va_list ap;
    long a[6];

    va_start(ap, number);
    for (int i = 0; i < 6; i++) {
        a[i] = va_arg(ap, long);
    }
    va_end(ap);
    if (number == SYS_userfaultfd && uffd_open_fails("syscall")) {
        return -1;
    }
    return real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

ssize_t read(int fd, void *data, size_t len)
{
    unsigned long long n;
    int error;

    if (fault_is("uffd-read", &error, &n) && is_uffd(fd) &&
        uffd_fails("read")) {
        return -1;
    }
    return real_syscall(SYS_read, fd, (long)data, len, 0, 0, 0);
}

/* @name: the function called */
static int slow_open(const char *name, const char *path, int flags, va_list ap)
{
    int (*real)(const char *, int, mode_t) = dlsym(RTLD_NEXT, name);
    const char *target = getenv("DUMP_FAULT_PATH");
    unsigned long long unused;
    int ms;

    if (target && !strcmp(path, target) && fault_is("open", &ms, &unused)) {
        usleep(ms * 1000);
    }
    if (!strcmp(path, "/dev/userfaultfd") && uffd_open_fails("device")) {
        return -1;
    }
    return real(path, flags, va_arg(ap, mode_t));
}

int open(const char *path, int flags, ...)
{
    va_list ap;
    int fd;

    va_start(ap, flags);
    fd = slow_open("open", path, flags, ap);
    va_end(ap);
    return fd;
}

int open64(const char *path, int flags, ...)
{
    va_list ap;
    int fd;

    va_start(ap, flags);
    fd = slow_open("open64", path, flags, ap);
    va_end(ap);
    return fd;
}
