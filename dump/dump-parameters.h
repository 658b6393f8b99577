/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Defaults for arguments of dump-guest-memory, and their combination with the
 * arguments of a command. The parameters are defined by DumpParameters in the
 * schema; only live-fd needs special treatment.
 *
 * Called with the BQL held, in the main thread.
 */

#ifndef DUMP_PARAMETERS_H
#define DUMP_PARAMETERS_H

#include "qapi/qapi-types-dump.h"

/* The arguments of one command, completed by defaults. */
typedef struct DumpChoice {
    DumpParameters *params;     /* arguments of the command, else defaults */
    int live_device;            /* default if live-fd is absent, or -1 */
    strList *unused;            /* warnings about dropped defaults */
    strList **next_unused;
    QDict *given;               /* arguments of the command, by name */
    QDict *all;                 /* params, by name */
} DumpChoice;

/*
 * Combine @given, the arguments of a command, with the defaults. live_device
 * remains owned by the defaults, and is valid until they are set again.
 */
void dump_choice_init(DumpChoice *choice, const DumpParameters *given);
void dump_choice_deinit(DumpChoice *choice);

/*
 * Remove parameter @name from @params if its value is a default. Otherwise
 * return false and do nothing. @why: the reason, a sentence without a period
 */
bool dump_choice_drop(DumpChoice *choice, DumpParameter name,
                      const char *why);

/*
 * Check new defaults. Returns false, with @errp set, if a value is not valid
 * for dump-guest-memory, or the values contradict each other. Conditions that
 * depend on the guest are not checked: they may change before a dump.
 * Implemented in dump-qmp.c, which has the checks of that command.
 */
bool dump_check_defaults(const DumpParameters *params, Error **errp);

#endif
