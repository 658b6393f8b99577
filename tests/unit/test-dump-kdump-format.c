/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * kdump structures: every field at its documented offset.
 */

#include "qemu/osdep.h"
#include "kdump-format.h"

static const DumpAbi le64 = { ELFCLASS64, ELFDATA2LSB, EM_X86_64 };
static const DumpAbi be64 = { ELFCLASS64, ELFDATA2MSB, EM_S390 };
static const DumpAbi le32 = { ELFCLASS32, ELFDATA2LSB, EM_386 };
static const DumpAbi arm = { ELFCLASS32, ELFDATA2LSB, EM_ARM };

static KdumpHeader header(void)
{
    KdumpHeader h = {
        .time_sec = 0x1111, .time_usec = 0x2222, .status = 1,
        .block_size = 4096, .sub_hdr_blocks = 3, .bitmap_blocks = 4,
        .max_mapnr = 0x55, .nr_cpus = 7,
    };

    strcpy(h.uts.sysname, "Linux");
    strcpy(h.uts.machine, "x86_64");
    memset(h.uts.domainname, 'd', LINUX_UTS_LEN);       /* no terminator */
    return h;
}

static void check_header(const DumpAbi *abi, size_t time, size_t time_size,
                         size_t status, size_t end)
{
    g_autofree uint8_t *b = g_malloc(end);
    KdumpHeader h = header();

    memset(b, 0xaa, end);
    g_assert_cmpuint(kdump_header_size(abi), ==, end);
    kdump_put_header(abi, &h, b);
    g_assert_cmpmem(b, 8, "KDUMP   ", 8);
    g_assert_cmpuint(dump_get32(abi, b + 8), ==, 6);
    g_assert_cmpstr((char *)b + 12, ==, "Linux");
    g_assert_cmpstr((char *)b + 12 + 4 * 65, ==, "x86_64");
    g_assert_cmpuint(strlen((char *)b + 12 + 5 * 65), ==, 64);
    if (time_size == 8) {
        g_assert_cmpuint(dump_get64(abi, b + time), ==, 0x1111);
        g_assert_cmpuint(dump_get64(abi, b + time + 8), ==, 0x2222);
    } else {
        g_assert_cmpuint(dump_get32(abi, b + time), ==, 0x1111);
        g_assert_cmpuint(dump_get32(abi, b + time + 4), ==, 0x2222);
    }
    g_assert_cmpuint(dump_get32(abi, b + status), ==, 1);
    g_assert_cmpuint(dump_get32(abi, b + status + 4), ==, 4096);
    g_assert_cmpuint(dump_get32(abi, b + status + 8), ==, 3);
    g_assert_cmpuint(dump_get32(abi, b + status + 12), ==, 4);
    g_assert_cmpuint(dump_get32(abi, b + status + 16), ==, 0x55);
    for (size_t i = 20; i < 36; i += 4) {
        g_assert_cmpuint(dump_get32(abi, b + status + i), ==, 0);
    }
    g_assert_cmpuint(dump_get32(abi, b + status + 36), ==, 7);
}

static void test_header(void)
{
    check_header(&le64, 408, 8, 424, 464);
    check_header(&be64, 408, 8, 424, 464);
    check_header(&le32, 404, 4, 412, 452);
    check_header(&arm, 404, 4, 412, 452);
}

static void test_max_mapnr_saturates(void)
{
    KdumpHeader h = { .max_mapnr = 1ULL << 40 };
    uint8_t b[464];

    kdump_put_header(&le64, &h, b);
    g_assert_cmphex(dump_get32(&le64, b + 440), ==, 0xffffffff);
}

/* Offsets of the six fields that are set, and of the end. */
static void check_sub(const DumpAbi *abi, size_t dump_level, size_t off_vmci,
                      size_t size_vmci, size_t off_note, size_t size_note,
                      size_t max_mapnr, size_t end)
{
    KdumpSubHeader s = {
        .phys_base = (uint64_t)-0x1000, .dump_level = 31,
        .offset_vmcoreinfo = 0x0102030405060708ULL, .size_vmcoreinfo = 0x99,
        .offset_note = 0x1122334455667788ULL, .size_note = 0x77,
        .max_mapnr = 0x123456789aULL,
    };
    g_autofree uint8_t *b = g_malloc(end);
    size_t word = dump_abi_is64(abi) ? 8 : 4;
    size_t filled = 0;

    memset(b, 0xaa, end);
    g_assert_cmpuint(kdump_sub_header_size(abi), ==, end);
    kdump_put_sub_header(abi, &s, b);
    if (word == 8) {
        g_assert_cmphex(dump_get64(abi, b), ==, -0x1000ULL);
        g_assert_cmphex(dump_get64(abi, b + size_vmci), ==, 0x99);
        g_assert_cmphex(dump_get64(abi, b + size_note), ==, 0x77);
    } else {
        g_assert_cmphex(dump_get32(abi, b), ==, -0x1000U);
        g_assert_cmphex(dump_get32(abi, b + size_vmci), ==, 0x99);
        g_assert_cmphex(dump_get32(abi, b + size_note), ==, 0x77);
    }
    g_assert_cmpuint(dump_get32(abi, b + dump_level), ==, 31);
    g_assert_cmphex(dump_get64(abi, b + off_vmci), ==, s.offset_vmcoreinfo);
    g_assert_cmphex(dump_get64(abi, b + off_note), ==, s.offset_note);
    g_assert_cmphex(dump_get64(abi, b + max_mapnr), ==, s.max_mapnr);

    /* Everything else is zero. */
    memset(b, 0, word);
    memset(b + dump_level, 0, 4);
    memset(b + off_vmci, 0, 8);
    memset(b + size_vmci, 0, word);
    memset(b + off_note, 0, 8);
    memset(b + size_note, 0, word);
    memset(b + max_mapnr, 0, 8);
    for (size_t i = 0; i < end; i++) {
        filled += b[i] != 0;
    }
    g_assert_cmpuint(filled, ==, 0);
}

static void test_sub_header(void)
{
    check_sub(&le64, 8, 32, 40, 48, 56, 96, 104);
    check_sub(&be64, 8, 32, 40, 48, 56, 96, 104);
    check_sub(&le32, 4, 20, 28, 32, 40, 72, 80);
    check_sub(&arm, 4, 24, 32, 40, 48, 88, 96);
}

static void test_page_desc(void)
{
    KdumpPageDesc d = { .offset = 0x0102030405060708ULL, .size = 0x1000,
                        .flags = KDUMP_PAGE_ZSTD };
    uint8_t b[24];

    memset(b, 0xaa, sizeof(b));
    kdump_put_page_desc(&be64, &d, b);
    g_assert_cmpmem(b, 24, "\1\2\3\4\5\6\7\x8\0\0\x10\0\0\0\0\x20"
                    "\0\0\0\0\0\0\0\0", 24);
    kdump_put_page_desc(&le32, &d, b);
    g_assert_cmpmem(b, 16, "\x8\7\6\5\4\3\2\1\0\x10\0\0\x20\0\0\0", 16);
}

static void test_flat(void)
{
    uint8_t b[FLAT_HEADER_SIZE], r[FLAT_RECORD_SIZE];

    memset(b, 0xaa, sizeof(b));
    flat_put_header(b);
    g_assert_cmpmem(b, 32, "makedumpfile\0\0\0\0\0\0\0\0\0\0\0\1"
                    "\0\0\0\0\0\0\0\1", 32);
    for (size_t i = 32; i < sizeof(b); i++) {
        g_assert_cmpuint(b[i], ==, 0);
    }
    flat_put_record(r, 0x1234, 0x56);
    g_assert_cmpmem(r, 16, "\0\0\0\0\0\0\x12\x34\0\0\0\0\0\0\0\x56", 16);
    flat_put_end(r);
    g_assert_cmpmem(r, 16, "\xff\xff\xff\xff\xff\xff\xff\xff"
                    "\xff\xff\xff\xff\xff\xff\xff\xff", 16);
}

static void test_machine_names(void)
{
    static const struct {
        DumpAbi abi;
        const char *name;
    } names[] = {
        { { ELFCLASS64, ELFDATA2LSB, EM_X86_64 }, "x86_64" },
        { { ELFCLASS32, ELFDATA2LSB, EM_386 }, "i686" },
        { { ELFCLASS64, ELFDATA2LSB, EM_AARCH64 }, "aarch64" },
        { { ELFCLASS32, ELFDATA2LSB, EM_ARM }, "armv7l" },
        { { ELFCLASS64, ELFDATA2MSB, EM_PPC64 }, "ppc64" },
        { { ELFCLASS64, ELFDATA2LSB, EM_PPC64 }, "ppc64le" },
        { { ELFCLASS64, ELFDATA2MSB, EM_S390 }, "s390x" },
        { { ELFCLASS64, ELFDATA2LSB, EM_RISCV }, "riscv64" },
        { { ELFCLASS64, ELFDATA2LSB, 258 }, "loongarch64" },
        { { ELFCLASS64, ELFDATA2LSB, EM_M32 }, NULL },
    };

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        g_assert_cmpstr(kdump_machine_name(&names[i].abi), ==, names[i].name);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dump/kdump-format/header", test_header);
    g_test_add_func("/dump/kdump-format/max-mapnr", test_max_mapnr_saturates);
    g_test_add_func("/dump/kdump-format/sub-header", test_sub_header);
    g_test_add_func("/dump/kdump-format/page-desc", test_page_desc);
    g_test_add_func("/dump/kdump-format/flat", test_flat);
    g_test_add_func("/dump/kdump-format/machine-names", test_machine_names);
    return g_test_run();
}
