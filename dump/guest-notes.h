/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * ELF notes for a dump: those of the CPUs, and those that the guest published
 * through the vmcoreinfo device.
 *
 * BQL held.
 */

#ifndef DUMP_GUEST_NOTES_H
#define DUMP_GUEST_NOTES_H

#include "guest-types.h"

/* Collect the CPU notes, and read those that the guest published. */
bool guest_notes_collect(GuestState *state, const GuestStateQuery *query,
                         Error **errp);

/* Only read the notes that the guest published, if there are any. */
bool guest_notes_collect_own(GuestState *state, Error **errp);

/* Has the guest's driver published a note through the vmcoreinfo device? */
bool guest_note_present(void);

/*
 * Read the published note. Called only if guest_note_present. Returns its
 * bytes, owned by the caller; NULL, with @errp set, if they cannot be read.
 *
 * @mem: all memory of the guest
 */
GByteArray *guest_note_read(DumpPagesReader *mem, Error **errp);

/*
 * Remember the guest-physical address at which a search of memory has found
 * VMCOREINFO. A dump then need not repeat the search with the guest stopped, if
 * the note is still there.
 */
void guest_note_remember_place(uint64_t paddr);

/* Get that address. Returns false, with *@paddr unchanged, if there is none. */
bool guest_note_known_place(uint64_t *paddr);

#endif
