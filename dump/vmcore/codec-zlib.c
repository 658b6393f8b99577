/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * zlib pages (RFC 1950) by zlib.
 */

#include "qemu/osdep.h"
#include <zlib.h>
#include "qapi/error.h"
#include "codec.h"
#include "kdump-format.h"

static void *zlib_create(Error **errp)
{
    z_stream *z = g_new0(z_stream, 1);

    if (deflateInit(z, Z_BEST_SPEED) != Z_OK) {
        error_setg(errp, "dump: zlib cannot be set up");
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

static size_t zlib_bound(size_t len)
{
    return compressBound(len);
}

static size_t zlib_compress(void *state, const uint8_t *src, size_t len,
                            uint8_t *dst)
{
    z_stream *z = state;

    z->next_in = (Bytef *)src;
    z->avail_in = len;
    z->next_out = dst;
    z->avail_out = zlib_bound(len);
    if (deflateReset(z) != Z_OK || deflate(z, Z_FINISH) != Z_STREAM_END) {
        return 0;
    }
    return z->total_out;
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
