/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Writing to a descriptor: what the sinks' contract does not reach.
 */

#include "qemu/osdep.h"
#include <poll.h>
#include "qapi/error.h"
#include "qemu/units.h"
#include "fd-write.h"

/* Calls of poll() that a signal is going to interrupt. */
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

static gpointer cancel_soon(gpointer opaque)
{
    g_usleep(50 * 1000);
    dump_progress_cancel(opaque);
    return NULL;
}

/* Interrupted is not writable: a write to a full pipe would block. */
static void test_old_pipe_interrupted(void)
{
    g_autofree uint8_t *p = g_malloc0(MiB);
    struct iovec iov = { p, MiB };
    DumpProgress progress;
    Error *err = NULL;
    GThread *thread;
    FdWriter w;
    int fds[2];

    alarm(60);
    dump_progress_init(&progress);
    g_assert_cmpint(pipe(fds), ==, 0);
    fd_writer_init(&w, fds[1], &progress);
    w.kind = FD_OLD_PIPE;
    while (write(fds[1], p, 4096) == 4096) {
        struct pollfd pfd = { .fd = fds[1], .events = POLLOUT };

        if (poll(&pfd, 1, 0) == 0) {
            break;
        }
    }
    poll_interrupts = 3;
    thread = g_thread_new("cancel", cancel_soon, &progress);
    g_assert_false(fd_write(&w, -1, &iov, 1, "x", &err));
    g_assert_cmpstr(error_get_pretty(err), ==, "dump: cancelled");
    g_assert_cmpuint(iov.iov_len, ==, MiB);
    g_thread_join(thread);
    error_free(err);
    fd_abandon(&w);
    close(fds[0]);
    alarm(0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    signal(SIGPIPE, SIG_IGN);
    g_test_add_func("/dump/fd-write/old-pipe/interrupted",
                    test_old_pipe_interrupted);
    return g_test_run();
}
