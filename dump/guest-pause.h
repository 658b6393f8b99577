/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Stop the guest for a dump, and let it go on afterwards, whatever else
 * happens to the machine meanwhile.
 *
 * Called with the BQL held, in the main thread.
 */

#ifndef DUMP_GUEST_PAUSE_H
#define DUMP_GUEST_PAUSE_H

#include "qemu/notify.h"
#include "qemu/timer.h"
#include "system/runstate.h"
#include "guest-discard.h"
#include "vmcore/progress.h"
#include "vmcore/report.h"

/* What the guest is stopped for. */
typedef enum GuestPauseKind {
    /* What is read meanwhile is to be of one moment. */
    GUEST_PAUSE_STILL,
    /*
     * The moment of a live dump: the end follows before anything else can
     * happen. CPUs are held, no more: devices do not hear of it.
     */
    GUEST_PAUSE_MOMENT,
    /* The guest is not to write to memory, but does no harm if it does. */
    GUEST_PAUSE_REST,
} GuestPauseKind;

typedef struct GuestPause {
    GuestPauseKind kind;
    bool active;                /* between begin and end */
    bool stopped;               /* by us: it ran, or was suspended */
    bool told;                  /* and the devices know */
    unsigned resets;            /* of any kind, meanwhile */
    unsigned system_resets;     /* those that load no snapshot */
    bool suspending;            /* QEMU is about to set that state */
    bool was_suspended;         /* when we came, or since */
    bool was_reset;             /* our run state got lost by that */
    bool was_shut_down;         /* QEMU was told to end it meanwhile */
    bool stop_asked;            /* for another reason, when we came */
    RunState asked;             /* the state that it was to get by that */
    bool ran;                   /* somebody started it meanwhile */
    bool lost_memory;           /* some of it was unplugged meanwhile */
    DumpProgress *progress;
    DumpReport *report;
    QEMUBH *later_bh;
    QEMUTimer *tell_timer;      /* NULL unless the devices are to be told */
    GuestDiscardWatch *watch;
    VMChangeStateEntry *vmsh;
    Notifier suspend, wakeup, shutdown;
    void (*on_exit)(struct GuestPause *pause);
} GuestPause;

/*
 * Stop the guest if it runs, or is suspended and could wake up. @pause must
 * stay where it is. With GUEST_PAUSE_STILL, requests of its disks that are
 * under way are waited for, but not for longer than about a second.
 *
 * @progress: a cancel ends that wait; and what spoils the dump cancels it
 * @report: is warned of what makes the dump less than of one moment
 * @on_exit: called when QEMU is about to exit; the pause may end in it. NULL
 *           is allowed
 */
void guest_pause_begin(GuestPause *pause, GuestPauseKind kind,
                       DumpProgress *progress, DumpReport *report,
                       void (*on_exit)(GuestPause *pause));

/*
 * What happened meanwhile so that the dump is not of one moment, or NULL.
 * Also after the end.
 */
const char *guest_pause_spoilt(const GuestPause *pause);

/*
 * Give the guest the run state that it would have by now without us. Does
 * nothing without a begin.
 */
void guest_pause_end(GuestPause *pause);

#endif
