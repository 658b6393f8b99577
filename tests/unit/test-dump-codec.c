/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One test suite for all codecs; the result is decompressed by the libraries
 * that dump readers use.
 */

#include "qemu/osdep.h"
#include <sys/mman.h>
#include <zlib.h>
#ifdef CONFIG_LZO
#include <lzo/lzo1x.h>
#endif
#ifdef CONFIG_SNAPPY
#include <snappy-c.h>
#endif
#ifdef CONFIG_ZSTD
#include <zstd.h>
#endif
#include "qapi/error.h"
#include "codec.h"
#include "kdump-format.h"

static bool inflate_page(DumpCodecId id, const uint8_t *src, size_t len,
                         uint8_t *dst, size_t size)
{
    switch (id) {
    case DUMP_CODEC_ZLIB: {
        uLongf n = size;

        return uncompress(dst, &n, src, len) == Z_OK && n == size;
    }
#ifdef CONFIG_LZO
    case DUMP_CODEC_LZO: {
        lzo_uint n = size;

        return lzo1x_decompress_safe(src, len, dst, &n, NULL) == LZO_E_OK &&
               n == size;
    }
#endif
#ifdef CONFIG_SNAPPY
    case DUMP_CODEC_SNAPPY: {
        size_t n = size;

        return snappy_uncompress((const char *)src, len, (char *)dst, &n) ==
               SNAPPY_OK && n == size;
    }
#endif
#ifdef CONFIG_ZSTD
    case DUMP_CODEC_ZSTD:
        return ZSTD_decompress(dst, size, src, len) == size;
#endif
    default:
        return false;
    }
}

static void fill_page(uint8_t *p, size_t size, int kind, GRand *r)
{
    for (size_t i = 0; i < size; i++) {
        switch (kind) {
        case 0:
            p[i] = 0;
            break;
        case 1:
            p[i] = "the quick brown fox "[i % 20];
            break;
        case 2:
            p[i] = g_rand_int(r);
            break;
        default:
            p[i] = i < size / 2 ? g_rand_int(r) : i / 64;
        }
    }
}

static void test_round_trip(gconstpointer opaque)
{
    const DumpCodec *codec = opaque;
    GRand *r = g_rand_new_with_seed(codec->id);
    void *state = codec->create(&error_abort);

    for (size_t size = 4096; size <= 65536; size *= 4) {
        /* Exact sizes, so that the sanitizer detects overruns by one byte. */
        g_autofree uint8_t *src = g_malloc(size);
        g_autofree uint8_t *dst = g_malloc(codec->bound(size));
        g_autofree uint8_t *back = g_malloc(size);

        g_assert_cmpuint(codec->bound(size), >=, size);
        for (int i = 0; i < 40; i++) {
            size_t n;

            fill_page(src, size, i % 4, r);
            n = codec->compress(state, src, size, dst);
            g_assert_cmpuint(n, <=, codec->bound(size));
            /* Partly random data need not shrink. */
            if (i % 4 < 2) {
                g_assert_cmpuint(n, >, 0);
                g_assert_cmpuint(n, <, size);
            } else if (n == 0) {
                continue;
            }
            memset(back, 0xaa, size);
            g_assert_true(inflate_page(codec->id, dst, n, back, size));
            g_assert_cmpmem(back, size, src, size);
        }
    }
    codec->destroy(state);
    g_rand_free(r);
}

/* The result does not depend on previous pages. */
static void test_independent(gconstpointer opaque)
{
    const DumpCodec *codec = opaque;
    enum { SIZE = 4096 };
    g_autofree uint8_t *a = g_malloc(SIZE), *b = g_malloc(SIZE);
    g_autofree uint8_t *first = g_malloc(codec->bound(SIZE));
    g_autofree uint8_t *again = g_malloc(codec->bound(SIZE));
    GRand *r = g_rand_new_with_seed(7);
    void *state = codec->create(&error_abort);
    void *other = codec->create(&error_abort);
    size_t n;

    fill_page(a, SIZE, 3, r);
    n = codec->compress(state, a, SIZE, first);
    g_assert_cmpuint(n, >, 0);
    for (int kind = 0; kind < 4; kind++) {
        size_t m;

        fill_page(b, SIZE, kind, r);
        codec->compress(state, b, SIZE, again);
        m = codec->compress(state, a, SIZE, again);
        g_assert_cmpmem(again, m, first, n);
        m = codec->compress(other, a, SIZE, again);
        g_assert_cmpmem(again, m, first, n);
    }
    codec->destroy(state);
    codec->destroy(other);
    g_rand_free(r);
}

typedef struct Scribbler {
    uint8_t *page;
    size_t size;
    gint stop;
} Scribbler;

static gpointer scribble(gpointer opaque)
{
    Scribbler *s = opaque;
    GRand *r = g_rand_new_with_seed(1);

    while (!g_atomic_int_get(&s->stop)) {
        fill_page(s->page, s->size, g_rand_int_range(r, 0, 4), r);
    }
    g_rand_free(r);
    return NULL;
}

/*
 * A device writes to the page meanwhile, through a mapping of its own. No
 * codec may exceed its buffer, and the next page must not be affected.
 */
static void test_changing(gconstpointer opaque)
{
    const DumpCodec *codec = opaque;
    enum { SIZE = 16384, GUARD = 65536 };
    size_t bound = codec->bound(SIZE);
    g_autofree uint8_t *dst = g_malloc(bound + GUARD);
    g_autofree uint8_t *guard = g_malloc(GUARD);
    g_autofree uint8_t *still = g_malloc(SIZE), *back = g_malloc(SIZE);
    int fd = memfd_create("page", 0);
    GRand *r = g_rand_new_with_seed(2);
    void *state = codec->create(&error_abort);
    Scribbler s = { .size = SIZE };
    const uint8_t *src;
    GThread *thread;
    size_t n;

    g_assert_cmpint(ftruncate(fd, SIZE), ==, 0);
    s.page = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    src = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fd, 0);
    g_assert_true(s.page != MAP_FAILED && src != MAP_FAILED);
    memset(guard, 0x5a, GUARD);
    memset(dst + bound, 0x5a, GUARD);
    thread = g_thread_new("scribble", scribble, &s);
    for (int i = 0; i < 2000; i++) {
        g_assert_cmpuint(codec->compress(state, src, SIZE, dst), <=, bound);
        g_assert_cmpmem(dst + bound, GUARD, guard, GUARD);
    }
    g_atomic_int_set(&s.stop, 1);
    g_thread_join(thread);

    fill_page(still, SIZE, 3, r);
    n = codec->compress(state, still, SIZE, dst);
    g_assert_true(inflate_page(codec->id, dst, n, back, SIZE));
    g_assert_cmpmem(back, SIZE, still, SIZE);

    codec->destroy(state);
    g_rand_free(r);
    munmap(s.page, SIZE);
    munmap((void *)src, SIZE);
    close(fd);
}

static void test_table(void)
{
    static const struct {
        const char *name;
        uint32_t flag;
    } want[DUMP_CODEC__MAX] = {
        [DUMP_CODEC_ZLIB] = { "zlib", 1 },
        [DUMP_CODEC_LZO] = { "lzo", 2 },
        [DUMP_CODEC_SNAPPY] = { "snappy", 4 },
        [DUMP_CODEC_ZSTD] = { "zstd", 0x20 },
    };

    for (int i = 0; i < DUMP_CODEC__MAX; i++) {
        const DumpCodec *codec = dump_codec_find(i);

        if (codec) {
            g_assert_cmpint(codec->id, ==, i);
            g_assert_cmpstr(codec->name, ==, want[i].name);
            g_assert_cmphex(codec->kdump_flag, ==, want[i].flag);
        }
    }
    g_assert_nonnull(dump_codec_find(DUMP_CODEC_ZLIB));
    g_assert_null(dump_codec_find(DUMP_CODEC__MAX));
}

static void add_tests(const DumpCodec *codec)
{
    static const struct {
        const char *name;
        void (*func)(gconstpointer);
    } tests[] = {
        { "round-trip", test_round_trip },
        { "independent", test_independent },
        { "changing", test_changing },
    };

    for (size_t i = 0; i < ARRAY_SIZE(tests); i++) {
        g_autofree char *path = g_strdup_printf("/dump/codec/%s/%s",
                                                codec->name, tests[i].name);
        g_test_add_data_func(path, codec, tests[i].func);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dump/codec/table", test_table);
    for (int i = 0; i < DUMP_CODEC__MAX; i++) {
        const DumpCodec *codec = dump_codec_find(i);

        if (codec) {
            add_tests(codec);
        }
    }
    return g_test_run();
}
