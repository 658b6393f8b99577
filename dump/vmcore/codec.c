/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The codecs of this build.
 */

#include "qemu/osdep.h"
#include "codec.h"

static const DumpCodec *const dump_codecs[DUMP_CODEC__MAX] = {
    [DUMP_CODEC_ZLIB] = &dump_codec_zlib,
#ifdef CONFIG_LZO
    [DUMP_CODEC_LZO] = &dump_codec_lzo,
#endif
#ifdef CONFIG_SNAPPY
    [DUMP_CODEC_SNAPPY] = &dump_codec_snappy,
#endif
#ifdef CONFIG_ZSTD
    [DUMP_CODEC_ZSTD] = &dump_codec_zstd,
#endif
};

const DumpCodec *dump_codec_find(DumpCodecId id)
{
    return id < DUMP_CODEC__MAX ? dump_codecs[id] : NULL;
}
