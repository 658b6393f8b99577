/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Kernel-virtual memory of synthetic kernels.
 */

#include "qemu/osdep.h"
#include "dump-test-linux.h"
#include "kernel-space.h"
#include "linux-guest.h"

#define DATA_VADDR      0xffffffffc0000000ULL
#define DATA            0x1000000ULL

static KernelSpace *find(TestLinux *l, DumpPagesReader *mem, Error **errp)
{
    g_autoptr(VmcoreInfo) info = test_linux_info(l);

    linux_guest_describe(&l->t.g, mem, info);
    return kernel_space_new(&l->t.g, mem, info, errp);
}

/* Map a page and an adjacent page of the next larger size. */
static void map_data(TestLinux *l)
{
    unsigned bits = l->kind->page_bits, large = 2 * bits - 3;
    uint64_t page = 1ULL << bits, vaddr = DATA_VADDR;

    for (uint64_t i = 0; i < 3 * page; i++) {
        l->ram[DATA + i] = i / page * 16 + i % 13;
    }
    if (large < 22) {
        vaddr += 1ULL << large;
        test_linux_map(l, vaddr, DATA, large);
    }
    test_linux_map(l, vaddr - page, DATA + 2 * page, bits);
    test_linux_map(l, vaddr - 2 * page, DATA + page, bits);
}

static void test_read(gconstpointer data)
{
    const TestLinuxKind *kind = data;
    uint64_t page = 1ULL << kind->page_bits;
    uint64_t end = DATA_VADDR;
    g_autofree uint8_t *buf = g_malloc(3 * page);
    g_autoptr(DumpPagesReader) mem = NULL;
    g_autoptr(KernelSpace) space = NULL;
    g_auto(TestLinux) l;

    test_linux_init(&l, kind);
    map_data(&l);
    dump_guest_seal(&l.t.g, 0, 0);
    mem = dump_pages_reader_new(l.t.g.pages, &error_abort);
    space = find(&l, mem, &error_abort);
    if (2 * kind->page_bits - 3 < 22) {
        end += 1ULL << (2 * kind->page_bits - 3);
        g_assert_true(kernel_space_read(space, mem, end - page, buf,
                                        2 * page));
        g_assert_cmpmem(buf, page, l.ram + DATA + 2 * page, page);
        g_assert_cmpmem(buf + page, page, l.ram + DATA, page);
        g_assert_true(kernel_space_read(space, mem, end + 2 * page + 5, buf,
                                        1));
        g_assert_cmpint(buf[0], ==, l.ram[DATA + 2 * page + 5]);
    } else {
        g_assert_false(kernel_space_read(space, mem, end - page, buf,
                                         2 * page));
    }
    g_assert_true(kernel_space_read(space, mem, end - 2 * page + 7, buf,
                                    page));
    g_assert_cmpmem(buf, page - 7, l.ram + DATA + page + 7, page - 7);
    g_assert_cmpmem(buf + page - 7, 7, l.ram + DATA + 2 * page, 7);
    g_assert_false(kernel_space_read(space, mem, end - 2 * page - 1, buf, 2));
    g_assert_false(kernel_space_read(space, mem, 0x1000, buf, 1));
    g_clear_pointer(&mem, dump_pages_reader_free);
}

static void check_refused(TestLinux *l, DumpPagesReader *mem,
                          const char *text)
{
    Error *err = NULL;

    g_assert_null(find(l, mem, &err));
    g_assert_cmpstr(error_get_pretty(err), ==, text);
    error_free(err);
}

static void test_refused_x86(void)
{
    g_autoptr(DumpPagesReader) mem = NULL;
    g_auto(TestLinux) l;

    test_linux_init(&l, &test_linux_kinds[0]);
    dump_guest_seal(&l.t.g, 0, 0);
    mem = dump_pages_reader_new(l.t.g.pages, &error_abort);
    test_linux_say(&l, "NUMBER(sme_mask)", "140737488355328");
    check_refused(&l, mem, "the guest's memory is encrypted");
    test_linux_say(&l, "NUMBER(sme_mask)", "0");
    test_linux_say(&l, "NUMBER(pgtable_l5_enabled)", "1");
    check_refused(&l, mem, "the kernel's page tables do not map the kernel");
    test_linux_say(&l, "NUMBER(pgtable_l5_enabled)", "0");
    kernel_space_free(find(&l, mem, &error_abort));
    test_linux_say(&l, "SYMBOL(swapper_pg_dir)", NULL);
    check_refused(&l, mem, "the kernel that VMCOREINFO describes is not in "
                  "guest memory");
    l.t.g.abi.elf_machine = EM_RISCV;
    check_refused(&l, mem, "page tables of this target are not supported");
    g_clear_pointer(&mem, dump_pages_reader_free);
}

static void test_refused_arm64(void)
{
    static const char *const wrong[] = { NULL, "35", "53", "-1" };
    g_autoptr(DumpPagesReader) mem = NULL;
    g_auto(TestLinux) l;

    test_linux_init(&l, &test_linux_kinds[3]);
    dump_guest_seal(&l.t.g, 0, 0);
    mem = dump_pages_reader_new(l.t.g.pages, &error_abort);
    kernel_space_free(find(&l, mem, &error_abort));
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        test_linux_say(&l, "NUMBER(VA_BITS)", wrong[i]);
        check_refused(&l, mem, "VMCOREINFO does not say how the kernel's "
                      "addresses are translated");
    }
    test_linux_say(&l, "NUMBER(VA_BITS)", "48");
    check_refused(&l, mem, "the kernel's page tables do not map the kernel");
    test_linux_say(&l, "PAGESIZE", "8192");
    check_refused(&l, mem, "VMCOREINFO does not say how the kernel's "
                  "addresses are translated");
    g_clear_pointer(&mem, dump_pages_reader_free);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(test_linux_kinds); i++) {
        g_autofree char *path =
            g_strdup_printf("/dump/kernel-space/read/%s",
                            test_linux_kinds[i].name);

        g_test_add_data_func(path, &test_linux_kinds[i], test_read);
    }
    g_test_add_func("/dump/kernel-space/refused/x86", test_refused_x86);
    g_test_add_func("/dump/kernel-space/refused/arm64", test_refused_arm64);
    return g_test_run();
}
