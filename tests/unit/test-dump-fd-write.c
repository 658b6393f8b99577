/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Writing to a descriptor: cases not covered by the tests of sinks.
 */

#include "qemu/osdep.h"
#include <poll.h>
#include <sys/syscall.h>
#include <termios.h>
#include "qapi/error.h"
#include "qemu/units.h"
#include "fd-write.h"

/* Number of calls of poll() that a signal will interrupt. */
static unsigned poll_interrupts;

int poll(struct pollfd *fds, nfds_t n, int timeout)
{
    struct timespec ts = { timeout / 1000, timeout % 1000 * 1000000l };

    if (poll_interrupts) {
        poll_interrupts--;
        errno = EINTR;
        return -1;
    }
    return ppoll(fds, n, timeout < 0 ? NULL : &ts, NULL);
}

typedef struct Test {
    FdWriter w;
    DumpProgress progress;
    int fds[2];                 /* fds[0] reads, fds[1] writes */
    char *dir, *path;           /* named pipe */
} Test;

static void test_begin(Test *t)
{
    *t = (Test) { .fds = { -1, -1 } };
    dump_progress_init(&t->progress);
    alarm(60);                  /* abort the test if it blocks */
}

static void test_end(Test *t)
{
    fd_abandon(&t->w);
    close(t->fds[0]);
    if (t->path) {
        unlink(t->path);
        rmdir(t->dir);
    }
    g_free(t->path);
    g_free(t->dir);
    alarm(0);
}

static gpointer cancel_soon(gpointer opaque)
{
    g_usleep(50 * 1000);
    dump_progress_cancel(opaque);
    return NULL;
}

/* Without a reader: the buffer of the output is filled, then cancel. */
static void check_cancel(Test *t)
{
    g_autofree uint8_t *p = g_malloc0(8 * MiB);
    struct iovec iov = { p, 8 * MiB };
    GThread *thread = g_thread_new("cancel", cancel_soon, &t->progress);
    Error *err = NULL;

    g_assert_false(fd_write(&t->w, -1, &iov, 1, "x", &err));
    g_assert_cmpstr(error_get_pretty(err), ==, "dump: cancelled");
    g_assert_cmpuint(8 * MiB - iov.iov_len, ==,
                     dump_progress_written(&t->progress));
    error_free(err);
    g_thread_join(thread);
}

/* A thread that reads from a descriptor, or opens a path and reads. */
typedef struct Reader {
    const char *path;
    int fd;
    size_t want;
    GByteArray *got;
} Reader;

static gpointer read_all(gpointer opaque)
{
    Reader *r = opaque;
    uint8_t buf[8192];
    ssize_t n;

    g_usleep(250 * 1000);
    if (r->path) {
        r->fd = open(r->path, O_RDONLY);
        g_assert_cmpint(r->fd, >=, 0);
    }
    r->got = g_byte_array_new();
    while (r->got->len < r->want) {
        n = read(r->fd, buf, MIN(sizeof(buf), r->want - r->got->len));
        g_assert_cmpint(n, >, 0);
        g_byte_array_append(r->got, buf, n);
    }
    if (r->path) {
        g_assert_cmpint(read(r->fd, buf, 1), ==, 0);
        close(r->fd);
    }
    return NULL;
}

/*
 * A late reader gets all @len bytes. On a pipe it then sees the end of file; on
 * a terminal, unread data may be lost at the end.
 */
static void check_arrives(Test *t, size_t len)
{
    g_autofree uint8_t *p = g_malloc(len);
    Reader r = { .path = t->path, .fd = t->fds[0], .want = len };
    GThread *thread = g_thread_new("reader", read_all, &r);
    struct iovec iov[2] = { { p, len / 3 }, { p + len / 3, len - len / 3 } };

    for (size_t i = 0; i < len; i++) {
        p[i] = i * 7 + (i >> 8);
    }
    g_assert_true(fd_write(&t->w, -1, iov, 2, "x", &error_abort));
    if (t->path) {
        g_assert_true(fd_close(&t->w, &error_abort));
    }
    g_thread_join(thread);
    g_assert_cmpmem(r.got->data, r.got->len, p, len);
    g_byte_array_unref(r.got);
}

/* An interrupted poll() does not mean writable: a write would block. */
static void test_old_pipe_interrupted(void)
{
    struct pollfd pfd = { .events = POLLOUT };
    uint8_t page[4096] = "";
    Test t;

    test_begin(&t);
    g_assert_cmpint(pipe(t.fds), ==, 0);
    fd_writer_init(&t.w, t.fds[1], &t.progress);
    t.w.kind = FD_OLD_PIPE;
    for (pfd.fd = t.fds[1]; poll(&pfd, 1, 0); ) {
        g_assert_cmpint(write(t.fds[1], page, 4096), ==, 4096);
    }
    poll_interrupts = 3;
    check_cancel(&t);
    g_assert_cmpuint(dump_progress_written(&t.progress), ==, 0);
    test_end(&t);
}

static void fifo_begin(Test *t)
{
    test_begin(t);
    t->dir = g_dir_make_tmp("dump-fd-write-XXXXXX", NULL);
    t->path = g_build_filename(t->dir, "fifo", NULL);
    g_assert_cmpint(mkfifo(t->path, 0600), ==, 0);
    fd_writer_init_fifo(&t->w, t->path, &t->progress);
}

static void test_fifo_late_reader(void)
{
    Test t;

    fifo_begin(&t);
    check_arrives(&t, 3 * MiB);
    test_end(&t);
}

/* Nothing is written while a reader waits for the end of file. */
static void test_fifo_empty(void)
{
    Test t;

    fifo_begin(&t);
    check_arrives(&t, 0);
    test_end(&t);
}

/* Without a reader, cancel takes effect before the end of the grace. */
static void test_fifo_cancel(void)
{
    Test t;

    fifo_begin(&t);
    dump_progress_set_grace(&t.progress, 3600 * 1000);
    check_cancel(&t);
    g_assert_cmpuint(dump_progress_written(&t.progress), ==, 0);
    test_end(&t);
}

static void check_fifo_error(Test *t, const char *text)
{
    struct iovec iov = { (char *)"x", 1 };
    g_autofree char *want = g_strdup_printf(text, t->path);
    Error *err = NULL;

    g_assert_false(fd_write(&t->w, -1, &iov, 1, "x", &err));
    g_assert_cmpstr(error_get_pretty(err), ==, want);
    error_free(err);
}

static void test_fifo_gone(void)
{
    Test t;

    fifo_begin(&t);
    unlink(t.path);
    check_fifo_error(&t, "dump: failed to open '%s': No such file or "
                     "directory");
    test_end(&t);
}

static void test_fifo_replaced(void)
{
    Test t;

    fifo_begin(&t);
    unlink(t.path);
    g_assert_true(g_file_set_contents(t.path, "old", 3, NULL));
    check_fifo_error(&t, "dump: '%s' is no longer a named pipe");
    test_end(&t);
}

/* Write to either end of a pseudo-terminal. */
static void terminal_begin(Test *t, bool master)
{
    struct termios tio;
    int fd, slave;

    test_begin(t);
    fd = posix_openpt(O_RDWR | O_NOCTTY);
    g_assert_cmpint(grantpt(fd), ==, 0);
    g_assert_cmpint(unlockpt(fd), ==, 0);
    slave = open(ptsname(fd), O_RDWR | O_NOCTTY);
    g_assert_cmpint(tcgetattr(slave, &tio), ==, 0);
    cfmakeraw(&tio);
    g_assert_cmpint(tcsetattr(slave, TCSANOW, &tio), ==, 0);
    t->fds[0] = master ? slave : fd;
    t->fds[1] = master ? fd : slave;
    fd_writer_init(&t->w, t->fds[1], &t->progress);
}

static void test_terminal_cancel(gconstpointer master)
{
    Test t;

    terminal_begin(&t, master);
    check_cancel(&t);
    test_end(&t);
}

static void test_terminal_arrives(gconstpointer master)
{
    Test t;

    terminal_begin(&t, master);
    check_arrives(&t, 200000);
    test_end(&t);
}

/* If it cannot be reopened, single bytes are written. */
static void test_terminal_plain(void)
{
    Test t;

    terminal_begin(&t, false);
    g_assert_cmpint(t.w.kind, ==, FD_PLAIN);
    t.w.kind = FD_TERMINAL;
    g_assert_cmpint(fcntl(t.w.fd, F_SETFL, 0), ==, 0);
    check_cancel(&t);
    test_end(&t);
}

/* The flags of a descriptor that may be shared are not changed. */
static void test_terminal_flags(void)
{
    int other, flags;
    Test t;

    terminal_begin(&t, false);
    other = open(ptsname(t.fds[0]), O_RDWR | O_NOCTTY);
    flags = fcntl(other, F_GETFL);
    fd_abandon(&t.w);
    fd_writer_init(&t.w, dup(other), &t.progress);
    g_assert_cmpint(fcntl(other, F_GETFL), ==, flags);
    g_assert_cmpint(fcntl(t.w.fd, F_GETFL) & O_NONBLOCK, !=, 0);
    close(other);
    test_end(&t);
}

#define LIMIT_SIZE      300001

/* Size of the largest write. */
static size_t largest_write;

ssize_t writev(int fd, const struct iovec *iov, int niov)
{
    size_t size = 0;

    for (int i = 0; i < niov; i++) {
        size += iov[i].iov_len;
    }
    largest_write = MAX(largest_write, size);
    return syscall(SYS_writev, fd, iov, niov);
}

static void limit_begin(Test *t, uint64_t rate)
{
    g_autofree char *path = NULL;

    test_begin(t);
    t->fds[1] = g_file_open_tmp("dump-limit-XXXXXX", &path, NULL);
    t->fds[0] = open(path, O_RDONLY);
    unlink(path);
    dump_progress_set_limit(&t->progress, rate);
    fd_writer_init(&t->w, t->fds[1], &t->progress);
    largest_write = 0;
}

/* All data is written in pieces of equal size, not above the rate. */
static void test_limit(void)
{
    g_autofree uint8_t *p = g_malloc(LIMIT_SIZE), *got = g_malloc(LIMIT_SIZE);
    struct iovec iov[] = {
        { p, 1 }, { p + 1, 199999 }, { p + 200000, 0 }, { p + 200000, 77 },
        { p + 200077, LIMIT_SIZE - 200077 },
    };
    uint64_t start = g_get_monotonic_time();
    Test t;

    for (size_t i = 0; i < LIMIT_SIZE; i++) {
        p[i] = i * 7 + (i >> 8);
    }
    limit_begin(&t, 500000);
    g_assert_true(fd_write(&t.w, -1, iov, ARRAY_SIZE(iov), "x",
                           &error_abort));
    g_assert_cmpuint(g_get_monotonic_time() - start, >=,
                     LIMIT_SIZE * 1000000ull / 500000);
    g_assert_cmpuint(largest_write, ==, 12 * 4096);
    g_assert_cmpuint(dump_progress_written(&t.progress), ==, LIMIT_SIZE);
    g_assert_cmpint(pread(t.fds[0], got, LIMIT_SIZE, 0), ==, LIMIT_SIZE);
    g_assert_cmpmem(got, LIMIT_SIZE, p, LIMIT_SIZE);
    test_end(&t);
}

/* At one byte per second: cancel ends the wait and lifts the limit. */
static void test_limit_cancel(void)
{
    g_autofree uint8_t *p = g_malloc0(LIMIT_SIZE);
    struct iovec iov = { p, LIMIT_SIZE };
    GThread *thread;
    Test t;

    limit_begin(&t, 1);
    thread = g_thread_new("cancel", cancel_soon, &t.progress);
    g_assert_true(fd_write(&t.w, -1, &iov, 1, "x", &error_abort));
    g_assert_true(dump_progress_cancelled(&t.progress));
    g_assert_cmpuint(dump_progress_written(&t.progress), ==, LIMIT_SIZE);
    g_thread_join(thread);
    test_end(&t);
}

static void add_terminal_tests(void)
{
    for (int i = 0; i < 2; i++) {
        const char *end = i ? "master" : "slave";
        g_autofree char *cancel =
            g_strdup_printf("/dump/fd-write/terminal/%s/cancel", end);
        g_autofree char *arrives =
            g_strdup_printf("/dump/fd-write/terminal/%s/arrives", end);

        g_test_add_data_func(cancel, GINT_TO_POINTER(i),
                             test_terminal_cancel);
        g_test_add_data_func(arrives, GINT_TO_POINTER(i),
                             test_terminal_arrives);
    }
    g_test_add_func("/dump/fd-write/terminal/plain", test_terminal_plain);
    g_test_add_func("/dump/fd-write/terminal/flags", test_terminal_flags);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    signal(SIGPIPE, SIG_IGN);
    g_test_add_func("/dump/fd-write/old-pipe/interrupted",
                    test_old_pipe_interrupted);
    g_test_add_func("/dump/fd-write/fifo/late-reader", test_fifo_late_reader);
    g_test_add_func("/dump/fd-write/fifo/empty", test_fifo_empty);
    g_test_add_func("/dump/fd-write/fifo/cancel", test_fifo_cancel);
    g_test_add_func("/dump/fd-write/fifo/gone", test_fifo_gone);
    g_test_add_func("/dump/fd-write/fifo/replaced", test_fifo_replaced);
    /* A container may have no pseudo-terminals. */
    if (access("/dev/pts/ptmx", F_OK) == 0) {
        add_terminal_tests();
    }
    g_test_add_func("/dump/fd-write/limit", test_limit);
    g_test_add_func("/dump/fd-write/limit-cancel", test_limit_cancel);
    return g_test_run();
}
