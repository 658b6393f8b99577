/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Stop the guest for a dump, and let it go on afterwards, whatever else
 * happens to the machine meanwhile.
 *
 * Called with the big lock held, in the main thread.
 */

#ifndef DUMP_GUEST_PAUSE_H
#define DUMP_GUEST_PAUSE_H

#include "qemu/notify.h"

typedef struct GuestPause {
    bool active;                /* between begin and end */
    bool resume;                /* the guest was running when we came */
    unsigned resets;            /* of any kind, meanwhile */
    unsigned system_resets;     /* those that load no snapshot */
    bool was_reset;             /* our run state got lost by that */
    bool was_shut_down;         /* QEMU was told to end it meanwhile */
    Notifier shutdown;
    void (*on_exit)(struct GuestPause *pause);
} GuestPause;

/*
 * Stop the guest if it runs. @pause must stay where it is.
 *
 * @on_exit: called when QEMU is about to exit; the pause may end in it
 */
void guest_pause_begin(GuestPause *pause,
                       void (*on_exit)(GuestPause *pause));

/* Was a snapshot loaded meanwhile, memory and all? Also after the end. */
bool guest_pause_replaced(const GuestPause *pause);

/*
 * Give the guest the run state that it would have by now without us. Does
 * nothing without a begin.
 */
void guest_pause_end(GuestPause *pause);

#endif
