/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Syncing to stable storage, with a simulated disk.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "fd-sync.h"

/* Behaviour of fdatasync(). */
static struct {
    int error;
    unsigned interrupts;
    bool hang;                  /* atomic */
    unsigned calls;             /* atomic */
} disk;

int fdatasync(int fd)
{
    qatomic_set(&disk.calls, qatomic_read(&disk.calls) + 1);
    while (qatomic_read(&disk.hang)) {
        g_usleep(1000);
    }
    if (disk.interrupts) {
        disk.interrupts--;
        errno = EINTR;
        return -1;
    }
    errno = disk.error;
    return disk.error ? -1 : 0;
}

static int temp_file(void)
{
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("dump-sync-XXXXXX", &path, NULL);

    g_assert_cmpint(fd, >=, 0);
    unlink(path);
    memset(&disk, 0, sizeof(disk));
    return fd;
}

static void test_storage(void)
{
    int fd = temp_file(), fds[2];

    g_assert_true(fd_is_storage(fd));
    close(fd);
    g_assert_cmpint(pipe(fds), ==, 0);
    g_assert_false(fd_is_storage(fds[1]));
    close(fds[0]);
    close(fds[1]);
    fd = open("/dev/null", O_WRONLY);
    g_assert_false(fd_is_storage(fd));
    close(fd);
    g_assert_false(fd_is_storage(-1));
}

static void test_good(void)
{
    int fd = temp_file(), was = fd;

    disk.interrupts = 3;
    g_assert_true(fd_sync(&fd, NULL, &error_abort));
    g_assert_cmpint(fd, ==, was);
    g_assert_cmpuint(disk.calls, ==, 4);
    g_assert_cmpint(close(fd), ==, 0);
}

static void test_errors(void)
{
    static const int errors[] = { EIO, ENOSPC, EDQUOT, EBADF };
    static const int none[] = { EINVAL, ENOTSUP, ENOSYS, EROFS };
    int fd = temp_file();

    for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
        g_autofree char *text =
            g_strdup_printf("dump: writing the output to stable storage: %s",
                            strerror(errors[i]));
        Error *err = NULL;

        disk.error = errors[i];
        g_assert_false(fd_sync(&fd, NULL, &err));
        g_assert_cmpstr(error_get_pretty(err), ==, text);
        error_free(err);
    }
    for (size_t i = 0; i < ARRAY_SIZE(none); i++) {
        disk.error = none[i];
        g_assert_true(fd_sync(&fd, NULL, &error_abort));
    }
    g_assert_cmpint(close(fd), ==, 0);
}

static gpointer cancel_soon(gpointer opaque)
{
    g_usleep(50 * 1000);
    dump_progress_cancel(opaque);
    return NULL;
}

/* The disk hangs: cancel ends the wait, and the file is closed later. */
static void test_cancel(void)
{
    int fd = temp_file(), was = fd;
    DumpProgress progress;
    Error *err = NULL;
    GThread *thread;

    dump_progress_init(&progress);
    disk.hang = true;
    thread = g_thread_new("cancel", cancel_soon, &progress);
    g_assert_false(fd_sync(&fd, &progress, &err));
    g_thread_join(thread);
    g_assert_cmpstr(error_get_pretty(err), ==, "dump: cancelled");
    error_free(err);
    g_assert_cmpint(fd, ==, -1);
    g_assert_cmpint(fcntl(was, F_GETFD), >=, 0);
    qatomic_set(&disk.hang, false);
    for (int i = 0; i < 5000 && fcntl(was, F_GETFD) >= 0; i++) {
        g_usleep(1000);
    }
    g_assert_cmpint(fcntl(was, F_GETFD), <, 0);
    g_usleep(20 * 1000);        /* the thread frees its data */
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dump/fd-sync/storage", test_storage);
    g_test_add_func("/dump/fd-sync/good", test_good);
    g_test_add_func("/dump/fd-sync/errors", test_errors);
    g_test_add_func("/dump/fd-sync/cancel", test_cancel);
    return g_test_run();
}
