/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Threads that may be refused.
 *
 * qemu_thread_create ends the process when the system has no thread to
 * give; a dump must not.
 */

#ifndef DUMP_VMCORE_THREAD_H
#define DUMP_VMCORE_THREAD_H

/*
 * Start @fn with @opaque on a new thread named @name (at most 15 bytes are
 * shown), which takes no signals but those of its own faults. The caller
 * joins it with g_thread_join. NULL, with @errp set, if there is none to be
 * had.
 */
GThread *dump_thread_new(const char *name, GThreadFunc fn, void *opaque,
                         Error **errp);

#endif
