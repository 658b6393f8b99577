/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Stand-in for QEMU's qemu/host-utils.h, for the standalone build.
 */

#ifndef HOST_UTILS_H
#define HOST_UTILS_H

static inline bool is_power_of_2(uint64_t value)
{
    return value && !(value & (value - 1));
}

static inline int clz32(uint32_t v)
{
    return v ? __builtin_clz(v) : 32;
}

static inline int ctz64(uint64_t v)
{
    return v ? __builtin_ctzll(v) : 64;
}

static inline int ctpop64(uint64_t v)
{
    return __builtin_popcountll(v);
}

static inline uint16_t revbit16(uint16_t x)
{
    x = (x & 0x00ff) << 8 | x >> 8;
    x = (x & 0x0f0f) << 4 | (x >> 4 & 0x0f0f);
    x = (x & 0x3333) << 2 | (x >> 2 & 0x3333);
    return (x & 0x5555) << 1 | (x >> 1 & 0x5555);
}

#endif
