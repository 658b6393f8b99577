/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Selects a sink for a descriptor.
 */

#include "qemu/osdep.h"
#include "fd-host.h"
#include "sink-fd.h"
#include "sink-file.h"
#include "sink-stream.h"

bool dump_fd_can_seek(int fd)
{
    struct stat st;
    int flags = fd_host_flags(fd);

    /* With O_APPEND, all writes go to the end of the file. */
    if (flags < 0 || (flags & O_APPEND) || fstat(fd, &st) < 0 ||
        lseek(fd, 0, SEEK_CUR) < 0) {
        return false;
    }
    return S_ISREG(st.st_mode) || S_ISBLK(st.st_mode) || S_ISCHR(st.st_mode);
}

DumpSink *dump_sink_fd_new(int fd, DumpProgress *progress)
{
    return dump_fd_can_seek(fd) ? dump_sink_file_new(fd, progress) :
                                  dump_sink_stream_new(fd, progress);
}
