/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Notes of the CPUs and of the guest; see the header.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "hw/core/cpu.h"
#include "hw/misc/vmcoreinfo.h"
#include "qemu/bswap.h"
#include "qemu/units.h"
#include "guest-notes.h"
#include "trace.h"
#include "vmcore/linux-guest.h"

/* Linux publishes less than 4 KiB; more than this is not a note. */
#define GUEST_NOTE_MAX  MiB

static int append_note(const void *buf, size_t size, void *opaque)
{
    GuestState *state = container_of(opaque, GuestState, target);

    g_byte_array_append(state->guest.notes, buf, size);
    return 0;
}

static int write_cpu_note(DumpState *s, CPUState *cpu)
{
    /* PID 0 is not a valid PRSTATUS pid: use CPU index + 1. */
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
        if (write_cpu_note(&state->target, cpu) < 0) {
            error_setg(errp, "dump: failed to collect the notes of CPU %d",
                       cpu->cpu_index);
            return false;
        }
    }
    CPU_FOREACH(cpu) {
        if (write_qemu_note(&state->target, cpu) < 0) {
            error_setg(errp, "dump: failed to collect QEMU's note of CPU %d",
                       cpu->cpu_index);
            return false;
        }
    }
    return true;
}

bool guest_note_present(void)
{
    VMCoreInfoState *dev = vmcoreinfo_find();

    return dev && dev->has_vmcoreinfo;
}

GByteArray *guest_note_read(DumpPagesReader *mem, Error **errp)
{
    VMCoreInfoState *dev = vmcoreinfo_find();
    g_autofree uint8_t *buf = NULL;
    uint32_t size = le32_to_cpu(dev->vmcoreinfo.size);
    uint64_t paddr = le64_to_cpu(dev->vmcoreinfo.paddr);

    if (le16_to_cpu(dev->vmcoreinfo.guest_format) !=
        FW_CFG_VMCOREINFO_FORMAT_ELF) {
        error_setg(errp, "guest note format is unsupported: %" PRIu16,
                   le16_to_cpu(dev->vmcoreinfo.guest_format));
        return NULL;
    }
    trace_dump_guest_note(paddr, size);
    if (size > GUEST_NOTE_MAX) {
        error_setg(errp, "guest note of %" PRIu32 " bytes is left out: too "
                   "large", size);
        return NULL;
    }
    buf = g_malloc(MAX(size, 1));
    if (dump_pages_read(mem, paddr, buf, size, NULL) != size) {
        error_setg(errp, "guest note at 0x%" PRIx64 " is left out: not in "
                   "guest memory", paddr);
        return NULL;
    }
    return g_byte_array_new_take(g_steal_pointer(&buf), size);
}

/* Read the note that the driver published; it is parsed later. */
bool guest_notes_collect_own(GuestState *state, Error **errp)
{
    DumpGuest *guest = &state->guest;
    g_autoptr(DumpPagesReader) mem = NULL;
    Error *err = NULL;

    if (!guest_note_present()) {
        state->findings.note_awaited = vmcoreinfo_find();
        return true;
    }
    mem = dump_pages_reader_new(guest->pages, errp);
    if (!mem) {
        return false;
    }
    state->findings.guest_note = guest_note_read(mem, &err);
    state->findings.guest_note_paddr =
        le64_to_cpu(vmcoreinfo_find()->vmcoreinfo.paddr);
    dump_report_warn_err(guest->report, err);
    return true;
}

static struct {
    bool known;
    uint64_t paddr;
} guest_note_place;             /* BQL */

void guest_note_remember_place(uint64_t paddr)
{
    guest_note_place.known = true;
    guest_note_place.paddr = paddr;
}

bool guest_note_known_place(uint64_t *paddr)
{
    if (guest_note_place.known) {
        *paddr = guest_note_place.paddr;
    }
    return guest_note_place.known;
}

bool guest_notes_collect(GuestState *state, const GuestStateQuery *query,
                         Error **errp)
{
    return collect_cpu_notes(state, errp) &&
           (query->no_guest_note || guest_notes_collect_own(state, errp));
}
