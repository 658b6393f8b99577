/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a dump has less in it than was asked for: warnings, the bytes of guest
 * memory that could not be read, and those that the format leaves out.
 * Collected while the dump is made, for whoever asked for it.
 *
 * All functions may be called by any thread, except init and deinit. Where a
 * DumpReport is NULL, nothing is collected.
 */

#ifndef DUMP_VMCORE_REPORT_H
#define DUMP_VMCORE_REPORT_H

#include "qemu/thread.h"
#include "page-class.h"

/* More than this many different warnings are only counted. */
#define DUMP_REPORT_MAX_WARNINGS    32

typedef struct DumpReport {
    QemuMutex lock;
    GPtrArray *warnings;        /* of char *; under lock */
    unsigned dropped;           /* warnings beyond the maximum; under lock */
    uint64_t lost;              /* bytes; under lock */
    uint64_t left_out;          /* bytes; under lock */
    uint64_t classes[PAGE_CLASS__MAX];          /* bytes; under lock */
} DumpReport;

void dump_report_init(DumpReport *report);
void dump_report_deinit(DumpReport *report);

/*
 * Add one warning: a sentence without a period at the end. A text that is
 * there already is not added again.
 */
void G_GNUC_PRINTF(2, 3) dump_report_warn(DumpReport *report,
                                          const char *fmt, ...);

/* The same with the text of @err, which is freed. NULL adds nothing. */
void dump_report_warn_err(DumpReport *report, Error *err);

/* Another @bytes of guest memory could not be read. */
void dump_report_add_lost(DumpReport *report, uint64_t bytes);

/* Bytes of guest memory that could not be read so far. */
uint64_t dump_report_lost(DumpReport *report);

/* Another @bytes of guest memory are not for this format. */
void dump_report_add_left_out(DumpReport *report, uint64_t bytes);

/* Bytes of guest memory that the format leaves out. */
uint64_t dump_report_left_out(DumpReport *report);

/* Another @bytes of guest memory are left out as pages of a class. */
void dump_report_add_class(DumpReport *report, PageClass class,
                           uint64_t bytes);

/* Bytes of guest memory left out as pages of a class. */
uint64_t dump_report_class(DumpReport *report, PageClass class);

/*
 * All warnings in the order in which they came, for the caller to free with
 * g_strfreev; the last one tells of memory that could not be read, if there
 * is any. Never NULL.
 */
char **dump_report_warnings(DumpReport *report);

#endif
