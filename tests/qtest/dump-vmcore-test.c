/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Guest memory dumps: refused commands, contents of the files, kinds of
 * outputs, and the order of events.
 */

#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include <zlib.h>
#include "elf.h"
#include "libqtest.h"
#include "qapi/error.h"
#include "qemu/bswap.h"
#include "qemu/units.h"
#include "qobject/qdict.h"
#include "qobject/qjson.h"
#include "qobject/qlist.h"
#include "qobject/qstring.h"

#define MACHINE "-machine pc -m 16M -smp 2 -nodefaults -display none "
#define PAGE 4096
/* Addresses of a page with the pattern and of an untouched one. */
#define PATTERN_AT (5 * MiB)
#define ZERO_AT (9 * MiB)

static char *tmpdir;

typedef struct Guest {
    QTestState *qts;
    uint8_t pattern[PAGE];
    char *path;                 /* of the dump; does not exist yet */
} Guest;

static void guest_start(Guest *g)
{
    g->qts = qtest_init(MACHINE);
    g->path = g_build_filename(tmpdir, "dump", NULL);
    /* Partly compressible. */
    for (int i = 0; i < PAGE; i++) {
        g->pattern[i] = i < PAGE / 4 ? i * 7 + i / 256 : i / 128;
    }
    qtest_memwrite(g->qts, PATTERN_AT, g->pattern, PAGE);
}

static void guest_end(Guest *g)
{
    qtest_quit(g->qts);
    g_unlink(g->path);
    g_free(g->path);
}

static bool is_running(Guest *g)
{
    QDict *rsp = qtest_qmp(g->qts, "{ 'execute': 'query-status' }");
    bool running = qdict_get_bool(qdict_get_qdict(rsp, "return"), "running");

    qobject_unref(rsp);
    return running;
}

static void assert_dump_status(Guest *g, const char *status)
{
    QDict *rsp = qtest_qmp(g->qts, "{ 'execute': 'query-dump' }");

    g_assert_cmpstr(qdict_get_str(qdict_get_qdict(rsp, "return"), "status"),
                    ==, status);
    qobject_unref(rsp);
}

/* The command must fail with an error that contains @why. */
static void assert_fails(Guest *g, const char *why, const char *arguments)
{
    QObject *args = qobject_from_json(arguments, &error_abort);
    QDict *rsp = qtest_qmp(g->qts, "{ 'execute': 'dump-guest-memory', "
                           "'arguments': %p }", args);
    const char *desc;

    g_assert_true(qdict_haskey(rsp, "error"));
    desc = qdict_get_str(qdict_get_qdict(rsp, "error"), "desc");
    if (!strstr(desc, why)) {
        g_error("'%s' is not in: %s", why, desc);
    }
    qobject_unref(rsp);
}

static void dump_to_file(Guest *g, const char *format)
{
    g_autofree char *protocol = g_strdup_printf("file:%s", g->path);

    qtest_qmp_assert_success(g->qts, "{ 'execute': 'dump-guest-memory', "
                             "'arguments': { 'paging': false, "
                             "'protocol': %s, 'format': %s } }", protocol,
                             format);
    assert_dump_status(g, "completed");
    g_assert_true(is_running(g));
}

static GByteArray *read_dump(Guest *g)
{
    char *data;
    size_t len;

    g_assert_true(g_file_get_contents(g->path, &data, &len, NULL));
    return g_byte_array_new_take((uint8_t *)data, len);
}

/* @len bytes of @file at @at, which must exist. */
static const uint8_t *at(GByteArray *file, uint64_t at, uint64_t len)
{
    g_assert_cmpuint(at, <=, file->len);
    g_assert_cmpuint(len, <=, file->len - at);
    return file->data + at;
}

static void test_refused(void)
{
    static const struct {
        const char *why, *arguments;
    } tests[] = {
        { "protocol", "{ 'paging': false, 'protocol': 'tcp:somewhere' }" },
        { "Could not open", "{ 'paging': false, "
          "'protocol': 'file:/no/such/folder/dump' }" },
        { "begin", "{ 'paging': false, 'protocol': 'fd:x', 'length': 4096 }" },
        { "length", "{ 'paging': false, 'protocol': 'fd:x', 'begin': 0 }" },
        { "paging", "{ 'paging': true, 'protocol': 'fd:x', "
          "'format': 'kdump-zlib' }" },
        { "no guest memory", "{ 'paging': false, 'protocol': 'file:DUMP', "
          "'begin': 1099511627776, 'length': 4096 }" },
        { "Windows", "{ 'paging': false, 'protocol': 'file:DUMP', "
          "'format': 'win-dmp' }" },
    };
    Guest g;

    guest_start(&g);
    for (size_t i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_auto(GStrv) parts = g_strsplit(tests[i].arguments, "DUMP", -1);
        g_autofree char *arguments = g_strjoinv(g.path, parts);

        assert_fails(&g, tests[i].why, arguments);
        g_assert_false(g_file_test(g.path, G_FILE_TEST_EXISTS));
        g_assert_true(is_running(&g));
    }
    assert_dump_status(&g, "none");
    guest_end(&g);
}

static void check_elf(GByteArray *file, const uint8_t *pattern)
{
    const uint8_t *ehdr = at(file, 0, sizeof(Elf64_Ehdr));
    uint64_t phoff = ldq_le_p(ehdr + offsetof(Elf64_Ehdr, e_phoff));
    unsigned phnum = lduw_le_p(ehdr + offsetof(Elf64_Ehdr, e_phnum));
    unsigned prstatus = 0, qemu = 0, found = 0;

    g_assert_cmpmem(ehdr, SELFMAG, ELFMAG, SELFMAG);
    g_assert_cmpuint(ehdr[EI_CLASS], ==, ELFCLASS64);
    g_assert_cmpuint(ehdr[EI_DATA], ==, ELFDATA2LSB);
    g_assert_cmpuint(lduw_le_p(ehdr + offsetof(Elf64_Ehdr, e_type)), ==,
                     ET_CORE);
    for (unsigned i = 0; i < phnum; i++) {
        const uint8_t *phdr = at(file, phoff + i * sizeof(Elf64_Phdr),
                                 sizeof(Elf64_Phdr));
        uint64_t off = ldq_le_p(phdr + offsetof(Elf64_Phdr, p_offset));
        uint64_t addr = ldq_le_p(phdr + offsetof(Elf64_Phdr, p_paddr));
        uint64_t size = ldq_le_p(phdr + offsetof(Elf64_Phdr, p_filesz));
        uint32_t type = ldl_le_p(phdr);

        if (type == PT_LOAD && addr <= PATTERN_AT && PATTERN_AT - addr < size) {
            g_assert_cmpmem(at(file, off + PATTERN_AT - addr, PAGE), PAGE,
                            pattern, PAGE);
            found++;
        }
        for (uint64_t n = off; type == PT_NOTE && n < off + size;) {
            const uint8_t *note = at(file, n, 12);
            uint32_t name_size = ldl_le_p(note);
            const char *name = (const char *)at(file, n + 12, name_size);

            g_assert_cmpuint(name_size, >, 0);
            g_assert_cmpint(name[name_size - 1], ==, 0);
            prstatus += !strcmp(name, "CORE") &&
                        ldl_le_p(note + 8) == NT_PRSTATUS;
            qemu += !strcmp(name, "QEMU");
            n += 12 + ROUND_UP(name_size, 4) +
                 ROUND_UP(ldl_le_p(note + 4), 4);
        }
    }
    g_assert_cmpuint(prstatus, ==, 2);
    g_assert_cmpuint(qemu, ==, 2);
    g_assert_cmpuint(found, ==, 1);
}

static void test_elf(gconstpointer opaque)
{
    g_autoptr(GByteArray) file = NULL;
    Guest g;

    guest_start(&g);
    dump_to_file(&g, "elf");
    file = read_dump(&g);
    check_elf(file, g.pattern);
    guest_end(&g);
}

/* The rearranged form of @flat, which is freed. */
static GByteArray *rearranged(GByteArray *flat)
{
    GByteArray *plain = g_byte_array_new();
    uint64_t pos = PAGE;

    g_assert_cmpmem(at(flat, 0, 12), 12, "makedumpfile", 12);
    for (;;) {
        int64_t offset = ldq_be_p(at(flat, pos, 8));
        int64_t size = ldq_be_p(at(flat, pos + 8, 8));

        pos += 16;
        if (offset == -1) {
            g_assert_cmpint(size, ==, -1);
            g_assert_cmpuint(pos, ==, flat->len);
            break;
        }
        g_assert_cmpint(offset, >=, 0);
        g_assert_cmpint(size, >, 0);
        g_assert_cmpint(offset + size, <, 1 * GiB);
        if (offset + size > plain->len) {
            size_t len = plain->len;

            g_byte_array_set_size(plain, offset + size);
            memset(plain->data + len, 0, offset + size - len);
        }
        memcpy(plain->data + offset, at(flat, pos, size), size);
        pos += size;
    }
    g_byte_array_unref(flat);
    return plain;
}

typedef struct Kdump {
    GByteArray *file;
    const uint8_t *bitmaps;     /* RAM, then pages in the file */
    uint64_t bitmap_len;        /* size of each, in bytes */
    uint64_t descs;             /* offset of the page descriptors */
} Kdump;

static bool has_page(const Kdump *k, unsigned bitmap, uint64_t pfn)
{
    g_assert_cmpuint(pfn / 8, <, k->bitmap_len);
    return k->bitmaps[bitmap * k->bitmap_len + pfn / 8] >> pfn % 8 & 1;
}

static void kdump_open(Kdump *k, GByteArray *file)
{
    const uint8_t *header = at(file, 0, PAGE);
    uint32_t sub_blocks, bitmap_blocks;

    k->file = file;
    g_assert_cmpmem(header, 8, "KDUMP   ", 8);
    g_assert_cmpuint(ldl_le_p(header + 8), ==, 6);
    /* struct disk_dump_header of a 64-bit target */
    g_assert_cmpuint(ldl_le_p(header + 428), ==, PAGE);
    sub_blocks = ldl_le_p(header + 432);
    bitmap_blocks = ldl_le_p(header + 436);
    g_assert_cmpuint(ldl_le_p(header + 460), ==, 2);       /* nr_cpus */
    g_assert_cmpuint(bitmap_blocks % 2, ==, 0);
    k->bitmap_len = (uint64_t)bitmap_blocks / 2 * PAGE;
    k->bitmaps = at(file, (uint64_t)(1 + sub_blocks) * PAGE,
                    2 * k->bitmap_len);
    k->descs = (1 + sub_blocks + (uint64_t)bitmap_blocks) * PAGE;
}

/* Returns the page's flags; @data and @len: its data in the file. */
static uint32_t kdump_page(const Kdump *k, uint64_t pfn, const uint8_t **data,
                           uint32_t *len)
{
    const uint8_t *desc;
    uint64_t before = 0;

    g_assert_true(has_page(k, 0, pfn) && has_page(k, 1, pfn));
    for (uint64_t i = 0; i < pfn; i++) {
        before += has_page(k, 1, i);
    }
    desc = at(k->file, k->descs + 24 * before, 24);
    *len = ldl_le_p(desc + 8);
    g_assert_cmpuint(*len, >, 0);
    g_assert_cmpuint(*len, <=, PAGE);
    *data = at(k->file, ldq_le_p(desc), *len);
    return ldl_le_p(desc + 12);
}

/* Returns the page's flags. Only zlib pages are decompressed. */
static uint32_t check_kdump_page(const Kdump *k, uint64_t pfn,
                                 const uint8_t *want)
{
    const uint8_t *data;
    uint8_t page[PAGE];
    uLongf n = PAGE;
    uint32_t len, flag = kdump_page(k, pfn, &data, &len);

    if (!flag) {
        g_assert_cmpmem(data, len, want, PAGE);
    } else {
        g_assert_cmpuint(len, <, PAGE);
    }
    if (flag == 1) {
        g_assert_cmpint(uncompress(page, &n, data, len), ==, Z_OK);
        g_assert_cmpmem(page, n, want, PAGE);
    }
    return flag;
}

static void test_kdump(gconstpointer opaque)
{
    static const struct {
        const char *codec;
        uint32_t flag;
    } codecs[] = {
        { "zlib", 1 }, { "lzo", 2 }, { "snappy", 4 }, { "zstd", 0x20 },
    };
    static const uint8_t zero[PAGE];
    const char *format = opaque;
    uint32_t flag = 0;
    Kdump k;
    Guest g;

    for (size_t i = 0; i < G_N_ELEMENTS(codecs); i++) {
        if (g_str_has_suffix(format, codecs[i].codec)) {
            flag = codecs[i].flag;
        }
    }
    g_assert_cmphex(flag, !=, 0);
    guest_start(&g);
    dump_to_file(&g, format);
    kdump_open(&k, strstr(format, "raw") ? read_dump(&g) :
                                           rearranged(read_dump(&g)));
    g_assert_cmphex(check_kdump_page(&k, PATTERN_AT / PAGE, g.pattern), ==,
                    flag);
    check_kdump_page(&k, ZERO_AT / PAGE, zero);     /* may be uncompressed */
    g_byte_array_unref(k.file);
    guest_end(&g);
}

static void pass_fd(Guest *g, int fd)
{
    QDict *rsp = qtest_qmp_fds(g->qts, &fd, 1, "{ 'execute': 'getfd', "
                               "'arguments': { 'fdname': 'out' } }");

    g_assert_true(qdict_haskey(rsp, "return"));
    qobject_unref(rsp);
    close(fd);
}

#define DUMP_TO_FD "{ 'execute': 'dump-guest-memory', 'arguments': " \
                   "{ 'paging': false, 'protocol': 'fd:out', " \
                   "'format': %s, 'detach': true } }"

/* Wait for DUMP_COMPLETED and return it. */
static QDict *wait_completed(Guest *g)
{
    QDict *event = qtest_qmp_eventwait_ref(g->qts, "DUMP_COMPLETED");

    g_assert_true(qdict_haskey(event, "data"));
    return event;
}

static void test_pipe(void)
{
    g_autoptr(GByteArray) file = g_byte_array_new();
    QDict *event;
    ssize_t n;
    Guest g;
    int fds[2];

    guest_start(&g);
    g_assert_cmpint(pipe(fds), ==, 0);
    pass_fd(&g, fds[1]);
    qtest_qmp_assert_success(g.qts, DUMP_TO_FD, "elf");
    do {
        uint8_t buf[65536];

        n = read(fds[0], buf, sizeof(buf));
        g_assert_cmpint(n, >=, 0);
        g_byte_array_append(file, buf, n);
    } while (n);
    close(fds[0]);
    check_elf(file, g.pattern);
    event = wait_completed(&g);
    g_assert_false(qdict_haskey(qdict_get_qdict(event, "data"), "error"));
    qobject_unref(event);
    guest_end(&g);
}

static void test_pipe_needs_flattened(void)
{
    int fds[2];
    Guest g;

    guest_start(&g);
    g_assert_cmpint(pipe(fds), ==, 0);
    pass_fd(&g, fds[1]);
    assert_fails(&g, "seek", "{ 'paging': false, 'protocol': 'fd:out', "
                 "'format': 'kdump-raw-zlib' }");
    g_assert_true(is_running(&g));
    close(fds[0]);
    guest_end(&g);
}

static void test_disk_full(void)
{
    Guest g;

    if (access("/dev/full", W_OK)) {
        g_test_skip("no /dev/full");
        return;
    }
    guest_start(&g);
    assert_fails(&g, "No space left on device",
                 "{ 'paging': false, 'protocol': 'file:/dev/full' }");
    assert_dump_status(&g, "failed");
    g_assert_true(is_running(&g));
    dump_to_file(&g, "elf");            /* the next dump works */
    guest_end(&g);
}

static void test_cancel(void)
{
    QDict *event;
    int fds[2];
    Guest g;

    guest_start(&g);
    g_assert_cmpint(pipe(fds), ==, 0);
    pass_fd(&g, fds[1]);
    /* The dump exceeds the pipe's buffer, and nothing is read. */
    qtest_qmp_assert_success(g.qts, DUMP_TO_FD, "elf");
    assert_dump_status(&g, "active");
    g_assert_false(is_running(&g));
    assert_fails(&g, "in process", "{ 'paging': false, "
                 "'protocol': 'file:/dev/null' }");
    qtest_qmp_assert_success(g.qts, "{ 'execute': 'dump-cancel' }");
    event = wait_completed(&g);
    g_assert_nonnull(strstr(qdict_get_str(qdict_get_qdict(event, "data"),
                                          "error"), "cancel"));
    qobject_unref(event);
    assert_dump_status(&g, "failed");
    g_assert_true(is_running(&g));
    close(fds[0]);
    guest_end(&g);
}

static void test_events(void)
{
    g_autoptr(GString) order = g_string_new(NULL);
    g_autofree char *protocol = NULL;
    bool done = false;
    Guest g;

    guest_start(&g);
    protocol = g_strdup_printf("file:%s", g.path);
    qtest_qmp_send(g.qts, "{ 'execute': 'dump-guest-memory', 'arguments': "
                   "{ 'paging': false, 'protocol': %s, 'detach': true } }",
                   protocol);
    while (!done) {
        QDict *got = qtest_qmp_receive_dict(g.qts);
        const char *event = qdict_get_try_str(got, "event");

        g_assert_false(qdict_haskey(got, "error"));
        if (event) {
            g_string_append_printf(order, "%s ", event);
            done = !strcmp(event, "DUMP_COMPLETED");
        }
        qobject_unref(got);
    }
    g_assert_cmpstr(order->str, ==, "STOP RESUME DUMP_COMPLETED ");
    g_assert_true(is_running(&g));
    guest_end(&g);
}

/* Add a test for each format of this QEMU. */
static void add_formats(void)
{
    QTestState *qts = qtest_init(MACHINE);
    QDict *rsp = qtest_qmp(qts, "{ 'execute': "
                           "'query-dump-guest-memory-capability' }");
    QListEntry *entry;

    QLIST_FOREACH_ENTRY(qdict_get_qlist(qdict_get_qdict(rsp, "return"),
                                        "formats"), entry) {
        char *format = g_strdup(qstring_get_str(
                            qobject_to(QString, qlist_entry_obj(entry))));
        g_autofree char *path = g_strdup_printf("dump/format/%s", format);

        /* Requires a Windows guest. */
        if (strcmp(format, "win-dmp")) {
            qtest_add_data_func_full(path, format, strcmp(format, "elf") ?
                                     (void (*)(const void *))test_kdump :
                                     test_elf, g_free);
        }
    }
    qobject_unref(rsp);
    qtest_quit(qts);
}

int main(int argc, char **argv)
{
    g_autoptr(GError) err = NULL;
    int ret;

    g_test_init(&argc, &argv, NULL);
    tmpdir = g_dir_make_tmp("dump-test-XXXXXX", &err);
    g_assert_no_error(err);
    qtest_add_func("dump/refused", test_refused);
    add_formats();
    qtest_add_func("dump/pipe", test_pipe);
    qtest_add_func("dump/pipe/raw", test_pipe_needs_flattened);
    qtest_add_func("dump/disk-full", test_disk_full);
    qtest_add_func("dump/cancel", test_cancel);
    qtest_add_func("dump/events", test_events);
    ret = g_test_run();
    g_rmdir(tmpdir);
    g_free(tmpdir);
    return ret;
}
