/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The Windows crash dump format, 32- and 64-bit: the fields of the header, and
 * the CONTEXT structure with a processor's registers.
 *
 * Layout sources: Microsoft's wdbgexts.h and ntimage documentation of
 * CONTEXT (winnt.h); the structures of volatility (crash_vtypes) and of
 * Bin2Dmp for the header. docs/interop/vmcore-formats.rst lists every field
 * with its offset. All integers are little-endian.
 *
 * Pure functions; any thread may call them.
 */

#ifndef DUMP_VMCORE_WINDMP_FORMAT_H
#define DUMP_VMCORE_WINDMP_FORMAT_H

#include "byteorder.h"

#define WINDMP_PAGE_SIZE        4096    /* also of 32-bit PAE */
#define WINDMP_HEADER_SIZE64    0x2000
#define WINDMP_HEADER_SIZE32    0x1000

#define WINDMP_MACHINE_I386     0x014c
#define WINDMP_MACHINE_AMD64    0x8664

#define WINDMP_TYPE_FULL        1
#define WINDMP_BUGCHECK_LIVE    0x161   /* LIVE_SYSTEM_DUMP */
#define WINDMP_FILL             0x45474150 /* "PAGE": the field was not set */
#define WINDMP_STATUS_BREAKPOINT 0x80000003

/* Fields of the header. Their width depends on is64. */
typedef enum WinDmpField {
    WINDMP_DIRECTORY_TABLE_BASE, /* guest-physical, page table root */
    WINDMP_MACHINE_TYPE,        /* WINDMP_MACHINE_* */
    WINDMP_NR_CPUS,
    WINDMP_BUGCHECK_CODE,
    WINDMP_BUGCHECK_PARAM1,     /* PARAM1 to 4 have consecutive values */
    WINDMP_BUGCHECK_PARAM2,
    WINDMP_BUGCHECK_PARAM3,
    WINDMP_BUGCHECK_PARAM4,
    WINDMP_KDBG,                /* guest-virtual, KDDEBUGGER_DATA64 */
    WINDMP_NR_RUNS,
    WINDMP_NR_PAGES,            /* in all runs */
    WINDMP_DUMP_TYPE,           /* WINDMP_TYPE_* */
    WINDMP_REQUIRED_SPACE,      /* bytes of the file */
    WINDMP_FIELD__MAX,
} WinDmpField;

/* A header, read from the guest or to be written. */
typedef struct WinDmpHeader {
    bool is64;
    size_t size;                /* WINDMP_HEADER_SIZE* */
    uint8_t bytes[WINDMP_HEADER_SIZE64];
} WinDmpHeader;

/*
 * Copy the guest's header from @buf[0..@len). Only signature, size and machine
 * type are checked; the latter is set if it is 0, as in QEMU's own test. Other
 * fields are not trusted. Returns false, with @errp set, if it is not a valid
 * header.
 */
bool windmp_header_read(WinDmpHeader *hdr, const uint8_t *buf, size_t len,
                        Error **errp);

uint64_t windmp_get(const WinDmpHeader *hdr, WinDmpField field);

/* @value is truncated to the field's width. */
void windmp_put(WinDmpHeader *hdr, WinDmpField field, uint64_t value);

/* Maximum number of memory runs in the header. */
unsigned windmp_max_runs(const WinDmpHeader *hdr);

/* @run is below windmp_max_runs; @first and @count are in pages. */
void windmp_put_run(WinDmpHeader *hdr, unsigned run, uint64_t first,
                    uint64_t count);

/* Registers of one processor, of either word size. */
typedef struct WinDmpCpu {
    uint64_t gpr[16];           /* in encoding order: rax, rcx, ... */
    uint64_t rip;
    uint64_t rflags;
    uint16_t cs, ds, es, fs, gs, ss;
    uint64_t dr[8];             /* 4 and 5 are not used */
    uint8_t fxsave[512];        /* x87 and SSE in fxsave format */

    /* Used to identify the processor. */
    uint64_t fs_base;
    uint64_t gs_base;
    uint64_t kernel_gs_base;
    bool crashed;               /* this CPU reported a guest crash */
} WinDmpCpu;

#define WINDMP_CONTEXT_SIZE64   0x4d0
#define WINDMP_CONTEXT_SIZE32   0x2cc

size_t windmp_context_size(bool is64);

/*
 * Fill a CONTEXT of windmp_context_size bytes: control, integer, segment,
 * floating point and debug registers; if 32-bit, also extended registers.
 */
void windmp_put_context(bool is64, const WinDmpCpu *cpu, uint8_t *buf);

/*
 * Fill the header's context record from @cpu, and its exception record with a
 * breakpoint at the instruction pointer of @cpu.
 */
void windmp_put_current(WinDmpHeader *hdr, const WinDmpCpu *cpu);

#endif
