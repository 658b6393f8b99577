/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Helpers for fuzzers: values decoded from the fuzzer's input, and a check that
 * aborts the process.
 */

#ifndef FUZZ_H
#define FUZZ_H

#include "qemu/osdep.h"

/* A finding: libFuzzer keeps the input. */
#define FUZZ_CHECK(cond) \
    ((cond) ? (void)0 : fuzz_fail(__FILE__, __LINE__, #cond))

G_NORETURN void fuzz_fail(const char *file, int line, const char *text);

/*
 * The fuzzer's input, used front to back. Beyond its end all values are 0, so
 * short inputs are simple ones.
 */
typedef struct FuzzInput {
    const uint8_t *data;
    size_t len;
} FuzzInput;

/* An integer of @n bytes, at most 8. */
static inline uint64_t fuzz_uint(FuzzInput *in, unsigned n)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < n && in->len; i++) {
        v |= (uint64_t)*in->data << (8 * i);
        in->data++;
        in->len--;
    }
    return v;
}

static inline uint8_t fuzz_u8(FuzzInput *in)
{
    return fuzz_uint(in, 1);
}

static inline uint16_t fuzz_u16(FuzzInput *in)
{
    return fuzz_uint(in, 2);
}

static inline uint32_t fuzz_u32(FuzzInput *in)
{
    return fuzz_uint(in, 4);
}

static inline uint64_t fuzz_u64(FuzzInput *in)
{
    return fuzz_uint(in, 8);
}

/* True for about one input in @n. */
static inline bool fuzz_seldom(FuzzInput *in, unsigned n)
{
    return fuzz_u8(in) % n == n - 1;
}

/* A 64-bit value, mostly near a power of two or the maximum. */
static inline uint64_t fuzz_edge(FuzzInput *in)
{
    switch (fuzz_u8(in) % 4) {
    case 0:
        return (1ULL << fuzz_u8(in) % 64) + (int16_t)fuzz_u16(in);
    case 1:
        return 0 - (uint64_t)(fuzz_u32(in) % 0x200000);
    case 2:
        return fuzz_u32(in);
    default:
        return fuzz_u64(in);
    }
}

/* A copy of up to @n bytes of input, of exactly *@len bytes. */
static inline uint8_t *fuzz_bytes(FuzzInput *in, size_t n, size_t *len)
{
    uint8_t *copy;

    *len = MIN(n, in->len);
    /* Never NULL: an empty copy has one byte. */
    copy = g_malloc(MAX(*len, 1));
    memcpy(copy, in->data, *len);
    in->data += *len;
    in->len -= *len;
    return copy;
}

/* In fuzz-main.c; called by libFuzzer at startup. */
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* Implemented by each fuzzer. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef void FuzzEmit(const void *data, size_t len);

/* Emit the seed corpus; @word adds to the dictionary. */
void fuzz_seeds(FuzzEmit *seed, FuzzEmit *word);

#endif
