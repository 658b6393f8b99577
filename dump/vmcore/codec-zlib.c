/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * zlib pages (RFC 1950), made by zlib. A build that has something faster
 * compiles that instead: see meson.build.
 */

#include "qemu/osdep.h"
#include <zlib.h>
#include "qapi/error.h"
#include "codec.h"
#include "kdump-format.h"
#include "spare.h"

/*
 * zlib's tables are cleared for each page. The smaller ones of this level are
 * large enough for pages, which then take less time; sizes differ by little.
 */
#define ZLIB_MEM_LEVEL 6

static void *zlib_create(Error **errp)
{
    z_stream *z = g_try_new0(z_stream, 1);

    if (!z || deflateInit2(z, Z_BEST_SPEED, Z_DEFLATED, MAX_WBITS,
                           ZLIB_MEM_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK) {
        dump_no_memory(errp, "for zlib");
        g_free(z);
        return NULL;
    }
    return z;
}

static void zlib_destroy(void *state)
{
    deflateEnd(state);
    g_free(state);
}

/* Output that does not fit is not shorter than the page either. */
static size_t zlib_bound(size_t len)
{
    return compressBound(len);
}

/* zlib copies its input to its window before it looks at it. */
static size_t zlib_compress(void *state, const uint8_t *src, size_t len,
                            uint8_t *dst)
{
    z_stream *z = state;

    if (deflateReset(z) != Z_OK) {
        return 0;
    }
    z->next_in = (Bytef *)src;
    z->avail_in = len;
    z->next_out = dst;
    z->avail_out = zlib_bound(len);
    return deflate(z, Z_FINISH) == Z_STREAM_END ? z->total_out : 0;
}

const DumpCodec dump_codec_zlib = {
    .id = DUMP_CODEC_ZLIB,
    .name = "zlib",
    .kdump_flag = KDUMP_PAGE_ZLIB,
    .create = zlib_create,
    .destroy = zlib_destroy,
    .bound = zlib_bound,
    .compress = zlib_compress,
};
