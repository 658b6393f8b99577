/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Faults that no real file system gives on demand, for the real QEMU:
 * preloaded, it changes what system calls answer for one file.
 *
 *   DUMP_FAULT_PATH   the file, as in /proc/self/fd
 *   DUMP_FAULT        what goes wrong:
 *     error:E:N       writes that reach beyond byte N fail with errno E
 *     close:E         close() fails with errno E, the file closed
 *     short:N         a write takes at most N bytes
 *     eintr           every other write is interrupted
 *     pause:N         the write after which N bytes are written comes back
 *                     when there is a file PATH.go
 *     open:MS         opening it takes so many milliseconds
 *     hold            process_vm_readv() of many pages comes back when there
 *                     is a file PATH.go
 *     protect         SIGUSR2: pages whose addresses are in the file, in hex,
 *                     cannot be read any more; then the file is gone
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define PROTECT_SIZE    4096

/* The next address of the text at *@at, in hex; 0 at its end. */
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
    } while (address &&
             mprotect((void *)address, PROTECT_SIZE, PROT_NONE) == 0);
    if (!address) {
        unlink(path);
    }
}

static void __attribute__((constructor)) init(void)
{
    struct sigaction action = { .sa_handler = protect };
    const char *fault = getenv("DUMP_FAULT");

    if (fault && !strcmp(fault, "protect")) {
        sigaction(SIGUSR2, &action, NULL);
    }
}

/* One writer at a time: no locks. */
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

/* The fault's numbers, if it is of that kind. */
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
    ssize_t n = syscall(SYS_pwritev, fd, iov, niov, (long)offset, 0L);

    written += n > 0 ? n : 0;
    return n;
}

/* At most @limit bytes of the vector. */
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

ssize_t pwritev64(int fd, const struct iovec *iov, int niov, off64_t offset)
{
    unsigned long long n = 0;
    int error = 0;
    ssize_t done;

    if (!is_target(fd)) {
        return syscall(SYS_pwritev, fd, iov, niov, (long)offset, 0L);
    }
    if (fault_is("error", &error, &n) && offset + size(iov, niov) > n) {
        errno = error;
        return -1;
    }
    if (fault_is("eintr", &error, &n) && calls++ % 2 == 0) {
        errno = EINTR;
        return -1;
    }
    /* The second field is read as a number whatever the kind. */
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
    int ret = syscall(SYS_close, fd);

    if (fail) {
        errno = error;
        return -1;
    }
    return ret;
}

/* @name: which of the two it was */
static int slow_open(const char *name, const char *path, int flags, va_list ap)
{
    int (*real)(const char *, int, mode_t) = dlsym(RTLD_NEXT, name);
    const char *target = getenv("DUMP_FAULT_PATH");
    unsigned long long unused;
    int ms;

    if (target && !strcmp(path, target) && fault_is("open", &ms, &unused)) {
        usleep(ms * 1000);
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
