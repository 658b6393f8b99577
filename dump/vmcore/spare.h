/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Memory set aside for out-of-memory errors: an Error is allocated by
 * g_malloc(), which terminates the process if it fails.
 */

#ifndef DUMP_VMCORE_SPARE_H
#define DUMP_VMCORE_SPARE_H

#include "qapi/error.h"

/*
 * Called by the main thread when a dump begins. Does nothing if there is not
 * even that much memory, or on hosts without mmap().
 */
void dump_spare_hold(void);

/* Free it; any thread, and also if it was not allocated or already freed. */
void dump_spare_free(void);

/* Like error_setg(), for an allocation that failed; any thread. */
#define dump_no_memory(errp, fmt, ...) \
    (dump_spare_free(), \
     error_setg(errp, "dump: no memory " fmt, ## __VA_ARGS__))

#endif
