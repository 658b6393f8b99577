/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * ELF headers: bytes at the ABI's offsets, both classes and byte orders.
 */

#include "qemu/osdep.h"
#include "elf-core.h"

static const DumpAbi le64 = { ELFCLASS64, ELFDATA2LSB, EM_X86_64 };
static const DumpAbi be64 = { ELFCLASS64, ELFDATA2MSB, EM_S390 };
static const DumpAbi le32 = { ELFCLASS32, ELFDATA2LSB, EM_ARM };
static const DumpAbi be32 = { ELFCLASS32, ELFDATA2MSB, EM_PPC };

static void test_sizes(void)
{
    g_assert_cmpuint(elf_core_ehdr_size(&le64), ==, 64);
    g_assert_cmpuint(elf_core_phdr_size(&le64), ==, 56);
    g_assert_cmpuint(elf_core_shdr_size(&le64), ==, 64);
    g_assert_cmpuint(elf_core_ehdr_size(&be32), ==, 52);
    g_assert_cmpuint(elf_core_phdr_size(&be32), ==, 32);
    g_assert_cmpuint(elf_core_shdr_size(&be32), ==, 40);
    g_assert_true(elf_core_fits(&le64, UINT64_MAX));
    g_assert_true(elf_core_fits(&le32, UINT32_MAX));
    g_assert_false(elf_core_fits(&le32, UINT32_MAX + 1ULL));
}

static void test_ehdr64(void)
{
    ElfCoreHeader h = { .phnum = 3, .phoff = 64, .flags = 1 };
    uint8_t b[64];

    memset(b, 0xaa, sizeof(b));
    elf_core_put_ehdr(&le64, &h, b);
    g_assert_cmpmem(b, 16, "\177ELF\2\1\1\0\0\0\0\0\0\0\0\0", 16);
    g_assert_cmpmem(b + 16, 8, "\4\0\x3e\0\1\0\0\0", 8);
    g_assert_cmpmem(b + 24, 24, "\0\0\0\0\0\0\0\0\x40\0\0\0\0\0\0\0"
                    "\0\0\0\0\0\0\0\0", 24);
    /* e_flags, e_ehsize 64, e_phentsize 56, e_phnum, no sections. */
    g_assert_cmpmem(b + 48, 16, "\1\0\0\0\x40\0\x38\0\3\0\0\0\0\0\0\0", 16);
}

static void test_ehdr32_be(void)
{
    ElfCoreHeader h = {
        .phnum = 2, .phoff = 52, .shnum = 5, .shoff = 0x1234, .shstrndx = 4,
    };
    uint8_t b[52];

    elf_core_put_ehdr(&be32, &h, b);
    g_assert_cmpmem(b, 7, "\177ELF\1\2\1", 7);
    g_assert_cmpmem(b + 16, 8, "\0\4\0\x14\0\0\0\1", 8);
    g_assert_cmpmem(b + 24, 12, "\0\0\0\0\0\0\0\x34\0\0\x12\x34", 12);
    g_assert_cmpmem(b + 36, 16, "\0\0\0\0\0\x34\0\x20\0\2\0\x28\0\5\0\4", 16);
}

static void test_xnum(void)
{
    ElfCoreHeader h = { .phnum = 0xfffe, .phoff = 64 };
    ElfCoreSection null;
    uint8_t b[64];

    elf_core_put_ehdr(&le64, &h, b);
    g_assert_cmpmem(b + 56, 2, "\xfe\xff", 2);
    g_assert_cmpuint(elf_core_null_section(0xfffe).info, ==, 0);

    h = (ElfCoreHeader) { .phnum = 0xffff, .phoff = 64, .shnum = 2,
                          .shoff = 99, .shstrndx = 1 };
    elf_core_put_ehdr(&le64, &h, b);
    g_assert_cmpmem(b + 56, 2, "\xff\xff", 2);
    h.phnum = 0x12345;
    elf_core_put_ehdr(&be64, &h, b);
    g_assert_cmpmem(b + 56, 2, "\xff\xff", 2);

    null = elf_core_null_section(0x12345);
    elf_core_put_shdr(&be64, &null, b);
    g_assert_cmpmem(b + 44, 4, "\0\1\x23\x45", 4);
}

static void test_phdr(void)
{
    ElfCoreSegment s = {
        .type = PT_LOAD, .flags = 7, .offset = 0x1000,
        .vaddr = 0xffffffff81000000ULL, .paddr = 0x2000, .filesz = 0x30,
        .memsz = 0x40, .align = 8,
    };
    uint8_t b[56];

    elf_core_put_phdr(&le64, &s, b);
    g_assert_cmpmem(b, 8, "\1\0\0\0\7\0\0\0", 8);
    g_assert_cmpmem(b + 8, 8, "\0\x10\0\0\0\0\0\0", 8);
    g_assert_cmpmem(b + 16, 8, "\0\0\0\x81\xff\xff\xff\xff", 8);
    g_assert_cmpmem(b + 24, 8, "\0\x20\0\0\0\0\0\0", 8);
    g_assert_cmpmem(b + 32, 24, "\x30\0\0\0\0\0\0\0\x40\0\0\0\0\0\0\0"
                    "\x8\0\0\0\0\0\0\0", 24);

    /* Elf32_Phdr: p_flags follows p_memsz; p_vaddr is truncated. */
    elf_core_put_phdr(&be32, &s, b);
    g_assert_cmpmem(b, 32, "\0\0\0\1\0\0\x10\0\x81\0\0\0\0\0\x20\0"
                    "\0\0\0\x30\0\0\0\x40\0\0\0\7\0\0\0\x8", 32);
}

static void test_shdr(void)
{
    ElfCoreSection s = {
        .name = 1, .type = 2, .flags = 3, .addr = 4, .offset = 5, .size = 6,
        .link = 7, .info = 8, .addralign = 9, .entsize = 10,
    };
    uint8_t b[64];

    elf_core_put_shdr(&le32, &s, b);
    g_assert_cmpmem(b, 40, "\1\0\0\0\2\0\0\0\3\0\0\0\4\0\0\0\5\0\0\0"
                    "\6\0\0\0\7\0\0\0\x8\0\0\0\x9\0\0\0\xa\0\0\0", 40);
    elf_core_put_shdr(&be64, &s, b);
    g_assert_cmpmem(b, 8, "\0\0\0\1\0\0\0\2", 8);
    g_assert_cmpmem(b + 8, 32, "\0\0\0\0\0\0\0\3\0\0\0\0\0\0\0\4"
                    "\0\0\0\0\0\0\0\5\0\0\0\0\0\0\0\6", 32);
    g_assert_cmpmem(b + 40, 24, "\0\0\0\7\0\0\0\x8\0\0\0\0\0\0\0\x9"
                    "\0\0\0\0\0\0\0\xa", 24);
}

static void test_too_large_for_32(void)
{
    if (g_test_subprocess()) {
        ElfCoreSegment s = { .type = PT_LOAD, .paddr = 1ULL << 32 };
        uint8_t b[32];

        elf_core_put_phdr(&le32, &s, b);
        return;
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_failed();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dump/elf-core/sizes", test_sizes);
    g_test_add_func("/dump/elf-core/ehdr64", test_ehdr64);
    g_test_add_func("/dump/elf-core/ehdr32-be", test_ehdr32_be);
    g_test_add_func("/dump/elf-core/xnum", test_xnum);
    g_test_add_func("/dump/elf-core/phdr", test_phdr);
    g_test_add_func("/dump/elf-core/shdr", test_shdr);
    g_test_add_func("/dump/elf-core/too-large", test_too_large_for_32);
    return g_test_run();
}
