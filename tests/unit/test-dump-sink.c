/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One test suite for every kind of sink, and tests for each kind.
 */

#include "qemu/osdep.h"
#include <sys/resource.h>
#include <sys/socket.h>
#include "qapi/error.h"
#include "qemu/units.h"
#include "sink-fd.h"
#include "sink-file.h"
#include "sink-flat.h"
#include "sink-stream.h"

typedef enum Channel {
    PIPE,
    PIPE_NONBLOCK,              /* on the writing end */
    FIFO,                       /* does not support RWF_NOWAIT */
    SOCKET,
} Channel;

static const char *const channel_names[] = {
    "pipe", "nonblock", "fifo", "socket",
};

static void fifo_open(int fds[2])
{
    g_autofree char *dir = g_dir_make_tmp("dump-sink-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "fifo", NULL);

    g_assert_cmpint(mkfifo(path, 0600), ==, 0);
    /* A blocking open() would wait for the other end. */
    fds[0] = open(path, O_RDONLY | O_NONBLOCK);
    fds[1] = open(path, O_WRONLY);
    g_assert_cmpint(fcntl(fds[0], F_SETFL, 0), ==, 0);
    unlink(path);
    rmdir(dir);
}

/* fds[0] is the reading, fds[1] the writing end. */
static void channel_open(Channel kind, int fds[2])
{
    if (kind == FIFO) {
        fifo_open(fds);
    } else if (kind == SOCKET) {
        g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), ==, 0);
    } else {
        g_assert_cmpint(pipe(fds), ==, 0);
    }
    if (kind == PIPE_NONBLOCK) {
        g_assert_cmpint(fcntl(fds[1], F_SETFL, O_NONBLOCK), ==, 0);
    }
}

/* A channel whose other end is read by a thread. */
typedef struct Collector {
    int fd;
    unsigned delay_us;          /* before each read */
    GByteArray *data;
    GThread *thread;
} Collector;

static gpointer collect(gpointer opaque)
{
    Collector *c = opaque;
    uint8_t buf[8192];
    ssize_t n;

    while (g_usleep(c->delay_us), (n = read(c->fd, buf, sizeof(buf))) > 0) {
        g_byte_array_append(c->data, buf, n);
    }
    close(c->fd);
    return NULL;
}

static int collector_start(Collector *c, Channel kind, unsigned delay_us)
{
    int fds[2];

    channel_open(kind, fds);
    *c = (Collector) { .fd = fds[0], .delay_us = delay_us,
                       .data = g_byte_array_new() };
    c->thread = g_thread_new("collect", collect, c);
    return fds[1];
}

static GByteArray *collector_end(Collector *c)
{
    g_thread_join(c->thread);
    return c->data;
}

static int temp_file(char **path)
{
    return g_file_open_tmp("dump-sink-XXXXXX", path, NULL);
}

static GByteArray *file_content(const char *path)
{
    g_autofree char *data = NULL;
    GByteArray *out = g_byte_array_new();
    gsize len;

    g_assert_true(g_file_get_contents(path, &data, &len, NULL));
    g_byte_array_append(out, (uint8_t *)data, len);
    return out;
}

/* The file that the records of a flattened file describe. */
static GByteArray *unflatten(GByteArray *flat)
{
    GByteArray *out = g_byte_array_new();
    size_t pos = 4096;

    g_assert_cmpuint(flat->len, >, 4096);
    g_assert_cmpmem(flat->data, 13, "makedumpfile", 13);
    while (true) {
        uint64_t record[2], offset, size;

        g_assert_cmpuint(pos + 16, <=, flat->len);
        memcpy(record, flat->data + pos, 16);
        offset = GUINT64_FROM_BE(record[0]);
        size = GUINT64_FROM_BE(record[1]);
        pos += 16;
        if (offset == UINT64_MAX) {
            g_assert_cmphex(size, ==, UINT64_MAX);
            break;
        }
        g_assert_cmpuint(size, >, 0);
        g_assert_cmpuint(size, <=, flat->len - pos);
        if (out->len < offset + size) {
            size_t old = out->len;

            g_byte_array_set_size(out, offset + size);
            memset(out->data + old, 0, out->len - old);
        }
        memcpy(out->data + offset, flat->data + pos, size);
        pos += size;
    }
    g_assert_cmpuint(pos, ==, flat->len);
    g_byte_array_unref(flat);
    return out;
}

typedef struct Kind {
    const char *name;
    bool pipe, flat, random;
} Kind;

static const Kind kinds[] = {
    { "file", false, false, true },
    { "stream", true, false, false },
    { "flat-file", false, true, true },
    { "flat-stream", true, true, true },
};

typedef struct Output {
    const Kind *kind;
    DumpSink *sink;
    DumpProgress progress;
    Collector collector;
    char *path;
} Output;

static void output_open(Output *o, const Kind *kind)
{
    int fd;

    memset(o, 0, sizeof(*o));
    o->kind = kind;
    dump_progress_init(&o->progress);
    fd = kind->pipe ? collector_start(&o->collector, PIPE, 0) :
                      temp_file(&o->path);
    o->sink = dump_sink_fd_new(fd, &o->progress);
    if (kind->flat) {
        o->sink = dump_sink_flat_new(o->sink);
    }
}

static GByteArray *output_close(Output *o)
{
    GByteArray *data;

    dump_sink_free(o->sink);
    if (o->kind->pipe) {
        data = collector_end(&o->collector);
    } else {
        data = file_content(o->path);
        unlink(o->path);
        g_free(o->path);
    }
    if (o->kind->pipe || o->kind->flat) {
        /* The flattened header is written twice, if possible. */
        g_assert_cmpuint(dump_progress_written(&o->progress), ==,
                         data->len + (o->kind->pipe ? 0 : 4096));
    } else {
        /* Holes are not written. */
        g_assert_cmpuint(dump_progress_written(&o->progress), <=, data->len);
    }
    return o->kind->flat ? unflatten(data) : data;
}

/* Behaviour of fdatasync(), and the file's content when it is called. */
static struct {
    unsigned calls;
    unsigned fails_at;          /* number of the call, from 1 */
    const char *path;           /* file to read, or NULL */
    GByteArray *seen;           /* content at the first call */
} disk;

int fdatasync(int fd)
{
    disk.calls++;
    if (disk.path && disk.calls == 1) {
        disk.seen = file_content(disk.path);
    }
    errno = EIO;
    return disk.calls == disk.fails_at ? -1 : 0;
}

static void output_open_durable(Output *o, const Kind *kind)
{
    int fd;

    memset(&disk, 0, sizeof(disk));
    memset(o, 0, sizeof(*o));
    o->kind = kind;
    dump_progress_init(&o->progress);
    fd = kind->pipe ? collector_start(&o->collector, PIPE, 0) :
                      temp_file(&o->path);
    disk.path = o->path;
    o->sink = dump_sink_fd_new(fd, &o->progress);
    dump_sink_set_durable(o->sink);
    if (kind->flat) {
        o->sink = dump_sink_flat_new(o->sink);
    }
    g_assert_true(dump_sink_write(o->sink, 0, "body", 4, "x", &error_abort));
    g_assert_true(dump_sink_seal(o->sink, 4, "half", "SEAL", 4, "x",
                                 &error_abort));
    g_assert_true(dump_sink_finish(o->sink, 12, &error_abort));
    g_assert_cmpuint(disk.calls, ==, 0);
}

static GByteArray *output_close_durable(Output *o)
{
    GByteArray *data;

    dump_sink_free(o->sink);
    if (o->kind->pipe) {
        data = collector_end(&o->collector);
    } else {
        data = file_content(o->path);
        unlink(o->path);
        g_free(o->path);
    }
    return o->kind->flat ? unflatten(data) : data;
}

/* The seal is written after all other data is synced, then synced too. */
static void test_settle(gconstpointer opaque)
{
    const Kind *kind = opaque;
    g_autoptr(GByteArray) got = NULL, seen = NULL;
    Output o;

    output_open_durable(&o, kind);
    g_assert_true(dump_sink_settle(o.sink, &error_abort));
    got = output_close_durable(&o);
    g_assert_cmpmem(got->data, got->len, "bodySEAL\0\0\0\0", 12);
    g_assert_cmpuint(disk.calls, ==, kind->pipe ? 0 : 2);
    if (!kind->pipe) {
        seen = kind->flat ? unflatten(disk.seen) : disk.seen;
        g_assert_cmpmem(seen->data, seen->len, "bodyhalf\0\0\0\0", 12);
    }
}

/* The seal is not written if the sync failed. */
static void test_settle_fails(gconstpointer opaque)
{
    const Kind *kind = opaque;
    g_autoptr(GByteArray) got = NULL;
    Error *err = NULL;
    Output o;

    output_open_durable(&o, kind);
    disk.fails_at = 1;
    if (kind->pipe) {
        g_assert_true(dump_sink_settle(o.sink, &error_abort));
    } else {
        g_assert_false(dump_sink_settle(o.sink, &err));
        g_assert_nonnull(strstr(error_get_pretty(err), strerror(EIO)));
        error_free(err);
        g_byte_array_unref(disk.seen);
    }
    got = output_close_durable(&o);
    g_assert_cmpmem(got->data, got->len,
                    kind->pipe ? "bodySEAL\0\0\0\0" :
                                 "bodyhalf\0\0\0\0", 12);
}

/* The sync of the seal fails: the error says that the file is complete. */
static void test_seal_fails(gconstpointer opaque)
{
    const Kind *kind = opaque;
    g_autoptr(GByteArray) got = NULL;
    Error *err = NULL;
    Output o;

    output_open_durable(&o, kind);
    disk.fails_at = 2;
    g_assert_true(dump_sink_settle(o.sink, &err) == kind->pipe);
    if (err) {
        g_assert_nonnull(strstr(error_get_pretty(err), strerror(EIO)));
        g_assert_nonnull(strstr(error_get_pretty(err), "is complete, but"));
        error_free(err);
        g_byte_array_unref(disk.seen);
    }
    got = output_close_durable(&o);
    g_assert_cmpmem(got->data, got->len, "bodySEAL\0\0\0\0", 12);
}

/* No settle, as for a dump that became inconsistent: no seal. */
static void test_unsettled(gconstpointer opaque)
{
    const Kind *kind = opaque;
    g_autoptr(GByteArray) got = NULL;
    Output o;

    output_open_durable(&o, kind);
    dump_sink_abandon(o.sink);
    got = output_close_durable(&o);
    g_assert_cmpuint(disk.calls, ==, 0);
    g_assert_cmpmem(got->data, got->len,
                    kind->pipe ? "bodySEAL\0\0\0\0" :
                                 "bodyhalf\0\0\0\0", 12);
}

/* A sink that is not durable is sealed at once. */
static void test_seal_at_once(gconstpointer opaque)
{
    g_autoptr(GByteArray) got = NULL;
    Output o;

    memset(&disk, 0, sizeof(disk));
    output_open(&o, opaque);
    g_assert_true(dump_sink_seal(o.sink, 0, "half", "SEAL", 4, "x",
                                 &error_abort));
    g_assert_true(dump_sink_finish(o.sink, 4, &error_abort));
    got = output_close(&o);
    g_assert_cmpmem(got->data, got->len, "SEAL", 4);
    g_assert_cmpuint(disk.calls, ==, 0);
}

/* A file opened for appending is synced, too. */
static void test_settle_append(void)
{
    g_autofree char *path = NULL;
    int fd = temp_file(&path);
    DumpSink *sink;

    memset(&disk, 0, sizeof(disk));
    g_assert_cmpint(fcntl(fd, F_SETFL, O_APPEND), ==, 0);
    sink = dump_sink_fd_new(fd, NULL);
    dump_sink_set_durable(sink);
    g_assert_true(dump_sink_seal(sink, 0, "half", "SEAL", 4, "x",
                                 &error_abort));
    g_assert_true(dump_sink_finish(sink, 4, &error_abort));
    g_assert_true(dump_sink_settle(sink, &error_abort));
    g_assert_cmpuint(disk.calls, ==, 1);
    g_assert_cmpint(fcntl(fd, F_GETFD), <, 0);
    dump_sink_free(sink);
    unlink(path);
}

static uint8_t *pattern(size_t len, unsigned seed)
{
    uint8_t *p = g_malloc(len);

    for (size_t i = 0; i < len; i++) {
        p[i] = (i * 7 + seed + (i >> 8)) | 1;
    }
    return p;
}

static void test_in_order(gconstpointer opaque)
{
    g_autofree uint8_t *p = pattern(3 * MiB, 1);
    g_autoptr(GByteArray) got = NULL;
    Output o;
    size_t pos = 0;

    output_open(&o, opaque);
    for (size_t n = 1; pos + n <= 3 * MiB; n = n * 3 + 1) {
        g_assert_true(dump_sink_write(o.sink, pos, p + pos, n, "x",
                                      &error_abort));
        pos += n;
    }
    g_assert_true(dump_sink_write(o.sink, pos, p, 0, "x", &error_abort));
    g_assert_true(dump_sink_finish(o.sink, pos, &error_abort));
    got = output_close(&o);
    g_assert_cmpmem(got->data, got->len, p, pos);
}

static void test_vector(gconstpointer opaque)
{
    g_autofree uint8_t *p = pattern(300000, 2);
    g_autoptr(GByteArray) got = NULL;
    struct iovec iov[] = {
        { p, 0 }, { p, 1 }, { p + 1, 199999 }, { p + 200000, 0 },
        { p + 200000, 100000 }, { p, 0 },
    };
    Output o;

    output_open(&o, opaque);
    g_assert_true(dump_sink_writev(o.sink, 0, iov, ARRAY_SIZE(iov), "x",
                                   &error_abort));
    g_assert_true(dump_sink_finish(o.sink, 300000, &error_abort));
    got = output_close(&o);
    g_assert_cmpmem(got->data, got->len, p, 300000);
}

/* More elements than a system call accepts. */
static void test_long_vector(gconstpointer opaque)
{
    enum { N = 3 * IOV_MAX + 1 };
    g_autofree uint8_t *p = pattern(N * 3, 9);
    g_autofree struct iovec *iov = g_new(struct iovec, N);
    g_autoptr(GByteArray) got = NULL;
    Output o;

    for (size_t i = 0; i < N; i++) {
        iov[i] = (struct iovec) { p + i * 3, 3 };
    }
    output_open(&o, opaque);
    g_assert_true(dump_sink_writev(o.sink, 0, iov, N, "x", &error_abort));
    g_assert_true(dump_sink_finish(o.sink, N * 3, &error_abort));
    got = output_close(&o);
    g_assert_cmpmem(got->data, got->len, p, N * 3);
}

/* An empty write makes neither a gap nor a record. */
static void test_nothing(gconstpointer opaque)
{
    struct iovec iov[] = { { NULL, 0 }, { NULL, 0 } };
    g_autoptr(GByteArray) got = NULL;
    Output o;

    output_open(&o, opaque);
    g_assert_true(dump_sink_write(o.sink, MiB, NULL, 0, "x", &error_abort));
    g_assert_true(dump_sink_writev(o.sink, MiB, iov, 2, "x", &error_abort));
    g_assert_true(dump_sink_writev(o.sink, MiB, iov, 0, "x", &error_abort));
    g_assert_cmpuint(dump_progress_written(&o.progress), ==, 0);
    g_assert_true(dump_sink_write(o.sink, 0, "x", 1, "x", &error_abort));
    g_assert_true(dump_sink_finish(o.sink, 1, &error_abort));
    got = output_close(&o);
    g_assert_cmpmem(got->data, got->len, "x", 1);
}

/* Freed without finish: the descriptor is closed, nothing is added. */
static void test_abandon(gconstpointer opaque)
{
    const Kind *kind = opaque;
    Output o;

    output_open(&o, kind);
    g_assert_true(dump_sink_write(o.sink, 0, "abc", 3, "x", &error_abort));
    dump_sink_free(o.sink);
    if (kind->pipe) {
        g_autoptr(GByteArray) got = collector_end(&o.collector);

        g_assert_cmpuint(got->len, ==, kind->flat ? 4096 + 16 + 3 : 3);
    } else {
        g_autoptr(GByteArray) got = file_content(o.path);

        g_assert_cmpuint(got->len, ==, kind->flat ? 4096 + 16 + 3 : 3);
        unlink(o.path);
        g_free(o.path);
    }
}

/* Gaps read as zero, including large ones and at the end. */
static void test_gaps(gconstpointer opaque)
{
    g_autofree uint8_t *want = g_malloc0(2 * MiB + 77);
    g_autofree uint8_t *p = pattern(1000, 3);
    g_autoptr(GByteArray) got = NULL;
    Output o;

    output_open(&o, opaque);
    memcpy(want + 5, p, 1000);
    memcpy(want + 1 * MiB + 1005, p, 1000);
    g_assert_true(dump_sink_write(o.sink, 5, p, 1000, "x", &error_abort));
    g_assert_true(dump_sink_write(o.sink, 1 * MiB + 1005, p, 1000, "x",
                                  &error_abort));
    g_assert_true(dump_sink_finish(o.sink, 2 * MiB + 77, &error_abort));
    got = output_close(&o);
    g_assert_cmpmem(got->data, got->len, want, 2 * MiB + 77);
}

static void test_any_order(gconstpointer opaque)
{
    const Kind *kind = opaque;
    g_autofree uint8_t *p = pattern(64 * 1000, 4);
    g_autoptr(GByteArray) got = NULL;
    Output o;

    output_open(&o, opaque);
    g_assert_cmpint(dump_sink_random_access(o.sink), ==, kind->random);
    for (int i = 0; i < 64; i++) {
        int k = kind->random ? (i * 37 + 5) % 64 : i;

        g_assert_true(dump_sink_write(o.sink, k * 1000, p + k * 1000, 1000,
                                      "x", &error_abort));
    }
    g_assert_true(dump_sink_finish(o.sink, 64 * 1000, &error_abort));
    got = output_close(&o);
    g_assert_cmpmem(got->data, got->len, p, 64 * 1000);
}

static void test_empty(gconstpointer opaque)
{
    g_autoptr(GByteArray) got = NULL;
    Output o;

    output_open(&o, opaque);
    g_assert_true(dump_sink_finish(o.sink, 0, &error_abort));
    got = output_close(&o);
    g_assert_cmpuint(got->len, ==, 0);
}

/* The first error and its text are sticky. */
static void test_sticky(gconstpointer opaque)
{
    const Kind *kind = opaque;
    g_autofree char *first = NULL;
    int fd = open("/dev/full", O_WRONLY);
    DumpSink *sink = kind->pipe ? dump_sink_stream_new(fd, NULL) :
                                  dump_sink_file_new(fd, NULL);

    if (kind->flat) {
        sink = dump_sink_flat_new(sink);
    }
    for (int i = 0; i < 3; i++) {
        Error *err = NULL;

        if (i < 2) {
            g_assert_false(dump_sink_write(sink, i, "x", 1, i ? "second" :
                                           "first", &err));
        } else {
            g_assert_false(dump_sink_finish(sink, 1, &err));
        }
        if (!first) {
            first = g_strdup(error_get_pretty(err));
            g_assert_true(g_str_has_prefix(first, "dump: writing "));
            g_assert_true(g_str_has_suffix(first,
                                           ": No space left on device"));
        }
        g_assert_cmpstr(error_get_pretty(err), ==, first);
        error_free(err);
    }
    g_assert_false(dump_sink_write(sink, 0, "x", 1, "x", NULL));
    dump_sink_free(sink);
    g_assert_cmpint(fcntl(fd, F_GETFD), ==, -1);
}

static void test_file_base(void)
{
    g_autofree char *path = NULL;
    g_autoptr(GByteArray) got = NULL;
    int fd = temp_file(&path), dup_fd = dup(fd);
    DumpSink *sink;

    g_assert_cmpint(write(fd, "0123456789", 10), ==, 10);
    lseek(fd, 4, SEEK_SET);
    sink = dump_sink_fd_new(fd, NULL);
    g_assert_false(dump_sink_has_holes(sink));
    g_assert_true(dump_sink_write(sink, 1, "ab", 2, "x", &error_abort));
    g_assert_true(dump_sink_finish(sink, 4, &error_abort));
    dump_sink_free(sink);
    /* A shared file offset is left behind the dump. */
    g_assert_cmpint(lseek(dup_fd, 0, SEEK_CUR), ==, 8);
    close(dup_fd);
    got = file_content(path);
    g_assert_cmpmem(got->data, got->len, "01234ab789", 10);
    unlink(path);
}

static void test_file_sparse(void)
{
    g_autofree char *path = NULL;
    int fd = temp_file(&path);
    DumpSink *sink = dump_sink_fd_new(fd, NULL);
    struct stat st;

    g_assert_true(dump_sink_has_holes(sink));
    g_assert_true(dump_sink_write(sink, 32 * MiB, "x", 1, "x", &error_abort));
    g_assert_true(dump_sink_finish(sink, 64 * MiB, &error_abort));
    dump_sink_free(sink);
    g_assert_cmpint(stat(path, &st), ==, 0);
    g_assert_cmpint(st.st_size, ==, 64 * MiB);
    g_assert_cmpint(st.st_blocks * 512, <, MiB);
    unlink(path);
}

static void test_file_append(void)
{
    g_autofree char *path = NULL;
    g_autoptr(GByteArray) got = NULL;
    int fd = temp_file(&path);
    DumpSink *sink;

    g_assert_cmpint(write(fd, "old", 3), ==, 3);
    close(fd);
    fd = open(path, O_WRONLY | O_APPEND);
    g_assert_false(dump_fd_can_seek(fd));
    sink = dump_sink_fd_new(fd, NULL);
    g_assert_false(dump_sink_random_access(sink));
    g_assert_true(dump_sink_write(sink, 2, "ab", 2, "x", &error_abort));
    g_assert_true(dump_sink_finish(sink, 4, &error_abort));
    dump_sink_free(sink);
    got = file_content(path);
    g_assert_cmpmem(got->data, got->len, "old\0\0ab", 7);
    unlink(path);
}

/* RLIMIT_FSIZE causes an error with text, not a signal. */
static void test_file_size_limit(void)
{
    g_autofree char *path = NULL;
    g_autofree uint8_t *p = pattern(8192, 5);
    int fd = temp_file(&path);
    DumpSink *sink = dump_sink_fd_new(fd, NULL);
    struct rlimit old, low;
    Error *err = NULL;

    g_assert_cmpint(getrlimit(RLIMIT_FSIZE, &old), ==, 0);
    low = (struct rlimit) { .rlim_cur = 4096, .rlim_max = old.rlim_max };
    g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &low), ==, 0);
    g_assert_false(dump_sink_write(sink, 0, p, 8192, "x", &err));
    g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &old), ==, 0);
    g_assert_cmpstr(error_get_pretty(err), ==,
                    "dump: writing x: File too large");
    error_free(err);
    dump_sink_free(sink);
    unlink(path);
}

static void test_file_offset_too_large(void)
{
    g_autofree char *path = NULL;
    int fd = temp_file(&path);
    DumpSink *sink = dump_sink_fd_new(fd, NULL);
    Error *err = NULL;

    g_assert_false(dump_sink_write(sink, UINT64_MAX - 5, "x", 1, "x", &err));
    g_assert_nonnull(err);
    error_free(err);
    dump_sink_free(sink);
    unlink(path);
}

static void test_file_end_too_large(void)
{
    g_autofree char *path = NULL;
    int fd = temp_file(&path);
    DumpSink *sink = dump_sink_fd_new(fd, NULL);
    Error *err = NULL;

    g_assert_false(dump_sink_finish(sink, UINT64_MAX, &err));
    g_assert_cmpstr(error_get_pretty(err), ==,
                    "dump: setting the output's size: File too large");
    error_free(err);
    dump_sink_free(sink);
    g_assert_cmpint(fcntl(fd, F_GETFD), ==, -1);
    unlink(path);
}

/* A longer old file is not truncated. */
static void test_file_longer(void)
{
    g_autofree char *path = NULL;
    g_autoptr(GByteArray) got = NULL;
    int fd = temp_file(&path);
    DumpSink *sink;

    g_assert_cmpint(write(fd, "0123456789", 10), ==, 10);
    lseek(fd, 0, SEEK_SET);
    sink = dump_sink_fd_new(fd, NULL);
    g_assert_false(dump_sink_has_holes(sink));
    g_assert_true(dump_sink_write(sink, 0, "abc", 3, "x", &error_abort));
    g_assert_true(dump_sink_finish(sink, 3, &error_abort));
    dump_sink_free(sink);
    got = file_content(path);
    g_assert_cmpmem(got->data, got->len, "abc3456789", 10);
    unlink(path);
}

static void test_holes(void)
{
    int fds[2];
    DumpSink *sink;

    /* On a device unwritten ranges may contain anything. */
    sink = dump_sink_fd_new(open("/dev/null", O_WRONLY), NULL);
    g_assert_true(dump_sink_random_access(sink));
    g_assert_false(dump_sink_has_holes(sink));
    sink = dump_sink_flat_new(sink);
    g_assert_true(dump_sink_has_holes(sink));
    dump_sink_free(sink);

    g_assert_cmpint(pipe(fds), ==, 0);
    sink = dump_sink_fd_new(fds[1], NULL);
    g_assert_false(dump_sink_has_holes(sink));
    dump_sink_free(sink);
    close(fds[0]);
}

/* Each write makes one record, written with its header. */
static void test_flat_records(void)
{
    static const uint8_t want[] = {
        0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 3, 'a', 'b', 'c',
        0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1, 'd',
        0, 0, 0, 0, 0, 0, 1, 7, 0, 0, 0, 0, 0, 0, 0, 1, 0,
        255, 255, 255, 255, 255, 255, 255, 255,
        255, 255, 255, 255, 255, 255, 255, 255,
    };
    g_autofree char *path = NULL;
    g_autoptr(GByteArray) got = NULL;
    struct iovec abc[] = { { (char *)"ab", 2 }, { (char *)"c", 1 } };
    DumpSink *sink =
        dump_sink_flat_new(dump_sink_fd_new(temp_file(&path), NULL));

    g_assert_true(dump_sink_writev(sink, 256, abc, 2, "x", &error_abort));
    g_assert_true(dump_sink_write(sink, 2, "d", 1, "x", &error_abort));
    g_assert_true(dump_sink_finish(sink, 264, &error_abort));
    dump_sink_free(sink);
    got = file_content(path);
    g_assert_cmpuint(got->len, >, 4096);
    g_assert_cmpmem(got->data + 4096, got->len - 4096, want, sizeof(want));
    unlink(path);
}

static void test_stream_backwards(void)
{
    if (g_test_subprocess()) {
        int fds[2];
        DumpSink *sink;

        g_assert_cmpint(pipe(fds), ==, 0);
        sink = dump_sink_stream_new(fds[1], NULL);
        dump_sink_write(sink, 5, "x", 1, "x", NULL);
        dump_sink_write(sink, 5, "x", 1, "x", NULL);
        return;
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_failed();
}

/* A slow reader causes EAGAIN and short writes. */
static void test_stream_slow(gconstpointer opaque)
{
    Channel kind = GPOINTER_TO_INT(opaque);
    g_autofree uint8_t *p = pattern(3 * MiB, 6);
    g_autoptr(GByteArray) got = NULL;
    Collector c;
    int fd = collector_start(&c, kind, 100);
    int other = dup(fd), flags = fcntl(fd, F_GETFL);
    DumpSink *sink = dump_sink_fd_new(fd, NULL);

    g_assert_true(dump_sink_write(sink, 0, p, 3 * MiB, "x", &error_abort));
    g_assert_true(dump_sink_finish(sink, 3 * MiB, &error_abort));
    dump_sink_free(sink);
    /* It may be shared with another process. */
    g_assert_cmpint(fcntl(other, F_GETFL), ==, flags);
    close(other);
    got = collector_end(&c);
    g_assert_cmpmem(got->data, got->len, p, 3 * MiB);
}

static void test_stream_reader_gone(gconstpointer opaque)
{
    g_autofree uint8_t *p = pattern(MiB, 7);
    Error *err = NULL;
    DumpSink *sink;
    int fds[2];

    channel_open(GPOINTER_TO_INT(opaque), fds);
    close(fds[0]);
    sink = dump_sink_fd_new(fds[1], NULL);
    g_assert_false(dump_sink_write(sink, 0, p, MiB, "memory", &err));
    g_assert_cmpstr(error_get_pretty(err), ==,
                    "dump: writing memory: Broken pipe");
    error_free(err);
    dump_sink_free(sink);
}

static gpointer cancel_soon(gpointer opaque)
{
    g_usleep(50 * 1000);
    dump_progress_cancel(opaque);
    return NULL;
}

/* Without a reader and with a full channel, cancel takes effect. */
static void test_stream_cancel(gconstpointer opaque)
{
    g_autofree uint8_t *p = pattern(8 * MiB, 8);
    DumpProgress progress;
    Error *err = NULL;
    GThread *thread;
    DumpSink *sink;
    int fds[2];

    dump_progress_init(&progress);
    channel_open(GPOINTER_TO_INT(opaque), fds);
    sink = dump_sink_fd_new(fds[1], &progress);
    thread = g_thread_new("cancel", cancel_soon, &progress);
    g_assert_false(dump_sink_write(sink, 0, p, 8 * MiB, "x", &err));
    g_assert_cmpstr(error_get_pretty(err), ==, "dump: cancelled");
    g_thread_join(thread);
    error_free(err);
    dump_sink_free(sink);
    close(fds[0]);
}

/* The buffer of a pipe is made larger, never smaller. */
static void test_stream_pipe_size(gconstpointer opaque)
{
    int size = GPOINTER_TO_INT(opaque);
    int fds[2];
    DumpSink *sink;

    g_assert_cmpint(pipe(fds), ==, 0);
    if (fcntl(fds[1], F_SETPIPE_SZ, size) < 0) {
        g_test_skip("the system does not allow a pipe of that size");
        close(fds[1]);
    } else {
        sink = dump_sink_fd_new(fds[1], NULL);
        g_assert_cmpint(fcntl(fds[0], F_GETPIPE_SZ), ==, MAX(size, MiB));
        dump_sink_free(sink);
    }
    close(fds[0]);
}

static void limit_file_size(uint64_t bytes)
{
    struct rlimit r;

    g_assert_cmpint(getrlimit(RLIMIT_FSIZE, &r), ==, 0);
    r.rlim_cur = MIN(bytes, r.rlim_max);
    g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &r), ==, 0);
}

/* On a full disk, dropped data makes room for the end of the dump. */
static void test_resume_flat_file(void)
{
    g_autofree uint8_t *p = pattern(200000, 1);
    g_autofree char *path = NULL;
    g_autoptr(GByteArray) got = NULL;
    DumpSink *sink = dump_sink_flat_new(dump_sink_fd_new(temp_file(&path),
                                                         NULL));
    DumpSinkMark mark;
    struct stat st;

    g_assert_true(dump_sink_rewinds(sink));
    g_assert_true(dump_sink_write(sink, 0, p, 100, "x", &error_abort));
    mark = dump_sink_mark(sink);
    g_assert_cmpuint(dump_sink_room(sink, &mark), ==, 0);
    g_assert_true(dump_sink_write(sink, 100, p, 1000, "x", &error_abort));
    g_assert_cmpuint(dump_sink_room(sink, &mark), >=, 1000);
    limit_file_size(100000);
    g_assert_false(dump_sink_write(sink, 1100, p, 200000, "x", NULL));
    g_assert_false(dump_sink_write(sink, 1100, p, 1, "x", NULL));
    g_assert_cmpuint(dump_sink_room(sink, &mark), ==,
                     100000 - 4096 - 16 - 100);
    g_assert_true(dump_sink_resume(sink, &mark, &error_abort));
    g_assert_true(dump_sink_write(sink, 500, p, 90000, "x", &error_abort));
    g_assert_true(dump_sink_finish(sink, 100000, &error_abort));
    limit_file_size(UINT64_MAX);
    dump_sink_free(sink);

    g_assert_cmpint(stat(path, &st), ==, 0);
    g_assert_cmpint(st.st_size, ==, 4096 + 4 * 16 + 100 + 90000 + 1);
    got = unflatten(file_content(path));
    g_assert_cmpuint(got->len, ==, 100000);
    g_assert_cmpmem(got->data, 100, p, 100);
    g_assert_cmpint(got->data[100], ==, 0);
    g_assert_cmpmem(got->data + 500, 90000, p, 90000);
    unlink(path);
}

/*
 * Cancel while the second of two records is being written: the first one, of
 * @first bytes, fits the pipe's buffer, the second does not. Then read.
 */
static void check_resume_stream(DumpSink *sink, DumpProgress *progress,
                                int read_fd, uint64_t first, uint64_t second)
{
    g_autofree uint8_t *p = pattern(8 * MiB, 8);
    g_autoptr(GByteArray) got = NULL;
    Collector c = { .fd = read_fd, .data = g_byte_array_new() };
    DumpSinkMark mark;
    GThread *thread;

    g_assert_false(dump_sink_rewinds(sink));
    g_assert_true(dump_sink_write(sink, 0, p, first, "x", &error_abort));
    mark = dump_sink_mark(sink);
    g_assert_cmpuint(dump_sink_room(sink, &mark), ==, UINT64_MAX);
    thread = g_thread_new("cancel", cancel_soon, progress);
    g_assert_false(dump_sink_write(sink, first, p, second, "x", NULL));
    g_thread_join(thread);

    c.thread = g_thread_new("collect", collect, &c);
    dump_progress_set_grace(progress, 3600 * 1000);
    g_assert_true(dump_sink_resume(sink, &mark, &error_abort));
    g_assert_true(dump_sink_write(sink, 9 * MiB, p, 5, "x", &error_abort));
    g_assert_true(dump_sink_finish(sink, 9 * MiB + 5, &error_abort));
    dump_sink_free(sink);
    got = unflatten(collector_end(&c));
    g_assert_cmpuint(got->len, ==, 9 * MiB + 5);
    g_assert_cmpmem(got->data, first, p, first);
    g_assert_cmpmem(got->data + 9 * MiB, 5, p, 5);
}

/* On a stream, a partially written record is padded. */
static void test_resume_flat_stream(void)
{
    DumpProgress progress;
    DumpSink *sink;
    int fds[2];

    dump_progress_init(&progress);
    channel_open(PIPE, fds);
    sink = dump_sink_flat_new(dump_sink_fd_new(fds[1], &progress));
    check_resume_stream(sink, &progress, fds[0], 100, 8 * MiB);
}

/* The same if no byte of the record was written. */
static void test_resume_flat_full(void)
{
    DumpProgress progress;
    DumpSink *sink;
    int fds[2];

    dump_progress_init(&progress);
    channel_open(PIPE, fds);
    sink = dump_sink_flat_new(dump_sink_fd_new(fds[1], &progress));
    check_resume_stream(sink, &progress, fds[0],
                        fcntl(fds[1], F_GETPIPE_SZ) - 4096 - 16, MiB);
}

/* Resume cannot repair a broken output. */
static void test_resume_broken(void)
{
    DumpSinkMark mark;
    DumpSink *sink;
    int fds[2];

    channel_open(PIPE, fds);
    sink = dump_sink_flat_new(dump_sink_fd_new(fds[1], NULL));
    g_assert_true(dump_sink_write(sink, 0, "x", 1, "x", &error_abort));
    mark = dump_sink_mark(sink);
    close(fds[0]);
    g_assert_false(dump_sink_write(sink, 1, "x", 1, "x", NULL));
    /* If no byte of the record was written, only the next write fails. */
    dump_sink_resume(sink, &mark, NULL);
    g_assert_false(dump_sink_finish(sink, 2, NULL));
    dump_sink_free(sink);
}

/* The initial file offset may be beyond the end of the file. */
static void test_file_behind_end(void)
{
    g_autofree char *path = NULL;
    int fd = temp_file(&path);
    DumpSink *sink;
    struct stat st;

    g_assert_cmpint(lseek(fd, 5000, SEEK_SET), ==, 5000);
    sink = dump_sink_fd_new(fd, NULL);
    g_assert_true(dump_sink_write(sink, 2, "ab", 2, "x", &error_abort));
    g_assert_true(dump_sink_write(sink, 0, "cd", 2, "x", &error_abort));
    g_assert_true(dump_sink_finish(sink, 4, &error_abort));
    dump_sink_free(sink);
    g_assert_cmpint(stat(path, &st), ==, 0);
    g_assert_cmpint(st.st_size, ==, 5004);
    unlink(path);
}

/* Truncation by another process is detected and not repaired. */
static void test_file_truncated(void)
{
    g_autofree char *path = NULL;
    int fd = temp_file(&path), dup_fd = dup(fd);
    DumpSink *sink = dump_sink_fd_new(fd, NULL);
    DumpSinkMark mark = dump_sink_mark(sink);
    Error *err = NULL;

    g_assert_true(dump_sink_write(sink, 0, "abcd", 4, "x", &error_abort));
    g_assert_cmpint(ftruncate(dup_fd, 3), ==, 0);
    close(dup_fd);
    g_assert_false(dump_sink_write(sink, 4, "e", 1, "x", &err));
    g_assert_cmpstr(error_get_pretty(err), ==, "dump: writing x: the output "
                    "was truncated meanwhile");
    error_free(err);
    g_assert_false(dump_sink_resume(sink, &mark, NULL));
    dump_sink_free(sink);
    unlink(path);
}

/* Space is allocated at once if the file system supports it. */
static void test_reserve(void)
{
    g_autofree char *path = NULL;
    DumpSink *sink = dump_sink_fd_new(temp_file(&path), NULL);
    DumpSinkMark mark = dump_sink_mark(sink);
    Error *err = NULL;
    struct stat st;

    g_assert_true(dump_sink_reserve(sink, 0, MiB, "x", &error_abort));
    g_assert_cmpint(stat(path, &st), ==, 0);
    if (st.st_blocks) {
        g_assert_cmpint(st.st_blocks * 512, >=, MiB);
    } else {
        g_test_skip("this file system does not support fallocate()");
    }
    g_assert_false(dump_sink_reserve(sink, 1, INT64_MAX, "y", &err));
    g_assert_cmpstr(error_get_pretty(err), ==,
                    "dump: reserving room for y: File too large");
    error_free(err);
    g_assert_false(dump_sink_finish(sink, 0, NULL));
    g_assert_true(dump_sink_resume(sink, &mark, &error_abort));
    g_assert_true(dump_sink_finish(sink, 0, &error_abort));
    dump_sink_free(sink);
    unlink(path);
}

static void add_channel_tests(Channel kind)
{
    static const struct {
        const char *name;
        void (*func)(gconstpointer);
    } tests[] = {
        { "slow", test_stream_slow },
        { "reader-gone", test_stream_reader_gone },
        { "cancel", test_stream_cancel },
    };

    for (size_t i = 0; i < ARRAY_SIZE(tests); i++) {
        g_autofree char *path = g_strdup_printf("/dump/sink/stream/%s/%s",
                                                tests[i].name,
                                                channel_names[kind]);
        g_test_add_data_func(path, GINT_TO_POINTER(kind), tests[i].func);
    }
}

/* Accepts all writes and reports errors on sync. */
typedef struct LateSink {
    DumpSink parent;
    uint64_t lost;              /* offset of the write that failed */
    bool abandoned;
} LateSink;

static bool late_write(DumpSink *sink, uint64_t offset, struct iovec *iov,
                       int niov, const char *what, Error **errp)
{
    return true;
}

static bool late_sync(DumpSink *sink, Error **errp)
{
    LateSink *s = container_of(sink, LateSink, parent);

    if (s->lost != UINT64_MAX) {
        error_setg(errp, "lost");
    }
    return s->lost == UINT64_MAX;
}

static uint64_t late_arrived(const DumpSink *sink)
{
    return container_of(sink, LateSink, parent)->lost;
}

static void late_abandon(DumpSink *sink)
{
    container_of(sink, LateSink, parent)->abandoned = true;
}

static void late_free(DumpSink *sink)
{
}

static const DumpSinkOps late_ops = {
    .write = late_write,
    .sync = late_sync,
    .arrived = late_arrived,
    .abandon = late_abandon,
    .free = late_free,
};

/* A failed write is reported by sync, and does not count as free space. */
static void test_late(void)
{
    g_autofree uint8_t *p = pattern(1000, 1);
    LateSink late = { .lost = UINT64_MAX };
    DumpSinkMark mark;
    DumpSink *sink;

    dump_sink_init(&late.parent, &late_ops, NULL);
    late.parent.random_access = late.parent.rewinds = true;
    sink = dump_sink_flat_new(&late.parent);
    g_assert_true(dump_sink_write(sink, 0, p, 1000, "x", &error_abort));
    g_assert_true(dump_sink_sync(sink, &error_abort));
    mark = dump_sink_mark(sink);
    g_assert_cmpuint(mark.pos, ==, 4096 + 16 + 1000);
    g_assert_true(dump_sink_write(sink, 1000, p, 1000, "x", &error_abort));
    g_assert_cmpuint(dump_sink_room(sink, &mark), ==, 1016);

    late.lost = mark.pos + 300;
    g_assert_cmpuint(dump_sink_room(sink, &mark), ==, 300);
    g_assert_false(dump_sink_sync(sink, NULL));
    g_assert_false(dump_sink_write(sink, 2000, p, 1, "x", NULL));
    late.lost = mark.pos - 1;
    g_assert_cmpuint(dump_sink_room(sink, &mark), ==, 0);
    late.lost = UINT64_MAX;
    g_assert_true(dump_sink_resume(sink, &mark, &error_abort));
    g_assert_true(dump_sink_sync(sink, &error_abort));

    g_assert_false(late.abandoned);
    dump_sink_abandon(sink);
    g_assert_true(late.abandoned);
    dump_sink_free(sink);
}

/* Most sinks are synchronous. */
static void test_prompt(void)
{
    g_autofree char *path = NULL;
    DumpSink *sink = dump_sink_fd_new(temp_file(&path), NULL);

    g_assert_true(dump_sink_write(sink, 0, "x", 1, "x", &error_abort));
    g_assert_true(dump_sink_sync(sink, &error_abort));
    g_assert_cmpuint(dump_sink_arrived(sink), ==, UINT64_MAX);
    dump_sink_abandon(sink);
    dump_sink_free(sink);
    unlink(path);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*func)(gconstpointer);
    } contract[] = {
        { "in-order", test_in_order }, { "vector", test_vector },
        { "gaps", test_gaps }, { "any-order", test_any_order },
        { "empty", test_empty }, { "sticky", test_sticky },
        { "long-vector", test_long_vector }, { "nothing", test_nothing },
        { "abandon", test_abandon }, { "settle", test_settle },
        { "settle-fails", test_settle_fails },
        { "seal-fails", test_seal_fails },
        { "unsettled", test_unsettled },
        { "seal-at-once", test_seal_at_once },
    };

    g_test_init(&argc, &argv, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        for (size_t j = 0; j < ARRAY_SIZE(contract); j++) {
            g_autofree char *path = g_strdup_printf("/dump/sink/%s/%s",
                                                    kinds[i].name,
                                                    contract[j].name);
            g_test_add_data_func(path, &kinds[i], contract[j].func);
        }
    }
    g_test_add_func("/dump/sink/file/base", test_file_base);
    g_test_add_func("/dump/sink/file/sparse", test_file_sparse);
    g_test_add_func("/dump/sink/file/append", test_file_append);
    g_test_add_func("/dump/sink/file/size-limit", test_file_size_limit);
    g_test_add_func("/dump/sink/file/too-large", test_file_offset_too_large);
    g_test_add_func("/dump/sink/file/end-too-large", test_file_end_too_large);
    g_test_add_func("/dump/sink/file/longer", test_file_longer);
    g_test_add_func("/dump/sink/settle-append", test_settle_append);
    g_test_add_func("/dump/sink/holes", test_holes);
    g_test_add_func("/dump/sink/flat/records", test_flat_records);
    g_test_add_func("/dump/sink/flat/resume-file", test_resume_flat_file);
    g_test_add_func("/dump/sink/flat/resume-stream", test_resume_flat_stream);
    g_test_add_func("/dump/sink/flat/resume-full", test_resume_flat_full);
    g_test_add_func("/dump/sink/flat/resume-broken", test_resume_broken);
    g_test_add_func("/dump/sink/file/reserve", test_reserve);
    g_test_add_func("/dump/sink/late", test_late);
    g_test_add_func("/dump/sink/prompt", test_prompt);
    g_test_add_func("/dump/sink/file/truncated", test_file_truncated);
    g_test_add_func("/dump/sink/file/behind-end", test_file_behind_end);
    g_test_add_func("/dump/sink/stream/backwards", test_stream_backwards);
    g_test_add_data_func("/dump/sink/stream/pipe-size/small",
                         GINT_TO_POINTER(4096), test_stream_pipe_size);
    g_test_add_data_func("/dump/sink/stream/pipe-size/large",
                         GINT_TO_POINTER(2 * MiB), test_stream_pipe_size);
    for (size_t i = 0; i < ARRAY_SIZE(channel_names); i++) {
        add_channel_tests(i);
    }
    return g_test_run();
}
