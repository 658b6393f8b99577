/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Writers: each writes one dump format from collected guest state to a sink.
 *
 *     dump_writer_available(format)
 *                               check before any side effect
 *     w = dump_writer_plan(...) layout and totals; nothing is written
 *     dump_writer_write(w, ...) write the dump
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
} DumpFormatKind;

/* Format parameters; set by the commands from the user's arguments. */
typedef struct DumpFormat {
    DumpFormatKind kind;
    DumpCodecId codec;          /* DUMP_KIND_KDUMP */
    bool flat;                  /* use the flattened form */
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
    size_t size;                /* bytes of the format's writer structure */

    /* Capabilities and requirements. */
    bool paging;                /* can write guest-virtual mappings */
    bool range;                 /* can write a part of memory */
    bool low_memory;            /* needs guest_ram_drop_far */
    bool ends_with_ram;         /* needs device memory above RAM dropped */
    bool windows;               /* needs DumpGuest.windows */
    bool plain_memory;          /* file is no smaller than the dumped memory */
    /* See dump_writer_must_seek; NULL: any output is accepted. */
    const char *(*must_seek)(const DumpFormat *format);

    /* Can this build write @format? Called before any side effect. */
    bool (*available)(const DumpFormat *format);

    /*
     * Plan the file. The DumpWriter in @w is set, with an empty layout; the
     * rest of @w is zero. *@total: bytes of guest memory. Returns false, with
     * @errp set, if the guest does not fit the format or out of memory;
     * release is called in this case, too. The caller checks
     * dump_layout_planned.
     */
    bool (*plan)(DumpWriter *w, const DumpFormat *format, uint64_t *total,
                 Error **errp);

    /* See dump_writer_write. */
    bool (*write)(DumpWriter *w, DumpSink *sink, Error **errp);

    /* Free what the format's writer owns, but not @w. */
    void (*release)(DumpWriter *w);
};

extern const DumpWriterOps dump_writer_elf;
extern const DumpWriterOps dump_writer_kdump;
extern const DumpWriterOps dump_writer_windmp;

/* The operations of a kind of format. Never NULL. */
const DumpWriterOps *dump_writer_ops(DumpFormatKind kind);

/* False if this build cannot write @format. */
bool dump_writer_available(const DumpFormat *format);

/*
 * An error message that says why @format needs a seekable output; NULL if it
 * does not.
 */
const char *dump_writer_must_seek(const DumpFormat *format);

/*
 * Plan a dump of @guest and set the total of @progress; both must outlive the
 * writer. @format must be available. Returns NULL, with @errp set, if the guest
 * does not fit the format or out of memory.
 */
DumpWriter *dump_writer_plan(const DumpFormat *format,
                             const DumpGuest *guest, DumpProgress *progress,
                             Error **errp);

/*
 * Write the whole dump and finish @sink, which the caller still has to free.
 * Called once.
 *
 * Returns false, with @errp set, on failure, or soon after the progress was
 * cancelled ("dump: cancelled"). The output is then marked incomplete if format
 * and sink support it, else it is merely truncated.
 */
bool dump_writer_write(DumpWriter *w, DumpSink *sink, Error **errp);

/* NULL is allowed. */
void dump_writer_free(DumpWriter *w);

#endif
