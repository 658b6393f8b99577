/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Guest memory that is taken away while it is dumped: unplugged virtio-mem,
 * a balloon.
 *
 * Called with the BQL held, in the main thread.
 */

#ifndef DUMP_GUEST_DISCARD_H
#define DUMP_GUEST_DISCARD_H

typedef struct GuestDiscardWatch GuestDiscardWatch;

/*
 * From here on no balloon takes memory. virtio-mem cannot be kept from it:
 * @gone is called when it did.
 */
GuestDiscardWatch *guest_discard_watch_new(void (*gone)(void *opaque),
                                           void *opaque);

/* NULL is allowed. */
void guest_discard_watch_free(GuestDiscardWatch *watch);

#endif
