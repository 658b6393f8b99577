/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Paging, and Windows guests; see the header.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "hw/core/cpu.h"
#include "guest-memory.h"
#include "guest-notes.h"
#include "guest-x86.h"
#include "trace.h"
#include "vmcore/elf-notes.h"
#include "x86-cpu.h"

/* -- paging ------------------------------------------------------------- */

/* X86Paging of the CPUs that translate addresses, for the caller to free. */
static GArray *get_x86_paging(void)
{
    GArray *paging = g_array_new(false, false, sizeof(X86Paging));
    X86Paging p;
    CPUState *cpu;

    CPU_FOREACH(cpu) {
        if (x86_cpu_get_paging(cpu, &p)) {
            g_array_append_val(paging, p);
        }
    }
    return paging;
}

static GArray *walk_x86_paging(const GArray *paging, const GuestRam *ram,
                               DumpReport *report)
{
    GArray *mappings;
    bool whole;

    mappings = x86_paging_mappings(paging, ram, &whole);
    if (!whole) {
        dump_report_warn(report, "the guest's page tables map too much: %u "
                         "pieces of address space are taken, others left "
                         "out", mappings->len);
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
 * QEMU can walk the tables of x86 too, but without a bound, and in a time
 * that grows with the square of what they map.
 */
bool guest_x86_collect_mappings(GuestState *state, Error **errp)
{
    g_autoptr(GArray) paging = get_x86_paging();

    state->guest.mappings = paging->len ?
        walk_x86_paging(paging, &state->all, state->guest.report) :
        get_target_mappings(&state->target.guest_phys_blocks, errp);
    return state->guest.mappings;
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
    if (!guest_note_present()) {
        error_setg(errp, "the guest has not published a crash dump header "
                   "through a vmcoreinfo device");
        return false;
    }
    buf = guest_note_read(ram, &size, errp);
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

bool guest_x86_check_windows(const GuestPhysBlockList *blocks,
                             const ArchDumpInfo *info, Error **errp)
{
    ERRP_GUARD();
    WinDmpHeader hdr;
    GuestRam ram;
    bool ok;

    guest_memory_describe(&ram, blocks, NULL);
    ok = find_windows_header(info, &ram, &hdr, errp);
    guest_ram_deinit(&ram);
    if (!ok) {
        error_prepend(errp, "no Windows crash dump of this guest: ");
    }
    return ok;
}

/* The last thing to look at memory: some of it is laid over. */
bool guest_x86_collect_windows(GuestState *state, Error **errp)
{
    DumpGuest *guest = &state->guest;
    g_autofree WinDmpCpu *regs = g_new0(WinDmpCpu, guest->nr_cpus);
    g_autoptr(GArray) paging = NULL;
    WinDmpHeader hdr;
    Error *warning = NULL;
    unsigned n = 0;
    CPUState *cpu;

    if (!find_windows_header(&state->target.dump_info, &guest->ram, &hdr,
                             errp)) {
        return false;
    }
    paging = get_x86_paging();
    CPU_FOREACH(cpu) {
        x86_cpu_get_winregs(cpu, &regs[n++]);
    }
    guest->windows = dump_windows_new(&hdr, &guest->ram, regs, n, paging,
                                      &warning);
    dump_report_warn_err(guest->report, warning);
    trace_dump_windows(windmp_get(&guest->windows->header, WINDMP_KDBG),
                       windmp_get(&guest->windows->header,
                                  WINDMP_BUGCHECK_CODE),
                       guest->windows->contexts);
    return true;
}
