/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The output of a dump, from its name to a sink.
 *
 * Called with the BQL held, in the main thread, except dump_output_begin,
 * which the thread calls that writes.
 */

#ifndef DUMP_OUTPUT_H
#define DUMP_OUTPUT_H

#include "vmcore/sink.h"

typedef struct DumpOutput {
    int fd;                     /* until the sink has it; else -1 */
    char *created;              /* path to remove if nothing was begun */
    char *fifo;                 /* path of a named pipe without a reader */
    bool truncate;              /* before writing */
} DumpOutput;

void dump_output_init(DumpOutput *out);

/*
 * Open @path, or take the descriptor @fd_name of the current monitor if
 * @path is NULL. A file is neither truncated nor, for good, created yet.
 * A named pipe may have no reader: then the dump waits for one.
 * @must_seek: the error for an output that cannot seek; NULL: it is welcome
 */
bool dump_output_open(DumpOutput *out, const char *path, const char *fd_name,
                      const char *must_seek, Error **errp);

/*
 * Refuse an opened output that cannot take @bytes of guest memory, because of
 * its file system's largest file, RLIMIT_FSIZE or the size of its device. How
 * much room there is left is not looked at.
 */
bool dump_output_check_size(const DumpOutput *out, uint64_t bytes,
                            Error **errp);

/*
 * The dump is going to be written: truncate the file. Returns the sink, which
 * owns the descriptor then; see dump_sink_fd_new.
 */
DumpSink *dump_output_begin(DumpOutput *out, bool flat,
                            DumpProgress *progress, Error **errp);

/* Close what is still open; without a begin nothing is left behind. */
void dump_output_release(DumpOutput *out);

#endif
