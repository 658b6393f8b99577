/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Human monitor commands of the guest memory dump, implemented by the QMP
 * commands.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-dump.h"
#include "qapi/qapi-visit-dump.h"
#include "qapi/qobject-input-visitor.h"
#include "qapi/qobject-output-visitor.h"
#include "chardev/chardev-internal.h"
#include "monitor/hmp.h"
#include "monitor/monitor.h"
#include "monitor/monitor-internal.h"
#include "qemu/cutils.h"
#include "qemu/module.h"
#include "qemu/timer.h"
#include "qemu/units.h"
#include "qobject/qdict.h"
#include "qobject/qjson.h"
#include "qobject/qlist.h"
#include "qobject/qstring.h"
#include "dump-job.h"
#include "vmcoreinfo-query.h"

/*
 * Flags that select a format, and the corresponding raw format (-R). Formats
 * are given by name, as the schema does not have those that the build lacks.
 */
static const struct {
    const char *flag, *format, *raw;
} hmp_formats[] = {
    { "zlib", "kdump-zlib", "kdump-raw-zlib" },
    { "lzo", "kdump-lzo", "kdump-raw-lzo" },
    { "snappy", "kdump-snappy", "kdump-raw-snappy" },
    { "zstd", "kdump-zstd", "kdump-raw-zstd" },
    { "windmp", "win-dmp" },
};

static bool hmp_has_flag(const QDict *qdict, const char *flag)
{
    return qdict_get_try_bool(qdict, flag, false);
}

static bool hmp_find_format(const char *name, DumpGuestMemoryFormat *format,
                            Error **errp)
{
    int found = qapi_enum_parse(&DumpGuestMemoryFormat_lookup, name, -1, NULL);

    if (found < 0) {
        error_setg(errp, "dump format '%s' is not supported by this QEMU",
                   name);
        return false;
    }
    *format = found;
    return true;
}

static bool hmp_get_format(const QDict *qdict, DumpGuestMemoryArguments *args,
                           Error **errp)
{
    const char *name = NULL, *raw = NULL;
    bool chosen = false;

    for (size_t i = 0; i < ARRAY_SIZE(hmp_formats); i++) {
        if (!hmp_has_flag(qdict, hmp_formats[i].flag)) {
            continue;
        }
        if (chosen) {
            /* Without -Z, keep the text of earlier versions for scripts. */
            error_setg(errp, "only one of '-z|-l|-s|-w%s' can be set",
                       hmp_has_flag(qdict, "zstd") ? "|-Z" : "");
            return false;
        }
        chosen = true;
        name = hmp_formats[i].format;
        raw = hmp_formats[i].raw;
    }
    if (hmp_has_flag(qdict, "raw")) {
        if (!raw) {
            error_setg(errp, "'-R' needs one of '-z|-l|-s|-Z'");
            return false;
        }
        name = raw;
    }
    args->has_format = chosen;
    return !chosen || hmp_find_format(name, &args->format, errp);
}

/* 0, which the command refuses, for all that is not a number of 8 bits. */
static void hmp_get_threads(const QDict *qdict, DumpGuestMemoryArguments *args)
{
    const char *text = qdict_get_try_str(qdict, "threads");
    unsigned value;

    args->has_threads = text;
    if (text && qemu_strtoui(text, NULL, 10, &value) == 0 &&
        value <= UINT8_MAX) {
        args->threads = value;
    }
}

/*
 * The value of a flag that follows another flag with a value in the command
 * table. If only the second one is given, the monitor's parser prefixes its
 * name with "s,", the rest of the type of the flag that it has skipped.
 */
static const char *hmp_get_next_value(const QDict *qdict, const char *flag)
{
    g_autofree char *other = g_strconcat("s,", flag, NULL);

    return qdict_get_try_str(qdict, flag) ?: qdict_get_try_str(qdict, other);
}

/* makedumpfile's dump level: a bit for each class but the last. */
static bool hmp_parse_level(const char *text, unsigned *level, Error **errp)
{
    if (qemu_strtoui(text, NULL, 10, level) < 0 ||
        *level > PAGE_CLASS_LEVEL_MAX) {
        error_setg(errp, "Parameter 'exclude' expects a dump level from 0 to "
                   "%u", PAGE_CLASS_LEVEL_MAX);
        return false;
    }
    return true;
}

static bool hmp_get_exclude(const QDict *qdict, DumpGuestMemoryArguments *args,
                            Error **errp)
{
    const char *text = hmp_get_next_value(qdict, "exclude");
    DumpPageClassList **tail = &args->exclude;
    unsigned level;

    if (!text) {
        return true;
    }
    if (!hmp_parse_level(text, &level, errp)) {
        return false;
    }
    args->has_exclude = true;
    for (int i = 0; i < DUMP_PAGE_CLASS__MAX; i++) {
        if (level >> i & 1) {
            QAPI_LIST_APPEND(tail, i);
        }
    }
    return true;
}

/* Bytes per second with a suffix; without one MiB, as for migration. */
static bool hmp_get_bandwidth(const QDict *qdict,
                              DumpGuestMemoryArguments *args, Error **errp)
{
    const char *text = hmp_get_next_value(qdict, "bandwidth");

    args->has_max_bandwidth = text != NULL;
    if (text && qemu_strtosz_MiB(text, NULL, &args->max_bandwidth) < 0) {
        error_setg(errp, "Parameter 'bandwidth' expects a size in bytes per "
                   "second, such as 50M");
        return false;
    }
    return true;
}

#define HMP_PROGRESS_PERIOD_MS  500

/* A monitor that is suspended until the end of the dump that it started. */
typedef struct HmpDump {
    Monitor *mon;
    QEMUTimer *timer;           /* displays progress; NULL: not a terminal */
    bool shown;                 /* progress was displayed */
} HmpDump;

/*
 * Display progress only on terminals: a program that uses the monitor through a
 * socket or a pipe may take any output for an error.
 */
static bool hmp_chardev_is_terminal(Chardev *chr)
{
    if (chr && CHARDEV_IS_MUX(chr)) {
        chr = qemu_chr_fe_get_driver(&MUX_CHARDEV(chr)->chr);
    }
    if (!chr) {
        return false;
    }
    if (object_dynamic_cast(OBJECT(chr), TYPE_CHARDEV_STDIO)) {
        return isatty(STDOUT_FILENO);
    }
    return object_dynamic_cast(OBJECT(chr), TYPE_CHARDEV_PTY) ||
           object_dynamic_cast(OBJECT(chr), "chardev-vc");
}

static void hmp_dump_next_look(HmpDump *dump)
{
    timer_mod(dump->timer, qemu_clock_get_ms(QEMU_CLOCK_REALTIME) +
                           HMP_PROGRESS_PERIOD_MS);
}

static void hmp_dump_look(void *opaque)
{
    HmpDump *dump = opaque;
    g_autoptr(DumpQueryResult) q = qmp_query_dump(&error_abort);

    monitor_printf(dump->mon, "\rDumped %.1f %%", q->total ?
                   100.0 * q->completed / q->total : 0.0);
    if (q->phase == DUMP_PHASE_SYNC) {
        monitor_printf(dump->mon, ", writing to the disk ");
    } else if (q->has_remaining) {
        monitor_printf(dump->mon, ", %.0f s left ", q->remaining / 1000.0);
    }
    monitor_flush(dump->mon);
    dump->shown = true;
    hmp_dump_next_look(dump);
}

static void hmp_print_list(Monitor *mon, const char *before,
                           const strList *list)
{
    for (; list; list = list->next) {
        monitor_printf(mon, "%s%s\n", before, list->value);
    }
}

static void hmp_dump_done(void *opaque, const DumpQueryResult *result,
                          const char *error)
{
    HmpDump *dump = opaque;

    if (dump->shown) {
        monitor_printf(dump->mon, "\n");
    }
    /* In the format of warn_report(), as without waiting. */
    hmp_print_list(dump->mon, "warning: dump: ", result->warnings);
    if (error) {
        monitor_printf(dump->mon, "Error: %s\n", error);
    }
    monitor_resume(dump->mon);
    timer_free(dump->timer);
    g_free(dump);
}

static void hmp_dump_watch(Monitor *mon)
{
    HmpDump *dump = g_new0(HmpDump, 1);

    dump->mon = mon;
    if (hmp_chardev_is_terminal(qemu_chr_fe_get_driver(&mon->chr))) {
        dump->timer = timer_new_ms(QEMU_CLOCK_REALTIME, hmp_dump_look, dump);
        hmp_dump_next_look(dump);
    }
    dump_job_when_done(hmp_dump_done, dump);
}

static void hmp_get_range(const QDict *qdict, DumpGuestMemoryArguments *args)
{
    args->has_begin = qdict_haskey(qdict, "begin");
    args->begin = qdict_get_try_int(qdict, "begin", 0);
    args->has_length = qdict_haskey(qdict, "length");
    args->length = qdict_get_try_int(qdict, "length", 0);
}

/* Arguments without a flag get their defaults. */
static bool hmp_dump_start(const QDict *qdict, bool detach, Error **errp)
{
    ERRP_GUARD();
    g_autoptr(DumpGuestMemoryArguments) args =
        g_new0(DumpGuestMemoryArguments, 1);

    args->paging = qdict_get_try_bool(qdict, "paging", false);
    args->protocol = g_strconcat(hmp_has_flag(qdict, "node") ? "node:" :
                                                               "file:",
                                 qdict_get_str(qdict, "filename"), NULL);
    args->has_detach = true;
    args->detach = detach;
    args->has_live = hmp_has_flag(qdict, "live");
    args->live = ON_OFF_AUTO_ON;
    args->has_direct = args->direct = hmp_has_flag(qdict, "direct");
    hmp_get_range(qdict, args);
    hmp_get_threads(qdict, args);
    if (hmp_get_format(qdict, args, errp) &&
        hmp_get_exclude(qdict, args, errp) &&
        hmp_get_bandwidth(qdict, args, errp)) {
        qmp_dump_guest_memory(args, errp);
    }
    return !*errp;
}

/* Returns false if the monitor cannot be suspended (human-monitor-command). */
static bool hmp_suspend(Monitor *mon)
{
    return monitor_suspend(mon) == 0;
}

/*
 * Without -d the dump is detached, too, but the monitor is suspended until its
 * end, and displays the progress on a terminal. Other monitors can be used. If
 * the monitor cannot be suspended, QEMU is blocked.
 */
void hmp_dump_guest_memory(Monitor *mon, const QDict *qdict)
{
    bool detach = qdict_get_try_bool(qdict, "detach", false);
    bool wait = !detach && hmp_suspend(mon);
    Error *err = NULL;

    if (hmp_dump_start(qdict, detach || wait, &err) && wait) {
        hmp_dump_watch(mon);
        return;
    }
    hmp_handle_error(mon, err);
    if (wait) {
        monitor_resume(mon);
    }
}

static QDict *hmp_defaults(void)
{
    g_autoptr(DumpParameters) params =
        qmp_query_dump_parameters(&error_abort);
    QObject *all;
    Visitor *v = qobject_output_visitor_new(&all);

    visit_type_DumpParameters(v, NULL, &params, &error_abort);
    visit_complete(v, &all);
    visit_free(v);
    return qobject_to(QDict, all);
}

/* @value: a number, a string, or a list of strings */
static void hmp_print_value(Monitor *mon, QObject *value)
{
    QList *list = qobject_to(QList, value);
    const QListEntry *e;

    if (list) {
        QLIST_FOREACH_ENTRY(list, e) {
            monitor_printf(mon, "%s%s", e == qlist_first(list) ? "" : ",",
                           qstring_get_str(qobject_to(QString,
                                                      qlist_entry_obj(e))));
        }
    } else if (qobject_to(QString, value)) {
        monitor_puts(mon, qstring_get_str(qobject_to(QString, value)));
    } else {
        GString *text = qobject_to_json(value);
        monitor_puts(mon, text->str);
        g_string_free(text, true);
    }
}

static void hmp_info_dump_parameters(Monitor *mon, const QDict *qdict)
{
    g_autoptr(QDict) all = hmp_defaults();

    for (int i = 0; i < DUMP_PARAMETER__MAX; i++) {
        QObject *value = qdict_get(all, DumpParameter_str(i));

        monitor_printf(mon, "%s: ", DumpParameter_str(i));
        if (value) {
            hmp_print_value(mon, value);
        } else {
            monitor_puts(mon, "not set");
        }
        monitor_puts(mon, "\n");
    }
}

/* @text: a dump level, or names of classes separated by commas */
static QList *hmp_parse_classes(const char *text, Error **errp)
{
    g_autoptr(QList) list = qlist_new();
    g_auto(GStrv) names = NULL;
    unsigned level;

    if (!g_ascii_isdigit(text[0])) {
        names = g_strsplit(text, ",", -1);
        for (char **name = names; *name; name++) {
            qlist_append_str(list, *name);
        }
        return g_steal_pointer(&list);
    }
    if (!hmp_parse_level(text, &level, errp)) {
        return NULL;
    }
    for (int i = 0; i < DUMP_PAGE_CLASS__MAX; i++) {
        if (level >> i & 1) {
            qlist_append_str(list, DumpPageClass_str(i));
        }
    }
    return g_steal_pointer(&list);
}

/* @dict: arguments of dump-set-parameters, as strings for the visitor */
static bool hmp_put_parameter(QDict *dict, const char *name,
                              const char *value, Error **errp)
{
    QList *list = NULL;

    if (!value) {
        list = qlist_new();
        qlist_append_str(list, name);
        qdict_put(dict, "unset", list);
        return true;
    }
    if (strcmp(name, DumpParameter_str(DUMP_PARAMETER_EXCLUDE)) != 0) {
        qdict_put_str(dict, name, value);
        return true;
    }
    list = hmp_parse_classes(value, errp);
    if (list) {
        qdict_put(dict, name, list);
    }
    return list;
}

static DumpSetParameters *hmp_parse_parameter(const char *name,
                                              const char *value, Error **errp)
{
    g_autoptr(QDict) dict = qdict_new();
    DumpSetParameters *args;
    Visitor *v;

    if (qapi_enum_parse(&DumpParameter_lookup, name, -1, NULL) < 0) {
        error_setg(errp, "Invalid parameter '%s'", name);
        return NULL;
    }
    if (!hmp_put_parameter(dict, name, value, errp)) {
        return NULL;
    }
    v = qobject_input_visitor_new_keyval(QOBJECT(dict));
    visit_type_DumpSetParameters(v, NULL, &args, errp);
    visit_free(v);
    return args;
}

static void hmp_dump_set_parameter(Monitor *mon, const QDict *qdict)
{
    g_autoptr(DumpSetParameters) args = NULL;
    Error *err = NULL;

    args = hmp_parse_parameter(qdict_get_str(qdict, "parameter"),
                               qdict_get_try_str(qdict, "value"), &err);
    if (args) {
        qmp_dump_set_parameters(args, &err);
    }
    hmp_handle_error(mon, err);
}

static void hmp_complete_parameter(ReadLineState *rs, int nb_args,
                                   const char *str)
{
    size_t len = strlen(str);

    readline_set_completion_index(rs, len);
    for (int i = 0; nb_args == 2 && i < DUMP_PARAMETER__MAX; i++) {
        if (!strncmp(str, DumpParameter_str(i), len)) {
            readline_add_completion(rs, DumpParameter_str(i));
        }
    }
}

static void hmp_dump_cancel(Monitor *mon, const QDict *qdict)
{
    Error *err = NULL;

    qmp_dump_cancel(&err);
    hmp_handle_error(mon, err);
}

static void hmp_print_seconds(Monitor *mon, const char *what, int64_t ms)
{
    monitor_printf(mon, "%s: %.1f s\n", what, ms / 1000.0);
}

static void hmp_print_live(Monitor *mon, const DumpLiveInfo *live)
{
    monitor_printf(mon, "Live: guest was stopped for %.1f ms%s\n",
                   live->standstill_us / 1000.0,
                   live->stopped_again ? ", and then again" : "");
    monitor_printf(mon, "Saved: %" PRIu64 " pages, %" PRIu64 " bytes held, "
                   "%" PRIu64 " at most\n", live->saved, live->held,
                   live->held_max);
}

/* The lines of earlier versions come first. */
void hmp_info_dump(Monitor *mon, const QDict *qdict)
{
    g_autoptr(DumpQueryResult) q = qmp_query_dump(&error_abort);

    monitor_printf(mon, "Status: %s\n", DumpStatus_str(q->status));
    if (q->status == DUMP_STATUS_NONE) {
        return;
    }
    if (q->status == DUMP_STATUS_ACTIVE) {
        monitor_printf(mon, "Finished: %.2f %%\n", q->total ?
                       100.0 * q->completed / q->total : 0.0);
    }
    monitor_printf(mon, "Guest memory: %" PRId64 " of %" PRId64 " bytes\n",
                   q->completed, q->total);
    monitor_printf(mon, "Written: %" PRIu64 " bytes\n", q->written);
    if (q->has_left_out) {
        monitor_printf(mon, "Left out: %" PRIu64 " bytes of device "
                       "memory\n", q->left_out);
    }
    for (const DumpPageClassBytesList *e = q->excluded; e; e = e->next) {
        monitor_printf(mon, "Left out: %" PRIu64 " bytes of class '%s'\n",
                       e->value->bytes,
                       DumpPageClass_str(e->value->q_class));
    }
    if (q->has_phase) {
        monitor_printf(mon, "Phase: %s\n", DumpPhase_str(q->phase));
    }
    hmp_print_seconds(mon, "Elapsed", q->elapsed);
    if (q->has_rate) {
        monitor_printf(mon, "Rate: %.1f MiB/s\n", q->rate / (double)MiB);
    }
    if (q->has_max_bandwidth) {
        monitor_printf(mon, "Limit: %g MiB/s\n",
                       q->max_bandwidth / (double)MiB);
    }
    if (q->has_remaining) {
        hmp_print_seconds(mon, "Remaining", q->remaining);
    }
    if (q->live) {
        hmp_print_live(mon, q->live);
    }
    hmp_print_list(mon, "Warning: ", q->warnings);
    if (q->status == DUMP_STATUS_FAILED) {
        monitor_printf(mon, "Error: %s\n", dump_job_last_error());
    }
}

/* The guest controls @text: replace terminal control characters. */
static void hmp_print_text(Monitor *mon, char *text)
{
    for (char *c = text; *c; c++) {
        if (*c != '\n' && !g_ascii_isprint(*c)) {
            *c = '?';
        }
    }
    monitor_puts(mon, text);
    if (*text && text[strlen(text) - 1] != '\n') {
        monitor_puts(mon, "\n");
    }
}

static void hmp_print_vmcoreinfo(Monitor *mon, VmcoreinfoQuery *query)
{
    g_autoptr(DumpVmcoreinfoNote) note = NULL;
    Error *err = NULL;

    note = vmcoreinfo_query_result(query, &err);
    vmcoreinfo_query_free(query);
    if (!note) {
        /* This may run after the command, without a current monitor. */
        monitor_printf(mon, "Error: %s\n", error_get_pretty(err));
        error_free(err);
        return;
    }
    monitor_printf(mon, "Source: %s\n",
                   DumpVmcoreinfoSource_str(note->source));
    hmp_print_list(mon, "Warning: ", note->warnings);
    if (note->text) {
        monitor_printf(mon, "Note: %" PRIu64 " bytes at 0x%" PRIx64 "\n",
                       note->size, note->address);
        hmp_print_text(mon, note->text);
    }
}

static void hmp_vmcoreinfo_done(void *opaque, VmcoreinfoQuery *query)
{
    Monitor *mon = opaque;

    if (query) {
        hmp_print_vmcoreinfo(mon, query);
    }
    monitor_resume(mon);
}

/* Suspends the monitor or blocks QEMU, like hmp_dump_guest_memory(). */
static void hmp_info_vmcoreinfo(Monitor *mon, const QDict *qdict)
{
    Error *err = NULL;
    VmcoreinfoQuery *query = vmcoreinfo_query_new(true, &err);

    if (!query) {
        hmp_handle_error(mon, err);
        return;
    }
    if (!hmp_suspend(mon)) {
        vmcoreinfo_query_run(query);
        hmp_print_vmcoreinfo(mon, query);
        return;
    }
    if (!vmcoreinfo_query_start(query, hmp_vmcoreinfo_done, mon, &err)) {
        vmcoreinfo_query_free(query);
        hmp_handle_error(mon, err);
        monitor_resume(mon);
    }
}

/* Registered at run time: monitor/hmp.h does not declare these functions. */
static void dump_register_hmp(void)
{
    monitor_register_hmp("vmcoreinfo", true, hmp_info_vmcoreinfo);
    monitor_register_hmp("dump_parameters", true, hmp_info_dump_parameters);
    monitor_register_hmp("dump-cancel", false, hmp_dump_cancel);
    monitor_register_hmp("dump_set_parameter", false, hmp_dump_set_parameter);
    for (HMPCommand *cmd = hmp_cmds; cmd->name; cmd++) {
        if (!strcmp(cmd->name, "dump_set_parameter")) {
            cmd->command_completion = hmp_complete_parameter;
        }
    }
}

type_init(dump_register_hmp)
