/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * zlib streams, decompressed by zlib.
 */

#include "qemu/osdep.h"
#include <zlib.h>
#include "deflate.h"

static DumpDeflate *deflater;

/* Exact buffer sizes, so that the sanitizer detects overruns. */
static size_t check(const uint8_t *data, size_t len)
{
    g_autofree uint8_t *src = g_memdup2(data, len);
    g_autofree uint8_t *dst = g_malloc(dump_deflate_bound(len));
    g_autofree uint8_t *back = g_malloc(len);
    uLongf n = len;
    size_t size = dump_deflate_zlib(deflater, src, len, dst);

    g_assert_cmpmem(src, len, data, len);
    if (size) {
        g_assert_cmpuint(size, <, len);
        memset(back, 0xaa, len);
        g_assert_cmpint(uncompress(back, &n, dst, size), ==, Z_OK);
        g_assert_cmpmem(back, n, data, len);
    }
    return size;
}

static size_t zlib_size(const uint8_t *data, size_t len)
{
    uLongf n = compressBound(len);
    g_autofree uint8_t *dst = g_malloc(n);

    g_assert_cmpint(compress2(dst, &n, data, len, Z_BEST_SPEED), ==, Z_OK);
    return n;
}

/* All lengths near the ends of words and matches. */
static void test_lengths(void)
{
    uint8_t data[700];

    for (size_t len = 1; len <= sizeof(data); len++) {
        memset(data, 0, len);
        check(data, len);
        for (size_t i = 0; i < len; i++) {
            data[i] = "abcdefg"[i % 7];
        }
        check(data, len);
        /* A match that ends just before, at and just after the end. */
        for (size_t i = 0; i < len; i++) {
            data[i] = i < len / 2 ? i * 37 : data[i - len / 2];
        }
        check(data, len);
    }
}

/* Runs of each period and of each length to above the maximum match. */
static void test_runs(void)
{
    g_autofree uint8_t *data = g_malloc0(65536);

    for (size_t period = 1; period < 40000; period += period / 8 + 1) {
        for (size_t i = 0; i < 65536; i++) {
            data[i] = i < period ? i * 2654435761u >> 24 : data[i - period];
        }
        check(data, 4096);
        check(data, 65536);
    }
    for (size_t run = 1; run < 600; run++) {
        for (size_t i = 0; i < 4096; i++) {
            data[i] = i % (run + 5) < run ? 'x' : i * 7;
        }
        g_assert_cmpuint(check(data, 4096), >, 0);
    }
}

/*
 * Symbol counts that are Fibonacci numbers make the deepest possible tree, so
 * that code lengths must be limited. The order avoids matches.
 */
static void test_deep_codes(void)
{
    enum { LEN = 32768 };
    g_autofree uint8_t *data = g_malloc(LEN);
    GRand *r = g_rand_new_with_seed(3);

    for (int symbols = 2; symbols < 40; symbols++) {
        size_t len = 0, a = 1, b = 1;

        for (int i = 0; i < symbols && len + a <= LEN; i++) {
            memset(data + len, 200 - i, a);
            len += a;
            b += a;
            a = b - a;
        }
        for (size_t i = len; i > 1; i--) {
            size_t k = g_rand_int_range(r, 0, i);
            uint8_t t = data[i - 1];

            data[i - 1] = data[k];
            data[k] = t;
        }
        check(data, len);
    }
    g_rand_free(r);
}

/* Random pages with each number of different byte values. */
static void test_random(void)
{
    g_autofree uint8_t *data = g_malloc(65536);
    GRand *r = g_rand_new_with_seed(1);

    for (int symbols = 1; symbols <= 256; symbols++) {
        for (size_t len = 4096; len <= 65536; len *= 4) {
            for (size_t i = 0; i < len; i++) {
                data[i] = g_rand_int_range(r, 0, symbols);
            }
            /* Data with less than 7 bits per byte shrinks. */
            g_assert_cmpint(check(data, len) != 0, >=, symbols < 128);
        }
    }
    for (int i = 0; i < 200; i++) {
        size_t from = g_rand_int_range(r, 0, 65536);

        memset(data, i, from);
        for (size_t k = from; k < 65536; k++) {
            data[k] = g_rand_int(r);
        }
        /* Only incompressible blocks are stored. */
        g_assert_cmpint(check(data, 65536) != 0, >=, from > 1024);
    }
    g_rand_free(r);
}

/* Compresses typical pages as well as zlib does. */
static void test_size(void)
{
    g_autofree char *data = NULL;
    size_t ours = 0, theirs = 0, len;

    g_assert_true(g_file_get_contents("/proc/self/exe", &data, &len, NULL));
    for (size_t at = 0; at + 4096 <= len; at += 4096) {
        size_t n = check((uint8_t *)data + at, 4096);

        ours += n ? n : 4096;
        theirs += MIN(zlib_size((uint8_t *)data + at, 4096), 4096);
    }
    g_test_message("%zu bytes of a program: %zu, zlib %zu", len, ours,
                   theirs);
    g_assert_cmpuint(ours, <, theirs + theirs / 20);
}

int main(int argc, char **argv)
{
    int ret;

    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dump/deflate/lengths", test_lengths);
    g_test_add_func("/dump/deflate/runs", test_runs);
    g_test_add_func("/dump/deflate/deep-codes", test_deep_codes);
    g_test_add_func("/dump/deflate/random", test_random);
    g_test_add_func("/dump/deflate/size", test_size);
    deflater = dump_deflate_new();
    ret = g_test_run();
    dump_deflate_free(deflater);
    return ret;
}
