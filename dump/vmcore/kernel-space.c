/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Access to kernel-virtual memory; see the header.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/host-utils.h"
#include "arm64-paging.h"
#include "kernel-space.h"
#include "linux-guest.h"
#include "x86-paging.h"

/* Linux on AArch64 has from 36 (with 16 KiB pages) to 52 bits. */
#define ARM64_VA_BITS_MIN       36
#define ARM64_VA_BITS_MAX       52

struct KernelSpace {
    DumpPagesTranslate *translate;
    union {
        X86Paging x86;
        Arm64Paging arm64;
    } tables;                   /* argument of translate */
};

bool kernel_space_known_target(const DumpAbi *abi)
{
    return dump_abi_is64(abi) && abi->elf_data == ELFDATA2LSB &&
           (abi->elf_machine == EM_X86_64 || abi->elf_machine == EM_AARCH64);
}

static bool init_x86(KernelSpace *s, const VmcoreInfo *info, uint64_t root,
                     Error **errp)
{
    int64_t value;

    if (vmcoreinfo_get_number(info, "NUMBER(sme_mask)", &value) && value) {
        error_setg(errp, "the guest's memory is encrypted");
        return false;
    }
    s->translate = x86_paging_translator;
    s->tables.x86 = (X86Paging) { .mode = X86_PAGING_4LEVEL, .root = root };
    if (vmcoreinfo_get_number(info, "NUMBER(pgtable_l5_enabled)", &value) &&
        value) {
        s->tables.x86.mode = X86_PAGING_5LEVEL;
    }
    return true;
}

/*
 * The number of address bits that the tables at swapper_pg_dir translate. With
 * 64 KiB pages this is always the number that the kernel was built for; a CPU
 * with fewer bits uses the end of the top table. With other page sizes such a
 * CPU uses fewer levels.
 */
static bool get_arm64_bits(const VmcoreInfo *info, unsigned page_bits,
                           unsigned *vaddr_bits)
{
    int64_t bits, spare;

    if (!vmcoreinfo_get_number(info, "NUMBER(VA_BITS)", &bits)) {
        return false;
    }
    if (page_bits != 16 &&
        vmcoreinfo_get_number(info, "NUMBER(TCR_EL1_T1SZ)", &spare) &&
        spare > 0 && spare < 64) {
        bits = 64 - spare;
    }
    if (bits < ARM64_VA_BITS_MIN || bits > ARM64_VA_BITS_MAX) {
        return false;
    }
    *vaddr_bits = bits;
    return true;
}

static bool init_arm64(KernelSpace *s, const DumpGuest *guest,
                       const VmcoreInfo *info, uint64_t root, Error **errp)
{
    Arm64Paging *p = &s->tables.arm64;

    s->translate = arm64_paging_translator;
    p->root = root;
    p->page_bits = ctz64(guest->page_size);
    if (p->page_bits % 2 || p->page_bits > 16 ||
        !get_arm64_bits(info, p->page_bits, &p->vaddr_bits)) {
        error_setg(errp, "VMCOREINFO does not say how the kernel's addresses "
                   "are translated");
        return false;
    }
    return true;
}

/* Do the tables map init_uts_ns to where linux_guest_find_kernel() found it? */
static bool shows_kernel(const KernelSpace *s, const DumpGuest *guest,
                         DumpPagesReader *mem, const VmcoreInfo *info)
{
    uint64_t vaddr, paddr, left;

    return vmcoreinfo_get_address(info, "SYMBOL(init_uts_ns)", &vaddr) &&
           s->translate(&s->tables, mem, vaddr, &paddr, &left) &&
           paddr == linux_guest_kernel_to_phys(guest, info, vaddr);
}

KernelSpace *kernel_space_new(const DumpGuest *guest, DumpPagesReader *mem,
                              const VmcoreInfo *info, Error **errp)
{
    g_autoptr(KernelSpace) s = g_new0(KernelSpace, 1);
    uint64_t root;
    bool ok;

    if (!kernel_space_known_target(&guest->abi)) {
        error_setg(errp, "page tables of this target are not supported");
        return NULL;
    }
    if (!linux_guest_find_tables(guest, mem, info, &root)) {
        error_setg(errp, "the kernel that VMCOREINFO describes is not in guest "
                   "memory");
        return NULL;
    }
    ok = guest->abi.elf_machine == EM_X86_64 ?
         init_x86(s, info, root, errp) :
         init_arm64(s, guest, info, root, errp);
    if (!ok) {
        return NULL;
    }
    if (!shows_kernel(s, guest, mem, info)) {
        error_setg(errp, "the kernel's page tables do not map the kernel");
        return NULL;
    }
    return g_steal_pointer(&s);
}

void kernel_space_free(KernelSpace *space)
{
    g_free(space);
}

bool kernel_space_read(const KernelSpace *space, DumpPagesReader *mem,
                       uint64_t vaddr, void *buf, size_t len)
{
    return dump_pages_read_virtual(mem, space->translate, &space->tables,
                                   vaddr, buf, len);
}
