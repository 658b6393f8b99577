/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Deficiencies of a dump: warnings, and counters of guest memory that could
 * not be read or was excluded. Collected while the dump is made, for query-dump
 * and the monitor.
 *
 * All functions but init and deinit may be called by any thread, and do nothing
 * if the DumpReport is NULL.
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
 * Add one warning: a sentence without a trailing period. Duplicates are
 * ignored.
 */
void G_GNUC_PRINTF(2, 3) dump_report_warn(DumpReport *report,
                                          const char *fmt, ...);

/* The same with the text of @err, which is freed. NULL adds nothing. */
void dump_report_warn_err(DumpReport *report, Error *err);

/* Count @bytes of guest memory that could not be read. */
void dump_report_add_lost(DumpReport *report, uint64_t bytes);

/* Bytes of guest memory that could not be read so far. */
uint64_t dump_report_lost(DumpReport *report);

/* Count @bytes of guest memory that the format cannot hold. */
void dump_report_add_left_out(DumpReport *report, uint64_t bytes);

/* Bytes of guest memory omitted since the format cannot hold them. */
uint64_t dump_report_left_out(DumpReport *report);

/* Count @bytes of guest memory excluded as pages of @class. */
void dump_report_add_class(DumpReport *report, PageClass class,
                           uint64_t bytes);

/* Bytes of guest memory excluded as pages of @class. */
uint64_t dump_report_class(DumpReport *report, PageClass class);

/*
 * All warnings in the order in which they were added; the last one gives the
 * number of bytes that could not be read, if not 0. Never NULL; the caller
 * frees it with g_strfreev.
 */
char **dump_report_warnings(DumpReport *report);

#endif
