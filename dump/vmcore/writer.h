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
#include "guest-ram.h"
#include "kdump-format.h"
#include "mappings.h"
#include "report.h"
#include "sink.h"
#include "untouched.h"
#include "windows-guest.h"

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

/*
 * Sections that a target adds to ELF dumps (s390x protected guests). All
 * of them is called on the thread that plans or writes.
 */
typedef struct DumpExtraSections {
    uint32_t count;             /* section headers, without null and names */
    uint64_t data_size;         /* bytes of section data */
    void *opaque;
    /*
     * Fill @count section headers of the target's class, whose data starts
     * at @data_offset. Names are appended to @names (char elements), whose
     * present length is the first one's offset. False: they are not what
     * @count and @data_size announced; the plan fails.
     */
    bool (*headers)(void *opaque, uint64_t data_offset, GArray *names,
                    uint8_t *buf, size_t len);
    /* Fill @data_size bytes; called after all memory was written. */
    bool (*data)(void *opaque, uint8_t *buf, size_t len, Error **errp);
} DumpExtraSections;

/* The guest at the moment of the dump. Owned by the job. */
typedef struct DumpGuest {
    DumpAbi abi;
    uint32_t page_size;         /* bytes, a power of two, 4 KiB or more */
    int64_t phys_base;
    unsigned nr_cpus;
    GuestRam ram;               /* sealed; clipped if a range was asked */
    DumpUntouched *untouched;   /* owned; NULL: all memory is read */
    GArray *mappings;           /* DumpMapping; NULL without paging */
    GByteArray *notes;          /* all notes, in the target's order */
    size_t vmcoreinfo_pos;      /* VMCOREINFO text inside notes, bytes */
    size_t vmcoreinfo_size;     /* 0 if there is none */
    KdumpUts uts;
    uint64_t time_sec;
    uint64_t time_usec;
    const DumpExtraSections *extra; /* NULL for none */
    DumpWindows *windows;       /* owned; DUMP_KIND_WINDMP only, else NULL */
    DumpReport *report;         /* told what is missing; may be NULL */
} DumpGuest;

void dump_guest_init(DumpGuest *guest);
void dump_guest_deinit(DumpGuest *guest);

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
