/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Memory of a guest that runs, as a snapshot has kept it, for who reads it by
 * a DumpPages.
 */

#ifndef DUMP_VMCORE_PAGES_LIVE_H
#define DUMP_VMCORE_PAGES_LIVE_H

#include "pages-snapshot.h"

/*
 * @still: the same memory of a guest that stands still, read in place
 *         (dump_pages_still_in_place); owned by the result
 * @ram: what @still was made of
 * @snapshot: has been taken, or will be before anything is read; must
 *            outlive the result
 *
 * Never fails.
 */
DumpPages *dump_pages_live_new(DumpPages *still, const GuestRam *ram,
                               DumpSnapshot *snapshot);

#endif
