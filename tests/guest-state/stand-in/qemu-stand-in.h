/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Stand-in for the QEMU interfaces that dump/guest-state.c and related files
 * use; test-guest-state.c defines the functions. It is included first (by a
 * compiler option), as it also has typedefs that QEMU's osdep.h provides. The
 * other headers in this folder have the names of QEMU's and only include it.
 */

#ifndef QEMU_STAND_IN_H
#define QEMU_STAND_IN_H

#include "qemu/bswap.h"

typedef uint64_t hwaddr;
typedef struct DumpState DumpState;
typedef int (*WriteCoreDumpFunction)(const void *buf, size_t size,
                                     void *opaque);

#define cpu_to_le16 htole16
#define cpu_to_le32 htole32
#define cpu_to_le64 htole64
#define cpu_to_be16 htobe16
#define cpu_to_be32 htobe32
#define cpu_to_be64 htobe64
#define le16_to_cpu le16toh
#define le32_to_cpu le32toh
#define le64_to_cpu le64toh

#define container_of(ptr, type, member) \
    ((type *)((char *)(ptr) - offsetof(type, member)))
#define QTAILQ_FOREACH(var, list, field) \
    for (var = (list)->first; var; var = var->field)

/* system/memory.h, system/ramblock.h */
#define RAM_PREALLOC (1 << 0)
#define RAM_GUEST_MEMFD (1 << 12)

typedef struct RAMBlock {
    uint8_t *host;
    uint64_t fd_offset;
    uint64_t used_length;
    uint32_t flags;
} RAMBlock;

typedef struct MemoryRegion {
    RAMBlock *ram_block;
    struct MemoryRegion *container;
    uint64_t size;
} MemoryRegion;

uint64_t memory_region_size(MemoryRegion *mr);

int qemu_ram_get_fd(RAMBlock *rb);
bool qemu_ram_is_shared(RAMBlock *rb);
size_t qemu_target_page_size(void);

/* hw/core/cpu.h, system/cpus.h */
typedef struct CPUState {
    int cpu_index;
    struct CPUState *next;
} CPUState;

typedef struct CPUTailQ {
    CPUState *first;
} CPUTailQ;

extern CPUTailQ cpus;

#define CPU_FOREACH(cpu) QTAILQ_FOREACH(cpu, &cpus, next)

void cpu_synchronize_all_states(void);
int cpu_write_elf32_note(WriteCoreDumpFunction f, CPUState *cpu, int cpuid,
                         void *opaque);
int cpu_write_elf64_note(WriteCoreDumpFunction f, CPUState *cpu, int cpuid,
                         void *opaque);
int cpu_write_elf32_qemunote(WriteCoreDumpFunction f, CPUState *cpu,
                             void *opaque);
int cpu_write_elf64_qemunote(WriteCoreDumpFunction f, CPUState *cpu,
                             void *opaque);

/* system/memory_mapping.h */
typedef struct GuestPhysBlock {
    hwaddr target_start;
    hwaddr target_end;
    uint8_t *host_addr;
    MemoryRegion *mr;
    struct GuestPhysBlock *next;
} GuestPhysBlock;

typedef struct GuestPhysBlockList {
    unsigned num;
    struct {
        GuestPhysBlock *first;
    } head;
} GuestPhysBlockList;

typedef struct MemoryMapping {
    hwaddr phys_addr;
    uint64_t virt_addr;
    uint64_t length;
    struct MemoryMapping *next;
} MemoryMapping;

typedef struct MemoryMappingList {
    unsigned num;
    struct {
        MemoryMapping *first;
    } head;
} MemoryMappingList;

void guest_phys_blocks_init(GuestPhysBlockList *list);
void guest_phys_blocks_append(GuestPhysBlockList *list);
void guest_phys_blocks_free(GuestPhysBlockList *list);
void memory_mapping_list_init(MemoryMappingList *list);
void memory_mapping_list_free(MemoryMappingList *list);
bool qemu_get_guest_memory_mapping(MemoryMappingList *list,
                                   const GuestPhysBlockList *blocks,
                                   Error **errp);

/* hw/misc/vmcoreinfo.h */
#define FW_CFG_VMCOREINFO_FORMAT_ELF 1

typedef struct VMCoreInfoState {
    bool has_vmcoreinfo;
    struct {
        uint16_t host_format;
        uint16_t guest_format;
        uint32_t size;
        uint64_t paddr;
    } vmcoreinfo;
} VMCoreInfoState;

VMCoreInfoState *vmcoreinfo_find(void);

/* hw/boards.h */
typedef struct DeviceMemoryState {
    hwaddr base;
    MemoryRegion mr;
} DeviceMemoryState;

typedef struct MachineState {
    struct ConfidentialGuestSupport *cgs;
    MemoryRegion *ram;
    DeviceMemoryState *device_memory;
} MachineState;

#define MACHINE(obj) ((MachineState *)(obj))

void *qdev_get_machine(void);

/* qapi/error.h, beyond what tests/shim/ has */
#define ERRP_GUARD()

void error_prepend(Error *const *errp, const char *fmt, ...)
    G_GNUC_PRINTF(2, 3);

/* trace/trace-dump.h */
#define trace_dump_guest_note(...)
#define trace_dump_linux_guest(...)
#define trace_dump_collected(...)
#define trace_dump_kept(...)
#define trace_dump_mappings(...)
#define trace_dump_vmcoreinfo(...)
#define trace_dump_windows(...)

#endif
