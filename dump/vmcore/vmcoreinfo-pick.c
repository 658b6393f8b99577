/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Selection of a VMCOREINFO note; see the header.
 */

#include "qemu/osdep.h"
#include "linux-guest.h"
#include "vmcoreinfo-pick.h"

/*
 * With page table isolation Linux has two adjacent top-level tables. This bit
 * in CR3 selects the one for user mode, which does not map the kernel.
 */
#define X86_PTI_USER_TABLE  0x1000

static VmcoreInfoMatch check_table(const X86Paging *paging,
                                   DumpPagesReader *mem, uint64_t vaddr,
                                   uint64_t paddr)
{
    uint64_t at, left;

    if (!x86_paging_translate(paging, mem, vaddr, &at, &left)) {
        return VMCOREINFO_UNKNOWN;
    }
    return at == paddr ? VMCOREINFO_RUNS : VMCOREINFO_MISMATCH;
}

static VmcoreInfoMatch check_cpu(const X86Paging *paging, DumpPagesReader *mem,
                                 uint64_t vaddr, uint64_t paddr)
{
    X86Paging kernel = *paging;
    VmcoreInfoMatch match = check_table(paging, mem, vaddr, paddr);

    kernel.root &= ~(uint64_t)X86_PTI_USER_TABLE;
    if (match == VMCOREINFO_UNKNOWN && kernel.root != paging->root) {
        match = check_table(&kernel, mem, vaddr, paddr);
    }
    return match;
}

VmcoreInfoMatch vmcoreinfo_check_cpus(const DumpGuest *guest,
                                      DumpPagesReader *mem,
                                      const GArray *paging,
                                      const VmcoreInfoNote *note)
{
    VmcoreInfoMatch result = VMCOREINFO_UNKNOWN;
    uint64_t vaddr, paddr;

    if (!paging || guest->abi.elf_machine != EM_X86_64 ||
        !vmcoreinfo_get_address(note->info, "SYMBOL(init_uts_ns)", &vaddr)) {
        return VMCOREINFO_UNKNOWN;
    }
    paddr = linux_guest_kernel_to_phys(guest, note->info, vaddr);
    for (guint i = 0; i < paging->len; i++) {
        const X86Paging *p = &g_array_index(paging, X86Paging, i);
        VmcoreInfoMatch match = x86_paging_is64(p->mode) ?
                                check_cpu(p, mem, vaddr, paddr) :
                                VMCOREINFO_UNKNOWN;

        if (match == VMCOREINFO_RUNS) {
            return match;
        }
        if (match == VMCOREINFO_MISMATCH) {
            result = match;
        }
    }
    return result;
}

typedef struct Choice {
    const VmcoreInfoNote *best;     /* NULL: none yet */
    VmcoreInfoMatch match;          /* result for best */
    unsigned rivals;                /* number of others as good as best */
} Choice;

/* Is @shorter's text a prefix of @longer's? */
static bool is_prefix(const VmcoreInfoNote *shorter,
                      const VmcoreInfoNote *longer)
{
    return longer->size >= shorter->size &&
           !memcmp(longer->text, shorter->text, shorter->size);
}

static void consider(Choice *c, const VmcoreInfoNote *note,
                     VmcoreInfoMatch match)
{
    if (!c->best || match > c->match) {
        *c = (Choice) { .best = note, .match = match };
    } else if (match < c->match || is_prefix(note, c->best)) {
        return;
    } else if (is_prefix(c->best, note)) {
        c->best = note;
    } else {
        c->rivals++;
    }
}

bool vmcoreinfo_can_check_cpus(const DumpGuest *guest, const GArray *paging)
{
    return guest->abi.elf_machine == EM_X86_64 && paging && paging->len;
}

static Choice choose(const DumpGuest *guest, DumpPagesReader *mem,
                     const GArray *paging, const GPtrArray *notes)
{
    Choice c = { 0 };

    for (guint i = 0; i < notes->len; i++) {
        const VmcoreInfoNote *note = g_ptr_array_index(notes, i);

        consider(&c, note, vmcoreinfo_check_cpus(guest, mem, paging, note));
    }
    return c;
}

const VmcoreInfoNote *vmcoreinfo_pick_running(const DumpGuest *guest,
                                              DumpPagesReader *mem,
                                              const GArray *paging,
                                              const GPtrArray *notes)
{
    Choice c = choose(guest, mem, paging, notes);

    return c.best && c.match == VMCOREINFO_RUNS && !c.rivals ? c.best : NULL;
}

const VmcoreInfoNote *vmcoreinfo_pick(const DumpGuest *guest,
                                      DumpPagesReader *mem,
                                      const GArray *paging,
                                      const GPtrArray *notes)
{
    Choice c = choose(guest, mem, paging, notes);

    if (!c.best) {
        return NULL;
    }
    if (c.match == VMCOREINFO_MISMATCH) {
        dump_report_warn(guest->report, "VMCOREINFO in guest memory is left "
                         "out: no CPU runs its kernel");
        return NULL;
    }
    if (c.rivals) {
        dump_report_warn(guest->report, "VMCOREINFO in guest memory is left "
                         "out: there are notes of %u kernels, and it is not "
                         "known which one runs", c.rivals + 1);
        return NULL;
    }
    if (c.match == VMCOREINFO_UNKNOWN &&
        vmcoreinfo_can_check_cpus(guest, paging)) {
        dump_report_warn(guest->report, "VMCOREINFO was found in guest "
                         "memory, but no CPU's page tables map its kernel, "
                         "which may no longer run");
    }
    return c.best;
}
