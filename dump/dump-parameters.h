/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Defaults for arguments of dump-guest-memory, and the arguments of one
 * command completed by them. What there are defaults for, the schema has in
 * one place, DumpParameters: nothing here names a parameter but live-fd.
 *
 * Called with the BQL held, in the main thread.
 */

#ifndef DUMP_PARAMETERS_H
#define DUMP_PARAMETERS_H

#include "qapi/qapi-types-dump.h"

/* The arguments of one command. */
typedef struct DumpChoice {
    DumpParameters *params;     /* what the command has, or else defaults */
    int live_device;            /* if no live-fd there: the default, or -1 */
    strList *unused;            /* defaults that were dropped, and why */
    strList **next_unused;
    QDict *given;               /* what the command has, by name */
    QDict *all;                 /* params, by name */
} DumpChoice;

/*
 * @choice: of @given, for dump_choice_deinit. The descriptor stays that of the
 * defaults, and is valid until these are set again.
 */
void dump_choice_init(DumpChoice *choice, const DumpParameters *given);
void dump_choice_deinit(DumpChoice *choice);

/*
 * Do without a default: the parameter is not in @params any more. False, and
 * nothing is done, if it is not a default. @why: a sentence without a period
 */
bool dump_choice_drop(DumpChoice *choice, DumpParameter name,
                      const char *why);

/*
 * Can these be defaults? False with @errp set if a value is not one for
 * dump-guest-memory, or they contradict each other. What depends on the guest
 * is not looked at: it may be another one by the time of a dump. In dump-qmp.c,
 * where the checks of that command are.
 */
bool dump_check_defaults(const DumpParameters *params, Error **errp);

#endif
