/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Guest state for a dump; see the header.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "exec/target_page.h"
#include "hw/core/cpu.h"
#include "system/cpus.h"
#include "system/hw_accel.h"
#include "dump-target.h"
#include "guest-memory.h"
#include "guest-notes.h"
#include "guest-state.h"
#include "guest-x86.h"
#include "trace.h"
#include "vmcore/kernel-space.h"
#include "vmcore/linux-guest.h"

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

/* Is the exclusion of pages supported for this target? */
static bool check_classes(const ArchDumpInfo *info, unsigned dump_level,
                          Error **errp)
{
    const DumpAbi abi = { .elf_class = info->d_class,
                          .elf_data = info->d_endian,
                          .elf_machine = info->d_machine };

    if (!(dump_level & ~PAGE_CLASS_BIT(PAGE_CLASS_ZERO)) ||
        kernel_space_known_target(&abi)) {
        return true;
    }
    error_setg(errp, "page classes other than 'zero' can only be excluded for "
               "aarch64 guests and for x86_64 guests in 64-bit mode");
    return false;
}

bool guest_state_check(const GuestStateQuery *query, Error **errp)
{
    GuestPhysBlockList blocks;
    ArchDumpInfo info;
    bool ok;

    guest_phys_blocks_init(&blocks);
    guest_phys_blocks_append(&blocks);
    ok = get_arch_info(&blocks, &info, errp) &&
         check_notes(&info, errp) &&
         guest_memory_check_readable(&blocks, &info, errp) &&
         guest_memory_check_range(&blocks, query, errp) &&
         check_classes(&info, query->dump_level, errp) &&
         (!query->windows || guest_x86_check_windows(&blocks, &info, errp));
    guest_phys_blocks_free(&blocks);
    return ok;
}

static void set_arch(GuestState *state)
{
    const ArchDumpInfo *info = &state->target.dump_info;
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

/* Set the parameters of the search for VMCOREINFO. */
static void collect_search(GuestState *state, const GuestStateQuery *query)
{
    DumpFindings *findings = &state->findings;

    findings->threads = query->threads;
    findings->want_search = !query->windows &&
        (query->search == GUEST_STATE_SEARCH_ANY ||
         (query->search == GUEST_STATE_SEARCH_KNOWN &&
          linux_guest_known_target(&state->guest.abi)));
    if (findings->want_search && !findings->paging) {
        findings->paging = guest_x86_paging();
    }
    findings->has_place = guest_note_known_place(&findings->place);
}

static bool guest_state_collect(GuestState *state,
                                const GuestStateQuery *query, Error **errp)
{
    if (!get_arch_info(&state->target.guest_phys_blocks,
                       &state->target.dump_info, errp)) {
        return false;
    }
    set_arch(state);
    guest_memory_collect(state, query);
    cpu_synchronize_all_states();
    dump_target_add_sections(state);
    if (!guest_notes_collect(state, query, errp) ||
        (query->paging && !guest_x86_collect_paging(state, errp)) ||
        (query->windows && !guest_x86_collect_windows(state, errp))) {
        return false;
    }
    collect_search(state, query);
    state->findings.dump_level = query->dump_level;
    return true;
}

static GuestState *guest_state_alloc(const GuestStateQuery *query)
{
    GuestState *state = g_new0(GuestState, 1);

    dump_guest_init(&state->guest);
    dump_findings_init(&state->findings);
    state->guest.report = query->report;
    guest_phys_blocks_init(&state->target.guest_phys_blocks);
    guest_phys_blocks_append(&state->target.guest_phys_blocks);
    return state;
}

GuestState *guest_state_new(const GuestStateQuery *query, Error **errp)
{
    g_autoptr(GuestState) state = guest_state_alloc(query);

    if (!guest_state_collect(state, query, errp)) {
        return NULL;
    }
    trace_dump_collected(state->guest.nr_cpus, state->guest.ram.bytes,
                         guest_ram_nr_runs(&state->guest.ram),
                         (size_t)state->guest.notes->len);
    return g_steal_pointer(&state);
}

GuestState *guest_state_peek(const GuestStateQuery *query, Error **errp)
{
    g_autoptr(GuestState) state = guest_state_alloc(query);

    state->guest.running = true;
    /* get_arch_info() depends on the state of the CPUs. */
    cpu_synchronize_all_states();
    if (!get_arch_info(&state->target.guest_phys_blocks,
                       &state->target.dump_info, errp)) {
        return NULL;
    }
    set_arch(state);
    guest_memory_collect(state, query);
    if (!query->no_guest_note && !guest_notes_collect_own(state, errp)) {
        return NULL;
    }
    collect_search(state, query);
    return g_steal_pointer(&state);
}

bool guest_state_analyse(GuestState *state, DumpProgress *progress,
                         Error **errp)
{
    const DumpGuest *guest = &state->guest;
    const DumpWindows *windows;

    if (!dump_guest_analyse(&state->guest, &state->findings, progress,
                            errp)) {
        return false;
    }
    trace_dump_linux_guest(guest->page_size, guest->phys_base,
                           guest->uts.release, guest->uts.machine);
    trace_dump_vmcoreinfo(guest->vmcoreinfo_size, guest->vmcoreinfo_searched);
    if (guest->kept) {
        trace_dump_kept(guest->dump_level, pfn_set_count(guest->kept));
    }
    if (guest->mappings) {
        trace_dump_mappings(guest->mappings->len);
    }
    windows = guest->windows;
    if (windows) {
        trace_dump_windows(windmp_get(&windows->header, WINDMP_KDBG),
                           windmp_get(&windows->header, WINDMP_BUGCHECK_CODE),
                           windows->contexts);
    }
    return true;
}

void guest_state_free(GuestState *state)
{
    if (!state) {
        return;
    }
    if (state->guest.vmcoreinfo_searched) {
        guest_note_remember_place(state->guest.vmcoreinfo_place);
    }
    if (state->sections_added && state->target.dump_info.arch_cleanup_fn) {
        state->target.dump_info.arch_cleanup_fn(&state->target);
    }
    dump_guest_deinit(&state->guest);
    dump_findings_deinit(&state->findings);
    guest_phys_blocks_free(&state->target.guest_phys_blocks);
    g_free(state);
}
