/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Guest memory to an extent of the file, as it is, front to back.
 */

#ifndef DUMP_VMCORE_RAM_COPY_H
#define DUMP_VMCORE_RAM_COPY_H

#include "layout.h"
#include "pages.h"
#include "report.h"

typedef struct DumpRamCopy {
    DumpPages *pages;
    DumpReport *report;         /* told what cannot be read; may be NULL */
    DumpLayout *layout;
    DumpSink *sink;
    DumpProgress *progress;     /* advanced by every byte copied */
    bool keep;                  /* memory may be copied once more */
} DumpRamCopy;

/*
 * Copy guest-physical [@paddr, @paddr + @len) to @pos bytes into @extent.
 * What is not RAM, or cannot be read, goes out as zeroes. Zeroes become holes
 * where the sink can have them. Looks at the cancel flag once per megabyte.
 * Unless @keep, what is copied is given back, as dump_pages_give says.
 */
bool dump_ram_copy(const DumpRamCopy *copy, unsigned extent, uint64_t pos,
                   uint64_t paddr, uint64_t len, Error **errp);

#endif
