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

typedef struct DeflateState {
    struct libdeflate_compressor *compressor;
    uint8_t *copy;              /* of the input */
    size_t copy_size;
} DeflateState;

static void *deflate_create(Error **errp)
{
    DeflateState *s = g_new0(DeflateState, 1);

    s->compressor = libdeflate_alloc_compressor(DEFLATE_LEVEL);
    if (!s->compressor) {
        error_setg(errp, "dump: libdeflate cannot be set up");
        g_free(s);
        return NULL;
    }
    return s;
}

static void deflate_destroy(void *state)
{
    DeflateState *s = state;

    libdeflate_free_compressor(s->compressor);
    g_free(s->copy);
    g_free(s);
}

/*
 * libdeflate reads its input twice: once to find out how long the result
 * will be, and again to write that without looking at the end of its buffer.
 * If the guest's memory changed in between, it would write past it.
 */
static const uint8_t *deflate_copy(DeflateState *s, const uint8_t *src,
                                   size_t len)
{
    if (s->copy_size < len) {
        s->copy = g_realloc(s->copy, len);
        s->copy_size = len;
    }
    return memcpy(s->copy, src, len);
}

static size_t deflate_bound(size_t len)
{
    return libdeflate_zlib_compress_bound(NULL, len);
}

static size_t deflate_compress(void *state, const uint8_t *src, size_t len,
                               uint8_t *dst)
{
    DeflateState *s = state;

    /*
     * Given the room of a page and no more, it stops early on pages that
     * do not shrink: 0 then, and the page is stored as it is.
     */
    return libdeflate_zlib_compress(s->compressor, deflate_copy(s, src, len),
                                    len, dst, len);
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
