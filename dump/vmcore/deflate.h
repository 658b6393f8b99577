/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Deflate (RFC 1951) in a zlib wrapper (RFC 1950), for pages: each is a
 * stream of its own, and so short that what a general compressor sets up
 * and looks for takes most of its time.
 *
 * A greedy parse with one candidate for each place, as the fast byte-aligned
 * codecs have it, and then Huffman codes made for the page, as zlib's are.
 */

#ifndef DUMP_VMCORE_DEFLATE_H
#define DUMP_VMCORE_DEFLATE_H

/* Working memory of one thread, about 160 KiB. */
typedef struct DumpDeflate DumpDeflate;

/* NULL if there is no memory. */
DumpDeflate *dump_deflate_new(void);
void dump_deflate_free(DumpDeflate *s);

/* Bytes that dump_deflate_zlib may write to, for @len bytes of input. */
size_t dump_deflate_bound(size_t len);

/*
 * Make a zlib stream of the @len bytes at @src in @dst, which has room for
 * dump_deflate_bound(len). Returns its length, 0 if it would not be shorter
 * than @len. The same input gives the same stream, whatever came before it.
 * @src is read once and may change meanwhile: the stream is then one of
 * bytes that were there at some time.
 */
size_t dump_deflate_zlib(DumpDeflate *s, const uint8_t *src, size_t len,
                         uint8_t *dst);

#endif
