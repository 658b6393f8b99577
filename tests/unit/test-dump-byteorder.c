/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Byte order: every store against literal bytes; bounds of the encoder.
 */

#include "qemu/osdep.h"
#include "byteorder.h"

static const DumpAbi le64 = { ELFCLASS64, ELFDATA2LSB, EM_X86_64 };
static const DumpAbi be64 = { ELFCLASS64, ELFDATA2MSB, EM_S390 };
static const DumpAbi be32 = { ELFCLASS32, ELFDATA2MSB, EM_PPC };

static void test_put_get(void)
{
    uint8_t b[9] = { 0 };

    /* Unaligned addresses. */
    dump_put16(&le64, b + 1, 0x1234);
    g_assert_cmpmem(b + 1, 2, "\x34\x12", 2);
    dump_put16(&be64, b + 1, 0x1234);
    g_assert_cmpmem(b + 1, 2, "\x12\x34", 2);
    dump_put32(&le64, b + 1, 0x12345678);
    g_assert_cmpmem(b + 1, 4, "\x78\x56\x34\x12", 4);
    g_assert_cmphex(dump_get32(&le64, b + 1), ==, 0x12345678);
    g_assert_cmphex(dump_get32(&be64, b + 1), ==, 0x78563412);
    dump_put64(&be64, b + 1, 0x0123456789abcdefULL);
    g_assert_cmpmem(b + 1, 8, "\x01\x23\x45\x67\x89\xab\xcd\xef", 8);
    g_assert_cmphex(dump_get64(&be64, b + 1), ==, 0x0123456789abcdefULL);
    g_assert_cmphex(dump_get64(&le64, b + 1), ==, 0xefcdab8967452301ULL);
    /* Values must not be sign-extended. */
    dump_put32(&le64, b, 0xffffffff);
    g_assert_cmphex(dump_get32(&le64, b), ==, 0xffffffffU);
}

static void test_encoder(void)
{
    uint8_t b[16];
    DumpEncoder e = { &be32, b, sizeof(b) };

    memset(b, 0xaa, sizeof(b));
    dump_enc_bytes(&e, "x", 1);
    dump_enc_align(&e, 4);
    dump_enc_word(&e, 0x1122334455667788ULL);
    dump_enc16(&e, 0xabcd);
    dump_enc_zero(&e, 6);
    g_assert_cmpmem(b, 16, "x\0\0\0\x55\x66\x77\x88\xab\xcd\0\0\0\0\0\0", 16);
    g_assert_cmpuint(e.pos, ==, 16);

    e = (DumpEncoder) { &be64, b, sizeof(b) };
    dump_enc_word(&e, 0x1122334455667788ULL);
    g_assert_cmpmem(b, 8, "\x11\x22\x33\x44\x55\x66\x77\x88", 8);
}

static void test_encoder_overrun(void)
{
    if (g_test_subprocess()) {
        uint8_t b[4];
        DumpEncoder e = { &le64, b, sizeof(b) };

        dump_enc16(&e, 1);
        dump_enc32(&e, 1);
        return;
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_failed();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dump/byteorder/put-get", test_put_get);
    g_test_add_func("/dump/byteorder/encoder", test_encoder);
    g_test_add_func("/dump/byteorder/encoder-overrun", test_encoder_overrun);
    return g_test_run();
}
