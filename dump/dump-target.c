/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Interface to target/<arch>/arch_dump.c; see the header.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/bswap.h"
#include "dump-target.h"

uint16_t cpu_to_dump16(DumpState *s, uint16_t val)
{
    return s->dump_info.d_endian == ELFDATA2LSB ? cpu_to_le16(val) :
                                                  cpu_to_be16(val);
}

uint32_t cpu_to_dump32(DumpState *s, uint32_t val)
{
    return s->dump_info.d_endian == ELFDATA2LSB ? cpu_to_le32(val) :
                                                  cpu_to_be32(val);
}

uint64_t cpu_to_dump64(DumpState *s, uint64_t val)
{
    return s->dump_info.d_endian == ELFDATA2LSB ? cpu_to_le64(val) :
                                                  cpu_to_be64(val);
}

bool dump_target_overlap(const GuestPhysBlock *block, int64_t begin,
                          int64_t length, uint64_t *start, uint64_t *end)
{
    *start = block->target_start;
    *end = block->target_end;
    if (length) {
        *start = MAX(*start, (uint64_t)begin);
        *end = MIN(*end, (uint64_t)begin + length);
    }
    return *start < *end;
}

int64_t dump_filtered_memblock_start(GuestPhysBlock *block,
                                     int64_t filter_area_start,
                                     int64_t filter_area_length)
{
    uint64_t start, end;

    return dump_target_overlap(block, filter_area_start, filter_area_length,
                               &start, &end) ? start - block->target_start : -1;
}

int64_t dump_filtered_memblock_size(GuestPhysBlock *block,
                                    int64_t filter_area_start,
                                    int64_t filter_area_length)
{
    uint64_t start, end;

    return dump_target_overlap(block, filter_area_start, filter_area_length,
                               &start, &end) ? end - start : 0;
}

static bool extra_headers(void *opaque, uint64_t data_offset, GArray *names,
                          uint8_t *buf, size_t len)
{
    GuestState *state = opaque;
    DumpState *s = &state->target;
    uint64_t filled;

    s->section_offset = data_offset;
    s->string_table_buf = names;
    filled = s->dump_info.arch_sections_write_hdr_fn(s, buf);
    s->string_table_buf = NULL;
    assert(filled <= len);
    return filled == len;
}

static bool extra_data(void *opaque, uint8_t *buf, size_t len, Error **errp)
{
    GuestState *state = opaque;
    DumpState *s = &state->target;
    int ret = s->dump_info.arch_sections_write_fn(s, buf);

    if (ret) {
        error_setg_errno(errp, ret < 0 ? -ret : EIO,
                         "dump: collecting the target's sections");
        return false;
    }
    return true;
}

void dump_target_add_sections(GuestState *state)
{
    ArchDumpInfo *info = &state->target.dump_info;

    if (!info->arch_sections_add_fn) {
        return;
    }
    state->sections_added = true;
    info->arch_sections_add_fn(&state->target);
    if (!state->target.shdr_num) {
        return;
    }
    state->extra = (DumpExtraSections) {
        .count = state->target.shdr_num,
        .data_size = state->target.elf_section_data_size,
        .opaque = state,
        .headers = extra_headers,
        .data = extra_data,
    };
    state->guest.extra = &state->extra;
}
