/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Thread creation that can fail.
 *
 * qemu_thread_create aborts the process on failure, which a dump must not do.
 * GLib's threads have a stack of 8 MiB, and need small allocations that may
 * abort the process, too.
 */

#ifndef DUMP_VMCORE_THREAD_H
#define DUMP_VMCORE_THREAD_H

#include <pthread.h>

/* Bytes; small since address space may be limited. */
#define DUMP_THREAD_STACK       (512 * 1024)

/* Owned by the caller; must be valid from start to join. */
typedef struct DumpThread {
    pthread_t id;
    const char *name;
    void *(*fn)(void *opaque);
    void *opaque;
} DumpThread;

/*
 * Start @fn with @opaque on a new thread named @name (at most 15 bytes; must
 * outlive the thread). All signals but SIGSEGV, SIGFPE and SIGILL are blocked
 * in it. Returns false, with @errp set, on failure; otherwise the caller must
 * join or leave the thread.
 */
bool dump_thread_start(DumpThread *t, const char *name,
                       void *(*fn)(void *opaque), void *opaque, Error **errp);

/* Wait for the end of @fn. */
void dump_thread_join(DumpThread *t);

/*
 * Called instead of dump_thread_join, if nobody waits for the thread. @t may be
 * freed when @fn returns, or as the last step of @fn, but not before.
 */
void dump_thread_leave(DumpThread *t);

#endif
