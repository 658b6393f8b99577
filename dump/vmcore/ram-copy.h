/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Copying of guest memory to an extent of the file, uncompressed and front to
 * back.
 */

#ifndef DUMP_VMCORE_RAM_COPY_H
#define DUMP_VMCORE_RAM_COPY_H

#include "layout.h"
#include "pages.h"
#include "report.h"

typedef struct DumpRamCopy {
    DumpPages *pages;
    DumpReport *report;         /* counts unreadable memory; may be NULL */
    DumpLayout *layout;
    DumpSink *sink;
    DumpProgress *progress;     /* advanced by every byte copied */
    bool keep;                  /* memory may be copied again */
} DumpRamCopy;

/*
 * Copy guest-physical [@paddr, @paddr + @len) to @pos bytes into @extent. What
 * is not RAM, or cannot be read, is written as zeroes. Zeroes become holes if
 * the sink supports that. Cancellation is checked at least once per MiB
 * written. Unless @keep, memory is released after it is copied
 * (dump_pages_give).
 */
bool dump_ram_copy(const DumpRamCopy *copy, unsigned extent, uint64_t pos,
                   uint64_t paddr, uint64_t len, Error **errp);

#endif
