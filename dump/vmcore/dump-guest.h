/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Description of the dumped guest: the input of the writers.
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
 * Sections that a target adds to ELF dumps (s390x protected guests). The
 * callbacks run on the thread that plans or writes.
 */
typedef struct DumpExtraSections {
    uint32_t count;             /* headers, without null and name sections */
    uint64_t data_size;         /* bytes of section data */
    void *opaque;
    /*
     * Fill @count section headers of the target's class, whose data starts
     * at @data_offset. Append their names to @names (char elements); the
     * first one's offset is the current length. Return false if the sections
     * do not match @count and @data_size; the plan then fails.
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
    bool running;               /* guest runs meanwhile; set before seal */
    GuestRam all;               /* all memory; sealed */
    GuestRam ram;               /* the part of it to dump; sealed */
    DumpUntouched *untouched;   /* owned; NULL: read all memory */
    DumpPages *pages;           /* owned; contents of memory */
    PfnSet *kept;               /* owned; frames of ram to write, NULL: all */
    unsigned dump_level;        /* excluded classes of pages */
    GArray *mappings;           /* DumpMapping; NULL without paging */
    GByteArray *notes;          /* all notes, in the target's order */
    size_t vmcoreinfo_pos;      /* VMCOREINFO text inside notes, bytes */
    size_t vmcoreinfo_size;     /* 0 if there is none */
    bool vmcoreinfo_searched;   /* found by search, not set by the driver */
    uint64_t vmcoreinfo_place;  /* if so, its guest-physical address */
    LinuxUts uts;
    uint64_t time_sec;
    uint64_t time_usec;
    const DumpExtraSections *extra; /* NULL for none */
    DumpWindows *windows;       /* owned; DUMP_KIND_WINDMP only, else NULL */
    DumpReport *report;         /* receives warnings; may be NULL */
} DumpGuest;

void dump_guest_init(DumpGuest *guest);
void dump_guest_deinit(DumpGuest *guest);

/*
 * Called when all memory is in @guest->all. Select [@begin, @begin + @length)
 * of it as @guest->ram (see guest_ram_clip_of), seal both, and create
 * @guest->pages. Memory must not change from now on unless @guest->running.
 */
void dump_guest_seal(DumpGuest *guest, uint64_t begin, uint64_t length);

/* Set @errp for a dump that would contain no memory. */
void dump_guest_set_empty_error(const DumpGuest *guest, Error **errp);

#endif
