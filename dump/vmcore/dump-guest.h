/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The guest that is dumped: what the writers are told of it.
 */

#ifndef DUMP_VMCORE_DUMP_GUEST_H
#define DUMP_VMCORE_DUMP_GUEST_H

#include "byteorder.h"
#include "guest-ram.h"
#include "linux-uts.h"
#include "mappings.h"
#include "pages.h"
#include "pfn-set.h"
#include "report.h"
#include "windows-guest.h"

/*
 * Sections that a target adds to ELF dumps (s390x protected guests). All
 * of them is called on the thread that plans or writes.
 */
typedef struct DumpExtraSections {
    uint32_t count;             /* section headers, without null and names */
    uint64_t data_size;         /* bytes of section data */
    void *opaque;
    /*
     * Fill @count section headers of the target's class, whose data starts
     * at @data_offset. Names are appended to @names (char elements), whose
     * present length is the first one's offset. False: they are not what
     * @count and @data_size announced; the plan fails.
     */
    bool (*headers)(void *opaque, uint64_t data_offset, GArray *names,
                    uint8_t *buf, size_t len);
    /* Fill @data_size bytes; called after all memory was written. */
    bool (*data)(void *opaque, uint8_t *buf, size_t len, Error **errp);
} DumpExtraSections;

/* The guest at the moment of the dump. Owned by the job. */
typedef struct DumpGuest {
    DumpAbi abi;
    uint32_t page_size;         /* bytes, a power of two, 4 KiB or more */
    int64_t phys_base;
    unsigned nr_cpus;
    bool running;               /* while it is looked at; before it is sealed */
    GuestRam all;               /* all memory; sealed */
    GuestRam ram;               /* what of it is dumped; sealed */
    DumpUntouched *untouched;   /* owned; NULL: all memory is read */
    DumpPages *pages;           /* owned; what is in memory */
    PfnSet *kept;               /* owned; frames of ram; NULL: all of them */
    unsigned dump_level;        /* classes of pages left out, as of a user */
    GArray *mappings;           /* DumpMapping; NULL without paging */
    GByteArray *notes;          /* all notes, in the target's order */
    size_t vmcoreinfo_pos;      /* VMCOREINFO text inside notes, bytes */
    size_t vmcoreinfo_size;     /* 0 if there is none */
    bool vmcoreinfo_searched;   /* it is not what the guest's driver told */
    uint64_t vmcoreinfo_place;  /* then: guest-physical, of the note found */
    LinuxUts uts;
    uint64_t time_sec;
    uint64_t time_usec;
    const DumpExtraSections *extra; /* NULL for none */
    DumpWindows *windows;       /* owned; DUMP_KIND_WINDMP only, else NULL */
    DumpReport *report;         /* told what is missing; may be NULL */
} DumpGuest;

void dump_guest_init(DumpGuest *guest);
void dump_guest_deinit(DumpGuest *guest);

/*
 * All memory was added to @guest->all, and stands still unless
 * @guest->running; of that [@begin,
 * @begin + @length) is to be dumped, as in guest_ram_clip_of. Seals both, and
 * makes @guest->pages.
 */
void dump_guest_seal(DumpGuest *guest, uint64_t begin, uint64_t length);

#endif
