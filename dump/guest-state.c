/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Guest state for a dump: RAM blocks, CPU notes, the guest's own note,
 * paging, and the hooks of targets.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "exec/cpu-common.h"
#include "exec/target_page.h"
#include "hw/core/cpu.h"
#include "hw/misc/vmcoreinfo.h"
#include "migration/misc.h"
#include "qemu/bswap.h"
#include "qemu/error-report.h"
#include "qemu/units.h"
#include "system/cpus.h"
#include "system/hw_accel.h"
#include "system/memory.h"
#include "system/ramblock.h"
#include "guest-state.h"
#include "trace.h"
#include "vmcore/elf-notes.h"
#include "vmcore/linux-guest.h"
#include "x86-cpu.h"

/* Linux publishes less than 4 KiB; more than this is not a note. */
#define GUEST_NOTE_MAX  MiB

/* -- what target/<arch>/arch_dump.c calls ------------------------------- */

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

/* The overlap of block and range: false if there is none. */
static bool block_overlap(const GuestPhysBlock *block, int64_t begin,
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

    return block_overlap(block, filter_area_start, filter_area_length,
                         &start, &end) ? start - block->target_start : -1;
}

int64_t dump_filtered_memblock_size(GuestPhysBlock *block,
                                    int64_t filter_area_start,
                                    int64_t filter_area_length)
{
    uint64_t start, end;

    return block_overlap(block, filter_area_start, filter_area_length,
                         &start, &end) ? end - start : 0;
}

/* -- arch info and RAM -------------------------------------------------- */

static bool get_arch_info(const GuestPhysBlockList *blocks,
                          ArchDumpInfo *info, Error **errp)
{
    *info = (ArchDumpInfo) { 0 };
    if (cpu_get_dump_info(info, blocks) < 0) {
        error_setg(errp, "dumping guest memory is not supported for this "
                   "target");
        return false;
    }
    return true;
}

static unsigned count_cpus(void)
{
    CPUState *cpu;
    unsigned n = 0;

    CPU_FOREACH(cpu) {
        n++;
    }
    return n;
}

static bool check_notes(const ArchDumpInfo *info, Error **errp)
{
    if (cpu_get_note_size(info->d_class, info->d_machine, count_cpus()) < 0) {
        error_setg(errp, "dumping guest memory is not supported for this CPU");
        return false;
    }
    return true;
}

static bool check_range(const GuestPhysBlockList *blocks,
                        const GuestStateQuery *query, Error **errp)
{
    GuestPhysBlock *block;
    uint64_t start, end;

    if (!query->has_range) {
        return true;
    }
    QTAILQ_FOREACH(block, &blocks->head, next) {
        if (block_overlap(block, query->begin, query->length, &start, &end)) {
            return true;
        }
    }
    error_setg(errp, "Invalid parameter 'begin': no guest memory from 0x%"
               PRIx64 " to 0x%" PRIx64, query->begin,
               query->begin + query->length - 1);
    return false;
}

/* How the memory is mapped, for what is never touched. */
static GuestRamBacking find_backing(RAMBlock *rb,
                                    const DumpUntouched *untouched)
{
    bool shared;
    int fd;

    /* Memory that a device brought along may be mapped in any way. */
    if (!rb || (rb->flags & RAM_PREALLOC)) {
        return GUEST_RAM_OTHER;
    }
    fd = qemu_ram_get_fd(rb);
    shared = qemu_ram_is_shared(rb);
    if (fd < 0) {
        return shared ? GUEST_RAM_OTHER : GUEST_RAM_ANON;
    }
    if (dump_untouched_trusts_fd(fd)) {
        return shared ? GUEST_RAM_SHARED_FILE : GUEST_RAM_PRIVATE_FILE;
    }
    return dump_untouched_maps_all(untouched, fd, rb->host, rb->used_length,
                                   shared) ?
           GUEST_RAM_ANON : GUEST_RAM_OTHER;
}

/* @untouched: NULL if the memory is only looked at here and there */
static void add_blocks(const GuestPhysBlockList *blocks,
                       const DumpUntouched *untouched, GuestRam *ram)
{
    GuestRamBacking backing = GUEST_RAM_OTHER;
    GuestPhysBlock *block;
    RAMBlock *last = NULL;

    QTAILQ_FOREACH(block, &blocks->head, next) {
        RAMBlock *rb = block->mr->ram_block;
        GuestRamRun run = {
            .paddr = block->target_start,
            .size = block->target_end - block->target_start,
            .host = block->host_addr,
        };

        /* Most blocks are pieces of one memory, and asking may take long. */
        if (rb != last) {
            backing = find_backing(rb, untouched);
            last = rb;
        }
        run.backing = backing;
        if (backing == GUEST_RAM_SHARED_FILE ||
            backing == GUEST_RAM_PRIVATE_FILE) {
            run.fd = qemu_ram_get_fd(rb);
            run.fd_offset = rb->fd_offset + (run.host - rb->host);
        }
        guest_ram_add_run(ram, &run);
    }
}

/* All memory, whatever the range of the dump, to look at here and there. */
static void look_at_all(GuestRam *ram, const GuestPhysBlockList *blocks)
{
    guest_ram_init(ram);
    add_blocks(blocks, NULL, ram);
    guest_ram_seal(ram);
}

static void leave_far_memory(GuestRam *ram)
{
    uint64_t bytes = guest_ram_drop_far(ram);

    if (bytes) {
        warn_report("dump: %" PRIu64 " bytes of device memory are left out: "
                    "their address is too high for this format", bytes);
    }
}

static void collect_ram(GuestState *state, const GuestStateQuery *query)
{
    GuestRam *ram = &state->guest.ram;

    /* Pages that postcopy has yet to bring are not zero, only missing. */
    if (!migration_in_incoming_postcopy()) {
        state->guest.untouched = dump_untouched_new();
    }
    add_blocks(&state->arch.guest_phys_blocks, state->guest.untouched, ram);
    if (query->has_range) {
        guest_ram_clip(ram, query->begin, query->length);
        state->arch.filter_area_begin = query->begin;
        state->arch.filter_area_length = query->length;
    }
    guest_ram_seal(ram);
    if (query->leave_far) {
        leave_far_memory(ram);
    }
    state->arch.total_size = ram->bytes;
}

/* -- paging ------------------------------------------------------------- */

/* X86Paging of the CPUs that translate addresses, for the caller to free. */
static GArray *get_x86_paging(void)
{
    GArray *paging = g_array_new(false, false, sizeof(X86Paging));
    X86Paging p;
    CPUState *cpu;

    CPU_FOREACH(cpu) {
        if (dump_x86_paging(cpu, &p)) {
            g_array_append_val(paging, p);
        }
    }
    return paging;
}

static GArray *walk_x86_paging(const GArray *paging, const GuestRam *ram)
{
    GArray *mappings;
    bool whole;

    mappings = x86_paging_mappings(paging, ram, &whole);
    if (!whole) {
        warn_report("dump: the guest's page tables map too much: %u pieces "
                    "of address space are taken, others left out",
                    mappings->len);
    }
    trace_dump_mappings(mappings->len, whole);
    return mappings;
}

/* What QEMU has for a CPU of another kind, or without paging. */
static GArray *get_target_mappings(const GuestPhysBlockList *blocks,
                                   Error **errp)
{
    GArray *mappings = NULL;
    MemoryMappingList list;
    MemoryMapping *m;

    memory_mapping_list_init(&list);
    if (qemu_get_guest_memory_mapping(&list, blocks, errp)) {
        mappings = g_array_sized_new(false, false, sizeof(DumpMapping),
                                     list.num);
        QTAILQ_FOREACH(m, &list.head, next) {
            DumpMapping mapping = {
                .paddr = m->phys_addr,
                .vaddr = m->virt_addr,
                .size = m->length,
            };
            g_array_append_val(mappings, mapping);
        }
    }
    memory_mapping_list_free(&list);
    return mappings;
}

/*
 * All mappings, whatever the range of the dump. @ram: all of it. QEMU can
 * walk the tables of x86 too, but without a bound, and in a time that grows
 * with the square of what they map.
 */
static bool collect_mappings(GuestState *state, const GuestRam *ram,
                             Error **errp)
{
    g_autoptr(GArray) paging = get_x86_paging();

    state->guest.mappings = paging->len ?
        walk_x86_paging(paging, ram) :
        get_target_mappings(&state->arch.guest_phys_blocks, errp);
    return state->guest.mappings;
}

/* -- notes -------------------------------------------------------------- */

static int append_note(const void *buf, size_t size, void *opaque)
{
    GuestState *state = container_of(opaque, GuestState, arch);

    g_byte_array_append(state->guest.notes, buf, size);
    return 0;
}

static int write_cpu_note(DumpState *s, CPUState *cpu)
{
    /* Linux has no process 0 to show: CPU n is process n + 1. */
    int id = cpu->cpu_index + 1;

    return s->dump_info.d_class == ELFCLASS64 ?
           cpu_write_elf64_note(append_note, cpu, id, s) :
           cpu_write_elf32_note(append_note, cpu, id, s);
}

static int write_qemu_note(DumpState *s, CPUState *cpu)
{
    return s->dump_info.d_class == ELFCLASS64 ?
           cpu_write_elf64_qemunote(append_note, cpu, s) :
           cpu_write_elf32_qemunote(append_note, cpu, s);
}

static bool collect_cpu_notes(GuestState *state, Error **errp)
{
    CPUState *cpu;

    CPU_FOREACH(cpu) {
        if (write_cpu_note(&state->arch, cpu) < 0) {
            error_setg(errp, "dump: failed to collect the notes of CPU %d",
                       cpu->cpu_index);
            return false;
        }
    }
    CPU_FOREACH(cpu) {
        if (write_qemu_note(&state->arch, cpu) < 0) {
            error_setg(errp, "dump: failed to collect QEMU's note of CPU %d",
                       cpu->cpu_index);
            return false;
        }
    }
    return true;
}

/* -- the guest's own note ------------------------------------------------ */

static bool has_guest_note(void)
{
    VMCoreInfoState *dev = vmcoreinfo_find();

    return dev && dev->has_vmcoreinfo;
}

/* The bytes that the guest's vmcoreinfo driver points at. */
static uint8_t *read_guest_note(const GuestRam *ram, uint32_t *size,
                                Error **errp)
{
    VMCoreInfoState *dev = vmcoreinfo_find();
    g_autofree uint8_t *buf = NULL;
    uint64_t paddr;

    if (le16_to_cpu(dev->vmcoreinfo.guest_format) !=
        FW_CFG_VMCOREINFO_FORMAT_ELF) {
        error_setg(errp, "guest note format is unsupported: %" PRIu16,
                   le16_to_cpu(dev->vmcoreinfo.guest_format));
        return NULL;
    }
    *size = le32_to_cpu(dev->vmcoreinfo.size);
    paddr = le64_to_cpu(dev->vmcoreinfo.paddr);
    trace_dump_guest_note(paddr, *size);
    if (*size > GUEST_NOTE_MAX) {
        error_setg(errp, "guest note of %" PRIu32 " bytes is left out: too "
                   "large", *size);
        return NULL;
    }
    buf = g_malloc(MAX(*size, 1));
    if (guest_ram_read(ram, paddr, buf, *size) != *size) {
        error_setg(errp, "guest note at 0x%" PRIx64 " is left out: not in "
                   "guest memory", paddr);
        return NULL;
    }
    return g_steal_pointer(&buf);
}

/*
 * Append the guest's notes, as far as they are whole, to ours. Returns
 * what VMCOREINFO says, NULL if there is none.
 */
static VmcoreInfo *collect_guest_notes(DumpGuest *guest, const GuestRam *ram)
{
    g_autofree uint8_t *buf = NULL;
    VmcoreInfo *info;
    uint32_t size = 0;
    size_t used;
    Error *err = NULL;

    if (!has_guest_note()) {
        return NULL;
    }
    buf = read_guest_note(ram, &size, &err);
    if (!buf) {
        warn_report_err(err);
        return NULL;
    }
    info = linux_guest_add_notes(guest, buf, size, &used);
    if (used < size) {
        warn_report("guest note is damaged: left out from byte %zu of %"
                    PRIu32 " on", used, size);
    }
    return info;
}

/* Notes of the CPUs, then of the guest; and what the latter tell. */
static bool collect_notes(GuestState *state, const GuestRam *ram,
                          Error **errp)
{
    g_autoptr(VmcoreInfo) info = NULL;
    DumpGuest *guest = &state->guest;

    if (!collect_cpu_notes(state, errp)) {
        return false;
    }
    info = collect_guest_notes(guest, ram);
    if (!linux_guest_describe(guest, ram, info)) {
        warn_report("guest note: a page size or physical base that makes no "
                    "sense is passed over");
    }
    trace_dump_linux_guest(guest->page_size, guest->phys_base,
                           guest->uts.release, guest->uts.machine);
    return true;
}

/* -- Windows ------------------------------------------------------------- */

/*
 * The crash dump header that the guest's driver published. It may change at
 * any time while the guest runs: what is returned is a copy.
 */
static bool find_windows_header(const ArchDumpInfo *info, const GuestRam *ram,
                                WinDmpHeader *hdr, Error **errp)
{
    const DumpAbi abi = { .elf_class = info->d_class,
                          .elf_data = info->d_endian };
    g_autofree uint8_t *buf = NULL;
    uint32_t size = 0;
    size_t pos = 0;
    ElfNote note;

    if (info->d_machine != EM_X86_64 && info->d_machine != EM_386) {
        error_setg(errp, "the format is for x86 guests only");
        return false;
    }
    if (!has_guest_note()) {
        error_setg(errp, "the guest has not published a crash dump header "
                   "through a vmcoreinfo device");
        return false;
    }
    buf = read_guest_note(ram, &size, errp);
    if (!buf) {
        return false;
    }
    while (elf_note_next(&abi, buf, size, &pos, &note)) {
        if (elf_note_is(&note, "VMCOREINFO")) {
            return windmp_header_read(hdr, note.desc, note.descsz, errp);
        }
    }
    error_setg(errp, "the guest's note is damaged");
    return false;
}

static bool check_windows(const GuestPhysBlockList *blocks,
                          const ArchDumpInfo *info, Error **errp)
{
    ERRP_GUARD();
    WinDmpHeader hdr;
    GuestRam ram;
    bool ok;

    look_at_all(&ram, blocks);
    ok = find_windows_header(info, &ram, &hdr, errp);
    guest_ram_deinit(&ram);
    if (!ok) {
        error_prepend(errp, "no Windows crash dump of this guest: ");
    }
    return ok;
}

/* The last thing to look at memory: some of it is laid over. */
static bool collect_windows(GuestState *state, Error **errp)
{
    DumpGuest *guest = &state->guest;
    g_autofree WinDmpCpu *regs = g_new0(WinDmpCpu, guest->nr_cpus);
    g_autoptr(GArray) paging = NULL;
    WinDmpHeader hdr;
    Error *warning = NULL;
    unsigned n = 0;
    CPUState *cpu;

    if (!find_windows_header(&state->arch.dump_info, &guest->ram, &hdr,
                             errp)) {
        return false;
    }
    paging = get_x86_paging();
    CPU_FOREACH(cpu) {
        dump_x86_windows_cpu(cpu, &regs[n++]);
    }
    guest->windows = dump_windows_new(&hdr, &guest->ram, regs, n, paging,
                                      &warning);
    if (warning) {
        warn_report_err(warning);
    }
    trace_dump_windows(windmp_get(&guest->windows->header, WINDMP_KDBG),
                       windmp_get(&guest->windows->header,
                                  WINDMP_BUGCHECK_CODE),
                       guest->windows->contexts);
    return true;
}

/* -- sections of the target ---------------------------------------------- */

static bool extra_headers(void *opaque, uint64_t data_offset, GArray *names,
                          uint8_t *buf, size_t len)
{
    GuestState *state = opaque;
    uint64_t filled;

    state->arch.section_offset = data_offset;
    state->arch.string_table_buf = names;
    filled = state->arch.dump_info.arch_sections_write_hdr_fn(&state->arch,
                                                              buf);
    state->arch.string_table_buf = NULL;
    assert(filled <= len);
    return filled == len;
}

static bool extra_data(void *opaque, uint8_t *buf, size_t len, Error **errp)
{
    GuestState *state = opaque;
    int ret = state->arch.dump_info.arch_sections_write_fn(&state->arch, buf);

    if (ret) {
        error_setg_errno(errp, ret < 0 ? -ret : EIO,
                         "dump: collecting the target's sections");
        return false;
    }
    return true;
}

/* Before the CPU notes: they may depend on what the hook starts. */
static void collect_sections(GuestState *state)
{
    ArchDumpInfo *info = &state->arch.dump_info;

    if (!info->arch_sections_add_fn) {
        return;
    }
    state->sections_added = true;
    info->arch_sections_add_fn(&state->arch);
    if (!state->arch.shdr_num) {
        return;
    }
    state->extra = (DumpExtraSections) {
        .count = state->arch.shdr_num,
        .data_size = state->arch.elf_section_data_size,
        .opaque = state,
        .headers = extra_headers,
        .data = extra_data,
    };
    state->guest.extra = &state->extra;
}

/* -- all together -------------------------------------------------------- */

bool guest_state_check(const GuestStateQuery *query, Error **errp)
{
    GuestPhysBlockList blocks;
    ArchDumpInfo info;
    bool ok;

    guest_phys_blocks_init(&blocks);
    guest_phys_blocks_append(&blocks);
    ok = get_arch_info(&blocks, &info, errp) &&
         check_notes(&info, errp) &&
         check_range(&blocks, query, errp) &&
         (!query->windows || check_windows(&blocks, &info, errp));
    guest_phys_blocks_free(&blocks);
    return ok;
}

static void set_arch(GuestState *state)
{
    const ArchDumpInfo *info = &state->arch.dump_info;
    DumpGuest *guest = &state->guest;
    int64_t now = g_get_real_time();

    guest->abi = (DumpAbi) {
        .elf_class = info->d_class,
        .elf_data = info->d_endian,
        .elf_machine = info->d_machine,
    };
    guest->page_size = info->page_size ?: qemu_target_page_size();
    guest->phys_base = info->phys_base;
    guest->nr_cpus = count_cpus();
    guest->time_sec = now / G_USEC_PER_SEC;
    guest->time_usec = now % G_USEC_PER_SEC;
}

/* What the CPUs and the guest's memory tell. */
static bool collect_contents(GuestState *state, const GuestStateQuery *query,
                             Error **errp)
{
    GuestRam all;
    bool ok;

    look_at_all(&all, &state->arch.guest_phys_blocks);
    ok = collect_notes(state, &all, errp) &&
         (!query->paging || collect_mappings(state, &all, errp)) &&
         (!query->windows || collect_windows(state, errp));
    guest_ram_deinit(&all);
    return ok;
}

static bool guest_state_collect(GuestState *state,
                                const GuestStateQuery *query, Error **errp)
{
    if (!get_arch_info(&state->arch.guest_phys_blocks,
                       &state->arch.dump_info, errp)) {
        return false;
    }
    set_arch(state);
    collect_ram(state, query);
    cpu_synchronize_all_states();
    collect_sections(state);
    return collect_contents(state, query, errp);
}

GuestState *guest_state_new(const GuestStateQuery *query, Error **errp)
{
    g_autoptr(GuestState) state = g_new0(GuestState, 1);

    dump_guest_init(&state->guest);
    guest_phys_blocks_init(&state->arch.guest_phys_blocks);
    guest_phys_blocks_append(&state->arch.guest_phys_blocks);
    if (!guest_state_collect(state, query, errp)) {
        return NULL;
    }
    trace_dump_collected(state->guest.nr_cpus, state->guest.ram.bytes,
                         guest_ram_nr_runs(&state->guest.ram),
                         (size_t)state->guest.notes->len);
    return g_steal_pointer(&state);
}

void guest_state_free(GuestState *state)
{
    if (!state) {
        return;
    }
    if (state->sections_added && state->arch.dump_info.arch_cleanup_fn) {
        state->arch.dump_info.arch_cleanup_fn(&state->arch);
    }
    dump_guest_deinit(&state->guest);
    guest_phys_blocks_free(&state->arch.guest_phys_blocks);
    g_free(state);
}
