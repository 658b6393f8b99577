/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the fuzzers share: values decoded from the fuzzer's bytes, and a
 * check that ends the process.
 */

#ifndef FUZZ_H
#define FUZZ_H

#include "qemu/osdep.h"

/* A finding: libFuzzer keeps the input. */
#define FUZZ_CHECK(cond) \
    ((cond) ? (void)0 : fuzz_fail(__FILE__, __LINE__, #cond))

G_NORETURN void fuzz_fail(const char *file, int line, const char *text);

/*
 * Bytes that the fuzzer made up, used front to back. Behind the end all
 * values are 0, so a short input is a simple one.
 */
typedef struct FuzzInput {
    const uint8_t *data;
    size_t len;
} FuzzInput;

/* An integer of @n bytes, 8 at most. */
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

/* One time in @n. */
static inline bool fuzz_seldom(FuzzInput *in, unsigned n)
{
    return fuzz_u8(in) % n == n - 1;
}

/* 64 bits, mostly near a power of two or near the top. */
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

/* Up to @n of the bytes, as a copy of exactly the length in *@len. */
static inline uint8_t *fuzz_bytes(FuzzInput *in, size_t n, size_t *len)
{
    uint8_t *copy;

    *len = MIN(n, in->len);
    /* Never NULL: a block of one byte has no byte to read behind it. */
    copy = g_malloc(MAX(*len, 1));
    memcpy(copy, in->data, *len);
    in->data += *len;
    in->len -= *len;
    return copy;
}

/* In fuzz-main.c; libFuzzer calls it before anything else. */
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* Each fuzzer has these. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef void FuzzEmit(const void *data, size_t len);

/* Inputs to begin with; @word is for words that mutations may put in. */
void fuzz_seeds(FuzzEmit *seed, FuzzEmit *word);

#endif
