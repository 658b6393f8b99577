/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Memory of a running guest as of the moment of a snapshot, as a DumpPages.
 */

#ifndef DUMP_VMCORE_PAGES_LIVE_H
#define DUMP_VMCORE_PAGES_LIVE_H

#include "pages-snapshot.h"

/*
 * @still: source for the current contents of the same memory, created by
 *         dump_pages_still_new and read in place (dump_pages_still_in_place);
 *         owned by the result
 * @ram: the one passed to that; must outlive the result
 * @snapshot: must be taken before memory is read, and outlive the result
 *
 * Never fails.
 */
DumpPages *dump_pages_live_new(DumpPages *still, const GuestRam *ram,
                               DumpSnapshot *snapshot);

#endif
