/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What dumps of x86 guests have besides: guest-virtual addresses, by the
 * paging of the CPUs (other targets': as far as QEMU knows), and what a
 * Windows crash dump takes.
 *
 * BQL held.
 */

#ifndef DUMP_GUEST_X86_H
#define DUMP_GUEST_X86_H

#include "guest-types.h"

/*
 * X86Paging of the CPUs that translate addresses, for the caller to free;
 * empty on other targets.
 */
GArray *guest_x86_paging(void);

/*
 * All mappings, whatever the range of the dump; or where to find them, if
 * the CPUs' page tables have to be walked.
 */
bool guest_x86_collect_paging(GuestState *state, Error **errp);

/*
 * Has the guest published a crash dump header? It may change while the guest
 * runs, so this is read again when it stands still.
 */
bool guest_x86_check_windows(const GuestPhysBlockList *blocks,
                             const ArchDumpInfo *info, Error **errp);

/* The header that the guest published, and the registers of its CPUs. */
bool guest_x86_collect_windows(GuestState *state, Error **errp);

#endif
