/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Description of the dumped guest; see the header.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "dump-guest.h"

void dump_guest_init(DumpGuest *guest)
{
    memset(guest, 0, sizeof(*guest));
    guest_ram_init(&guest->all);
    guest_ram_init(&guest->ram);
    guest->notes = g_byte_array_new();
}

void dump_guest_deinit(DumpGuest *guest)
{
    g_clear_pointer(&guest->pages, dump_pages_free);
    guest_ram_deinit(&guest->ram);
    guest_ram_deinit(&guest->all);
    g_clear_pointer(&guest->untouched, dump_untouched_free);
    g_clear_pointer(&guest->notes, g_byte_array_unref);
    g_clear_pointer(&guest->kept, pfn_set_free);
    g_clear_pointer(&guest->mappings, g_array_unref);
    g_clear_pointer(&guest->windows, dump_windows_free);
}

void dump_guest_seal(DumpGuest *guest, uint64_t begin, uint64_t length)
{
    guest_ram_seal(&guest->all);
    guest_ram_clip_of(&guest->ram, &guest->all, begin, length);
    guest->pages = guest->running ?
                   dump_pages_running_new(&guest->all, guest->untouched) :
                   dump_pages_still_new(&guest->all, guest->untouched);
}

void dump_guest_set_empty_error(const DumpGuest *guest, Error **errp)
{
    error_setg(errp, "dump: no guest memory to dump%s",
               guest->kept ? ": all of it is in excluded classes of pages" :
                             "");
}
