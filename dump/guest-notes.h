/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * ELF notes for a dump: those of the CPUs, and what the guest left for us
 * by the vmcoreinfo device.
 *
 * BQL held.
 */

#ifndef DUMP_GUEST_NOTES_H
#define DUMP_GUEST_NOTES_H

#include "guest-types.h"

/* Notes of the CPUs; and the bytes of those that the guest published. */
bool guest_notes_collect(GuestState *state, const GuestStateQuery *query,
                         Error **errp);

/* The latter only. */
bool guest_notes_collect_own(GuestState *state, Error **errp);

/* Has the guest's driver told the vmcoreinfo device of a note? */
bool guest_note_present(void);

/*
 * The bytes that the guest's driver points at, to be freed by the caller;
 * NULL with @errp set if they cannot be had. Only if there is a note.
 *
 * @mem: all memory of the guest
 */
GByteArray *guest_note_read(DumpPagesReader *mem, Error **errp);

/*
 * Where a search of memory has found VMCOREINFO, so that it need not be made
 * again, as long as that is still there: in a dump, with the guest stopped,
 * after it was made while the guest ran.
 */
void guest_note_remember_place(uint64_t paddr);

/* False, with *@paddr left alone, if there was none. */
bool guest_note_known_place(uint64_t *paddr);

#endif
