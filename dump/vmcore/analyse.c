/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Analysis of guest memory; see the header.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/units.h"
#include "analyse.h"
#include "linux-guest.h"
#include "page-walk.h"
#include "vmcoreinfo-pick.h"

void dump_findings_init(DumpFindings *findings)
{
    memset(findings, 0, sizeof(*findings));
}

void dump_findings_deinit(DumpFindings *findings)
{
    g_clear_pointer(&findings->guest_note, g_byte_array_unref);
    g_clear_pointer(&findings->paging, g_array_unref);
    g_clear_pointer(&findings->windows_cpus, g_array_unref);
}

/* The lowest and the highest address at which this process maps @fd. */
static void find_file(const GuestRam *ram, int fd, const uint8_t **start,
                      const uint8_t **end)
{
    *start = *end = NULL;
    for (size_t i = 0; i < guest_ram_nr_runs(ram); i++) {
        const GuestRamRun *run = guest_ram_run(ram, i);

        if (run->fd == fd) {
            *start = *start ? MIN(*start, run->host) : run->host;
            *end = MAX(*end, run->host + run->size);
        }
    }
}

static GuestRamBacking classify_huge_pages(const DumpUntouched *u, int fd,
                                           const uint8_t *host, uint64_t len,
                                           bool shared)
{
    if (!dump_untouched_maps_all(u, fd, host, len, shared)) {
        return GUEST_RAM_OTHER;
    }
    return dump_untouched_sees_moving(u, host, len) ? GUEST_RAM_HUGE :
                                                      GUEST_RAM_ANON;
}

/* Classify each file once: this examines all of its pages. */
void dump_guest_classify_huge_pages(DumpGuest *guest)
{
    GuestRamBacking backing = GUEST_RAM_OTHER;
    int fd = -1;

    for (size_t i = 0; i < guest_ram_nr_runs(&guest->all); i++) {
        GuestRamRun *run = &g_array_index(guest->all.runs, GuestRamRun, i);
        bool shared = run->backing == GUEST_RAM_SHARED_HUGE;

        if (!shared && run->backing != GUEST_RAM_PRIVATE_HUGE) {
            continue;
        }
        if (run->fd != fd) {
            const uint8_t *start, *end;

            fd = run->fd;
            find_file(&guest->all, fd, &start, &end);
            backing = classify_huge_pages(guest->untouched, fd, start,
                                          end - start, shared);
        }
        run->backing = backing;
    }
}

/* The available VMCOREINFO notes. */
typedef struct Sources {
    VmcoreInfoNote *driver;     /* set by the guest's driver, or NULL */
    bool driver_gone;           /* the driver's kernel is not in memory */
    bool driver_idle;           /* it is in memory, but no CPU runs it */
    GPtrArray *found;           /* VmcoreInfoNote; NULL if not searched */
    const VmcoreInfoNote *memory;   /* the element of found to use, or NULL */
} Sources;

static void sources_deinit(Sources *s)
{
    vmcoreinfo_note_free(s->driver);
    if (s->found) {
        g_ptr_array_unref(s->found);
    }
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Sources, sources_deinit)

/*
 * After kexec the previous kernel often remains intact in memory. If a crash
 * kernel runs, the dump is about the kernel that crashed (it has CRASHTIME).
 */
static bool is_idle(const DumpGuest *guest, const DumpFindings *findings,
                    DumpPagesReader *mem, const VmcoreInfoNote *note)
{
    return vmcoreinfo_can_check_cpus(guest, findings->paging) &&
           !vmcoreinfo_get(note->info, "CRASHTIME") &&
           vmcoreinfo_check_cpus(guest, mem, findings->paging, note) !=
           VMCOREINFO_RUNS;
}

static void check_driver_note(const DumpGuest *guest,
                              const DumpFindings *findings,
                              DumpPagesReader *mem, Sources *s)
{
    const GByteArray *note = findings->guest_note;
    LinuxKernelTrace trace;
    LinuxUts uts;

    if (note) {
        s->driver = vmcoreinfo_note_in(&guest->abi, note->data, note->len,
                                       findings->guest_note_paddr);
    }
    if (s->driver) {
        trace = linux_guest_find_kernel(guest, mem, s->driver->info, &uts);
        s->driver_gone = trace == LINUX_KERNEL_GONE;
        s->driver_idle = trace == LINUX_KERNEL_THERE &&
                         is_idle(guest, findings, mem, s->driver);
    }
}

/*
 * Reuse the result of an earlier search if the note is still there and a CPU
 * runs its kernel. The latter is known from page tables of x86_64 only.
 */
static bool confirm_note(const DumpGuest *guest, const DumpFindings *findings,
                         DumpPagesReader *mem, Sources *s)
{
    g_autoptr(VmcoreInfoNote) note = NULL;

    if (findings->has_place) {
        note = vmcoreinfo_note_at(guest, mem, findings->place);
    }
    if (!note || vmcoreinfo_check_cpus(guest, mem, findings->paging, note) !=
        VMCOREINFO_RUNS) {
        return false;
    }
    s->memory = note;
    s->found = vmcoreinfo_notes_new();
    g_ptr_array_add(s->found, g_steal_pointer(&note));
    return true;
}

/* Search memory for VMCOREINFO. Returns false, @errp set, if cancelled. */
static bool search_note(const DumpGuest *guest, const DumpFindings *findings,
                        DumpPagesReader *mem, DumpProgress *progress,
                        Sources *s, Error **errp)
{
    bool whole;

    if (confirm_note(guest, findings, mem, s)) {
        return true;
    }
    s->found = vmcoreinfo_scan(guest, findings->threads, progress, &whole,
                               errp);
    if (!s->found) {
        return false;
    }
    if (!whole) {
        dump_report_warn(guest->report, "guest memory has more candidates "
                         "for VMCOREINFO than could be examined");
    }
    s->memory = s->driver_idle ?
                vmcoreinfo_pick_running(guest, mem, findings->paging,
                                        s->found) :
                vmcoreinfo_pick(guest, mem, findings->paging, s->found);
    return true;
}

static bool find_sources(DumpGuest *guest, const DumpFindings *findings,
                         DumpPagesReader *mem, DumpProgress *progress,
                         Sources *s, Error **errp)
{
    check_driver_note(guest, findings, mem, s);
    if (findings->want_search &&
        (!s->driver || s->driver_gone || s->driver_idle) &&
        !search_note(guest, findings, mem, progress, s, errp)) {
        return false;
    }
    if (s->memory) {
        guest->vmcoreinfo_searched = true;
        guest->vmcoreinfo_place = s->memory->paddr;
    }
    if (s->driver && s->memory) {
        dump_report_warn(guest->report, "guest note: %s; another kernel may "
                         "have been started by kexec: its VMCOREINFO was "
                         "found in memory and is used instead",
                         s->driver_idle ? "no CPU runs its kernel" :
                         "guest memory does not match it");
    }
    return true;
}

/* *@found: the VMCOREINFO to use, owned by the caller; NULL for none. */
static bool analyse_notes(DumpGuest *guest, const DumpFindings *findings,
                          DumpPagesReader *mem, DumpProgress *progress,
                          VmcoreInfo **found, Error **errp)
{
    const GByteArray *note = findings->guest_note;
    g_autoptr(VmcoreInfo) info = NULL;
    g_auto(Sources) s = { 0 };

    if (!find_sources(guest, findings, mem, progress, &s, errp)) {
        return false;
    }
    if (s.memory) {
        info = linux_guest_add_notes(guest, s.memory->bytes->data,
                                     s.memory->bytes->len);
    }
    if (note && !(s.memory && s.driver)) {
        VmcoreInfo *own = linux_guest_add_notes(guest, note->data, note->len);

        info = info ?: own;
    } else if (!info && findings->note_awaited) {
        /* The guest has not loaded a driver (on Linux: qemu_fw_cfg). */
        dump_report_warn(guest->report, "guest note is not present");
    }
    linux_guest_describe(guest, mem, info);
    *found = g_steal_pointer(&info);
    return true;
}

static void describe_source(const Sources *s, VmcoreInfoFound *v)
{
    const VmcoreInfoNote *note = s->memory ?: s->driver;

    if (note) {
        v->paddr = note->paddr;
        v->size = note->bytes->len;
        v->text = g_strndup(note->text, MIN(note->size, VMCOREINFO_TEXT_MAX));
        v->searched = note == s->memory;
    }
}

/* Warn about a doubtful result, or say why there is none. */
static void warn_sources(const Sources *s, const DumpFindings *findings,
                         DumpReport *report)
{
    if (s->memory) {
        return;
    }
    if (s->driver_gone) {
        dump_report_warn(report, "guest note: guest memory does not match it; "
                         "another kernel may have been started by kexec");
    } else if (findings->guest_note && !s->driver) {
        dump_report_warn(report, "guest note has no VMCOREINFO");
    } else if (findings->note_awaited) {
        dump_report_warn(report, "guest note is not present");
    }
    if (s->found && !s->found->len && !s->driver_idle) {
        dump_report_warn(report, "guest memory has no VMCOREINFO of a "
                         "running Linux kernel (4.13 or later)");
    }
}

bool dump_guest_find_vmcoreinfo(DumpGuest *guest,
                                const DumpFindings *findings,
                                DumpProgress *progress, VmcoreInfoFound *v,
                                Error **errp)
{
    g_autoptr(DumpPagesReader) mem = dump_pages_reader_new(guest->pages,
                                                           errp);
    g_auto(Sources) s = { 0 };

    *v = (VmcoreInfoFound) { 0 };
    if (!mem) {
        return false;
    }
    dump_guest_classify_huge_pages(guest);
    if (!find_sources(guest, findings, mem, progress, &s, errp)) {
        return false;
    }
    describe_source(&s, v);
    warn_sources(&s, findings, guest->report);
    return true;
}

/*
 * Zero pages of a kdump file share one page of data, and in an ELF core they
 * are holes. They are kept, as some of them are the kernel's own and needed by
 * readers. But a kdump file takes 24 bytes per page, i.e. 6 GiB per TiB of
 * untouched memory, so long untouched ranges are left out. Short ones cost next
 * to nothing; with these, the dump of a guest of ordinary size has the same
 * pages as makedumpfile's, and an ELF core has few segments.
 */
#define ZERO_STRETCH    (4 * GiB)

/* Granularity of the search, in bytes. */
#define ZERO_STEP       (2 * MiB)

/*
 * Remove the page frames that are completely in [@paddr, @paddr + @len) from
 * what is kept, except those below @keep.
 */
static bool leave_out_stretch(DumpGuest *guest, uint64_t keep, uint64_t paddr,
                              uint64_t len, Error **errp)
{
    uint64_t size = guest->page_size, removed;
    uint64_t first = MAX(DIV_ROUND_UP(paddr, size), keep);
    /* Use the last byte, as the end may be 2^64. */
    uint64_t end = (paddr + (len - 1)) / size + ((paddr + len) % size == 0);
    const PfnRun run = { .first = first, .count = end - first };

    return first >= end ||
           pfn_set_remove(guest->kept, &run, &removed, errp);
}

static bool leave_out_untouched_of(DumpGuest *guest, uint64_t keep,
                                   const GuestRamRun *run,
                                   DumpPagesReader *mem,
                                   const DumpProgress *progress, Error **errp)
{
    uint64_t n;

    for (uint64_t at = 0; run->size - at >= ZERO_STRETCH;
         at += MAX(n, ZERO_STEP)) {
        if (dump_progress_cancelled(progress)) {
            error_setg(errp, "dump: cancelled");
            return false;
        }
        n = dump_pages_zero_ahead(mem, run->paddr + at, run->size - at);
        if (n >= ZERO_STRETCH &&
            !leave_out_stretch(guest, keep, run->paddr + at, n, errp)) {
            return false;
        }
        if (n >= run->size - at) {
            break;
        }
    }
    return true;
}

/* Remove long untouched ranges, except the first page that is kept. */
static bool leave_out_untouched(DumpGuest *guest, DumpPagesReader *mem,
                                const DumpProgress *progress, Error **errp)
{
    bool all = !guest->kept;
    uint64_t nr;
    PfnRun first;

    if (all) {
        g_autoptr(GArray) runs = guest_ram_pfn_runs(&guest->ram,
                                                    guest->page_size);

        guest->kept = pfn_set_new((PfnRun *)runs->data, runs->len, errp);
        if (!guest->kept) {
            return false;
        }
    }
    nr = pfn_set_count(guest->kept);
    if (!pfn_set_next(guest->kept, 0, 1, &first)) {
        return true;
    }
    for (size_t i = 0; i < guest_ram_nr_runs(&guest->ram); i++) {
        if (!leave_out_untouched_of(guest, first.first + 1,
                                    guest_ram_run(&guest->ram, i), mem,
                                    progress, errp)) {
            return false;
        }
    }
    pfn_set_seal(guest->kept);
    nr -= pfn_set_count(guest->kept);
    dump_report_add_class(guest->report, PAGE_CLASS_ZERO,
                          nr * guest->page_size);
    if (all && !nr) {
        g_clear_pointer(&guest->kept, pfn_set_free);
    }
    return true;
}

/* The class of zero pages does not depend on the guest's struct pages. */
static bool analyse_classes(DumpGuest *guest, const DumpFindings *findings,
                            DumpPagesReader *mem, DumpProgress *progress,
                            const VmcoreInfo *info, Error **errp)
{
    const unsigned zero = PAGE_CLASS_BIT(PAGE_CLASS_ZERO);

    guest->dump_level = findings->dump_level;
    if (findings->dump_level & ~zero &&
        !page_walk(guest, mem, info, findings->dump_level, findings->threads,
                   progress, errp)) {
        return false;
    }
    return !(findings->dump_level & zero) ||
           leave_out_untouched(guest, mem, progress, errp);
}

/*
 * The page tables to walk, owned by the caller. The kernel's own come first:
 * with page table isolation, the tables of a CPU in user mode lack most of
 * kernel memory. The kernel's tables use the paging mode of the CPUs.
 */
static GArray *find_page_tables(const DumpGuest *guest,
                                const DumpFindings *findings,
                                DumpPagesReader *mem, const VmcoreInfo *info)
{
    const GArray *cpus = findings->paging;
    GArray *all = g_array_new(false, false, sizeof(X86Paging));
    bool is64 = guest->abi.elf_machine == EM_X86_64;
    X86Paging kernel;

    if (linux_guest_find_tables(guest, mem, info, &kernel.root)) {
        for (size_t i = 0; i < cpus->len && !all->len; i++) {
            kernel.mode = g_array_index(cpus, X86Paging, i).mode;
            if (x86_paging_is64(kernel.mode) == is64) {
                g_array_append_val(all, kernel);
            }
        }
    }
    g_array_append_vals(all, cpus->data, cpus->len);
    return all;
}

static void analyse_mappings(DumpGuest *guest, const DumpFindings *findings,
                             DumpPagesReader *mem, const VmcoreInfo *info,
                             const DumpProgress *progress)
{
    g_autoptr(GArray) tables = find_page_tables(guest, findings, mem, info);
    bool whole;

    guest->mappings = x86_paging_mappings(tables, &guest->all, mem, progress,
                                          &whole);
    if (!whole && !dump_progress_cancelled(progress)) {
        dump_report_warn(guest->report, "the guest's page tables have too "
                         "many mappings: %u are included, others left out",
                         guest->mappings->len);
    }
    dump_mappings_drop_aliases(guest->mappings, X86_PAGING_PAGE_SIZE);
    dump_mappings_add_rest(guest->mappings, &guest->ram);
}

/* Must come last: the result includes pages that overlay guest memory. */
static void analyse_windows(DumpGuest *guest, const DumpFindings *findings,
                            DumpPagesReader *mem)
{
    const GArray *cpus = findings->windows_cpus;
    Error *warning = NULL;

    guest->windows = dump_windows_new(&findings->windows_header, &guest->all,
                                      mem, (const WinDmpCpu *)cpus->data,
                                      cpus->len, findings->paging, &warning);
    dump_report_warn_err(guest->report, warning);
}

bool dump_guest_analyse(DumpGuest *guest, const DumpFindings *findings,
                        DumpProgress *progress, Error **errp)
{
    g_autoptr(DumpPagesReader) mem = dump_pages_reader_new(guest->pages,
                                                           errp);
    g_autoptr(VmcoreInfo) info = NULL;

    if (!mem) {
        return false;
    }
    dump_guest_classify_huge_pages(guest);
    if (!analyse_notes(guest, findings, mem, progress, &info, errp)) {
        return false;
    }
    if (!analyse_classes(guest, findings, mem, progress, info, errp)) {
        return false;
    }
    if (findings->want_mappings) {
        analyse_mappings(guest, findings, mem, info, progress);
    }
    if (findings->want_windows) {
        analyse_windows(guest, findings, mem);
    }
    if (dump_progress_cancelled(progress)) {
        error_setg(errp, "dump: cancelled");
        return false;
    }
    return true;
}
