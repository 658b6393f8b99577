/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Is this guest one whose memory can be watched while it runs? What writes to
 * guest memory other than by this process's own page tables is not seen.
 *
 * Called with the BQL held, in the main thread.
 */

#ifndef DUMP_LIVE_CHECK_H
#define DUMP_LIVE_CHECK_H

/* False with @errp set, which says what is in the way. Changes nothing. */
bool live_check_guest(Error **errp);

/*
 * The same for the host's samepage merging: pages that are merged lose their
 * protection. @on: whether the host does it at all, so that it has to be
 * kept away.
 */
bool live_check_merging(bool *on, Error **errp);

#endif
