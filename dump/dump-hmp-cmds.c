/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Monitor commands of the guest memory dump: flags to the same QMP entry
 * points, answers to text.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-dump.h"
#include "monitor/hmp.h"
#include "monitor/monitor.h"
#include "qemu/cutils.h"
#include "qobject/qdict.h"

/* Flags that choose a format, and the format that -R makes of it. */
static const struct {
    const char *flag;
    DumpGuestMemoryFormat format;
    DumpGuestMemoryFormat raw;
} hmp_formats[] = {
    { "zlib", DUMP_GUEST_MEMORY_FORMAT_KDUMP_ZLIB,
      DUMP_GUEST_MEMORY_FORMAT_KDUMP_RAW_ZLIB },
    { "lzo", DUMP_GUEST_MEMORY_FORMAT_KDUMP_LZO,
      DUMP_GUEST_MEMORY_FORMAT_KDUMP_RAW_LZO },
    { "snappy", DUMP_GUEST_MEMORY_FORMAT_KDUMP_SNAPPY,
      DUMP_GUEST_MEMORY_FORMAT_KDUMP_RAW_SNAPPY },
    { "zstd", DUMP_GUEST_MEMORY_FORMAT_KDUMP_ZSTD,
      DUMP_GUEST_MEMORY_FORMAT_KDUMP_RAW_ZSTD },
    { "windmp", DUMP_GUEST_MEMORY_FORMAT_WIN_DMP,
      DUMP_GUEST_MEMORY_FORMAT_WIN_DMP },
};

static bool hmp_get_format(const QDict *qdict, DumpGuestMemoryFormat *format,
                           Error **errp)
{
    bool raw = qdict_get_try_bool(qdict, "raw", false);
    bool chosen = false;

    *format = DUMP_GUEST_MEMORY_FORMAT_ELF;
    for (size_t i = 0; i < ARRAY_SIZE(hmp_formats); i++) {
        if (!qdict_get_try_bool(qdict, hmp_formats[i].flag, false)) {
            continue;
        }
        if (chosen) {
            error_setg(errp, "only one of '-z|-l|-s|-w|-Z' can be set");
            return false;
        }
        chosen = true;
        *format = raw ? hmp_formats[i].raw : hmp_formats[i].format;
    }
    return true;
}

static bool hmp_get_threads(const QDict *qdict, uint8_t *threads,
                            Error **errp)
{
    const char *text = qdict_get_try_str(qdict, "threads");
    unsigned value;

    *threads = 0;
    if (!text) {
        return true;
    }
    if (qemu_strtoui(text, NULL, 10, &value) < 0 || value > UINT8_MAX) {
        error_setg(errp, "Parameter 'threads' expects a small number");
        return false;
    }
    *threads = value;
    return true;
}

void hmp_dump_guest_memory(Monitor *mon, const QDict *qdict)
{
    bool has_begin = qdict_haskey(qdict, "begin");
    bool has_length = qdict_haskey(qdict, "length");
    g_autofree char *protocol = g_strconcat("file:",
                                            qdict_get_str(qdict, "filename"),
                                            NULL);
    DumpGuestMemoryFormat format;
    uint8_t threads;
    Error *err = NULL;

    if (hmp_get_format(qdict, &format, &err) &&
        hmp_get_threads(qdict, &threads, &err)) {
        qmp_dump_guest_memory(qdict_get_try_bool(qdict, "paging", false),
                              protocol, true,
                              qdict_get_try_bool(qdict, "detach", false),
                              has_begin,
                              has_begin ? qdict_get_int(qdict, "begin") : 0,
                              has_length,
                              has_length ? qdict_get_int(qdict, "length") : 0,
                              true, format,
                              qdict_haskey(qdict, "threads"), threads, &err);
    }
    hmp_handle_error(mon, err);
}

void hmp_info_dump(Monitor *mon, const QDict *qdict)
{
    g_autoptr(DumpQueryResult) result = qmp_query_dump(&error_abort);

    monitor_printf(mon, "Status: %s\n", DumpStatus_str(result->status));
    if (result->status == DUMP_STATUS_NONE) {
        return;
    }
    monitor_printf(mon, "Finished: %.2f %%\n", result->total ?
                   100.0 * result->completed / result->total : 0.0);
    monitor_printf(mon, "Guest memory: %" PRId64 " of %" PRId64 " bytes\n",
                   result->completed, result->total);
}
