/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Encoding of kdump-compressed and flattened structures.
 */

#include "qemu/osdep.h"
#include "kdump-format.h"

#ifndef EM_LOONGARCH
#define EM_LOONGARCH 258
#endif
#ifndef EM_RISCV
#define EM_RISCV 243
#endif

#define KDUMP_HEADER_SIZE64     464
#define KDUMP_HEADER_SIZE32     452
#define KDUMP_SUB_HEADER_SIZE64 104
#define KDUMP_SUB_HEADER_SIZE32 80
#define KDUMP_SUB_HEADER_SIZEARM 96

#define FLAT_SIGNATURE          "makedumpfile"
#define FLAT_SIGNATURE_SIZE     16
#define FLAT_TYPE               1
#define FLAT_VERSION            1
#define FLAT_END                UINT64_MAX

/* EM_ARM is the only 32-bit target that aligns 8-byte fields to 8. */
static bool abi_aligns64(const DumpAbi *abi)
{
    return !dump_abi_is64(abi) && abi->elf_machine == EM_ARM;
}

size_t kdump_header_size(const DumpAbi *abi)
{
    return dump_abi_is64(abi) ? KDUMP_HEADER_SIZE64 : KDUMP_HEADER_SIZE32;
}

size_t kdump_sub_header_size(const DumpAbi *abi)
{
    if (dump_abi_is64(abi)) {
        return KDUMP_SUB_HEADER_SIZE64;
    }
    return abi_aligns64(abi) ? KDUMP_SUB_HEADER_SIZEARM :
                               KDUMP_SUB_HEADER_SIZE32;
}

static void put_uts_string(DumpEncoder *e, const char *s)
{
    char field[LINUX_UTS_LEN] = { 0 };

    g_strlcpy(field, s, sizeof(field));
    dump_enc_bytes(e, field, sizeof(field));
}

static void put_uts(DumpEncoder *e, const LinuxUts *uts)
{
    put_uts_string(e, uts->sysname);
    put_uts_string(e, uts->nodename);
    put_uts_string(e, uts->release);
    put_uts_string(e, uts->version);
    put_uts_string(e, uts->machine);
    put_uts_string(e, uts->domainname);
}

void kdump_put_header(const DumpAbi *abi, const KdumpHeader *hdr,
                      uint8_t *buf)
{
    DumpEncoder e = { abi, buf, kdump_header_size(abi) };

    dump_enc_bytes(&e, KDUMP_SIGNATURE, 8);
    dump_enc32(&e, KDUMP_HEADER_VERSION);
    put_uts(&e, &hdr->uts);
    dump_enc_align(&e, dump_abi_is64(abi) ? 8 : 4);
    dump_enc_word(&e, hdr->time_sec);
    dump_enc_word(&e, hdr->time_usec);
    dump_enc32(&e, hdr->status);
    dump_enc32(&e, hdr->block_size);
    dump_enc32(&e, hdr->sub_hdr_blocks);
    dump_enc32(&e, hdr->bitmap_blocks);
    dump_enc32(&e, MIN(hdr->max_mapnr, UINT32_MAX));
    dump_enc32(&e, 0);                              /* total_ram_blocks */
    dump_enc32(&e, 0);                              /* device_blocks */
    dump_enc32(&e, 0);                              /* written_blocks */
    dump_enc32(&e, 0);                              /* current_cpu */
    dump_enc32(&e, hdr->nr_cpus);
    assert(e.pos == e.size);
}

/* An off_t of the target, always 8 bytes. */
static void put_off(DumpEncoder *e, uint64_t v)
{
    if (dump_abi_is64(e->abi) || abi_aligns64(e->abi)) {
        dump_enc_align(e, 8);
    }
    dump_enc64(e, v);
}

void kdump_put_sub_header(const DumpAbi *abi, const KdumpSubHeader *sub,
                          uint8_t *buf)
{
    DumpEncoder e = { abi, buf, kdump_sub_header_size(abi) };

    dump_enc_word(&e, sub->phys_base);
    dump_enc32(&e, sub->dump_level);
    dump_enc32(&e, 0);                              /* split */
    dump_enc_word(&e, 0);                           /* start_pfn */
    dump_enc_word(&e, 0);                           /* end_pfn */
    put_off(&e, sub->offset_vmcoreinfo);
    dump_enc_word(&e, sub->size_vmcoreinfo);
    put_off(&e, sub->offset_note);
    dump_enc_word(&e, sub->size_note);
    put_off(&e, 0);                                 /* offset_eraseinfo */
    dump_enc_word(&e, 0);                           /* size_eraseinfo */
    put_off(&e, 0);                                 /* start_pfn_64 */
    put_off(&e, 0);                                 /* end_pfn_64 */
    put_off(&e, sub->max_mapnr);
    assert(e.pos == e.size);
}

void kdump_put_page_desc(const DumpAbi *abi, const KdumpPageDesc *desc,
                         uint8_t *buf)
{
    DumpEncoder e = { abi, buf, KDUMP_PAGE_DESC_SIZE };

    dump_enc64(&e, desc->offset);
    dump_enc32(&e, desc->size);
    dump_enc32(&e, desc->flags);
    dump_enc64(&e, 0);                              /* page_flags */
}

void flat_put_header(uint8_t buf[FLAT_HEADER_SIZE])
{
    memset(buf, 0, FLAT_HEADER_SIZE);
    memcpy(buf, FLAT_SIGNATURE, strlen(FLAT_SIGNATURE));
    stq_be_p(buf + FLAT_SIGNATURE_SIZE, FLAT_TYPE);
    stq_be_p(buf + FLAT_SIGNATURE_SIZE + 8, FLAT_VERSION);
}

void flat_put_record(uint8_t buf[FLAT_RECORD_SIZE], uint64_t offset,
                     uint64_t size)
{
    stq_be_p(buf, offset);
    stq_be_p(buf + 8, size);
}

void flat_put_end(uint8_t buf[FLAT_RECORD_SIZE])
{
    flat_put_record(buf, FLAT_END, FLAT_END);
}

const char *kdump_machine_name(const DumpAbi *abi)
{
    bool is64 = dump_abi_is64(abi);
    bool be = dump_abi_is_be(abi);

    switch (abi->elf_machine) {
    case EM_X86_64:
        return "x86_64";
    case EM_386:
        return "i686";
    case EM_AARCH64:
        return be ? "aarch64_be" : "aarch64";
    case EM_ARM:
        return be ? "armv7b" : "armv7l";
    case EM_PPC64:
        return be ? "ppc64" : "ppc64le";
    case EM_PPC:
        return "ppc";
    case EM_S390:
        return is64 ? "s390x" : "s390";
    case EM_RISCV:
        return is64 ? "riscv64" : "riscv32";
    case EM_LOONGARCH:
        return is64 ? "loongarch64" : "loongarch32";
    default:
        return NULL;
    }
}
