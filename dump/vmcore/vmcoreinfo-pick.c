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

static VmcoreInfoWord ask_table(const X86Paging *paging, DumpPagesReader *mem,
                                uint64_t vaddr, uint64_t paddr)
{
    uint64_t at, left;

    if (!x86_paging_translate(paging, mem, vaddr, &at, &left)) {
        return VMCOREINFO_UNKNOWN;
    }
    return at == paddr ? VMCOREINFO_RUNS : VMCOREINFO_DENIED;
}

static VmcoreInfoWord ask_cpu(const X86Paging *paging, DumpPagesReader *mem,
                              uint64_t vaddr, uint64_t paddr)
{
    X86Paging kernel = *paging;
    VmcoreInfoWord word = ask_table(paging, mem, vaddr, paddr);

    kernel.root &= ~(uint64_t)X86_PTI_USER_TABLE;
    if (word == VMCOREINFO_UNKNOWN && kernel.root != paging->root) {
        word = ask_table(&kernel, mem, vaddr, paddr);
    }
    return word;
}

VmcoreInfoWord vmcoreinfo_ask_cpus(const DumpGuest *guest,
                                   DumpPagesReader *mem,
                                   const GArray *paging,
                                   const VmcoreInfoNote *note)
{
    VmcoreInfoWord said = VMCOREINFO_UNKNOWN;
    uint64_t vaddr, paddr;

    if (!paging || guest->abi.elf_machine != EM_X86_64 ||
        !vmcoreinfo_get_address(note->info, "SYMBOL(init_uts_ns)", &vaddr)) {
        return VMCOREINFO_UNKNOWN;
    }
    paddr = linux_guest_kernel_to_phys(guest, note->info, vaddr);
    for (guint i = 0; i < paging->len; i++) {
        const X86Paging *p = &g_array_index(paging, X86Paging, i);
        VmcoreInfoWord word = x86_paging_is64(p->mode) ?
                              ask_cpu(p, mem, vaddr, paddr) :
                              VMCOREINFO_UNKNOWN;

        if (word == VMCOREINFO_RUNS) {
            return word;
        }
        if (word == VMCOREINFO_DENIED) {
            said = word;
        }
    }
    return said;
}

typedef struct Choice {
    const VmcoreInfoNote *best;     /* NULL: none yet */
    VmcoreInfoWord word;            /* result for best */
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
                     VmcoreInfoWord word)
{
    if (!c->best || word > c->word) {
        *c = (Choice) { .best = note, .word = word };
    } else if (word < c->word || is_prefix(note, c->best)) {
        return;
    } else if (is_prefix(c->best, note)) {
        c->best = note;
    } else {
        c->rivals++;
    }
}

bool vmcoreinfo_cpus_can_tell(const DumpGuest *guest, const GArray *paging)
{
    return guest->abi.elf_machine == EM_X86_64 && paging && paging->len;
}

static Choice choose(const DumpGuest *guest, DumpPagesReader *mem,
                     const GArray *paging, const GPtrArray *notes)
{
    Choice c = { 0 };

    for (guint i = 0; i < notes->len; i++) {
        const VmcoreInfoNote *note = g_ptr_array_index(notes, i);

        consider(&c, note, vmcoreinfo_ask_cpus(guest, mem, paging, note));
    }
    return c;
}

const VmcoreInfoNote *vmcoreinfo_pick_running(const DumpGuest *guest,
                                              DumpPagesReader *mem,
                                              const GArray *paging,
                                              const GPtrArray *notes)
{
    Choice c = choose(guest, mem, paging, notes);

    return c.best && c.word == VMCOREINFO_RUNS && !c.rivals ? c.best : NULL;
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
    if (c.word == VMCOREINFO_DENIED) {
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
    if (c.word == VMCOREINFO_UNKNOWN &&
        vmcoreinfo_cpus_can_tell(guest, paging)) {
        dump_report_warn(guest->report, "VMCOREINFO was found in guest "
                         "memory, but no CPU's page tables map its kernel, "
                         "which may no longer run");
    }
    return c.best;
}
