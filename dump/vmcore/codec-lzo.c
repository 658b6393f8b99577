/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * LZO1X pages.
 */

#include "qemu/osdep.h"
#include <lzo/lzo1x.h>
#include "qapi/error.h"
#include "codec.h"
#include "kdump-format.h"
#include "spare.h"

static void *lzo_create(Error **errp)
{
    void *state;

    if (lzo_init() != LZO_E_OK) {
        error_setg(errp, "dump: failed to initialize the LZO library");
        return NULL;
    }
    state = g_try_malloc(LZO1X_1_MEM_COMPRESS);
    if (!state) {
        dump_no_memory(errp, "for LZO");
    }
    return state;
}

static void lzo_destroy(void *state)
{
    g_free(state);
}

/* Worst case for incompressible data, from LZO's FAQ. */
static size_t lzo_bound(size_t len)
{
    return len + len / 16 + 64 + 3;
}

static size_t lzo_compress(void *state, const uint8_t *src, size_t len,
                           uint8_t *dst)
{
    lzo_uint used = 0;

    return lzo1x_1_compress(src, len, dst, &used, state) == LZO_E_OK ? used :
                                                                       0;
}

const DumpCodec dump_codec_lzo = {
    .id = DUMP_CODEC_LZO,
    .name = "lzo",
    .kdump_flag = KDUMP_PAGE_LZO,
    .create = lzo_create,
    .destroy = lzo_destroy,
    .bound = lzo_bound,
    .compress = lzo_compress,
};
