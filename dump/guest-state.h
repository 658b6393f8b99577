/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Collection of the guest's state from QEMU, converted to the engine's types.
 *
 * All functions but guest_state_analyse are called with the BQL held.
 */

#ifndef DUMP_GUEST_STATE_H
#define DUMP_GUEST_STATE_H

#include "guest-types.h"

/*
 * Can this guest be dumped as @query says? Cheap and without side effects; may
 * be called while the guest runs.
 */
bool guest_state_check(const GuestStateQuery *query, Error **errp);

/*
 * Collect QEMU's state of a stopped guest. The result keeps references to the
 * guest's memory regions until guest_state_free. Returns NULL, with @errp set,
 * on failure.
 */
GuestState *guest_state_new(const GuestStateQuery *query, Error **errp);

/*
 * Collect from a guest that may run the input of dump_guest_find_vmcoreinfo:
 * memory, the note of its driver and, if @query asks for a search, the paging
 * state of its CPUs, which are interrupted briefly to read their registers.
 * Otherwise like guest_state_new.
 */
GuestState *guest_state_peek(const GuestStateQuery *query, Error **errp);

/*
 * Complete the state by analysis of guest memory. Called without locks; may
 * take a while. Returns false, with @errp set, on failure or if @progress was
 * cancelled.
 */
bool guest_state_analyse(GuestState *state, DumpProgress *progress,
                         Error **errp);

/* NULL is allowed. */
void guest_state_free(GuestState *state);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GuestState, guest_state_free)

#endif
