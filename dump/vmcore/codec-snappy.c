/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Snappy pages (raw format, without framing).
 */

#include "qemu/osdep.h"
#include <snappy-c.h>
#include "qemu/units.h"
#include "codec.h"
#include "kdump-format.h"

/* Maximum size in bytes of the library's hash table of 16-bit entries. */
#define SNAPPY_TABLE (64 * KiB)

/* Snappy has no state between calls, but create must not return NULL. */
static char snappy_no_state;

static void *snappy_create(Error **errp)
{
    return &snappy_no_state;
}

static void snappy_destroy(void *state)
{
}

static size_t snappy_bound(size_t len)
{
    return snappy_max_compressed_length(len);
}

/*
 * The library aborts the process if it cannot allocate its working memory,
 * which it does for each page: a hash table, an input and an output block.
 * Probe for that much first. This is cheap, as the allocator caches freed
 * memory.
 */
static bool snappy_has_memory(size_t len)
{
    void *probe = g_try_malloc(MIN(4 * len, SNAPPY_TABLE) + len +
                               snappy_bound(len));

    g_free(probe);
    return probe;
}

static size_t snappy_page(void *state, const uint8_t *src, size_t len,
                          uint8_t *dst)
{
    size_t used = snappy_bound(len);

    if (!snappy_has_memory(len)) {
        return 0;
    }
    return snappy_compress((const char *)src, len, (char *)dst, &used) ==
           SNAPPY_OK ? used : 0;
}

const DumpCodec dump_codec_snappy = {
    .id = DUMP_CODEC_SNAPPY,
    .name = "snappy",
    .kdump_flag = KDUMP_PAGE_SNAPPY,
    .create = snappy_create,
    .destroy = snappy_destroy,
    .bound = snappy_bound,
    .compress = snappy_page,
};
