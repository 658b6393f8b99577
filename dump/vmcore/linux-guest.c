/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Analysis of Linux guests; see the header.
 */

#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "qemu/host-utils.h"
#include "elf-notes.h"
#include "kdump-format.h"
#include "linux-guest.h"

#define LINUX_PAGE_SIZE_MIN     4096
#define LINUX_PAGE_SIZE_MAX     65536

/* Virtual address of the kernel image on targets where it is fixed. */
#define X86_64_KERNEL_MAP       0xffffffff80000000ULL
#define I386_PAGE_OFFSET        0xc0000000ULL
#define PPC64_PAGE_OFFSET       0xc000000000000000ULL

static VmcoreInfo *add_vmcoreinfo(DumpGuest *guest, const ElfNote *note)
{
    size_t pos = guest->notes->len;

    elf_note_append(guest->notes, &guest->abi, "VMCOREINFO", note->type,
                    note->desc, note->descsz);
    guest->vmcoreinfo_pos = pos + ELF_NOTE_HEADER_SIZE +
                            ROUND_UP(sizeof("VMCOREINFO"), 4);
    guest->vmcoreinfo_size = note->descsz;
    return vmcoreinfo_parse(note->desc, note->descsz);
}

VmcoreInfo *linux_guest_add_notes(DumpGuest *guest, const uint8_t *buf,
                                  size_t len)
{
    VmcoreInfo *info = NULL;
    size_t used = 0;
    ElfNote note;

    while (elf_note_next(&guest->abi, buf, len, &used, &note)) {
        if (!info && elf_note_is(&note, "VMCOREINFO")) {
            info = add_vmcoreinfo(guest, &note);
        } else {
            g_autofree char *name = g_strndup(note.name, note.namesz);

            elf_note_append(guest->notes, &guest->abi, name, note.type,
                            note.desc, note.descsz);
        }
    }
    /* In Linux zeroes follow the note, which may end anywhere. */
    if (!buffer_is_zero(buf + used, len - used)) {
        dump_report_warn(guest->report, "guest note is damaged: left out "
                         "from byte %zu of %zu on", used, len);
    }
    return info;
}

static void warn_of_number(DumpGuest *guest, const char *what)
{
    dump_report_warn(guest->report, "guest note: invalid %s ignored", what);
}

static bool describe_page_size(DumpGuest *guest, const VmcoreInfo *info)
{
    int64_t size;

    if (!vmcoreinfo_get(info, "PAGESIZE")) {
        return true;
    }
    if (!vmcoreinfo_get_number(info, "PAGESIZE", &size) ||
        size < LINUX_PAGE_SIZE_MIN || size > LINUX_PAGE_SIZE_MAX ||
        !is_power_of_2(size)) {
        return false;
    }
    guest->page_size = size;
    return true;
}

/*
 * phys_base is decimal (x86 prints "%ld"), PHYS_OFFSET hexadecimal (arm64).
 * *@phys_base is unchanged if there is neither. Returns false if the number is
 * invalid.
 */
static bool get_phys_base(const VmcoreInfo *info, int64_t *phys_base)
{
    static const char *const keys[] = {
        "NUMBER(phys_base)", "NUMBER(PHYS_OFFSET)",
    };

    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        if (vmcoreinfo_get(info, keys[i])) {
            return vmcoreinfo_get_number(info, keys[i], phys_base);
        }
    }
    return true;
}

uint64_t linux_guest_kernel_to_phys(const DumpGuest *guest,
                                    const VmcoreInfo *info, uint64_t vaddr)
{
    int64_t phys_base = guest->phys_base;
    int64_t offset;

    switch (guest->abi.elf_machine) {
    case EM_X86_64:
        get_phys_base(info, &phys_base);
        return vaddr - X86_64_KERNEL_MAP + phys_base;
    case EM_386:
        return vaddr - I386_PAGE_OFFSET;
    case EM_PPC64:
        return vaddr - PPC64_PAGE_OFFSET;
    case EM_AARCH64:
        if (vmcoreinfo_get_number(info, "NUMBER(kimage_voffset)", &offset)) {
            return vaddr - offset;
        }
        break;
    case EM_RISCV:
        if (vmcoreinfo_get_number(info, "NUMBER(va_kernel_pa_offset)",
                                  &offset)) {
            return vaddr - offset;
        }
        break;
    }
    return vaddr;
}

/*
 * Is the result of linux_guest_kernel_to_phys() for @vaddr certain, provided
 * that @info describes the running kernel? It is not on i386, where the address
 * space may be split elsewhere, on s390x, where the kernel may be relocated,
 * and on targets that do not export the kernel's location.
 */
static bool kernel_place_certain(const DumpGuest *guest,
                                 const VmcoreInfo *info, uint64_t vaddr)
{
    int64_t offset;

    switch (guest->abi.elf_machine) {
    case EM_X86_64:
        return vaddr >= X86_64_KERNEL_MAP &&
               vmcoreinfo_get_number(info, "NUMBER(phys_base)", &offset);
    case EM_PPC64:
        return vaddr >= PPC64_PAGE_OFFSET;
    case EM_AARCH64:
        return vmcoreinfo_get_number(info, "NUMBER(kimage_voffset)", &offset);
    case EM_RISCV:
        return vmcoreinfo_get_number(info, "NUMBER(va_kernel_pa_offset)",
                                     &offset);
    }
    return false;
}

static void uts_set(char dst[LINUX_UTS_LEN], const char *src)
{
    g_strlcpy(dst, src, LINUX_UTS_LEN);
}

bool linux_guest_known_target(const DumpAbi *abi)
{
    switch (abi->elf_machine) {
    case EM_X86_64:
    case EM_386:
    case EM_AARCH64:
        return true;
    }
    return false;
}

/*
 * Read init_uts_ns.name from guest memory. The guest may have given any
 * address, so accept the bytes only if they look like the structure and have
 * the release of VMCOREINFO. If they do not, though the address is certain,
 * the kernel that the note describes is gone.
 */
LinuxKernelTrace linux_guest_find_kernel(const DumpGuest *guest,
                                         DumpPagesReader *mem,
                                         const VmcoreInfo *info,
                                         LinuxUts *uts)
{
    const char *release = vmcoreinfo_get(info, "OSRELEASE");
    uint64_t symbol, paddr;
    int64_t offset;

    if (!release ||
        !vmcoreinfo_get_address(info, "SYMBOL(init_uts_ns)", &symbol) ||
        !vmcoreinfo_get_number(info, "OFFSET(uts_namespace.name)", &offset)) {
        return LINUX_KERNEL_NOT_KNOWN;
    }
    paddr = linux_guest_kernel_to_phys(guest, info, symbol + offset);
    if (dump_pages_read(mem, paddr, uts, sizeof(*uts), NULL) !=
        sizeof(*uts)) {
        return LINUX_KERNEL_NOT_KNOWN;
    }
    for (size_t i = LINUX_UTS_LEN - 1; i < sizeof(*uts); i += LINUX_UTS_LEN) {
        ((char *)uts)[i] = '\0';
    }
    if (!strcmp(uts->sysname, "Linux") && !strcmp(uts->release, release)) {
        return LINUX_KERNEL_THERE;
    }
    return kernel_place_certain(guest, info, symbol) ?
           LINUX_KERNEL_GONE : LINUX_KERNEL_NOT_KNOWN;
}

static void describe_kernel(DumpGuest *guest, DumpPagesReader *mem,
                            const VmcoreInfo *info)
{
    const char *release = vmcoreinfo_get(info, "OSRELEASE");
    int64_t phys_base = guest->phys_base;
    LinuxUts uts;

    if (!get_phys_base(info, &phys_base)) {
        warn_of_number(guest, "physical base");
    }
    switch (linux_guest_find_kernel(guest, mem, info, &uts)) {
    case LINUX_KERNEL_THERE:
        guest->uts = uts;
        break;
    case LINUX_KERNEL_GONE:
        dump_report_warn(guest->report, "guest note: guest memory does not "
                         "match it; another kernel may have been started by "
                         "kexec; physical base and release are not taken "
                         "from it");
        return;
    case LINUX_KERNEL_NOT_KNOWN:
        if (release) {
            uts_set(guest->uts.sysname, "Linux");
            uts_set(guest->uts.release, release);
        }
        break;
    }
    guest->phys_base = phys_base;
}

void linux_guest_describe(DumpGuest *guest, DumpPagesReader *mem,
                          const VmcoreInfo *info)
{
    const char *machine = kdump_machine_name(&guest->abi);

    if (!describe_page_size(guest, info)) {
        warn_of_number(guest, "page size");
    }
    describe_kernel(guest, mem, info);
    /* Readers identify the architecture by this name. */
    if (machine) {
        uts_set(guest->uts.machine, machine);
    }
}

bool linux_guest_find_tables(const DumpGuest *guest, DumpPagesReader *mem,
                             const VmcoreInfo *info, uint64_t *root)
{
    static const char *const symbols[] = {
        "SYMBOL(init_top_pgt)", "SYMBOL(swapper_pg_dir)",
    };
    uint64_t vaddr;
    LinuxUts uts;

    if (linux_guest_find_kernel(guest, mem, info, &uts) !=
        LINUX_KERNEL_THERE) {
        return false;
    }
    for (size_t i = 0; i < ARRAY_SIZE(symbols); i++) {
        if (vmcoreinfo_get_address(info, symbols[i], &vaddr)) {
            *root = linux_guest_kernel_to_phys(guest, info, vaddr);
            return true;
        }
    }
    return false;
}
