/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Target byte order and word size: store and load integers in the guest's
 * format, on any host.
 *
 * Pure functions; any thread may call them.
 */

#ifndef DUMP_VMCORE_BYTEORDER_H
#define DUMP_VMCORE_BYTEORDER_H

#include "elf.h"
#include "qemu/bswap.h"

/* Determines the layout of structures in the file. */
typedef struct DumpAbi {
    uint8_t elf_class;          /* ELFCLASS32 or ELFCLASS64 */
    uint8_t elf_data;           /* ELFDATA2LSB or ELFDATA2MSB */
    uint16_t elf_machine;       /* EM_* */
} DumpAbi;

static inline bool dump_abi_is64(const DumpAbi *abi)
{
    return abi->elf_class == ELFCLASS64;
}

static inline bool dump_abi_is_be(const DumpAbi *abi)
{
    return abi->elf_data == ELFDATA2MSB;
}

static inline void dump_put16(const DumpAbi *abi, void *p, uint16_t v)
{
    dump_abi_is_be(abi) ? stw_be_p(p, v) : stw_le_p(p, v);
}

static inline void dump_put32(const DumpAbi *abi, void *p, uint32_t v)
{
    dump_abi_is_be(abi) ? stl_be_p(p, v) : stl_le_p(p, v);
}

static inline void dump_put64(const DumpAbi *abi, void *p, uint64_t v)
{
    dump_abi_is_be(abi) ? stq_be_p(p, v) : stq_le_p(p, v);
}

/* Load an integer in the guest's byte order; @p need not be aligned. */
static inline uint32_t dump_get32(const DumpAbi *abi, const void *p)
{
    return dump_abi_is_be(abi) ? (uint32_t)ldl_be_p(p) : (uint32_t)ldl_le_p(p);
}

static inline uint64_t dump_get64(const DumpAbi *abi, const void *p)
{
    return dump_abi_is_be(abi) ? ldq_be_p(p) : ldq_le_p(p);
}

/*
 * A cursor over a buffer that is filled field by field, front to back.
 * The buffer belongs to the caller; running past its end asserts.
 */
typedef struct DumpEncoder {
    const DumpAbi *abi;
    uint8_t *buf;
    size_t size;                /* bytes in buf */
    size_t pos;                 /* bytes filled so far */
} DumpEncoder;

static inline uint8_t *dump_enc_reserve(DumpEncoder *e, size_t n)
{
    uint8_t *p = e->buf + e->pos;

    assert(n <= e->size - e->pos);
    e->pos += n;
    return p;
}

static inline void dump_enc_bytes(DumpEncoder *e, const void *src, size_t n)
{
    memcpy(dump_enc_reserve(e, n), src, n);
}

static inline void dump_enc_zero(DumpEncoder *e, size_t n)
{
    memset(dump_enc_reserve(e, n), 0, n);
}

static inline void dump_enc_align(DumpEncoder *e, size_t align)
{
    dump_enc_zero(e, (align - e->pos % align) % align);
}

static inline void dump_enc16(DumpEncoder *e, uint16_t v)
{
    dump_put16(e->abi, dump_enc_reserve(e, 2), v);
}

static inline void dump_enc32(DumpEncoder *e, uint32_t v)
{
    dump_put32(e->abi, dump_enc_reserve(e, 4), v);
}

static inline void dump_enc64(DumpEncoder *e, uint64_t v)
{
    dump_put64(e->abi, dump_enc_reserve(e, 8), v);
}

/* The target's unsigned long: 4 or 8 bytes; @v is truncated to fit. */
static inline void dump_enc_word(DumpEncoder *e, uint64_t v)
{
    if (dump_abi_is64(e->abi)) {
        dump_enc64(e, v);
    } else {
        dump_enc32(e, v);
    }
}

#endif
