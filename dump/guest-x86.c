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
#include "vmcore/elf-notes.h"
#include "x86-cpu.h"

GArray *guest_x86_paging(void)
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

/* Fallback: the target's own mapping list. */
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
 * x86 page tables are walked later. QEMU's own walk is not bounded, and its
 * time is quadratic in the number of mappings.
 */
bool guest_x86_collect_paging(GuestState *state, Error **errp)
{
    DumpFindings *findings = &state->findings;

    findings->paging = guest_x86_paging();
    findings->want_mappings = findings->paging->len;
    if (!findings->want_mappings) {
        state->guest.mappings =
            get_target_mappings(&state->target.guest_phys_blocks, errp);
        return state->guest.mappings;
    }
    return true;
}

/*
 * Copy the crash dump header that the guest's driver published. It may change
 * at any time while the guest runs.
 */
static bool find_windows_header(const ArchDumpInfo *info,
                                DumpPagesReader *mem, WinDmpHeader *hdr,
                                Error **errp)
{
    const DumpAbi abi = { .elf_class = info->d_class,
                          .elf_data = info->d_endian };
    g_autoptr(GByteArray) bytes = NULL;
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
    bytes = guest_note_read(mem, errp);
    if (!bytes) {
        return false;
    }
    while (elf_note_next(&abi, bytes->data, bytes->len, &pos, &note)) {
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
    g_autoptr(DumpPagesReader) mem = NULL;
    WinDmpHeader hdr;
    DumpGuest guest;
    bool ok;

    dump_guest_init(&guest);
    guest_memory_describe(&guest.all, blocks);
    dump_guest_seal(&guest, 0, 0);
    mem = dump_pages_reader_new(guest.pages, errp);
    ok = mem && find_windows_header(info, mem, &hdr, errp);
    g_clear_pointer(&mem, dump_pages_reader_free);
    dump_guest_deinit(&guest);
    if (!ok) {
        error_prepend(errp, "no Windows crash dump of this guest: ");
    }
    return ok;
}

bool guest_x86_collect_windows(GuestState *state, Error **errp)
{
    DumpFindings *findings = &state->findings;
    g_autoptr(DumpPagesReader) mem = dump_pages_reader_new(state->guest.pages,
                                                           errp);
    CPUState *cpu;

    if (!mem || !find_windows_header(&state->target.dump_info, mem,
                                     &findings->windows_header, errp)) {
        return false;
    }
    findings->want_windows = true;
    findings->paging = guest_x86_paging();
    findings->windows_cpus = g_array_new(false, false, sizeof(WinDmpCpu));
    CPU_FOREACH(cpu) {
        WinDmpCpu regs;

        x86_cpu_get_winregs(cpu, &regs);
        g_array_append_val(findings->windows_cpus, regs);
    }
    return true;
}
