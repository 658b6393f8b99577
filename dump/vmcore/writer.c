/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The table of dump formats, and the guest description they work from.
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

void dump_guest_init(DumpGuest *guest)
{
    memset(guest, 0, sizeof(*guest));
    guest_ram_init(&guest->ram);
    guest->notes = g_byte_array_new();
}

void dump_guest_deinit(DumpGuest *guest)
{
    guest_ram_deinit(&guest->ram);
    g_clear_pointer(&guest->untouched, dump_untouched_free);
    g_clear_pointer(&guest->notes, g_byte_array_unref);
    g_clear_pointer(&guest->mappings, g_array_unref);
    g_clear_pointer(&guest->windows, dump_windows_free);
}
