/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * In QEMU 7.2 each optional string of an event has a has_ argument.
 */

#ifndef BACKPORT_QAPI_EVENTS_DUMP_H
#define BACKPORT_QAPI_EVENTS_DUMP_H

#include "qapi/qapi-events-dump.h"

static inline void backport_send_dump_completed(DumpQueryResult *result,
                                                const char *error)
{
    qapi_event_send_dump_completed(result, error != NULL, error);
}

#define qapi_event_send_dump_completed backport_send_dump_completed

#endif
