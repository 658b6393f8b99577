/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Thread creation that can fail.
 */

#include "qemu/osdep.h"
#ifdef CONFIG_LINUX
#include <sys/prctl.h>
#endif
#include "qapi/error.h"
#include "signals.h"
#include "thread.h"

/*
 * Must not use malloc: on a thread's first allocation the C library may
 * reserve 64 MiB of address space for an arena.
 */
static void *thread_main(void *opaque)
{
    DumpThread *t = opaque;

#ifdef CONFIG_LINUX
    prctl(PR_SET_NAME, t->name);
#endif
    return t->fn(t->opaque);
}

/* Returns an errno. */
static int thread_create(DumpThread *t)
{
    pthread_attr_t attr;
    int ret = pthread_attr_init(&attr);

    if (ret) {
        return ret;
    }
    /* On failure the system's default size is used. */
    pthread_attr_setstacksize(&attr, DUMP_THREAD_STACK);
    ret = pthread_create(&t->id, &attr, thread_main, t);
    pthread_attr_destroy(&attr);
    return ret;
}

bool dump_thread_start(DumpThread *t, const char *name,
                       void *(*fn)(void *opaque), void *opaque, Error **errp)
{
    DumpSignals signals;
    int ret;

    *t = (DumpThread) { .name = name, .fn = fn, .opaque = opaque };
    dump_signals_block_all(&signals);
    ret = thread_create(t);
    dump_signals_restore(&signals);
    if (ret) {
        error_setg_errno(errp, ret, "dump: failed to start a thread");
    }
    return !ret;
}

void dump_thread_join(DumpThread *t)
{
    pthread_join(t->id, NULL);
}

void dump_thread_leave(DumpThread *t)
{
    pthread_detach(t->id);
}
