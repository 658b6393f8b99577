/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Threads that may be refused.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "thread.h"

GThread *dump_thread_new(const char *name, GThreadFunc fn, void *opaque,
                         Error **errp)
{
    g_autoptr(GError) err = NULL;
    sigset_t block, old;
    GThread *thread;

    /* As qemu_thread_create does: faults of its own stay with a thread. */
    sigfillset(&block);
    sigdelset(&block, SIGSEGV);
    sigdelset(&block, SIGFPE);
    sigdelset(&block, SIGILL);
    pthread_sigmask(SIG_SETMASK, &block, &old);
    thread = g_thread_try_new(name, fn, opaque, &err);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (!thread) {
        error_setg(errp, "dump: failed to start a thread: %s", err->message);
    }
    return thread;
}
