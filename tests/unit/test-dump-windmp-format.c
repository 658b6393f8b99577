/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Windows crash dump structures, byte by byte.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "windmp-format.h"

static uint64_t get(const uint8_t *p, unsigned n)
{
    uint64_t v = 0;

    while (n--) {
        v = v << 8 | p[n];
    }
    return v;
}

static void put(uint8_t *p, uint64_t v, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        p[i] = v >> (8 * i);
    }
}

/* A header whose checked fields are valid; the rest is random. */
static void make_header(uint8_t *buf, bool is64)
{
    for (size_t i = 0; i < WINDMP_HEADER_SIZE64; i++) {
        buf[i] = i * 37 + i / 256;
    }
    memcpy(buf, is64 ? "PAGEDU64" : "PAGEDUMP", 8);
    put(buf + (is64 ? 0x30 : 0x20), is64 ? 0x8664 : 0x14c, 4);
}

static size_t header_size(bool is64)
{
    return is64 ? 0x2000 : 0x1000;
}

static void check_read(bool is64)
{
    uint8_t buf[WINDMP_HEADER_SIZE64];
    WinDmpHeader hdr;

    make_header(buf, is64);
    g_assert_true(windmp_header_read(&hdr, buf, header_size(is64),
                                     &error_abort));
    g_assert_true(hdr.is64 == is64);
    g_assert_cmpmem(hdr.bytes, hdr.size, buf, header_size(is64));

    /* The machine type is set if it is missing. */
    put(buf + (is64 ? 0x30 : 0x20), 0, 4);
    g_assert_true(windmp_header_read(&hdr, buf, header_size(is64),
                                     &error_abort));
    make_header(buf, is64);
    g_assert_cmpmem(hdr.bytes, hdr.size, buf, header_size(is64));
}

static void test_read(void)
{
    check_read(true);
    check_read(false);
}

static void refuse(const uint8_t *buf, size_t len, const char *word)
{
    /* Exact size, for the sanitizer. */
    g_autofree uint8_t *copy = g_memdup2(buf, len);
    WinDmpHeader hdr;
    Error *err = NULL;

    g_assert_false(windmp_header_read(&hdr, copy, len, &err));
    g_assert_nonnull(strstr(error_get_pretty(err), word));
    error_free(err);
}

static void check_refuse(bool is64)
{
    uint8_t buf[WINDMP_HEADER_SIZE64 + 1] = { 0 };

    make_header(buf, is64);
    refuse(buf, 0, "not a Windows");
    refuse(buf, 7, "not a Windows");
    refuse(buf, 8, "bytes");
    refuse(buf, header_size(is64) - 1, "bytes");
    refuse(buf, header_size(is64) + 1, "bytes");
    refuse(buf, header_size(!is64), "bytes");
    buf[3]++;
    refuse(buf, header_size(is64), "not a Windows");
    make_header(buf, is64);
    buf[7]++;
    refuse(buf, header_size(is64), "not a Windows");
    make_header(buf, is64);
    put(buf + (is64 ? 0x30 : 0x20), 0xaa64, 4);
    refuse(buf, header_size(is64), "0xaa64");
}

static void test_refuse(void)
{
    check_refuse(true);
    check_refuse(false);
}

/* For each field: 32-bit offset and width, 64-bit offset and width. */
static const struct {
    WinDmpField field;
    unsigned at32, n32, at64, n64;
} fields[] = {
    { WINDMP_DIRECTORY_TABLE_BASE, 0x10, 4, 0x10, 8 },
    { WINDMP_MACHINE_TYPE, 0x20, 4, 0x30, 4 },
    { WINDMP_NR_CPUS, 0x24, 4, 0x34, 4 },
    { WINDMP_BUGCHECK_CODE, 0x28, 4, 0x38, 4 },
    { WINDMP_BUGCHECK_PARAM1, 0x2c, 4, 0x40, 8 },
    { WINDMP_BUGCHECK_PARAM2, 0x30, 4, 0x48, 8 },
    { WINDMP_BUGCHECK_PARAM3, 0x34, 4, 0x50, 8 },
    { WINDMP_BUGCHECK_PARAM4, 0x38, 4, 0x58, 8 },
    { WINDMP_KDBG, 0x60, 4, 0x80, 8 },
    { WINDMP_NR_RUNS, 0x64, 4, 0x88, 4 },
    { WINDMP_NR_PAGES, 0x68, 4, 0x90, 8 },
    { WINDMP_DUMP_TYPE, 0xf88, 4, 0xf98, 4 },
    { WINDMP_REQUIRED_SPACE, 0xfa0, 8, 0xfa0, 8 },
};

static void check_fields(bool is64)
{
    uint8_t buf[WINDMP_HEADER_SIZE64];
    WinDmpHeader hdr;

    g_assert_cmpuint(ARRAY_SIZE(fields), ==, WINDMP_FIELD__MAX);
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
        unsigned at = is64 ? fields[i].at64 : fields[i].at32;
        unsigned n = is64 ? fields[i].n64 : fields[i].n32;

        make_header(buf, is64);
        windmp_header_read(&hdr, buf, header_size(is64), &error_abort);
        g_assert_cmphex(windmp_get(&hdr, fields[i].field), ==,
                        get(buf + at, n));
        windmp_put(&hdr, fields[i].field, 0xf1e2d3c4b5a69788ULL);
        put(buf + at, 0xf1e2d3c4b5a69788ULL, n);
        g_assert_cmpmem(hdr.bytes, hdr.size, buf, header_size(is64));
    }
}

static void test_fields(void)
{
    check_fields(true);
    check_fields(false);
}

static void check_runs(bool is64)
{
    uint8_t buf[WINDMP_HEADER_SIZE64];
    WinDmpHeader hdr;
    unsigned n;

    make_header(buf, is64);
    windmp_header_read(&hdr, buf, header_size(is64), &error_abort);
    n = windmp_max_runs(&hdr);
    g_assert_cmpuint(n, ==, is64 ? 42 : 86);
    for (unsigned i = 0; i < n; i++) {
        windmp_put_run(&hdr, i, i + 0x1000, i + 0x2000);
        put(buf + (is64 ? 0x98 + 16 * i : 0x6c + 8 * i), i + 0x1000,
            is64 ? 8 : 4);
        put(buf + (is64 ? 0xa0 + 16 * i : 0x70 + 8 * i), i + 0x2000,
            is64 ? 8 : 4);
    }
    /* Nothing else changed: the last run ends before the context record. */
    g_assert_cmpmem(hdr.bytes, hdr.size, buf, header_size(is64));
}

static void test_runs(void)
{
    check_runs(true);
    check_runs(false);
}

static void make_cpu(WinDmpCpu *cpu)
{
    *cpu = (WinDmpCpu) {
        .rip = 0xfffff80012345678ULL,
        .rflags = 0x40246,
        .cs = 0x10, .ds = 0x2b, .es = 0x2c, .fs = 0x53, .gs = 0x2d,
        .ss = 0x18,
    };
    for (int i = 0; i < 16; i++) {
        cpu->gpr[i] = 0x1111111122222222ULL * (i + 1);
    }
    for (int i = 0; i < 8; i++) {
        cpu->dr[i] = 0xd0d0d0d0ULL + ((uint64_t)i << 40) + i;
    }
    for (int i = 0; i < 512; i++) {
        cpu->fxsave[i] = i ^ 0x5a;
    }
}

static void test_context64(void)
{
    static const unsigned gpr[16] = {
        0x78, 0x80, 0x88, 0x90, 0x98, 0xa0, 0xa8, 0xb0,
        0xb8, 0xc0, 0xc8, 0xd0, 0xd8, 0xe0, 0xe8, 0xf0,
    };
    static const unsigned dr[] = { 0, 1, 2, 3, 6, 7 };
    uint8_t *c = g_malloc(0x4d0);
    WinDmpCpu cpu;

    make_cpu(&cpu);
    memset(c, 0xee, 0x4d0);
    g_assert_cmpuint(windmp_context_size(true), ==, 0x4d0);
    windmp_put_context(true, &cpu, c);
    for (int i = 0; i < 0x30; i++) {
        g_assert_cmpuint(c[i], ==, 0);
    }
    g_assert_cmphex(get(c + 0x30, 4), ==, 0x10001f);
    g_assert_cmpmem(c + 0x34, 4, cpu.fxsave + 24, 4);
    g_assert_cmphex(get(c + 0x38, 2), ==, 0x10);        /* cs */
    g_assert_cmphex(get(c + 0x3a, 2), ==, 0x2b);        /* ds */
    g_assert_cmphex(get(c + 0x3c, 2), ==, 0x2c);        /* es */
    g_assert_cmphex(get(c + 0x3e, 2), ==, 0x53);        /* fs */
    g_assert_cmphex(get(c + 0x40, 2), ==, 0x2d);        /* gs */
    g_assert_cmphex(get(c + 0x42, 2), ==, 0x18);        /* ss */
    g_assert_cmphex(get(c + 0x44, 4), ==, 0x40246);
    for (int i = 0; i < 6; i++) {
        g_assert_cmphex(get(c + 0x48 + 8 * i, 8), ==, cpu.dr[dr[i]]);
    }
    for (int i = 0; i < 16; i++) {
        g_assert_cmphex(get(c + gpr[i], 8), ==, cpu.gpr[i]);
    }
    g_assert_cmphex(get(c + 0xf8, 8), ==, cpu.rip);
    g_assert_cmpmem(c + 0x100, 512, cpu.fxsave, 512);
    for (int i = 0x300; i < 0x4d0; i++) {
        g_assert_cmpuint(c[i], ==, 0);
    }
    g_free(c);
}

static void test_context32(void)
{
    static const unsigned dr[] = { 0, 1, 2, 3, 6, 7 };
    /* eax ecx edx ebx esp ebp esi edi */
    static const unsigned gpr[] = { 0xb0, 0xac, 0xa8, 0xa4,
                                    0xc4, 0xb4, 0xa0, 0x9c };
    uint8_t *c = g_malloc(0x2cc);
    WinDmpCpu cpu;

    make_cpu(&cpu);
    memset(c, 0xee, 0x2cc);
    g_assert_cmpuint(windmp_context_size(false), ==, 0x2cc);
    windmp_put_context(false, &cpu, c);
    g_assert_cmphex(get(c, 4), ==, 0x1003f);
    for (int i = 0; i < 6; i++) {
        g_assert_cmphex(get(c + 4 + 4 * i, 4), ==, (uint32_t)cpu.dr[dr[i]]);
    }
    for (int i = 0; i < 8; i++) {
        g_assert_cmphex(get(c + gpr[i], 4), ==, (uint32_t)cpu.gpr[i]);
        g_assert_cmpmem(c + 0x38 + 10 * i, 10, cpu.fxsave + 32 + 16 * i, 10);
    }
    g_assert_cmphex(get(c + 0x8c, 4), ==, 0x2d);        /* gs */
    g_assert_cmphex(get(c + 0x90, 4), ==, 0x53);        /* fs */
    g_assert_cmphex(get(c + 0x94, 4), ==, 0x2c);        /* es */
    g_assert_cmphex(get(c + 0x98, 4), ==, 0x2b);        /* ds */
    g_assert_cmphex(get(c + 0xb8, 4), ==, (uint32_t)cpu.rip);
    g_assert_cmphex(get(c + 0xbc, 4), ==, 0x10);        /* cs */
    g_assert_cmphex(get(c + 0xc0, 4), ==, 0x40246);
    g_assert_cmphex(get(c + 0xc8, 4), ==, 0x18);        /* ss */
    g_assert_cmpmem(c + 0xcc, 512, cpu.fxsave, 512);
    g_free(c);
}

/* Conversion of fxsave's tags to the tag word of the 32-bit format. */
static void test_x87_tags(void)
{
    static const struct {
        uint64_t mantissa;
        uint16_t exponent;
        unsigned tag;
    } kinds[] = {
        { 1ULL << 63, 0x3fff, 0 },      /* 1.0 */
        { 0, 0, 1 },                    /* 0.0 */
        { 0, 0x8000, 1 },               /* -0.0 */
        { 1ULL << 63, 0x7fff, 2 },      /* infinity */
        { 3ULL << 62, 0xffff, 2 },      /* NaN */
        { 5, 0, 2 },                    /* denormal */
        { 5, 0x1234, 2 },               /* invalid */
    };
    uint8_t c[0x2cc];
    WinDmpCpu cpu = { 0 };

    for (unsigned top = 0; top < 8; top++) {
        /* st(i) is register (top + i) & 7; the last one is empty. */
        put(cpu.fxsave + 2, top << 11, 2);
        cpu.fxsave[4] = ~(1 << ((top + 7) & 7));
        for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++) {
            put(cpu.fxsave + 32 + 16 * i, kinds[i].mantissa, 8);
            put(cpu.fxsave + 40 + 16 * i, kinds[i].exponent, 2);
        }
        windmp_put_context(false, &cpu, c);
        for (unsigned i = 0; i < 8; i++) {
            unsigned tag = get(c + 0x1c + 8, 4) >> 2 * ((top + i) & 7) & 3;

            g_assert_cmpuint(tag, ==, i < 7 ? kinds[i].tag : 3);
        }
        g_assert_cmphex(get(c + 0x1c + 4, 4), ==, 0xffff0000 | top << 11);
    }
}

static void check_current(bool is64)
{
    uint8_t buf[WINDMP_HEADER_SIZE64], context[0x4d0];
    unsigned at = is64 ? 0x348 : 0x320, exc = is64 ? 0xf00 : 0x7d0;
    size_t room = is64 ? 3000 : 1200, n = is64 ? 0x4d0 : 0x2cc;
    WinDmpHeader hdr;
    WinDmpCpu cpu;

    make_cpu(&cpu);
    make_header(buf, is64);
    windmp_header_read(&hdr, buf, header_size(is64), &error_abort);
    windmp_put_current(&hdr, &cpu);

    windmp_put_context(is64, &cpu, context);
    memset(buf + at, 0, room);
    memcpy(buf + at, context, n);
    memset(buf + exc, 0, is64 ? 0x98 : 0x50);
    put(buf + exc, 0x80000003, 4);
    put(buf + exc + (is64 ? 16 : 12), cpu.rip, is64 ? 8 : 4);
    g_assert_cmpmem(hdr.bytes, hdr.size, buf, header_size(is64));
}

static void test_current(void)
{
    check_current(true);
    check_current(false);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dump/windmp-format/read", test_read);
    g_test_add_func("/dump/windmp-format/refuse", test_refuse);
    g_test_add_func("/dump/windmp-format/fields", test_fields);
    g_test_add_func("/dump/windmp-format/runs", test_runs);
    g_test_add_func("/dump/windmp-format/context64", test_context64);
    g_test_add_func("/dump/windmp-format/context32", test_context32);
    g_test_add_func("/dump/windmp-format/x87-tags", test_x87_tags);
    g_test_add_func("/dump/windmp-format/current", test_current);
    return g_test_run();
}
