/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Search for VMCOREINFO in guest memory, for guests without a driver that
 * publishes its address.
 *
 * Since Linux 4.13 the kernel prepares the note at boot, at the start of a
 * page. So only the first bytes of each 4 KiB page are examined; untouched
 * memory is not read, and unreadable memory is skipped.
 *
 * A candidate is accepted only if guest memory confirms it: the kernel's
 * utsname is at the address that the text gives, with the same release.
 * vmcoreinfo-pick.h selects one of several notes.
 *
 * The guest may have filled its memory with false notes, so the amount of text
 * examined and the number of notes kept are bounded.
 */

#ifndef DUMP_VMCORE_VMCOREINFO_SCAN_H
#define DUMP_VMCORE_VMCOREINFO_SCAN_H

#include "dump-guest.h"
#include "progress.h"
#include "vmcoreinfo.h"

/* Bytes; Linux's text is at most one page long. */
#define VMCOREINFO_TEXT_MAX     65536

/*
 * Minimum average length of its lines in bytes (Linux 6.1: about 25). The time
 * of a key lookup depends on the number of lines.
 */
#define VMCOREINFO_LINE_MIN     16

/* Memory is scanned in pieces of this many bytes. */
#define VMCOREINFO_SCAN_PIECE   (16 * 1024 * 1024)
/* Maximum bytes of text that are examined per piece. */
#define VMCOREINFO_SCAN_TEXT    (2 * VMCOREINFO_SCAN_PIECE)
/* Maximum number of different notes, per piece and in total. */
#define VMCOREINFO_SCAN_KEPT    16
#define VMCOREINFO_SCAN_NOTES   64

/* A VMCOREINFO note. */
typedef struct VmcoreInfoNote {
    uint64_t paddr;             /* guest-physical address of its header */
    GByteArray *bytes;          /* header, name and text */
    const char *text;           /* points into bytes, not terminated */
    size_t size;                /* bytes of text */
    VmcoreInfo *info;           /* the parsed text */
} VmcoreInfoNote;

void vmcoreinfo_note_free(VmcoreInfoNote *note);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VmcoreInfoNote, vmcoreinfo_note_free)

/* An empty array of VmcoreInfoNote that owns its elements. */
GPtrArray *vmcoreinfo_notes_new(void);

/*
 * The first VMCOREINFO note in @buf[0..@len), which is a copy of guest memory
 * at @paddr; NULL if there is none. It is not checked against guest memory.
 */
VmcoreInfoNote *vmcoreinfo_note_in(const DumpAbi *abi, const uint8_t *buf,
                                   size_t len, uint64_t paddr);

/*
 * The note at @paddr; NULL if there is none or memory does not match it.
 *
 * @mem: all memory of @guest
 */
VmcoreInfoNote *vmcoreinfo_note_at(const DumpGuest *guest,
                                   DumpPagesReader *mem, uint64_t paddr);

/*
 * Find all notes in memory of @guest. Returns a GPtrArray of VmcoreInfoNote in
 * the order of their addresses, without duplicates, owned by the caller; NULL,
 * with @errp set, if @progress was cancelled or out of memory.
 *
 * @threads: as in dump_pipeline_run
 * @whole: set to false if the bounds were exceeded, which no ordinary guest
 *         does
 *
 * Any thread, without locks.
 */
GPtrArray *vmcoreinfo_scan(const DumpGuest *guest, unsigned threads,
                           DumpProgress *progress, bool *whole,
                           Error **errp);

#endif
