/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a dump needs of the guest, asked from QEMU and turned into the
 * engine's values.
 *
 * Everything here is called with the BQL held, except guest_state_analyse.
 */

#ifndef DUMP_GUEST_STATE_H
#define DUMP_GUEST_STATE_H

#include "guest-types.h"

/*
 * Can this guest be dumped as asked? Cheap, changes nothing, and may be
 * called while the guest runs.
 */
bool guest_state_check(const GuestStateQuery *query, Error **errp);

/*
 * Collect from a stopped guest what only QEMU knows. The result keeps
 * references to the guest's memory regions until guest_state_free. NULL with
 * @errp set on failure.
 */
GuestState *guest_state_new(const GuestStateQuery *query, Error **errp);

/*
 * Collect from a guest that may run what a look for VMCOREINFO takes: memory,
 * the note of its driver and, as far as @query asks for a search, the paging of
 * its CPUs, which are interrupted for a moment to tell their registers. The
 * result is for dump_guest_find_vmcoreinfo; otherwise as guest_state_new.
 */
GuestState *guest_state_peek(const GuestStateQuery *query, Error **errp);

/*
 * Find out the rest, by looking into guest memory. No lock is needed, and it
 * may take a while. False with @errp set, also when @progress is cancelled.
 */
bool guest_state_analyse(GuestState *state, DumpProgress *progress,
                         Error **errp);

/* NULL is allowed. */
void guest_state_free(GuestState *state);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GuestState, guest_state_free)

#endif
