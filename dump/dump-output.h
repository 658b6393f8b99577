/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The output of a dump. It is opened before the guest is stopped, so that
 * errors surface early, and truncated only once writing is certain.
 *
 * Called with the BQL held, in the main thread, except dump_output_begin, which
 * is called by the thread that writes.
 */

#ifndef DUMP_OUTPUT_H
#define DUMP_OUTPUT_H

#include "vmcore/sink.h"

typedef struct DumpOutput DumpOutput;

/* Destination of a dump; one of the names is not NULL. */
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

/* Base of each kind's structure. */
struct DumpOutput {
    const DumpOutputOps *ops;
    bool needs_main_loop;       /* see dump_output_needs_main_loop */
};

/*
 * Open @name. A file is not truncated yet, and a new one is removed by
 * dump_output_release unless dump_output_begin is called; a node is not
 * modified. A named pipe without a reader is opened later. Returns NULL, with
 * @errp set, if the output is not suitable, or is used by the guest.
 * @must_seek: error message for an output that cannot seek; NULL: accept it
 */
DumpOutput *dump_output_open(const DumpOutputName *name,
                             const char *must_seek, Error **errp);

/*
 * Refuse an output that cannot take @bytes of guest memory, because of its
 * file system's maximum file size, RLIMIT_FSIZE, or the size of its device or
 * node. Free space is not checked.
 */
bool dump_output_check_size(DumpOutput *out, uint64_t bytes, Error **errp);

/*
 * Must another thread run the main loop, or poll the main AioContext, while the
 * output is written?
 */
bool dump_output_needs_main_loop(const DumpOutput *out);

/*
 * The dump is going to be written: truncate the file. Returns the sink, which
 * is wrapped in makedumpfile's flattened form if @flat, and must be settled
 * if @durable. It must be freed in the main thread, with the BQL held.
 */
DumpSink *dump_output_begin(DumpOutput *out, bool flat, bool durable,
                            DumpProgress *progress, Error **errp);

/* Close the output. Without dump_output_begin, a new file is removed. */
void dump_output_release(DumpOutput *out);

/*
 * Called when QEMU exits, which waits for all requests to the block layer.
 * Aborts, if possible, requests of dumps that have ended without waiting for
 * them.
 */
void dump_output_exit(void);

/* The kinds, for dump_output_open. */
DumpOutput *dump_output_open_fd(const DumpOutputName *name,
                                const char *must_seek, Error **errp);
DumpOutput *dump_output_open_block(const char *node_name, Error **errp);

#endif
