/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The table of dump formats.
 */

#include "qemu/osdep.h"
#include "writer.h"

static const DumpWriterOps *const dump_writers[] = {
    &dump_writer_elf,
    &dump_writer_kdump,
    &dump_writer_windmp,
};

const DumpWriterOps *dump_writer_find(const DumpFormat *format)
{
    for (size_t i = 0; i < ARRAY_SIZE(dump_writers); i++) {
        if (dump_writers[i]->kind == format->kind &&
            dump_writers[i]->available(format)) {
            return dump_writers[i];
        }
    }
    return NULL;
}
