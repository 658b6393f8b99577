/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Signal masks of threads that write a dump.
 */

#include "qemu/osdep.h"
#include "signals.h"

#ifndef _WIN32

void dump_signals_block_all(DumpSignals *s)
{
    sigset_t set;

    s->file_size = false;
    /* The same set as in qemu_thread_create(). */
    sigfillset(&set);
    sigdelset(&set, SIGSEGV);
    sigdelset(&set, SIGFPE);
    sigdelset(&set, SIGILL);
    pthread_sigmask(SIG_SETMASK, &set, &s->old);
}

void dump_signals_block_file_size(DumpSignals *s)
{
    sigset_t set;

    s->file_size = true;
    sigemptyset(&set);
    sigaddset(&set, SIGXFSZ);
    pthread_sigmask(SIG_BLOCK, &set, &s->old);
}

static void discard_file_size(void)
{
    sigset_t set;
    int sig;

    if (sigpending(&set) == 0 && sigismember(&set, SIGXFSZ) > 0) {
        sigemptyset(&set);
        sigaddset(&set, SIGXFSZ);
        sigwait(&set, &sig);
    }
}

void dump_signals_restore(const DumpSignals *s)
{
    if (s->file_size) {
        discard_file_size();
    }
    pthread_sigmask(SIG_SETMASK, &s->old, NULL);
}

#else

void dump_signals_block_all(DumpSignals *s)
{
}

void dump_signals_block_file_size(DumpSignals *s)
{
}

void dump_signals_restore(const DumpSignals *s)
{
}

#endif
