/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * ELF notes: construction, and parsing with invalid sizes.
 */

#include "qemu/osdep.h"
#include "elf-notes.h"

static const DumpAbi le = { ELFCLASS64, ELFDATA2LSB, EM_X86_64 };
static const DumpAbi be = { ELFCLASS64, ELFDATA2MSB, EM_S390 };

static void test_append(void)
{
    g_autoptr(GByteArray) out = g_byte_array_new();

    elf_note_append(out, &be, "CORE", 1, "abcde", 5);
    g_assert_cmpmem(out->data, out->len, "\0\0\0\5\0\0\0\5\0\0\0\1"
                    "CORE\0\0\0\0abcde\0\0\0", 28);
}

static void test_walk(void)
{
    g_autoptr(GByteArray) in = g_byte_array_new();
    size_t pos = 0;
    ElfNote n;

    elf_note_append(in, &le, "CORE", 1, "abc", 3);
    elf_note_append(in, &le, "VMCOREINFO", 0, "X=1\n", 4);
    elf_note_append(in, &le, "", 7, "", 0);

    g_assert_true(elf_note_next(&le, in->data, in->len, &pos, &n));
    g_assert_true(elf_note_is(&n, "CORE"));
    g_assert_false(elf_note_is(&n, "COR"));
    g_assert_false(elf_note_is(&n, "CORE2"));
    g_assert_cmpmem(n.desc, n.descsz, "abc", 3);
    g_assert_true(elf_note_next(&le, in->data, in->len, &pos, &n));
    g_assert_true(elf_note_is(&n, "VMCOREINFO"));
    g_assert_cmpmem(n.desc, n.descsz, "X=1\n", 4);
    g_assert_true(elf_note_next(&le, in->data, in->len, &pos, &n));
    g_assert_cmpuint(n.type, ==, 7);
    g_assert_cmpuint(n.descsz, ==, 0);
    g_assert_false(elf_note_next(&le, in->data, in->len, &pos, &n));
    g_assert_cmpuint(pos, ==, in->len);
}

/* A header of zeroes marks the end; the following bytes are ignored. */
static void test_end_mark(void)
{
    static const uint8_t zeroes[40];
    g_autoptr(GByteArray) in = g_byte_array_new();
    size_t pos = 0, end;
    ElfNote n;

    elf_note_append(in, &be, "CORE", 1, "abc", 3);
    end = in->len;
    g_byte_array_append(in, zeroes, sizeof(zeroes));
    elf_note_append(in, &be, "LATE", 1, "abc", 3);
    g_assert_true(elf_note_next(&be, in->data, in->len, &pos, &n));
    g_assert_false(elf_note_next(&be, in->data, in->len, &pos, &n));
    g_assert_cmpuint(pos, ==, end);
    /* A header with a type is a note. */
    in->data[end + 11] = 1;
    g_assert_true(elf_note_next(&be, in->data, in->len, &pos, &n));
    g_assert_cmpuint(n.namesz + n.descsz, ==, 0);
    g_assert_cmpuint(pos, ==, end + ELF_NOTE_HEADER_SIZE);
}

/* Sizes in the wrong byte order: parsing ends at the first note. */
static void test_wrong_order(void)
{
    g_autoptr(GByteArray) in = g_byte_array_new();
    size_t pos = 0;
    ElfNote n;

    elf_note_append(in, &le, "CORE", 1, "abc", 3);
    g_assert_false(elf_note_next(&be, in->data, in->len, &pos, &n));
    g_assert_cmpuint(pos, ==, 0);
}

/*
 * A note truncated to every length, in a buffer of exactly that size, so that
 * the sanitizer detects reads beyond its end.
 */
static void test_cut(void)
{
    g_autoptr(GByteArray) in = g_byte_array_new();

    elf_note_append(in, &le, "NAME", 1, "abcde", 5);
    for (size_t len = 0; len <= in->len; len++) {
        g_autofree uint8_t *copy = g_memdup2(in->data, len);
        size_t pos = 0;
        ElfNote n;
        /* Only padding may be missing: 3 bytes here. */
        bool whole = len + 3 >= in->len;

        g_assert_cmpint(elf_note_next(&le, copy, len, &pos, &n), ==, whole);
        g_assert_cmpuint(pos, ==, whole ? len : 0);
    }
}

static void test_lying_sizes(void)
{
    static const uint32_t lies[] = {
        1, 3, 4, 5, 12, 13, 0x7fffffff, 0x80000000, 0xfffffff0, 0xfffffff4,
        0xfffffffc, 0xfffffffd, 0xffffffff,
    };

    for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
        for (size_t j = 0; j < ARRAY_SIZE(lies); j++) {
            g_autofree uint8_t *b = g_malloc0(24);
            size_t pos = 0;
            ElfNote n;

            dump_put32(&le, b, lies[i]);
            dump_put32(&le, b + 4, lies[j]);
            if (elf_note_next(&le, b, 24, &pos, &n)) {
                g_assert_cmpuint((uint64_t)n.namesz + n.descsz, <=, 12);
                g_assert_true(n.desc + n.descsz <= b + 24);
                g_assert_cmpuint(pos, <=, 24);
                elf_note_is(&n, "VMCOREINFO");
            }
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dump/elf-notes/append", test_append);
    g_test_add_func("/dump/elf-notes/walk", test_walk);
    g_test_add_func("/dump/elf-notes/end-mark", test_end_mark);
    g_test_add_func("/dump/elf-notes/wrong-order", test_wrong_order);
    g_test_add_func("/dump/elf-notes/cut", test_cut);
    g_test_add_func("/dump/elf-notes/lying-sizes", test_lying_sizes);
    return g_test_run();
}
