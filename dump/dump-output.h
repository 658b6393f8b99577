/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The output of a dump, from its name to a sink: opened early, so that what
 * is wrong with it is known before the guest is stopped; touched late.
 *
 * Called with the BQL held, in the main thread, except dump_output_begin,
 * which the thread calls that writes.
 */

#ifndef DUMP_OUTPUT_H
#define DUMP_OUTPUT_H

#include "vmcore/sink.h"

typedef struct DumpOutput DumpOutput;

/* Where a dump goes; one of the names is not NULL. */
typedef struct DumpOutputName {
    const char *path;           /* file to write */
    const char *fd_name;        /* descriptor that the monitor was given */
    const char *node_name;      /* block node */
    bool direct;                /* leave nothing in the host's page cache */
} DumpOutputName;

/* Implemented by each kind of output; none is NULL. */
typedef struct DumpOutputOps {
    bool (*check_size)(DumpOutput *out, uint64_t bytes, Error **errp);
    DumpSink *(*begin)(DumpOutput *out, DumpProgress *progress, Error **errp);
    void (*release)(DumpOutput *out);
} DumpOutputOps;

/* Head of each kind's structure. */
struct DumpOutput {
    const DumpOutputOps *ops;
    bool needs_main_loop;       /* see dump_output_needs_main_loop */
};

/*
 * Open @name. A file is neither truncated nor, for good, created yet, nor a
 * node written to. A named pipe may have no reader: then the dump waits for
 * one. NULL with @errp set if the output is not suited, or is the guest's.
 * @must_seek: the error for an output that cannot seek; NULL: it is welcome
 */
DumpOutput *dump_output_open(const DumpOutputName *name,
                             const char *must_seek, Error **errp);

/*
 * Refuse an output that cannot take @bytes of guest memory, because of its
 * file system's largest file, RLIMIT_FSIZE, or the size of its device or
 * node. How much room there is left is not looked at.
 */
bool dump_output_check_size(DumpOutput *out, uint64_t bytes, Error **errp);

/*
 * Can it be written to only while another thread runs the main loop, or polls
 * the main AioContext?
 */
bool dump_output_needs_main_loop(const DumpOutput *out);

/*
 * The dump is going to be written: truncate the file. Returns the sink, which
 * is wrapped in makedumpfile's flattened form if @flat, and is to be settled
 * if @durable. It is to be freed in the main thread, with the BQL held.
 */
DumpSink *dump_output_begin(DumpOutput *out, bool flat, bool durable,
                            DumpProgress *progress, Error **errp);

/* Close what is still open; without a begin nothing is left behind. */
void dump_output_release(DumpOutput *out);

/*
 * QEMU exits, which waits for all requests to the block layer. Those of dumps
 * that did not wait for them are broken off, where that is possible.
 */
void dump_output_exit(void);

/* The kinds, for dump_output_open. */
DumpOutput *dump_output_open_fd(const DumpOutputName *name,
                                const char *must_seek, Error **errp);
DumpOutput *dump_output_open_block(const char *node_name, Error **errp);

#endif
