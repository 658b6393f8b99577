/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Discarding of guest memory during a dump, by virtio-mem or a balloon.
 *
 * Called with the BQL held, in the main thread.
 */

#ifndef DUMP_GUEST_DISCARD_H
#define DUMP_GUEST_DISCARD_H

typedef struct GuestDiscardWatch GuestDiscardWatch;

/*
 * Prevent balloons from discarding memory until guest_discard_watch_free.
 * virtio-mem cannot be prevented from it; if it unplugs memory, @gone is
 * called.
 */
GuestDiscardWatch *guest_discard_watch_new(void (*gone)(void *opaque),
                                           void *opaque);

/* NULL is allowed. */
void guest_discard_watch_free(GuestDiscardWatch *watch);

#endif
