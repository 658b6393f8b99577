/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Page compressors, one file per codec. All calls on one state come from one
 * thread.
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

    /* Create one worker's state. Returns NULL, with @errp set, on failure. */
    void *(*create)(Error **errp);
    void (*destroy)(void *state);

    /* Size in bytes of the buffer that compress needs for @len bytes. */
    size_t (*bound)(size_t len);

    /*
     * Compress @len bytes of @src to @dst, which has bound(len) bytes.
     * Returns the size of the result in bytes; 0 or @len or more if the codec
     * failed or the data does not shrink. @src may change during the call (a
     * device may write to guest memory): the result may then be garbage, but
     * nothing outside the buffers is accessed.
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
