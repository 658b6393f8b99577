/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Description of a target for guest memory dumps.
 *
 * Implemented in target/<arch>/arch_dump.c, and by stubs/dump.c for targets
 * that cannot be dumped.
 */

#ifndef DUMP_ARCH_H
#define DUMP_ARCH_H

struct GuestPhysBlockList;      /* system/memory_mapping.h */

typedef struct ArchDumpInfo {
    int d_machine;              /* EM_* */
    int d_endian;               /* ELFDATA2LSB or ELFDATA2MSB */
    int d_class;                /* ELFCLASS32 or ELFCLASS64 */

    /*
     * Bytes; the largest possible size if the guest selects it, 0 for the
     * target's page size.
     */
    uint32_t page_size;

    /* Guest-physical start of the kernel's memory; 0 if not known. */
    uint64_t phys_base;

    /*
     * Sections with target data in ELF dumps; all four or none are set. Called
     * by one dump at a time, in this order:
     *   add        before CPU notes are collected: add to shdr_num and
     *              elf_section_data_size
     *   write_hdr  fill section headers for data at section_offset, append
     *              names to string_table_buf; returns the bytes filled
     *   write      fill elf_section_data_size bytes; returns 0 or -errno
     *   cleanup    always, at the end of the dump
     */
    void (*arch_sections_add_fn)(DumpState *s);
    uint64_t (*arch_sections_write_hdr_fn)(DumpState *s, uint8_t *buff);
    int (*arch_sections_write_fn)(DumpState *s, uint8_t *buff);
    void (*arch_cleanup_fn)(DumpState *s);
} ArchDumpInfo;

/* Fill @info; 0, or negative if this target cannot be dumped. */
int cpu_get_dump_info(ArchDumpInfo *info,
                      const struct GuestPhysBlockList *guest_phys_blocks);

/*
 * Bytes of all CPU notes of @nr_cpus CPUs for ELF class @class and machine
 * @machine; negative if such a dump is not supported.
 */
ssize_t cpu_get_note_size(int class, int machine, int nr_cpus);

#endif
