/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Encoding of the kdump-compressed ("diskdump") format, header version 6, and
 * of the flattened form that wraps it.
 *
 * Layout source: docs/interop/vmcore-formats.rst, which lists every field with
 * its offset, as found in files that makedumpfile 1.7 writes and crash 8.0
 * reads.
 *
 * Pure functions; any thread may call them.
 */

#ifndef DUMP_VMCORE_KDUMP_FORMAT_H
#define DUMP_VMCORE_KDUMP_FORMAT_H

#include "byteorder.h"
#include "linux-uts.h"

#define KDUMP_SIGNATURE         "KDUMP   "
#define KDUMP_HEADER_VERSION    6

/* Compression of one page; also the header's status word. */
#define KDUMP_PAGE_ZLIB         0x01
#define KDUMP_PAGE_LZO          0x02
#define KDUMP_PAGE_SNAPPY       0x04
#define KDUMP_STATUS_INCOMPLETE 0x08    /* status only */
#define KDUMP_PAGE_ZSTD         0x20

typedef struct KdumpHeader {
    LinuxUts uts;               /* written with terminators */
    uint64_t time_sec;          /* wall clock of the dump */
    uint64_t time_usec;
    uint32_t status;            /* KDUMP_* flags */
    uint32_t block_size;        /* bytes, a power of two */
    uint32_t sub_hdr_blocks;    /* sub header and notes, in blocks */
    uint32_t bitmap_blocks;     /* both bitmaps, in blocks */
    uint64_t max_mapnr;         /* pages; the 32-bit field saturates */
    uint32_t nr_cpus;
} KdumpHeader;

typedef struct KdumpSubHeader {
    uint64_t phys_base;         /* two's complement */
    uint32_t dump_level;
    uint64_t offset_vmcoreinfo; /* file offset and bytes of the text */
    uint64_t size_vmcoreinfo;
    uint64_t offset_note;       /* file offset and bytes of all notes */
    uint64_t size_note;
    uint64_t max_mapnr;         /* pages */
} KdumpSubHeader;

typedef struct KdumpPageDesc {
    uint64_t offset;            /* file offset of the page's data */
    uint32_t size;              /* bytes of data */
    uint32_t flags;             /* KDUMP_PAGE_*; 0 for a raw page */
} KdumpPageDesc;

#define KDUMP_PAGE_DESC_SIZE    24

/*
 * Sizes of the structures in bytes. The sub header of a 32-bit target is
 * packed as on i386, except for EM_ARM, which aligns 8-byte fields to 8.
 */
size_t kdump_header_size(const DumpAbi *abi);
size_t kdump_sub_header_size(const DumpAbi *abi);

/*
 * Write one structure to @buf, which holds at least the size above. All bytes
 * are written; fields that have no member in the structures above are zero
 * (split, start/end pfn, eraseinfo, total_ram_blocks, device and written
 * blocks, current CPU).
 */
void kdump_put_header(const DumpAbi *abi, const KdumpHeader *hdr,
                      uint8_t *buf);
void kdump_put_sub_header(const DumpAbi *abi, const KdumpSubHeader *sub,
                          uint8_t *buf);
void kdump_put_page_desc(const DumpAbi *abi, const KdumpPageDesc *desc,
                         uint8_t *buf);

/* Flattened form: always big-endian. */
#define FLAT_HEADER_SIZE        4096
#define FLAT_RECORD_SIZE        16

void flat_put_header(uint8_t buf[FLAT_HEADER_SIZE]);
void flat_put_record(uint8_t buf[FLAT_RECORD_SIZE], uint64_t offset,
                     uint64_t size);
void flat_put_end(uint8_t buf[FLAT_RECORD_SIZE]);

/* "uname -m" spelling for a machine that Linux runs on; NULL if unknown. */
const char *kdump_machine_name(const DumpAbi *abi);

#endif
