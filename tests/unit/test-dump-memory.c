/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Dumps under memory pressure: whichever allocation fails, the dump is
 * identical or fails with an error.
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "dump-test-guest.h"
#include "dump-test-host.h"

#define NEVER       G_MAXINT

/* Number of allocations that may fail; any thread. */
static gint count;

/* Range of allocations, counted from 0, that do fail. */
static gint fail_from = NEVER, fail_to = NEVER;

static bool refuse(void)
{
    gint n = g_atomic_int_add(&count, 1);

    return n >= fail_from && n < fail_to;
}

/* Replaces GLib's function. */
gpointer g_try_malloc(gsize size)
{
    return refuse() ? NULL : malloc(size);
}

gpointer g_try_malloc0(gsize size)
{
    return refuse() ? NULL : calloc(1, size);
}

gpointer g_try_malloc_n(gsize n, gsize size)
{
    return refuse() ? NULL : malloc(n * size);
}

gpointer g_try_malloc0_n(gsize n, gsize size)
{
    return refuse() ? NULL : calloc(n, size);
}

gpointer g_try_realloc_n(gpointer mem, gsize n, gsize size)
{
    return refuse() ? NULL : realloc(mem, n * size);
}

static const struct {
    const char *name;
    DumpFormat format;
} formats[] = {
    { "elf", { .kind = DUMP_KIND_ELF } },
    { "zlib", { .kind = DUMP_KIND_KDUMP, .codec = DUMP_CODEC_ZLIB,
                .threads = 1 } },
    { "zlib-flat", { .kind = DUMP_KIND_KDUMP, .codec = DUMP_CODEC_ZLIB,
                     .flat = true, .threads = 2 } },
    { "lzo", { .kind = DUMP_KIND_KDUMP, .codec = DUMP_CODEC_LZO,
               .threads = 1 } },
    { "zstd", { .kind = DUMP_KIND_KDUMP, .codec = DUMP_CODEC_ZSTD,
                .threads = 1 } },
};

/*
 * More memory runs and mappings than fit the initial arrays, and some
 * unreadable pages.
 */
static void init_guest(TestGuest *t, TestLossy *lossy)
{
    static const DumpAbi abi = { ELFCLASS64, ELFDATA2LSB, EM_X86_64 };
    TestBlock *b;

    test_guest_init(t, &abi, 4096);
    b = test_guest_add(t, 0, 2 << 20);
    /* Mostly zero, to save time. */
    for (size_t at = 0; at < b->size; at += 512 << 10) {
        memset(b->host + at + (32 << 10), 0, (512 - 32) << 10);
    }
    t->g.mappings = g_array_new(false, false, sizeof(DumpMapping));
    for (uint64_t i = 1; i <= 40; i++) {
        DumpMapping m = { .vaddr = i << 40, .paddr = i << 30, .size = 4096 };

        test_guest_add(t, m.paddr, m.size);
        g_array_append_val(t->g.mappings, m);
    }
    test_lossy_add(lossy, t, 50ULL << 30);
    dump_guest_seal(&t->g, 0, 0);
    g_byte_array_set_size(t->g.notes, 1000);
    memset(t->g.notes->data, 0, 1000);
}

static uint64_t get_be64(const TestImage *f, uint64_t offset)
{
    return ldq_be_p(test_at(f, offset, 8));
}

/* Unpack a flattened file, since the sizes of records may differ. */
static TestImage *rearrange(const TestImage *flat)
{
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    TestImage *image = g_new0(TestImage, 1);
    uint64_t pos = 4096;

    while (get_be64(flat, pos) != UINT64_MAX) {
        uint64_t offset = get_be64(flat, pos), size = get_be64(flat, pos + 8);
        guint old = bytes->len;

        if (offset + size > old) {
            g_byte_array_set_size(bytes, offset + size);
            memset(bytes->data + old, 0, bytes->len - old);
        }
        memcpy(bytes->data + offset, test_at(flat, pos + 16, size), size);
        pos += 16 + size;
    }
    image->len = bytes->len;
    image->data = g_byte_array_free(g_steal_pointer(&bytes), false);
    return image;
}

/* Returns NULL if the dump failed, which must be due to lack of memory. */
static TestImage *dump(const DumpFormat *format, const TestGuest *t,
                       DumpProgress *progress)
{
    g_autofree char *path = NULL;
    int fd = test_output_open(TEST_FILE, &path);
    TestImage *image = NULL;
    DumpSink *sink = dump_sink_fd_new(fd, progress);
    DumpWriter *w;
    Error *err = NULL;

    if (format->flat) {
        sink = dump_sink_flat_new(sink);
    }
    w = dump_writer_plan(format, &t->g, progress, &err);
    if (w && dump_writer_write(w, sink, &err)) {
        image = test_image_load(path, false);
    }
    dump_writer_free(w);
    dump_sink_free(sink);
    g_unlink(path);
    g_assert_cmpint(!image, ==, err != NULL);
    if (err) {
        g_assert_true(g_str_has_prefix(error_get_pretty(err),
                                       "dump: no memory "));
        error_free(err);
    }
    return image;
}

/* Dump with the allocations @from to @to - 1 failing. */
static TestImage *dump_without(const DumpFormat *format, const TestGuest *t,
                               gint from, gint to)
{
    DumpProgress progress;
    TestImage *image;

    dump_progress_init(&progress);
    g_atomic_int_set(&count, 0);
    fail_from = from;
    fail_to = to;
    image = dump(format, t, &progress);
    fail_from = fail_to = NEVER;
    if (image && format->flat) {
        g_autoptr(TestImage) flat = image;

        image = rearrange(flat);
    }
    return image;
}

/*
 * Count the dumps that succeed with each single allocation failing, or with it
 * and all later ones failing.
 */
static unsigned count_good(const DumpFormat *format, const TestGuest *t,
                           const TestImage *want, gint n, bool later)
{
    unsigned good = 0;

    for (gint i = 0; i < n; i++) {
        g_autoptr(TestImage) got = dump_without(format, t, i,
                                                later ? NEVER : i + 1);

        if (got) {
            g_assert_cmpmem(got->data, got->len, want->data, want->len);
            good++;
        }
    }
    return good;
}

static void check_format(const DumpFormat *format)
{
    g_autoptr(TestImage) want = NULL;
    g_auto(TestGuest) t;
    TestLossy lossy;
    unsigned good;
    gint n;

    init_guest(&t, &lossy);
    want = dump_without(format, &t, NEVER, NEVER);
    n = g_atomic_int_get(&count);
    g_assert_nonnull(want);
    g_assert_cmpint(n, >, 0);
    good = count_good(format, &t, want, n, false);
    if (format->kind == DUMP_KIND_KDUMP) {
        /*
         * Most allocations are optional, except one per memory run in the
         * set of page frames.
         */
        g_assert_cmpuint(n - good - guest_ram_nr_runs(&t.g.ram), <, 24);
        g_assert_cmpuint(good, >=, 16);
    }
    g_assert_cmpuint(count_good(format, &t, want, n, true), <, n);
    test_lossy_free(&lossy);
}

static void test_format(gconstpointer opaque)
{
    const DumpFormat format = formats[GPOINTER_TO_UINT(opaque)].format;

    if (test_skip_unknown_pages()) {
        return;
    }
    if (!dump_writer_available(&format)) {
        g_test_skip("not in this build");
        return;
    }
    check_format(&format);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
        g_autofree char *path = g_strdup_printf("/dump/memory/%s",
                                                formats[i].name);

        g_test_add_data_func(path, GUINT_TO_POINTER(i), test_format);
    }
    return g_test_run();
}
