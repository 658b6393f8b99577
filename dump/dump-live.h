/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The run state of a guest around its live dump: it stands still for the
 * moment only, and again if its memory changes faster than it is written.
 *
 *   dump thread                          main thread, BQL
 *   ----------------------------------   --------------------------------
 *                                        dump_live_new
 *   dump_live_take: protect memory;
 *     ask for the moment, and wait  ---> stop the guest, collect, take its
 *                                        memory, start it
 *   look into memory, plan, write  <---
 *     (the watch: too much is held) ---> stop the guest until the end
 *   dump_live_end                   ---> dump_live_free
 */

#ifndef DUMP_LIVE_H
#define DUMP_LIVE_H

#include "qapi/qapi-types-dump.h"
#include "guest-types.h"

typedef struct DumpLive DumpLive;

typedef struct DumpLiveSetup {
    int device;                 /* as for write_watch_open */
    uint64_t buffer;            /* bytes of saved pages to hold */
    const GuestStateQuery *query;
    DumpProgress *progress;     /* cancelled if the dump is of no use */
    DumpReport *report;
    /* QEMU is about to end; dump_live_free may be called in it. */
    void (*exit)(void *opaque);
    void *opaque;
} DumpLiveSetup;

/*
 * A live dump of a guest that runs. What @setup points to must outlive the
 * result. NULL with @errp set, and nothing changed, if that is not possible.
 * BQL, main thread.
 */
DumpLive *dump_live_new(const DumpLiveSetup *setup, Error **errp);

/*
 * The guest's state at a moment soon, to be freed before dump_live_free. NULL
 * with @errp set on failure or cancel. The dump's thread, without the BQL.
 */
GuestState *dump_live_take(DumpLive *live, Error **errp);

/*
 * The guest's memory is not needed any more. The dump's thread.
 */
void dump_live_end(DumpLive *live);

/* Why what was read is of no use, or NULL. After dump_live_end. */
const char *dump_live_broken(const DumpLive *live);

/* Does the guest have to stand still now? BQL. */
bool dump_live_holds_guest(const DumpLive *live);

/* What there is to tell of it, for the caller to free. BQL. */
DumpLiveInfo *dump_live_describe(const DumpLive *live);

/* Start the guest if it was stopped. NULL is allowed. BQL, main thread. */
void dump_live_free(DumpLive *live);

#endif
