/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a dump needs of the guest, asked from QEMU and turned into the
 * engine's values.
 *
 * Everything here is called with the BQL held.
 */

#ifndef DUMP_GUEST_STATE_H
#define DUMP_GUEST_STATE_H

#include "system/dump.h"
#include "vmcore/dump-guest.h"

typedef struct GuestState {
    DumpState target;           /* what the target's writers see */
    bool sections_added;        /* arch_cleanup_fn is due */
    GuestRam all;               /* memory, whatever is dumped of it; sealed */
    DumpGuest guest;            /* what the engine writes */
    DumpExtraSections extra;
} GuestState;

typedef struct GuestStateQuery {
    bool paging;
    bool has_range;
    uint64_t begin;             /* see DumpOptions */
    uint64_t length;
    bool low_memory_only;       /* leave out what guest_ram_drop_far drops */
    bool windows;               /* for a Windows crash dump */
    DumpReport *report;         /* told what is left out; NULL is allowed */
} GuestStateQuery;

/*
 * Can this guest be dumped as asked? Cheap, changes nothing, and may be
 * called while the guest runs.
 */
bool guest_state_check(const GuestStateQuery *query, Error **errp);

/*
 * Collect everything from a stopped guest. The result keeps references
 * to the guest's memory regions until guest_state_free. NULL with @errp set
 * on failure.
 */
GuestState *guest_state_new(const GuestStateQuery *query, Error **errp);

/* NULL is allowed. */
void guest_state_free(GuestState *state);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GuestState, guest_state_free)

#endif
