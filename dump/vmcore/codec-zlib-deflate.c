/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * zlib pages (RFC 1950) by libdeflate, which makes the same format several
 * times faster than zlib does.
 */

#include "qemu/osdep.h"
#include <libdeflate.h>
#include "qapi/error.h"
#include "codec.h"
#include "kdump-format.h"

#define DEFLATE_LEVEL   1

static void *deflate_create(Error **errp)
{
    void *state = libdeflate_alloc_compressor(DEFLATE_LEVEL);

    if (!state) {
        error_setg(errp, "dump: libdeflate cannot be set up");
    }
    return state;
}

static void deflate_destroy(void *state)
{
    libdeflate_free_compressor(state);
}

static size_t deflate_bound(size_t len)
{
    return libdeflate_zlib_compress_bound(NULL, len);
}

static size_t deflate_compress(void *state, const uint8_t *src, size_t len,
                               uint8_t *dst)
{
    /*
     * Given the room of a page and no more, it stops early on pages that
     * do not shrink: 0 then, and the page is stored as it is.
     */
    return libdeflate_zlib_compress(state, src, len, dst, len);
}

const DumpCodec dump_codec_zlib = {
    .id = DUMP_CODEC_ZLIB,
    .name = "zlib",
    .kdump_flag = KDUMP_PAGE_ZLIB,
    .create = deflate_create,
    .destroy = deflate_destroy,
    .bound = deflate_bound,
    .compress = deflate_compress,
};
