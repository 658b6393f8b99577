/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Writers: one dump format each, from collected guest state to a sink.
 *
 *     const DumpWriterOps *ops = dump_writer_find(format);
 *                               before anything is touched
 *     w = ops->plan(...)        layout and totals; nothing written yet
 *     ops->write(w, sink, ...)  the dump
 *     ops->free(w)
 */

#ifndef DUMP_VMCORE_WRITER_H
#define DUMP_VMCORE_WRITER_H

#include "codec.h"
#include "dump-guest.h"
#include "sink.h"

typedef enum DumpFormatKind {
    DUMP_KIND_ELF,
    DUMP_KIND_KDUMP,
    DUMP_KIND_WINDMP,
    DUMP_KIND__MAX,
} DumpFormatKind;

/* What to write; filled by the commands from the user's arguments. */
typedef struct DumpFormat {
    DumpFormatKind kind;
    DumpCodecId codec;          /* DUMP_KIND_KDUMP */
    bool flat;                  /* wrapped in the flattened form */
} DumpFormat;

typedef struct DumpWriter DumpWriter;

typedef struct DumpWriterOps {
    DumpFormatKind kind;

    /* Can this build write @format? Called before anything is touched. */
    bool (*available)(const DumpFormat *format);

    /*
     * Lay the dump out. @guest must outlive the writer. Sets the total of
     * @progress. NULL with @errp set if the guest does not fit the format.
     */
    DumpWriter *(*plan)(const DumpFormat *format, const DumpGuest *guest,
                        DumpProgress *progress, Error **errp);

    /* Bytes of the file; UINT64_MAX if it depends on compression. */
    uint64_t (*file_size)(const DumpWriter *w);

    /*
     * Write the whole dump and finish the sink (which stays the
     * caller's to free). @threads as in dump_pipeline_run.
     *
     * False with @errp set on a failure, or soon after @progress was
     * cancelled ("dump: cancelled"). What is left then is marked as
     * incomplete where format and sink have a way to, and is else merely
     * cut short.
     */
    bool (*write)(DumpWriter *w, DumpSink *sink, unsigned threads,
                  Error **errp);

    void (*free)(DumpWriter *w);
} DumpWriterOps;

extern const DumpWriterOps dump_writer_elf;
extern const DumpWriterOps dump_writer_kdump;
extern const DumpWriterOps dump_writer_windmp;

/* The writer for @format, NULL if this build cannot write it. */
const DumpWriterOps *dump_writer_find(const DumpFormat *format);

#endif
