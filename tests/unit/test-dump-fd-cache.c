/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Output that bypasses the page cache: which writes use direct I/O, and that
 * the data of other writes is dropped from the cache.
 */

#include "qemu/osdep.h"
#include <sys/mman.h>
#include <sys/syscall.h>
#include "qemu/units.h"
#include "fd-write.h"

/* Records of the system calls made. */
static struct {
    unsigned writes, direct;    /* calls to pwritev() */
    bool no_direct;             /* direct writes fail with EINVAL */
    off_t begun, done, emptied; /* end offset of each */
    int error;                  /* returned by waits for the disk */
} sys;

ssize_t pwritev(int fd, const struct iovec *iov, int niov, off_t at)
{
    bool direct = fcntl(fd, F_GETFL) & O_DIRECT;

    sys.writes++;
    sys.direct += direct;
    if (direct && sys.no_direct) {
        errno = EINVAL;
        return -1;
    }
    return syscall(SYS_pwritev, fd, iov, niov, at, 0);
}

int sync_file_range(int fd, off_t at, off_t len, unsigned flags)
{
    if (flags == SYNC_FILE_RANGE_WRITE) {
        g_assert_cmpint(at, ==, sys.begun);
        sys.begun = at + len;
        errno = EINVAL;         /* must be ignored */
        return -1;
    }
    g_assert_cmpuint(flags, ==, SYNC_FILE_RANGE_WAIT_BEFORE |
                                SYNC_FILE_RANGE_WRITE |
                                SYNC_FILE_RANGE_WAIT_AFTER);
    g_assert_cmpint(at, ==, sys.done);
    g_assert_cmpint(at + len, <=, sys.begun - (16 << 20));
    sys.done = at + len;
    errno = sys.error;
    return sys.error ? -1 : 0;
}

int posix_fadvise(int fd, off_t at, off_t len, int advice)
{
    g_assert_cmpint(advice, ==, POSIX_FADV_DONTNEED);
    if (len) {
        g_assert_cmpint(at, ==, sys.emptied);
        g_assert_cmpint(at + len, ==, sys.done);
    } else {
        g_assert_cmpint(at, ==, 0);
        len = INT64_MAX;
    }
    sys.emptied = at + len;
    return 0;
}

typedef struct Test {
    FdCache c;
    int fd;
    uint8_t *p;                 /* aligned buffer */
} Test;

static void test_begin(Test *t, bool bypass)
{
    g_autofree char *path = NULL;

    memset(&sys, 0, sizeof(sys));
    t->fd = g_file_open_tmp("dump-cache-XXXXXX", &path, NULL);
    g_assert_cmpint(t->fd, >=, 0);
    unlink(path);
    t->p = mmap(NULL, MiB, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    g_assert_true(t->p != MAP_FAILED);
    for (size_t i = 0; i < MiB; i++) {
        t->p[i] = i * 7 + (i >> 12);
    }
    fd_cache_init(&t->c);
    if (bypass) {
        fd_cache_bypass(&t->c, fd_reopen(t->fd, O_WRONLY | O_DIRECT));
    }
}

static void test_end(Test *t)
{
    fd_cache_deinit(&t->c);
    munmap(t->p, MiB);
    g_assert_cmpint(close(t->fd), ==, 0);
}

static void check_write(Test *t, size_t from, size_t len, off_t at)
{
    g_autofree uint8_t *got = g_malloc(len);
    struct iovec iov[] = {
        { t->p + from, len / 8192 * 4096 },
        { t->p + from + len / 8192 * 4096, len - len / 8192 * 4096 },
    };

    g_assert_cmpint(fd_cache_pwritev(&t->c, t->fd, iov, 2, at), ==, len);
    g_assert_cmpint(pread(t->fd, got, len, at), ==, len);
    g_assert_cmpmem(got, len, t->p + from, len);
}

/* Option disabled: only plain buffered writes. */
static void test_off(void)
{
    Test t;

    test_begin(&t, false);
    for (int i = 0; i < 100; i++) {
        check_write(&t, 0, MiB, i * MiB);
    }
    fd_cache_drop(&t.c, t.fd);
    g_assert_cmpuint(sys.direct, ==, 0);
    g_assert_cmpint(sys.begun, ==, 0);
    g_assert_cmpint(sys.emptied, ==, 0);
    test_end(&t);
}

static void test_direct(void)
{
    Test t;

    test_begin(&t, true);
    if (t.c.direct < 0) {
        g_test_skip("the file system does not support direct I/O");
        test_end(&t);
        return;
    }
    check_write(&t, 0, MiB, 4096);
    check_write(&t, 4096, 64 * KiB, 0);
    g_assert_cmpuint(sys.direct, ==, 2);
    /* Small or unaligned writes are buffered, also over direct ones. */
    check_write(&t, 0, 60 * KiB, 0);
    check_write(&t, 0, 128 * KiB, 4097);
    check_write(&t, 16, 128 * KiB, 8192);
    check_write(&t, 0, 128 * KiB + 512, 0);
    g_assert_cmpuint(sys.direct, ==, 2);
    check_write(&t, 0, 128 * KiB, 8192);
    g_assert_cmpuint(sys.direct, ==, 3);
    test_end(&t);
}

/* If a direct write fails with EINVAL, it is not tried again. */
static void test_direct_refused(void)
{
    Test t;

    test_begin(&t, true);
    sys.no_direct = true;
    check_write(&t, 0, MiB, 0);
    check_write(&t, 0, MiB, MiB);
    g_assert_cmpuint(sys.direct, <=, 1);
    g_assert_cmpuint(sys.writes, ==, 2 + sys.direct);
    test_end(&t);
}

/* Written data is dropped from the cache, some distance behind. */
static void test_behind(void)
{
    Test t;

    test_begin(&t, true);
    for (int i = 0; i < 200; i++) {
        off_t at = 10 + i * (MiB - 17);

        check_write(&t, 17, MiB - 17, at);
        g_assert_cmpint(sys.begun, >=, at - (8 << 20));
        g_assert_cmpint(sys.begun, <=, at + MiB - 17);
        g_assert_cmpint(sys.emptied, >=, at - (48 << 20));
        /* A header, or a page that a live guest has changed. */
        check_write(&t, 0, 100, at / 2);
    }
    g_assert_cmpint(sys.emptied, >, 0);
    fd_cache_drop(&t.c, t.fd);
    g_assert_cmpint(sys.emptied, ==, INT64_MAX);
    g_assert_cmpuint(sys.direct, ==, 0);
    test_end(&t);
}

/* A writeback error is reported by a later write. */
static void test_error(void)
{
    static const int errors[] = { EIO, ENOSPC, EDQUOT };

    for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
        struct iovec iov;
        ssize_t n = 0;
        Test t;

        test_begin(&t, true);
        sys.error = errors[i];
        iov = (struct iovec) { t.p + 1, MiB - 1 };
        for (int j = 0; j < 100 && n >= 0; j++) {
            n = fd_cache_pwritev(&t.c, t.fd, &iov, 1, j * (MiB - 1));
        }
        g_assert_cmpint(n, ==, -1);
        g_assert_cmpint(errno, ==, errors[i]);
        g_assert_cmpint(sys.emptied, ==, 0);
        test_end(&t);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dump/fd-cache/off", test_off);
    g_test_add_func("/dump/fd-cache/direct", test_direct);
    g_test_add_func("/dump/fd-cache/direct-refused", test_direct_refused);
    g_test_add_func("/dump/fd-cache/behind", test_behind);
    g_test_add_func("/dump/fd-cache/error", test_error);
    return g_test_run();
}
