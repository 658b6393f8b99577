/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Can writes to this guest's memory be tracked while it runs? Writes that do
 * not use this process's page tables go unnoticed.
 *
 * Called with the BQL held, in the main thread.
 */

#ifndef DUMP_LIVE_CHECK_H
#define DUMP_LIVE_CHECK_H

/* Returns false, with @errp set, if not. No side effects. */
bool live_check_guest(Error **errp);

/* From begin to end, device_add refuses what live_check_guest does. */
void live_check_begin(void);
void live_check_end(void);

/*
 * The same check for the host's samepage merging (KSM): merged pages lose their
 * write protection. *@on: whether the host has KSM enabled, so that it must be
 * disabled for guest memory.
 */
bool live_check_merging(bool *on, Error **errp);

#endif
