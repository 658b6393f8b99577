/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Guest memory to an extent of the file, as it is, front to back.
 */

#ifndef DUMP_VMCORE_RAM_COPY_H
#define DUMP_VMCORE_RAM_COPY_H

#include "layout.h"
#include "untouched.h"

typedef struct DumpRamCopy {
    const GuestRam *ram;
    const DumpUntouched *untouched; /* NULL: all memory is read */
    DumpLayout *layout;
    DumpSink *sink;
    DumpProgress *progress;     /* advanced by every byte copied */
} DumpRamCopy;

/*
 * Copy guest-physical [@paddr, @paddr + @len) to @pos bytes into @extent.
 * What is not RAM goes out as zeroes. Zeroes become holes where the sink can
 * have them, and memory that was never touched is not read. Looks at the
 * cancel flag once per megabyte.
 */
bool dump_ram_copy(const DumpRamCopy *copy, unsigned extent, uint64_t pos,
                   uint64_t paddr, uint64_t len, Error **errp);

#endif
