/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Writers: one dump format each, from collected guest state to a sink.
 *
 *     dump_writer_available(format)
 *                               before anything is touched
 *     w = dump_writer_plan(...) layout and totals; nothing written yet
 *     dump_writer_write(w, ...) the dump
 *     dump_writer_free(w)
 */

#ifndef DUMP_VMCORE_WRITER_H
#define DUMP_VMCORE_WRITER_H

#include "codec.h"
#include "dump-guest.h"
#include "layout.h"
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
    unsigned threads;           /* as in dump_pipeline_run; DUMP_KIND_KDUMP */
} DumpFormat;

typedef struct DumpWriterOps DumpWriterOps;

/* The first member of every format's own writer. */
typedef struct DumpWriter {
    const DumpWriterOps *ops;
    const DumpGuest *guest;     /* not owned */
    DumpProgress *progress;     /* not owned */
    DumpLayout *layout;
} DumpWriter;

struct DumpWriterOps {
    DumpFormatKind kind;
    size_t size;                /* bytes of the format's own writer */

    /* What it can do, and what it needs. */
    bool paging;                /* one segment per guest-virtual mapping */
    bool range;                 /* a part of memory */
    bool low_memory;            /* only what guest_ram_drop_far leaves */
    bool ends_with_ram;         /* no device's memory above the guest's RAM */
    bool windows;               /* DumpGuest.windows */
    bool plain_memory;          /* the file is no smaller than what is dumped */
    /* See dump_writer_must_seek; NULL: any output will do. */
    const char *(*must_seek)(const DumpFormat *format);

    /* Can this build write @format? Called before anything is touched. */
    bool (*available)(const DumpFormat *format);

    /*
     * Lay the dump out; @w has its DumpWriter filled in, an empty layout, and
     * is else zero. @total: bytes of guest memory. False with @errp set if
     * the guest does not fit the format or there is no memory; release is
     * called then, too. The layout itself need not be asked.
     */
    bool (*plan)(DumpWriter *w, const DumpFormat *format, uint64_t *total,
                 Error **errp);

    /* See dump_writer_write. */
    bool (*write)(DumpWriter *w, DumpSink *sink, Error **errp);

    /* Free what the format's own writer has, but not @w. */
    void (*release)(DumpWriter *w);
};

extern const DumpWriterOps dump_writer_elf;
extern const DumpWriterOps dump_writer_kdump;
extern const DumpWriterOps dump_writer_windmp;

/* The row of the table for a kind of format; every kind has one. */
const DumpWriterOps *dump_writer_ops(DumpFormatKind kind);

/* False if this build cannot write @format. */
bool dump_writer_available(const DumpFormat *format);

/*
 * Why an output that cannot seek is none for @format, as an error message;
 * NULL if it is.
 */
const char *dump_writer_must_seek(const DumpFormat *format);

/*
 * Lay a dump of @guest out, and set the total of @progress; both must outlive
 * the writer. @format is an available one. NULL with @errp set if the guest
 * does not fit it, or there is no memory.
 */
DumpWriter *dump_writer_plan(const DumpFormat *format,
                             const DumpGuest *guest, DumpProgress *progress,
                             Error **errp);

/*
 * Write the whole dump and finish the sink (which stays the caller's to free).
 * Once.
 *
 * False with @errp set on a failure, or soon after the progress was cancelled
 * ("dump: cancelled"). What is left then is marked as incomplete where format
 * and sink have a way to, and is else merely cut short.
 */
bool dump_writer_write(DumpWriter *w, DumpSink *sink, Error **errp);

/* NULL is allowed. */
void dump_writer_free(DumpWriter *w);

#endif
