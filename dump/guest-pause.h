/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Stop the guest for a dump and resume it afterwards, taking into account other
 * changes of the run state meanwhile.
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

/* Purpose of the pause. */
typedef enum GuestPauseKind {
    /* Memory is dumped during the pause and must not change. */
    GUEST_PAUSE_STILL,
    /*
     * The moment of a live dump: guest_pause_end is called before the main loop
     * runs again. Only the CPUs are stopped; devices are not notified.
     */
    GUEST_PAUSE_MOMENT,
    /* The guest should not write to memory, but the dump tolerates it. */
    GUEST_PAUSE_REST,
} GuestPauseKind;

typedef struct GuestPause {
    GuestPauseKind kind;
    bool active;                /* between begin and end */
    bool stopped;               /* it ran or was suspended at begin */
    bool notified;              /* devices were notified of the stop */
    unsigned resets;            /* resets of any kind during the pause */
    unsigned system_resets;     /* resets other than for loading a snapshot */
    bool suspending;            /* QEMU is about to set RUN_STATE_SUSPENDED */
    bool was_suspended;         /* at begin, or since */
    bool was_reset;             /* a reset replaced RUN_STATE_SAVE_VM */
    bool was_shut_down;         /* a shutdown was requested meanwhile */
    bool stop_requested;        /* another stop was requested before begin */
    RunState requested;         /* the run state requested by that */
    bool ran;                   /* the guest was started meanwhile */
    bool lost_memory;           /* guest memory was unplugged meanwhile */
    DumpProgress *progress;
    DumpReport *report;
    QEMUBH *later_bh;
    QEMUTimer *notify_timer;    /* NULL unless devices are notified later */
    GuestDiscardWatch *watch;
    VMChangeStateEntry *vmsh;
    Notifier suspend, wakeup, shutdown;
    void (*on_exit)(struct GuestPause *pause);
} GuestPause;

/*
 * Stop the guest if it runs, or is suspended and could wake up. @pause must not
 * be moved. With GUEST_PAUSE_STILL, wait for disk requests in flight, for about
 * a second at most, before devices are notified of the stop and once more
 * afterwards.
 *
 * @progress: cancellation ends the wait; cancelled if guest_pause_broken
 * @report: receives warnings about possible inconsistencies of the dump
 * @on_exit: called when QEMU is about to exit; it may end the pause. NULL is
 *           allowed
 */
void guest_pause_begin(GuestPause *pause, GuestPauseKind kind,
                       DumpProgress *progress, DumpReport *report,
                       void (*on_exit)(GuestPause *pause));

/*
 * The event during the pause that made the dump inconsistent, as text, or
 * NULL. Still valid after the end.
 */
const char *guest_pause_broken(const GuestPause *pause);

/*
 * Give the guest the run state that it would have had without the dump. Does
 * nothing without a previous begin.
 */
void guest_pause_end(GuestPause *pause);

#endif
