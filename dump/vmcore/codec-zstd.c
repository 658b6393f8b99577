/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Zstandard pages (RFC 8878), one frame per page.
 */

#include "qemu/osdep.h"
#include <zstd.h>
#include "qapi/error.h"
#include "codec.h"
#include "kdump-format.h"

/*
 * The lowest level that compresses pages better than zlib level 1 and than
 * deflate.c. No level that does so is as fast as deflate.c.
 */
#define ZSTD_PAGE_LEVEL 2

static void zstd_destroy(void *state)
{
    ZSTD_freeCCtx(state);
}

static size_t zstd_bound(size_t len)
{
    return ZSTD_compressBound(len);
}

static size_t zstd_compress(void *state, const uint8_t *src, size_t len,
                            uint8_t *dst)
{
    size_t used = ZSTD_compressCCtx(state, dst, zstd_bound(len), src, len,
                                    ZSTD_PAGE_LEVEL);

    return ZSTD_isError(used) ? 0 : used;
}

/*
 * The library allocates its working memory at the first compression. Do that
 * now: if it failed later, every page would be stored uncompressed.
 */
static bool zstd_warm_up(ZSTD_CCtx *ctx)
{
    static const uint8_t page[4096];
    uint8_t dst[64];

    return !ZSTD_isError(ZSTD_compressCCtx(ctx, dst, sizeof(dst), page,
                                           sizeof(page), ZSTD_PAGE_LEVEL));
}

static void *zstd_create(Error **errp)
{
    ZSTD_CCtx *ctx = ZSTD_createCCtx();

    if (!ctx || !zstd_warm_up(ctx)) {
        error_setg(errp, "dump: failed to initialize the zstd library");
        ZSTD_freeCCtx(ctx);
        return NULL;
    }
    return ctx;
}

const DumpCodec dump_codec_zstd = {
    .id = DUMP_CODEC_ZSTD,
    .name = "zstd",
    .kdump_flag = KDUMP_PAGE_ZSTD,
    .create = zstd_create,
    .destroy = zstd_destroy,
    .bound = zstd_bound,
    .compress = zstd_compress,
};
