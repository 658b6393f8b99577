/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Threads that may be refused.
 *
 * qemu_thread_create ends the process when the system has no thread to
 * give; a dump must not. GLib's threads have a stack of 8 MiB, and need small
 * allocations that may end the process, too.
 */

#ifndef DUMP_VMCORE_THREAD_H
#define DUMP_VMCORE_THREAD_H

#include <pthread.h>

/* Enough for what a dump does; address space may be limited. */
#define DUMP_THREAD_STACK       (512 * 1024)

/* The caller's to keep from start to join. */
typedef struct DumpThread {
    pthread_t id;
    const char *name;
    void *(*fn)(void *opaque);
    void *opaque;
} DumpThread;

/*
 * Start @fn with @opaque on a new thread named @name (at most 15 bytes; must
 * outlive the thread), which takes no signals but those of its own faults.
 * False, with @errp set, if there is no thread to be had; else the caller has
 * to join it.
 */
bool dump_thread_start(DumpThread *t, const char *name,
                       void *(*fn)(void *opaque), void *opaque, Error **errp);

/* Wait for the end of @fn. */
void dump_thread_join(DumpThread *t);

#endif
