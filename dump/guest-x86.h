/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Additional state for dumps of x86 guests: guest-virtual mappings (on other
 * targets from QEMU's generic code), and data for Windows crash dumps.
 *
 * BQL held.
 */

#ifndef DUMP_GUEST_X86_H
#define DUMP_GUEST_X86_H

#include "guest-types.h"

/*
 * An array of X86Paging of the CPUs with paging enabled, owned by the caller;
 * empty on other targets.
 */
GArray *guest_x86_paging(void);

/*
 * Collect all mappings, regardless of the range of the dump; if the CPUs' page
 * tables have to be walked, only the roots of these.
 */
bool guest_x86_collect_paging(GuestState *state, Error **errp);

/*
 * Has the guest published a valid crash dump header? It may change while the
 * guest runs, so it is read again when the guest is stopped.
 */
bool guest_x86_check_windows(const GuestPhysBlockList *blocks,
                             const ArchDumpInfo *info, Error **errp);

/* Collect the published header and the registers of the CPUs. */
bool guest_x86_collect_windows(GuestState *state, Error **errp);

#endif
