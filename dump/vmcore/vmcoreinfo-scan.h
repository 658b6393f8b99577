/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * VMCOREINFO found in guest memory, for guests whose driver does not tell
 * where it is.
 *
 * From Linux 4.13 on the kernel has the note ready in pages of its own from
 * boot on: it starts at the beginning of a page. So only the first bytes of
 * each page of 4 KiB are looked at; memory that was never touched is not
 * read, and what cannot be read is passed over.
 *
 * What looks like a note counts only if guest memory bears it out: the
 * kernel's utsname is where the text says, with the release that it names.
 * See vmcoreinfo-pick.h for which of several it is.
 *
 * The guest may have filled its memory with false notes. So the text that is
 * looked at is bounded, and so is the number of notes that are kept.
 */

#ifndef DUMP_VMCORE_VMCOREINFO_SCAN_H
#define DUMP_VMCORE_VMCOREINFO_SCAN_H

#include "dump-guest.h"
#include "progress.h"
#include "vmcoreinfo.h"

/* Linux's text has at most a page of its own. */
#define VMCOREINFO_TEXT_MAX     65536

/*
 * The least bytes that its lines have on average (Linux 6.1: some 25). Looking
 * keys up takes time by the number of lines.
 */
#define VMCOREINFO_LINE_MIN     16

/* Memory is taken in pieces of so many bytes, in which that many ... */
#define VMCOREINFO_SCAN_PIECE   (16 * 1024 * 1024)
/* ... bytes of text are looked at, ... */
#define VMCOREINFO_SCAN_TEXT    (2 * VMCOREINFO_SCAN_PIECE)
/* ... and so many different notes kept; and so many in all. */
#define VMCOREINFO_SCAN_KEPT    16
#define VMCOREINFO_SCAN_NOTES   64

/* A VMCOREINFO note. */
typedef struct VmcoreInfoNote {
    uint64_t paddr;             /* guest-physical, of its header */
    GByteArray *bytes;          /* header, name and text */
    const char *text;           /* inside bytes, not terminated */
    size_t size;                /* of the text */
    VmcoreInfo *info;           /* the same, parsed */
} VmcoreInfoNote;

void vmcoreinfo_note_free(VmcoreInfoNote *note);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VmcoreInfoNote, vmcoreinfo_note_free)

/* An empty array of VmcoreInfoNote, which it owns. */
GPtrArray *vmcoreinfo_notes_new(void);

/*
 * The first note of this name among those in @buf[0..@len), which is a copy
 * of guest memory at @paddr; NULL if there is none. Whether memory bears it
 * out is not looked at.
 */
VmcoreInfoNote *vmcoreinfo_note_in(const DumpAbi *abi, const uint8_t *buf,
                                   size_t len, uint64_t paddr);

/*
 * The note at @paddr, NULL if there is none or memory does not bear it out.
 *
 * @mem: all memory of @guest
 */
VmcoreInfoNote *vmcoreinfo_note_at(const DumpGuest *guest,
                                   DumpPagesReader *mem, uint64_t paddr);

/*
 * All notes in memory of @guest, in the order of their addresses; of those
 * that are the same byte for byte, the first. A GPtrArray of VmcoreInfoNote
 * for the caller to free. NULL with @errp set if @progress was cancelled or
 * there is no memory for the search.
 *
 * @threads: as in dump_pipeline_run
 * @whole: false if there was more than the bounds allow, which no guest has
 *         by accident
 *
 * Any thread; no lock is needed.
 */
GPtrArray *vmcoreinfo_scan(const DumpGuest *guest, unsigned threads,
                           DumpProgress *progress, bool *whole,
                           Error **errp);

#endif
