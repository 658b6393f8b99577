/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Encoding and decoding of Windows crash dump structures.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "windmp-format.h"

typedef struct WinDmpPlace {
    uint16_t offset;
    uint8_t size;               /* bytes */
} WinDmpPlace;

/* Index 0: 32-bit, 1: 64-bit. */
static const WinDmpPlace windmp_places[WINDMP_FIELD__MAX][2] = {
    [WINDMP_DIRECTORY_TABLE_BASE] = { { 0x10, 4 }, { 0x10, 8 } },
    [WINDMP_MACHINE_TYPE] = { { 0x20, 4 }, { 0x30, 4 } },
    [WINDMP_NR_CPUS] = { { 0x24, 4 }, { 0x34, 4 } },
    [WINDMP_BUGCHECK_CODE] = { { 0x28, 4 }, { 0x38, 4 } },
    [WINDMP_BUGCHECK_PARAM1] = { { 0x2c, 4 }, { 0x40, 8 } },
    [WINDMP_BUGCHECK_PARAM2] = { { 0x30, 4 }, { 0x48, 8 } },
    [WINDMP_BUGCHECK_PARAM3] = { { 0x34, 4 }, { 0x50, 8 } },
    [WINDMP_BUGCHECK_PARAM4] = { { 0x38, 4 }, { 0x58, 8 } },
    [WINDMP_KDBG] = { { 0x60, 4 }, { 0x80, 8 } },
    [WINDMP_NR_RUNS] = { { 0x64, 4 }, { 0x88, 4 } },
    [WINDMP_NR_PAGES] = { { 0x68, 4 }, { 0x90, 8 } },
    [WINDMP_DUMP_TYPE] = { { 0xf88, 4 }, { 0xf98, 4 } },
    [WINDMP_REQUIRED_SPACE] = { { 0xfa0, 8 }, { 0xfa0, 8 } },
};

/* The memory block is 700 bytes in both; its runs follow a head. */
#define WINDMP_RUNS_BLOCK       700
#define WINDMP_RUNS_HEAD64      16
#define WINDMP_RUNS_HEAD32      8
#define WINDMP_RUNS_OFFSET64    0x88
#define WINDMP_RUNS_OFFSET32    0x64

#define WINDMP_CONTEXT_OFFSET64 0x348
#define WINDMP_CONTEXT_ROOM64   3000
#define WINDMP_CONTEXT_OFFSET32 0x320
#define WINDMP_CONTEXT_ROOM32   1200
#define WINDMP_EXCEPTION_OFFSET64 0xf00
#define WINDMP_EXCEPTION_SIZE64 0x98
#define WINDMP_EXCEPTION_OFFSET32 0x7d0
#define WINDMP_EXCEPTION_SIZE32 0x50

QEMU_BUILD_BUG_ON(WINDMP_CONTEXT_SIZE64 > WINDMP_CONTEXT_ROOM64);
QEMU_BUILD_BUG_ON(WINDMP_CONTEXT_SIZE32 > WINDMP_CONTEXT_ROOM32);

/* CONTEXT_ALL of both architectures. */
#define WINDMP_CONTEXT_FLAGS64  0x0010001f
#define WINDMP_CONTEXT_FLAGS32  0x0001003f

static const DumpAbi windmp_abi = { ELFCLASS64, ELFDATA2LSB, EM_X86_64 };

bool windmp_header_read(WinDmpHeader *hdr, const uint8_t *buf, size_t len,
                        Error **errp)
{
    uint32_t machine, expected;

    if (len < 8 || (memcmp(buf, "PAGEDU64", 8) &&
                    memcmp(buf, "PAGEDUMP", 8))) {
        error_setg(errp, "the guest's note is not a Windows crash dump "
                   "header");
        return false;
    }
    hdr->is64 = !memcmp(buf, "PAGEDU64", 8);
    hdr->size = hdr->is64 ? WINDMP_HEADER_SIZE64 : WINDMP_HEADER_SIZE32;
    if (len != hdr->size) {
        error_setg(errp, "the guest's crash dump header has %zu bytes "
                   "instead of %zu", len, hdr->size);
        return false;
    }
    memcpy(hdr->bytes, buf, len);
    machine = windmp_get(hdr, WINDMP_MACHINE_TYPE);
    expected = hdr->is64 ? WINDMP_MACHINE_AMD64 : WINDMP_MACHINE_I386;
    if (machine && machine != expected) {
        error_setg(errp, "the guest's crash dump header is for a machine of "
                   "type 0x%" PRIx32, machine);
        return false;
    }
    windmp_put(hdr, WINDMP_MACHINE_TYPE, expected);
    return true;
}

uint64_t windmp_get(const WinDmpHeader *hdr, WinDmpField field)
{
    const WinDmpPlace *p = &windmp_places[field][hdr->is64];

    return p->size == 8 ? ldq_le_p(hdr->bytes + p->offset) :
                          (uint32_t)ldl_le_p(hdr->bytes + p->offset);
}

void windmp_put(WinDmpHeader *hdr, WinDmpField field, uint64_t value)
{
    const WinDmpPlace *p = &windmp_places[field][hdr->is64];

    if (p->size == 8) {
        stq_le_p(hdr->bytes + p->offset, value);
    } else {
        stl_le_p(hdr->bytes + p->offset, value);
    }
}

unsigned windmp_max_runs(const WinDmpHeader *hdr)
{
    return hdr->is64 ? (WINDMP_RUNS_BLOCK - WINDMP_RUNS_HEAD64) / 16 :
                       (WINDMP_RUNS_BLOCK - WINDMP_RUNS_HEAD32) / 8;
}

void windmp_put_run(WinDmpHeader *hdr, unsigned run, uint64_t first,
                    uint64_t count)
{
    assert(run < windmp_max_runs(hdr));
    if (hdr->is64) {
        uint8_t *p = hdr->bytes + WINDMP_RUNS_OFFSET64 + WINDMP_RUNS_HEAD64 +
                     run * 16;

        stq_le_p(p, first);
        stq_le_p(p + 8, count);
    } else {
        uint8_t *p = hdr->bytes + WINDMP_RUNS_OFFSET32 + WINDMP_RUNS_HEAD32 +
                     run * 8;

        stl_le_p(p, first);
        stl_le_p(p + 4, count);
    }
}

size_t windmp_context_size(bool is64)
{
    return is64 ? WINDMP_CONTEXT_SIZE64 : WINDMP_CONTEXT_SIZE32;
}

static void windmp_put_context64(const WinDmpCpu *cpu, DumpEncoder *e)
{
    const uint16_t segments[] = { cpu->cs, cpu->ds, cpu->es,
                                  cpu->fs, cpu->gs, cpu->ss };

    dump_enc_zero(e, 6 * 8);                    /* P1Home..P6Home */
    dump_enc32(e, WINDMP_CONTEXT_FLAGS64);
    dump_enc_bytes(e, cpu->fxsave + 24, 4);     /* MxCsr */
    for (size_t i = 0; i < ARRAY_SIZE(segments); i++) {
        dump_enc16(e, segments[i]);
    }
    dump_enc32(e, cpu->rflags);
    for (size_t i = 0; i < 8; i++) {
        if (i != 4 && i != 5) {
            dump_enc64(e, cpu->dr[i]);
        }
    }
    for (size_t i = 0; i < ARRAY_SIZE(cpu->gpr); i++) {
        dump_enc64(e, cpu->gpr[i]);
    }
    dump_enc64(e, cpu->rip);
    dump_enc_bytes(e, cpu->fxsave, sizeof(cpu->fxsave));
    dump_enc_zero(e, e->size - e->pos);         /* VectorRegister and on */
}

/*
 * The two tag bits of a register in fsave format: 0 valid, 1 zero, 2 special,
 * 3 empty. fxsave stores only whether the register is in use. @phys: physical
 * register number, not relative to the top of the stack.
 */
static unsigned windmp_x87_tag(const WinDmpCpu *cpu, unsigned phys)
{
    unsigned top = lduw_le_p(cpu->fxsave + 2) >> 11 & 7;
    const uint8_t *st = cpu->fxsave + 32 + 16 * ((phys - top) & 7);
    uint64_t mantissa = ldq_le_p(st);
    unsigned exponent = lduw_le_p(st + 8) & 0x7fff;

    if (!(cpu->fxsave[4] >> phys & 1)) {
        return 3;
    }
    if (!exponent && !mantissa) {
        return 1;
    }
    return exponent && exponent != 0x7fff && mantissa >> 63 ? 0 : 2;
}

/* FLOATING_SAVE_AREA, converted from the fxsave area. */
static void windmp_put_x87(const WinDmpCpu *cpu, DumpEncoder *e)
{
    uint32_t tags = 0xffff0000;

    for (unsigned i = 0; i < 8; i++) {
        tags |= windmp_x87_tag(cpu, i) << (2 * i);
    }
    dump_enc32(e, 0xffff0000 | lduw_le_p(cpu->fxsave));
    dump_enc32(e, 0xffff0000 | lduw_le_p(cpu->fxsave + 2));
    dump_enc32(e, tags);
    dump_enc32(e, ldl_le_p(cpu->fxsave + 8));   /* ErrorOffset */
    dump_enc32(e, lduw_le_p(cpu->fxsave + 12) |
               (uint32_t)lduw_le_p(cpu->fxsave + 6) << 16);
    dump_enc32(e, ldl_le_p(cpu->fxsave + 16));  /* DataOffset */
    dump_enc32(e, 0xffff0000 | lduw_le_p(cpu->fxsave + 20));
    for (unsigned i = 0; i < 8; i++) {
        dump_enc_bytes(e, cpu->fxsave + 32 + 16 * i, 10);
    }
    dump_enc32(e, 0);                           /* Spare0 */
}

static void windmp_put_context32(const WinDmpCpu *cpu, DumpEncoder *e)
{
    enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI };
    const uint64_t regs[] = {
        cpu->gs, cpu->fs, cpu->es, cpu->ds,
        cpu->gpr[RDI], cpu->gpr[RSI], cpu->gpr[RBX], cpu->gpr[RDX],
        cpu->gpr[RCX], cpu->gpr[RAX], cpu->gpr[RBP], cpu->rip, cpu->cs,
        cpu->rflags, cpu->gpr[RSP], cpu->ss,
    };

    dump_enc32(e, WINDMP_CONTEXT_FLAGS32);
    for (size_t i = 0; i < 8; i++) {
        if (i != 4 && i != 5) {
            dump_enc32(e, cpu->dr[i]);
        }
    }
    windmp_put_x87(cpu, e);
    for (size_t i = 0; i < ARRAY_SIZE(regs); i++) {
        dump_enc32(e, regs[i]);
    }
    dump_enc_bytes(e, cpu->fxsave, sizeof(cpu->fxsave));
}

void windmp_put_context(bool is64, const WinDmpCpu *cpu, uint8_t *buf)
{
    DumpEncoder e = {
        .abi = &windmp_abi,
        .buf = buf,
        .size = windmp_context_size(is64),
    };

    if (is64) {
        windmp_put_context64(cpu, &e);
    } else {
        windmp_put_context32(cpu, &e);
    }
    assert(e.pos == e.size);
}

static void windmp_put_exception(WinDmpHeader *hdr, uint64_t address)
{
    uint8_t *p = hdr->bytes + (hdr->is64 ? WINDMP_EXCEPTION_OFFSET64 :
                                           WINDMP_EXCEPTION_OFFSET32);

    memset(p, 0, hdr->is64 ? WINDMP_EXCEPTION_SIZE64 :
                             WINDMP_EXCEPTION_SIZE32);
    stl_le_p(p, WINDMP_STATUS_BREAKPOINT);
    if (hdr->is64) {
        stq_le_p(p + 16, address);
    } else {
        stl_le_p(p + 12, address);
    }
}

void windmp_put_current(WinDmpHeader *hdr, const WinDmpCpu *cpu)
{
    uint8_t *p = hdr->bytes + (hdr->is64 ? WINDMP_CONTEXT_OFFSET64 :
                                           WINDMP_CONTEXT_OFFSET32);

    memset(p, 0, hdr->is64 ? WINDMP_CONTEXT_ROOM64 : WINDMP_CONTEXT_ROOM32);
    windmp_put_context(hdr->is64, cpu, p);
    windmp_put_exception(hdr, cpu->rip);
}
