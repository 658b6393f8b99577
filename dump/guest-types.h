/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What guest-state.c and those that collect for it share: what is asked for,
 * and what was collected.
 */

#ifndef DUMP_GUEST_TYPES_H
#define DUMP_GUEST_TYPES_H

#include "system/dump.h"
#include "vmcore/analyse.h"

typedef struct GuestState {
    DumpState target;           /* what the target's writers see */
    bool sections_added;        /* arch_cleanup_fn is due */
    DumpGuest guest;            /* what the engine writes */
    DumpFindings findings;      /* and has to look into before */
    DumpExtraSections extra;
} GuestState;

typedef struct GuestStateQuery {
    bool paging;
    bool has_range;
    uint64_t begin;             /* see DumpOptions */
    uint64_t length;
    bool low_memory_only;       /* leave out what guest_ram_drop_far drops */
    bool ends_with_ram;         /* leave out devices' memory above RAM */
    bool windows;               /* for a Windows crash dump */
    DumpReport *report;         /* told what is left out; NULL is allowed */
} GuestStateQuery;

#endif
