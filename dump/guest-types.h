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

typedef enum GuestStateSearch {
    GUEST_STATE_NO_SEARCH,
    GUEST_STATE_SEARCH_KNOWN,   /* of guests that it is known to work with */
    GUEST_STATE_SEARCH_ANY,
} GuestStateSearch;

typedef struct GuestStateQuery {
    bool paging;
    bool has_range;
    uint64_t begin;             /* see DumpOptions */
    uint64_t length;
    bool low_memory_only;       /* leave out what guest_ram_drop_far drops */
    bool ends_with_ram;         /* leave out devices' memory above RAM */
    bool windows;               /* for a Windows crash dump */
    bool no_guest_note;         /* not even what the driver published */
    GuestStateSearch search;    /* for VMCOREINFO, if the driver has none */
    unsigned threads;           /* for that, and to look for pages */
    unsigned dump_level;        /* classes of pages that are left out */
    DumpReport *report;         /* told what is left out; NULL is allowed */
} GuestStateQuery;

#endif
