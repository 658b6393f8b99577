/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Deflate (RFC 1951) in a zlib wrapper (RFC 1950), for pages. Each page is a
 * separate stream, so short that the setup and the search of a general
 * compressor would take most of the time.
 *
 * Greedy parsing with one candidate per position, as in fast byte-aligned
 * codecs, followed by dynamic Huffman codes, as in zlib.
 */

#ifndef DUMP_VMCORE_DEFLATE_H
#define DUMP_VMCORE_DEFLATE_H

/* Working memory of one thread, about 160 KiB. */
typedef struct DumpDeflate DumpDeflate;

/* Returns NULL if out of memory. */
DumpDeflate *dump_deflate_new(void);
void dump_deflate_free(DumpDeflate *s);

/* Size of the output buffer of dump_deflate_zlib for @len bytes of input. */
size_t dump_deflate_bound(size_t len);

/*
 * Compress the @len bytes at @src to a zlib stream in @dst, which has
 * dump_deflate_bound(len) bytes. Returns its length, or 0 if it would not be
 * shorter than @len. The output depends only on the input, not on previous
 * calls. @src is read only once, so it may change during the call; the stream
 * is valid then, too.
 */
size_t dump_deflate_zlib(DumpDeflate *s, const uint8_t *src, size_t len,
                         uint8_t *dst);

#endif
