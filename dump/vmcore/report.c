/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Warnings about a dump, and counters of omitted memory.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "report.h"

void dump_report_init(DumpReport *report)
{
    *report = (DumpReport) {
        .warnings = g_ptr_array_new_with_free_func(g_free),
    };
    qemu_mutex_init(&report->lock);
}

void dump_report_deinit(DumpReport *report)
{
    g_ptr_array_unref(report->warnings);
    qemu_mutex_destroy(&report->lock);
}

/* Takes ownership of @text. Called with the lock held. */
static void report_add(DumpReport *report, char *text)
{
    for (guint i = 0; i < report->warnings->len; i++) {
        if (!strcmp(g_ptr_array_index(report->warnings, i), text)) {
            g_free(text);
            return;
        }
    }
    if (report->warnings->len == DUMP_REPORT_MAX_WARNINGS) {
        report->dropped++;
        g_free(text);
        return;
    }
    g_ptr_array_add(report->warnings, text);
}

void dump_report_warn(DumpReport *report, const char *fmt, ...)
{
    va_list ap;
    char *text;

    if (!report) {
        return;
    }
    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    qemu_mutex_lock(&report->lock);
    report_add(report, text);
    qemu_mutex_unlock(&report->lock);
}

void dump_report_warn_err(DumpReport *report, Error *err)
{
    if (err) {
        dump_report_warn(report, "%s", error_get_pretty(err));
        error_free(err);
    }
}

static void report_count(DumpReport *report, uint64_t *counter,
                         uint64_t bytes)
{
    qemu_mutex_lock(&report->lock);
    *counter += bytes;
    qemu_mutex_unlock(&report->lock);
}

static uint64_t report_counted(DumpReport *report, const uint64_t *counter)
{
    uint64_t bytes;

    qemu_mutex_lock(&report->lock);
    bytes = *counter;
    qemu_mutex_unlock(&report->lock);
    return bytes;
}

void dump_report_add_lost(DumpReport *report, uint64_t bytes)
{
    if (report) {
        report_count(report, &report->lost, bytes);
    }
}

uint64_t dump_report_lost(DumpReport *report)
{
    return report ? report_counted(report, &report->lost) : 0;
}

void dump_report_add_left_out(DumpReport *report, uint64_t bytes)
{
    if (report) {
        report_count(report, &report->left_out, bytes);
    }
}

uint64_t dump_report_left_out(DumpReport *report)
{
    return report ? report_counted(report, &report->left_out) : 0;
}

void dump_report_add_class(DumpReport *report, PageClass class,
                           uint64_t bytes)
{
    if (report) {
        report_count(report, &report->classes[class], bytes);
    }
}

uint64_t dump_report_class(DumpReport *report, PageClass class)
{
    return report ? report_counted(report, &report->classes[class]) : 0;
}

char **dump_report_warnings(DumpReport *report)
{
    GPtrArray *all = g_ptr_array_new();

    if (report) {
        qemu_mutex_lock(&report->lock);
        for (guint i = 0; i < report->warnings->len; i++) {
            g_ptr_array_add(all, g_strdup(g_ptr_array_index(report->warnings,
                                                            i)));
        }
        if (report->dropped) {
            g_ptr_array_add(all, g_strdup_printf("%u more warnings",
                                                 report->dropped));
        }
        if (report->lost) {
            g_ptr_array_add(all, g_strdup_printf(
                "%" PRIu64 " bytes of guest memory could not be read and are "
                "missing from the dump", report->lost));
        }
        qemu_mutex_unlock(&report->lock);
    }
    g_ptr_array_add(all, NULL);
    return (char **)g_ptr_array_free(all, FALSE);
}
