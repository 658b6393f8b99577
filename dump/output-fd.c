/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Output to a file or descriptor of any type.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "monitor/monitor.h"
#include "qemu/host-utils.h"
#include "dump-output.h"
#include "guest-files.h"
#include "vmcore/fd-host.h"
#include "vmcore/fd-sync.h"
#include "vmcore/sink-fd.h"
#include "vmcore/sink-file.h"
#include "vmcore/sink-stream.h"

#ifndef O_DIRECT
#define O_DIRECT 0
#endif

typedef struct FdOutput {
    DumpOutput parent;
    int fd;                     /* until the sink owns it; else -1 */
    char *created;              /* path to remove if the dump never begins */
    char *fifo;                 /* path of a named pipe without a reader */
    bool truncate;              /* before writing */
    bool direct;                /* keep data out of the page cache */
} FdOutput;

static bool output_is_fifo(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISFIFO(st.st_mode);
}

/* The effect of O_NONBLOCK on writes to other devices is not known. */
static void output_set_blocking(int fd)
{
    struct stat st;

    if (fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && !isatty(fd)) {
        fd_host_set_blocking(fd);
    }
}

/*
 * Open the file without truncating it; output_begin() does that. The path of a
 * file that did not exist is stored, to remove the file if nothing is written,
 * and so is the path of a named pipe without a reader.
 */
static bool output_open_path(FdOutput *out, const char *path, Error **errp)
{
    const int flags = O_WRONLY | O_BINARY | fd_host_open_flags(path);
    /* A dump contains all secrets of the guest: no access for others. */
    const mode_t mode = S_IRUSR | S_IWUSR;

    out->fd = qemu_open_old(path, flags);
    if (out->fd < 0 && errno == ENXIO && output_is_fifo(path)) {
        out->fifo = g_strdup(path);
        return true;
    }
    if (out->fd < 0 && errno == ENOENT) {
        out->fd = qemu_open_old(path, flags | O_CREAT | O_EXCL, mode);
        if (out->fd >= 0) {
            out->created = g_strdup(path);
        } else if (errno == EEXIST) {
            /* Dangling symlink: create its target. */
            out->fd = qemu_open_old(path, flags | O_CREAT, mode);
            out->created = out->fd >= 0 ? fd_host_real_path(path) : NULL;
        }
    }
    if (out->fd < 0) {
        error_setg_errno(errp, errno, "Could not open '%s'", path);
        return false;
    }
    output_set_blocking(out->fd);
    out->truncate = true;
    return true;
}

/*
 * Writes of a dump are not aligned as O_DIRECT requires. The flag may be shared
 * with other processes, so it is not changed: open the file again. (For pipes
 * the flag has another meaning.)
 */
static bool output_avoid_direct(FdOutput *out, const char *name, int flags,
                                Error **errp)
{
    struct stat st;
    int fd;

    if (!(flags & O_DIRECT) || fstat(out->fd, &st) < 0 ||
        !(S_ISREG(st.st_mode) || S_ISBLK(st.st_mode))) {
        return true;
    }
    fd = fd_reopen(out->fd, flags & (O_ACCMODE | O_APPEND));
    if (fd < 0) {
        error_setg_errno(errp, errno, "dump: descriptor '%s' is open with "
                         "O_DIRECT, and cannot be reopened without it", name);
        return false;
    }
    lseek(fd, MAX(lseek(out->fd, 0, SEEK_CUR), 0), SEEK_SET);
    qemu_close(out->fd);
    out->fd = fd;
    return true;
}

static bool output_take_fd(FdOutput *out, const char *name, Error **errp)
{
    int flags;

    out->fd = monitor_get_fd(monitor_cur(), name, errp);
    if (out->fd < 0) {
        out->fd = -1;
        return false;
    }
    flags = fd_host_flags(out->fd);
    if (flags < 0) {
        error_setg_errno(errp, errno, "dump: descriptor '%s'", name);
        return false;
    }
    if ((flags & O_ACCMODE) == O_RDONLY) {
        error_setg(errp, "dump: descriptor '%s' is not open for writing",
                   name);
        return false;
    }
    return output_avoid_direct(out, name, flags, errp);
}

/* The offset of the beginning of the dump. */
static uint64_t output_base(const FdOutput *out, const struct stat *st)
{
    if (out->truncate && S_ISREG(st->st_mode)) {
        return 0;
    }
    if (fd_host_flags(out->fd) & O_APPEND) {
        return st->st_size;
    }
    return MAX(lseek(out->fd, 0, SEEK_CUR), 0);
}

/*
 * The result of lseek(). The file position, which may be shared with other
 * processes, is restored at once.
 */
static off_t output_try_seek(int fd, off_t offset, int whence)
{
    off_t old = lseek(fd, 0, SEEK_CUR);
    off_t pos = lseek(fd, offset, whence);
    int err = errno;

    lseek(fd, old, SEEK_SET);
    errno = err;
    return pos;
}

/* 0, or the negative errno with which a write up to byte @end would fail. */
static int output_file_error(int fd, uint64_t end)
{
    if (end > fd_host_size_limit()) {
        return -EFBIG;
    }
    /* lseek() fails beyond the maximum file size of the file system. */
    if (end > INT64_MAX ||
        (output_try_seek(fd, end, SEEK_SET) < 0 && errno == EINVAL)) {
        return -EFBIG;
    }
    return 0;
}

static int output_disk_error(int fd, uint64_t end)
{
    off_t size = output_try_seek(fd, 0, SEEK_END);

    return size > 0 && end > size ? -ENOSPC : 0;
}

static bool output_check_size(DumpOutput *parent, uint64_t bytes,
                              Error **errp)
{
    FdOutput *out = container_of(parent, FdOutput, parent);
    struct stat st;
    uint64_t end;
    int ret = 0;

    if (out->fd < 0 || fstat(out->fd, &st) < 0) {
        return true;
    }
    if (uadd64_overflow(output_base(out, &st), bytes, &end)) {
        end = UINT64_MAX;
    }
    if (S_ISREG(st.st_mode)) {
        ret = output_file_error(out->fd, end);
    } else if (S_ISBLK(st.st_mode)) {
        ret = output_disk_error(out->fd, end);
    }
    if (ret) {
        error_setg_errno(errp, -ret, "dump: no space for %" PRIu64 " bytes of "
                         "guest memory", bytes);
    }
    return !ret;
}

/* Truncate a file opened by name; the dump begins at its start. */
static bool output_truncate(FdOutput *out, Error **errp)
{
    struct stat st;

    if (!out->truncate || fstat(out->fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        return true;
    }
    if (st.st_size && ftruncate(out->fd, 0) < 0) {
        error_setg_errno(errp, errno, "dump: failed to truncate the output");
        return false;
    }
    /* A descriptor of an fdset may have been written to before. */
    lseek(out->fd, 0, SEEK_SET);
    return true;
}

static DumpSink *output_begin(DumpOutput *parent, DumpProgress *progress,
                              Error **errp)
{
    FdOutput *out = container_of(parent, FdOutput, parent);
    DumpSink *sink;

    if (!output_truncate(out, errp)) {
        return NULL;
    }
    g_clear_pointer(&out->created, g_free);

    sink = out->fifo ? dump_sink_stream_new_fifo(out->fifo, progress) :
                       dump_sink_fd_new(out->fd, progress);
    if (out->direct) {
        dump_sink_file_bypass_cache(sink);
    }
    out->fd = -1;
    return sink;
}

static void output_release(DumpOutput *parent)
{
    FdOutput *out = container_of(parent, FdOutput, parent);

    if (out->fd >= 0) {
        qemu_close(out->fd);
    }
    if (out->created) {
        unlink(out->created);
        g_free(out->created);
    }
    g_free(out->fifo);
    g_free(out);
}

static bool output_open(FdOutput *out, const DumpOutputName *name,
                        const char *must_seek, Error **errp)
{
    if (name->path ? !output_open_path(out, name->path, errp) :
                     !output_take_fd(out, name->fd_name, errp)) {
        return false;
    }
    if (must_seek && !dump_fd_can_seek(out->fd)) {
        error_setg(errp, "%s", must_seek);
        return false;
    }
    out->direct = name->direct;
    if (out->direct && !(fd_is_storage(out->fd) &&
                         dump_fd_can_seek(out->fd))) {
        error_setg(errp, "Parameter 'direct' requires a seekable file or disk");
        return false;
    }
    return out->fd < 0 || guest_files_check(out->fd, errp);
}

DumpOutput *dump_output_open_fd(const DumpOutputName *name,
                                const char *must_seek, Error **errp)
{
    static const DumpOutputOps ops = {
        .check_size = output_check_size,
        .begin = output_begin,
        .release = output_release,
    };
    FdOutput *out = g_new0(FdOutput, 1);

    out->parent.ops = &ops;
    out->fd = -1;
    if (!output_open(out, name, must_seek, errp)) {
        output_release(&out->parent);
        return NULL;
    }
    return &out->parent;
}
