/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * VMCOREINFO: valid and invalid lines.
 */

#include "qemu/osdep.h"
#include "vmcoreinfo.h"

static VmcoreInfo *parse(const char *text)
{
    g_autofree uint8_t *copy = g_memdup2(text, strlen(text));

    return vmcoreinfo_parse(copy, strlen(text));
}

static void test_good(void)
{
    g_autoptr(VmcoreInfo) i = parse("OSRELEASE=6.1.0-56-amd64\n"
                                    "PAGESIZE=4096\n"
                                    "NUMBER(phys_base)=-526385152\n"
                                    "NUMBER(PHYS_OFFSET)=0x40000000\n"
                                    "SYMBOL(init_uts_ns)=ffffffffaa9fafc0\n"
                                    "CRASHTIME=1\n");
    uint64_t a;
    int64_t n;

    g_assert_cmpstr(vmcoreinfo_get(i, "OSRELEASE"), ==, "6.1.0-56-amd64");
    g_assert_true(vmcoreinfo_get_number(i, "PAGESIZE", &n));
    g_assert_cmpint(n, ==, 4096);
    g_assert_true(vmcoreinfo_get_number(i, "NUMBER(phys_base)", &n));
    g_assert_cmpint(n, ==, -526385152);
    g_assert_true(vmcoreinfo_get_number(i, "NUMBER(PHYS_OFFSET)", &n));
    g_assert_cmphex(n, ==, 0x40000000);
    g_assert_true(vmcoreinfo_get_address(i, "SYMBOL(init_uts_ns)", &a));
    g_assert_cmphex(a, ==, 0xffffffffaa9fafc0ULL);
    g_assert_null(vmcoreinfo_get(i, "KERNELOFFSET"));
    g_assert_null(vmcoreinfo_get(NULL, "OSRELEASE"));
}

/* A number without prefix is decimal. */
static void test_decimal(void)
{
    g_autoptr(VmcoreInfo) i = parse("NUMBER(phys_base)=16777216");
    int64_t n;

    g_assert_true(vmcoreinfo_get_number(i, "NUMBER(phys_base)", &n));
    g_assert_cmpint(n, ==, 16777216);
}

static void test_shape(void)
{
    g_autoptr(VmcoreInfo) i = parse("\n\nno equals sign\n=empty key\n"
                                    "A=1\nA=2\nB=\nC=x=y\nLAST=no newline");
    g_autoptr(VmcoreInfo) empty = vmcoreinfo_parse(NULL, 0);
    g_autoptr(VmcoreInfo) nul =
        vmcoreinfo_parse((const uint8_t *)"A=1\n\0B=2\n", 9);

    g_assert_cmpstr(vmcoreinfo_get(i, "A"), ==, "1");
    g_assert_cmpstr(vmcoreinfo_get(i, "B"), ==, "");
    g_assert_cmpstr(vmcoreinfo_get(i, "C"), ==, "x=y");
    g_assert_cmpstr(vmcoreinfo_get(i, "LAST"), ==, "no newline");
    g_assert_cmpstr(vmcoreinfo_get(i, ""), ==, "empty key");
    g_assert_null(vmcoreinfo_get(empty, "A"));
    g_assert_cmpstr(vmcoreinfo_get(nul, "A"), ==, "1");
    g_assert_null(vmcoreinfo_get(nul, "B"));
}

static void test_bad_numbers(void)
{
    static const char *const bad[] = {
        "", "-", "--1", "+1", " 1", "1 ", "1x", "x1", "0x", "-0x", "0xg",
        "ff", "1.5", "1e3", "0x10000000000000000", "9223372036854775808",
        "-9223372036854775809", "99999999999999999999999999999999",
        "0x 1", "0x-1", "-\n",
    };

    for (size_t k = 0; k < ARRAY_SIZE(bad); k++) {
        g_autofree char *text = g_strdup_printf("N=%s", bad[k]);
        g_autoptr(VmcoreInfo) i = parse(text);
        int64_t n = 42;

        if (vmcoreinfo_get_number(i, "N", &n)) {
            g_error("'%s' was taken for %" PRId64, bad[k], n);
        }
        g_assert_cmpint(n, ==, 42);
    }
}

static void test_limits(void)
{
    g_autoptr(VmcoreInfo) i = parse("A=9223372036854775807\n"
                                    "B=-9223372036854775808\n"
                                    "C=0xffffffffffffffff\nD=0\nE=-0\n"
                                    "F=0xFFFFFFFFAA000000\nG=00010");
    uint64_t a;
    int64_t n;

    g_assert_true(vmcoreinfo_get_number(i, "A", &n) && n == INT64_MAX);
    g_assert_true(vmcoreinfo_get_number(i, "B", &n) && n == INT64_MIN);
    g_assert_true(vmcoreinfo_get_number(i, "C", &n) && n == -1);
    g_assert_true(vmcoreinfo_get_number(i, "D", &n) && n == 0);
    g_assert_true(vmcoreinfo_get_number(i, "E", &n) && n == 0);
    g_assert_true(vmcoreinfo_get_number(i, "G", &n) && n == 10);
    g_assert_true(vmcoreinfo_get_address(i, "F", &a) &&
                  a == 0xffffffffaa000000ULL);
    g_assert_false(vmcoreinfo_get_address(i, "B", &a));
}

/* An invalid address does not change the caller's value. */
static void test_bad_address(void)
{
    static const char *const bad[] = {
        "A=", "A=6.1", "A=12 ", "A=0x", "A=0xg", "A=0x0x4",
        "A=-1", "A=10000000000000000",
    };

    for (size_t k = 0; k < ARRAY_SIZE(bad); k++) {
        g_autoptr(VmcoreInfo) i = parse(bad[k]);
        uint64_t a = 77;

        g_assert_false(vmcoreinfo_get_address(i, "A", &a));
        g_assert_cmphex(a, ==, 77);
    }
}

static void test_garbage(void)
{
    g_autofree uint8_t *junk = g_malloc(65536);
    GRand *r = g_rand_new_with_seed(1);

    for (int round = 0; round < 50; round++) {
        size_t len = g_rand_int_range(r, 0, 65536);
        g_autoptr(VmcoreInfo) i = NULL;

        for (size_t k = 0; k < len; k++) {
            junk[k] = "=\n\0A()0x-"[g_rand_int_range(r, 0, 9)];
        }
        i = vmcoreinfo_parse(junk, len);
        g_assert_null(vmcoreinfo_get(i, "no such key"));
    }
    g_rand_free(r);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dump/vmcoreinfo/good", test_good);
    g_test_add_func("/dump/vmcoreinfo/decimal", test_decimal);
    g_test_add_func("/dump/vmcoreinfo/shape", test_shape);
    g_test_add_func("/dump/vmcoreinfo/bad-numbers", test_bad_numbers);
    g_test_add_func("/dump/vmcoreinfo/limits", test_limits);
    g_test_add_func("/dump/vmcoreinfo/bad-address", test_bad_address);
    g_test_add_func("/dump/vmcoreinfo/garbage", test_garbage);
    return g_test_run();
}
