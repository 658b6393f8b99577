/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Kernels and their VMCOREINFO in the memory of a synthetic x86_64 guest.
 */

#ifndef DUMP_TEST_NOTES_H
#define DUMP_TEST_NOTES_H

#include "dump-test-guest.h"
#include "elf-notes.h"
#include "vmcoreinfo-scan.h"

static const DumpAbi test_x86_64 = { ELFCLASS64, ELFDATA2LSB, EM_X86_64 };

/* Offset of init_uts_ns from the start of the kernel image. */
#define TEST_UTS_OFFSET 0x2000

/* Initialize a guest with zero memory. */
static inline uint8_t *test_zero_memory(TestGuest *t, uint64_t paddr,
                                        uint64_t size)
{
    TestBlock b = { paddr, size, g_malloc0(size) };

    g_array_append_val(t->blocks, b);
    guest_ram_add(&t->g.all, paddr, size, b.host);
    return b.host;
}

/* Write to guest memory, clipped to RAM. */
static inline void test_put(TestGuest *t, uint64_t paddr, const void *bytes,
                            size_t len)
{
    for (guint i = 0; i < t->blocks->len; i++) {
        const TestBlock *b = &g_array_index(t->blocks, TestBlock, i);
        uint64_t from = MAX(b->paddr, paddr);
        uint64_t end = MIN(b->paddr + b->size, paddr + len);

        if (from < end) {
            memcpy(b->host + (from - b->paddr),
                   (const uint8_t *)bytes + (from - paddr), end - from);
        }
    }
}

static inline void test_put_note(TestGuest *t, uint64_t paddr,
                                 const char *text)
{
    g_autoptr(GByteArray) note = g_byte_array_new();

    elf_note_append(note, &t->g.abi, "VMCOREINFO", 0, text, strlen(text));
    test_put(t, paddr, note->data, note->len);
}

/* VMCOREINFO of a kernel with init_uts_ns at @vaddr, image at @paddr. */
static inline char *test_kernel_text(const char *release, uint64_t vaddr,
                                     uint64_t paddr)
{
    return g_strdup_printf("OSRELEASE=%s\nPAGESIZE=4096\n"
                           "SYMBOL(init_uts_ns)=%" PRIx64 "\n"
                           "OFFSET(uts_namespace.name)=4\n"
                           "NUMBER(phys_base)=%" PRId64 "\n", release,
                           vaddr + TEST_UTS_OFFSET,
                           (int64_t)(paddr - (vaddr - 0xffffffff80000000ULL)));
}

/* Put a kernel, that is, its utsname, at @paddr. */
static inline void test_put_kernel(TestGuest *t, uint64_t paddr,
                                   const char *release)
{
    char uts[6 * 65] = "Linux";

    strcpy(uts + 2 * 65, release);
    test_put(t, paddr + TEST_UTS_OFFSET + 4, uts, sizeof(uts));
}

#endif
