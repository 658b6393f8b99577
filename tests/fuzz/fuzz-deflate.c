/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Pages as zlib streams: zlib must restore them, and the result must not
 * depend on previous pages.
 */

#include "fuzz.h"
#include <zlib.h>
#include "deflate.h"

enum { MOST = 160 * 1024 };

/* Repeat the bytes, each time with one of them changed. */
static uint8_t *make_page(FuzzInput *in, size_t *len)
{
    unsigned times = 1 + fuzz_u8(in) % 64;
    size_t step = fuzz_u16(in), n;
    g_autofree uint8_t *bytes = fuzz_bytes(in, MOST, &n);
    uint8_t *page;

    times = MAX(MIN(times, MOST / MAX(n, 1)), 1);
    *len = n * times;
    page = g_malloc(MAX(*len, 1));
    for (unsigned i = 0; i < times; i++) {
        memcpy(page + i * n, bytes, n);
        if (n) {
            page[i * n + i * step % n] += i;
        }
    }
    return page;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static DumpDeflate *used;
    FuzzInput in = { data, size };
    DumpDeflate *fresh;
    size_t len, n;
    g_autofree uint8_t *page = make_page(&in, &len);
    g_autofree uint8_t *first = NULL, *second = NULL, *back = NULL;
    uLongf back_len = len;

    if (!len) {
        return 0;
    }
    used = used ?: dump_deflate_new();
    fresh = dump_deflate_new();
    first = g_malloc(dump_deflate_bound(len));
    second = g_malloc(dump_deflate_bound(len));
    n = dump_deflate_zlib(used, page, len, first);
    FUZZ_CHECK(n < len);
    FUZZ_CHECK(dump_deflate_zlib(fresh, page, len, second) == n);
    dump_deflate_free(fresh);
    if (n) {
        FUZZ_CHECK(!memcmp(first, second, n));
        back = g_malloc(len);
        FUZZ_CHECK(uncompress(back, &back_len, first, n) == Z_OK);
        FUZZ_CHECK(back_len == len && !memcmp(back, page, len));
    }
    return 0;
}

void fuzz_seeds(FuzzEmit *seed, FuzzEmit *word)
{
    uint8_t in[3 + 4096] = { 0 };

    for (unsigned kind = 0; kind < 16; kind++) {
        in[0] = kind * 5;
        in[1] = kind;
        for (size_t i = 3; i < sizeof(in); i++) {
            in[i] = i * kind % (kind + 1) * (i >> kind);
        }
        seed(in, sizeof(in));
        seed(in, 64 + kind);
    }
    word("\0\0\0\0\0\0\0\0", 8);
    word("\xff\xff\xff\xff", 4);
}
