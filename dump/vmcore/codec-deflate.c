/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * zlib pages (RFC 1950), made by deflate.c.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "codec.h"
#include "deflate.h"
#include "kdump-format.h"
#include "spare.h"

static void *zlib_create(Error **errp)
{
    DumpDeflate *state = dump_deflate_new();

    if (!state) {
        dump_no_memory(errp, "for zlib");
    }
    return state;
}

static void zlib_destroy(void *state)
{
    dump_deflate_free(state);
}

static size_t zlib_compress(void *state, const uint8_t *src, size_t len,
                            uint8_t *dst)
{
    return dump_deflate_zlib(state, src, len, dst);
}

const DumpCodec dump_codec_zlib = {
    .id = DUMP_CODEC_ZLIB,
    .name = "zlib",
    .kdump_flag = KDUMP_PAGE_ZLIB,
    .create = zlib_create,
    .destroy = zlib_destroy,
    .bound = dump_deflate_bound,
    .compress = zlib_compress,
};
