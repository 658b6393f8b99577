/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Stand-in for QEMU's qemu/bswap.h: loads and stores of either byte order
 * at any alignment, for the standalone build.
 */

#ifndef BSWAP_H
#define BSWAP_H

#define SHIM_ACCESS(name, bits, order, ret)                             \
    static inline void st##name##_##order##_p(void *p, uint##bits##_t v) \
    {                                                                   \
        v = hto##order##bits(v);                                        \
        memcpy(p, &v, sizeof(v));                                       \
    }                                                                   \
    static inline ret ld##name##_##order##_p(const void *p)             \
    {                                                                   \
        uint##bits##_t v;                                               \
                                                                        \
        memcpy(&v, p, sizeof(v));                                       \
        return order##bits##toh(v);                                     \
    }

#include <endian.h>

SHIM_ACCESS(l, 32, be, int)
SHIM_ACCESS(l, 32, le, int)
SHIM_ACCESS(q, 64, be, uint64_t)
SHIM_ACCESS(q, 64, le, uint64_t)

static inline void stw_be_p(void *p, uint16_t v)
{
    v = htobe16(v);
    memcpy(p, &v, sizeof(v));
}

static inline void stw_le_p(void *p, uint16_t v)
{
    v = htole16(v);
    memcpy(p, &v, sizeof(v));
}

static inline int lduw_le_p(const void *p)
{
    uint16_t v;

    memcpy(&v, p, sizeof(v));
    return le16toh(v);
}

#undef SHIM_ACCESS

#endif
