/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * zlib pages (RFC 1950), made by libdeflate.
 */

#include "qemu/osdep.h"
#include <libdeflate.h>
#include "qapi/error.h"
#include "codec.h"
#include "kdump-format.h"
#include "spare.h"

#define LIBDEFLATE_LEVEL 1

typedef struct State {
    struct libdeflate_compressor *compressor;
    uint8_t *page;
    size_t size;                /* of @page, in bytes */
} State;

static void *zlib_create(Error **errp)
{
    State *s = g_try_new0(State, 1);

    if (s) {
        s->compressor = libdeflate_alloc_compressor(LIBDEFLATE_LEVEL);
    }
    if (!s || !s->compressor) {
        dump_no_memory(errp, "for zlib");
        g_free(s);
        return NULL;
    }
    return s;
}

static void zlib_destroy(void *state)
{
    State *s = state;

    libdeflate_free_compressor(s->compressor);
    g_free(s->page);
    g_free(s);
}

static size_t zlib_bound(size_t len)
{
    return libdeflate_zlib_compress_bound(NULL, len);
}

/*
 * libdeflate reads its input more than once, and relies on finding the same
 * each time, but guest memory may change: it gets a copy.
 */
static size_t zlib_compress(void *state, const uint8_t *src, size_t len,
                            uint8_t *dst)
{
    State *s = state;

    if (s->size < len) {
        g_free(s->page);
        s->page = g_try_malloc(len);
        s->size = s->page ? len : 0;
        if (!s->page) {
            return 0;
        }
    }
    memcpy(s->page, src, len);
    return libdeflate_zlib_compress(s->compressor, s->page, len, dst,
                                    zlib_bound(len));
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
