/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Types shared by guest-state.c and its helpers: the parameters and the result
 * of collecting the guest's state.
 */

#ifndef DUMP_GUEST_TYPES_H
#define DUMP_GUEST_TYPES_H

#include "system/dump.h"
#include "vmcore/analyse.h"

typedef struct GuestState {
    DumpState target;           /* argument of the target's functions */
    bool sections_added;        /* arch_cleanup_fn must be called */
    DumpGuest guest;            /* input of the writers */
    DumpFindings findings;      /* input of the analysis */
    DumpExtraSections extra;
} GuestState;

typedef enum GuestStateSearch {
    GUEST_STATE_NO_SEARCH,
    GUEST_STATE_SEARCH_KNOWN,   /* if linux_guest_known_target */
    GUEST_STATE_SEARCH_ANY,
} GuestStateSearch;

typedef struct GuestStateQuery {
    bool paging;
    bool has_range;
    uint64_t begin;             /* see DumpOptions */
    uint64_t length;
    bool low_memory_only;       /* apply guest_ram_drop_far */
    bool ends_with_ram;         /* exclude device memory above RAM */
    bool windows;               /* for a Windows crash dump */
    bool no_guest_note;         /* ignore the note that the driver published */
    GuestStateSearch search;    /* for VMCOREINFO, if the driver has none */
    unsigned threads;           /* for the search and the page walk */
    unsigned dump_level;        /* classes of pages to exclude */
    DumpReport *report;         /* receives warnings; may be NULL */
} GuestStateQuery;

#endif
