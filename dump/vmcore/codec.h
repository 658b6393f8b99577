/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Page compressors. One file per codec; the table has those that this
 * build was made with. All calls on one state come from one thread.
 */

#ifndef DUMP_VMCORE_CODEC_H
#define DUMP_VMCORE_CODEC_H

typedef enum DumpCodecId {
    DUMP_CODEC_ZLIB,
    DUMP_CODEC_LZO,
    DUMP_CODEC_SNAPPY,
    DUMP_CODEC_ZSTD,
    DUMP_CODEC__MAX,
} DumpCodecId;

typedef struct DumpCodec {
    DumpCodecId id;
    const char *name;           /* "zlib" */
    uint32_t kdump_flag;        /* KDUMP_PAGE_* */

    /* One worker's state; NULL with @errp set if it cannot be had. */
    void *(*create)(Error **errp);
    void (*destroy)(void *state);

    /* Bytes that compress may need for @len bytes of input. */
    size_t (*bound)(size_t len);

    /*
     * Compress @len bytes of @src to @dst, which has bound(len) bytes.
     * Returns the bytes used, 0 if the codec failed or saw that the result
     * is no shorter. @src may change meanwhile (a device that goes on
     * writing to guest memory): the result then need not make sense, but
     * nothing outside the buffers is touched.
     */
    size_t (*compress)(void *state, const uint8_t *src, size_t len,
                       uint8_t *dst);
} DumpCodec;

/* NULL if this build lacks the codec. */
const DumpCodec *dump_codec_find(DumpCodecId id);

extern const DumpCodec dump_codec_zlib;
extern const DumpCodec dump_codec_lzo;
extern const DumpCodec dump_codec_snappy;
extern const DumpCodec dump_codec_zstd;

#endif
