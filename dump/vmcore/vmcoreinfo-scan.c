/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Search for VMCOREINFO in guest memory; see the header.
 *
 * Layout source: Linux kernel/vmcore_info.c, update_vmcoreinfo_note().
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/host-utils.h"
#include "elf-notes.h"
#include "linux-guest.h"
#include "pipeline.h"
#include "vmcoreinfo-scan.h"

#define SCAN_PAGE_SIZE      4096
#define SCAN_HEAD_SIZE      24      /* note header and padded name */

typedef struct Scan {
    const DumpGuest *guest;
    uint8_t head[SCAN_HEAD_SIZE];   /* head of a note without text */
    /* Used by the consuming thread only. */
    GPtrArray *notes;
    bool whole;
} Scan;

/* State of one worker. */
typedef struct ScanWorker {
    const Scan *scan;
    DumpPagesReader *walk;          /* for the walk over all pages */
    DumpPagesReader *look;          /* for reading candidates */
    GArray *heads;                  /* uint64_t: addresses of candidates */
} ScanWorker;

/* Result for one piece of memory. */
typedef struct ScanSlot {
    GPtrArray *notes;               /* owned until they are consumed */
    uint64_t text_left;             /* bytes of text still to be examined */
    bool whole;
} ScanSlot;

void vmcoreinfo_note_free(VmcoreInfoNote *note)
{
    if (note) {
        g_byte_array_unref(note->bytes);
        vmcoreinfo_free(note->info);
        g_free(note);
    }
}

static void note_free(void *note)
{
    vmcoreinfo_note_free(note);
}

GPtrArray *vmcoreinfo_notes_new(void)
{
    return g_ptr_array_new_with_free_func(note_free);
}

VmcoreInfoNote *vmcoreinfo_note_in(const DumpAbi *abi, const uint8_t *buf,
                                   size_t len, uint64_t paddr)
{
    size_t start = 0, end = 0;
    VmcoreInfoNote *found;
    ElfNote note;

    while (elf_note_next(abi, buf, len, &end, &note)) {
        if (elf_note_is(&note, "VMCOREINFO")) {
            size_t before = note.desc - (buf + start);

            found = g_new0(VmcoreInfoNote, 1);
            found->paddr = paddr + start;
            found->bytes = g_byte_array_new();
            g_byte_array_append(found->bytes, buf + start,
                                before + note.descsz);
            found->text = (const char *)found->bytes->data + before;
            found->size = note.descsz;
            found->info = vmcoreinfo_parse(note.desc, note.descsz);
            return found;
        }
        start = end;
    }
    return NULL;
}

static void make_head(const DumpAbi *abi, uint8_t head[SCAN_HEAD_SIZE])
{
    g_autoptr(GByteArray) note = g_byte_array_new();

    elf_note_append(note, abi, "VMCOREINFO", 0, NULL, 0);
    assert(note->len == SCAN_HEAD_SIZE);
    memcpy(head, note->data, SCAN_HEAD_SIZE);
}

/* Does @bytes equal @head, except for the second word (size of the text)? */
static bool is_head(const uint8_t head[SCAN_HEAD_SIZE], const uint8_t *bytes)
{
    return !memcmp(bytes, head, 4) &&
           !memcmp(bytes + 8, head + 8, SCAN_HEAD_SIZE - 8);
}

/* Size of the text if a note starts with @bytes, else 0. */
static uint32_t text_size(const Scan *scan, const uint8_t *bytes)
{
    uint32_t size;

    if (!is_head(scan->head, bytes)) {
        return 0;
    }
    size = dump_get32(&scan->guest->abi, bytes + 4);
    return size <= VMCOREINFO_TEXT_MAX ? size : 0;
}

/* Is @note plausible and confirmed by guest memory? */
static bool note_is_true(const DumpGuest *guest, DumpPagesReader *mem,
                         const VmcoreInfoNote *note)
{
    int64_t page_size;
    LinuxUts uts;

    return vmcoreinfo_get_number(note->info, "PAGESIZE", &page_size) &&
           page_size > 0 && is_power_of_2(page_size) &&
           note->size <= page_size &&
           linux_guest_find_kernel(guest, mem, note->info, &uts) ==
           LINUX_KERNEL_THERE;
}

/* No kernel has masses of short lines, and their lookup would take long. */
static bool has_many_lines(const char *text, size_t size)
{
    const char *end = text + size;
    size_t lines = 0;

    for (; (text = memchr(text, '\n', end - text)); text++) {
        lines++;
    }
    return lines > size / VMCOREINFO_LINE_MIN;
}

/* Read the note at @paddr, whose text has @size bytes. NULL if not true. */
static VmcoreInfoNote *read_note(const DumpGuest *guest, DumpPagesReader *mem,
                                 uint64_t paddr, uint32_t size)
{
    g_autoptr(VmcoreInfoNote) note = g_new0(VmcoreInfoNote, 1);
    size_t len = SCAN_HEAD_SIZE + size;

    note->paddr = paddr;
    note->bytes = g_byte_array_sized_new(len);
    g_byte_array_set_size(note->bytes, len);
    if (dump_pages_read(mem, paddr, note->bytes->data, len, NULL) != len) {
        return NULL;
    }
    note->text = (const char *)note->bytes->data + SCAN_HEAD_SIZE;
    note->size = size;
    if (has_many_lines(note->text, size)) {
        return NULL;
    }
    note->info = vmcoreinfo_parse((const uint8_t *)note->text, size);
    return note_is_true(guest, mem, note) ? g_steal_pointer(&note) : NULL;
}

static uint32_t read_text_size(const Scan *scan, DumpPagesReader *mem,
                               uint64_t paddr)
{
    uint8_t bytes[SCAN_HEAD_SIZE];

    return dump_pages_read(mem, paddr, bytes, sizeof(bytes), NULL) ==
           sizeof(bytes) ? text_size(scan, bytes) : 0;
}

VmcoreInfoNote *vmcoreinfo_note_at(const DumpGuest *guest,
                                   DumpPagesReader *mem, uint64_t paddr)
{
    Scan scan = { .guest = guest };
    uint32_t size;

    make_head(&guest->abi, scan.head);
    size = read_text_size(&scan, mem, paddr);
    return size ? read_note(guest, mem, paddr, size) : NULL;
}

/*
 * Add @note to @notes unless it is a duplicate; takes ownership of @note.
 * Returns false if @notes already has @max elements.
 */
static bool add_note(GPtrArray *notes, VmcoreInfoNote *note, guint max)
{
    for (guint i = 0; i < notes->len; i++) {
        const VmcoreInfoNote *other = g_ptr_array_index(notes, i);

        if (note->size == other->size &&
            !memcmp(note->text, other->text, note->size)) {
            vmcoreinfo_note_free(note);
            return true;
        }
    }
    if (notes->len == max) {
        vmcoreinfo_note_free(note);
        return false;
    }
    g_ptr_array_add(notes, note);
    return true;
}

/* Record candidates at page starts among the @len @bytes of @paddr. */
static void find_heads(ScanWorker *w, uint64_t paddr, uint64_t len,
                       const uint8_t *bytes)
{
    for (uint64_t at = -paddr % SCAN_PAGE_SIZE; at < len;
         at += SCAN_PAGE_SIZE) {
        /* A head that is cut off here is a candidate, too. */
        if (len - at < SCAN_HEAD_SIZE || text_size(w->scan, bytes + at)) {
            uint64_t head = paddr + at;

            g_array_append_val(w->heads, head);
        }
    }
}

static void look_at(ScanWorker *w, uint64_t paddr, ScanSlot *slot)
{
    uint32_t size = read_text_size(w->scan, w->look, paddr);
    VmcoreInfoNote *note;

    if (!size) {
        return;
    }
    if (size > slot->text_left) {
        slot->whole = false;
        return;
    }
    slot->text_left -= size;
    note = read_note(w->scan->guest, w->look, paddr, size);
    if (note && !add_note(slot->notes, note, VMCOREINFO_SCAN_KEPT)) {
        slot->whole = false;
    }
}

/*
 * Scan the first part of the *@len bytes at @paddr; *@len becomes its length.
 */
static void scan_stretch(ScanWorker *w, uint64_t paddr, uint64_t *len,
                         ScanSlot *slot)
{
    uint64_t asked = *len;

    do {
        const uint8_t *bytes;

        *len = asked;
        g_array_set_size(w->heads, 0);
        if (dump_pages_get(w->walk, paddr, len, &bytes) == DUMP_PAGES_DATA) {
            find_heads(w, paddr, *len, bytes);
        }
    } while (!dump_pages_put(w->walk, paddr, *len));
    for (guint i = 0; i < w->heads->len; i++) {
        look_at(w, g_array_index(w->heads, uint64_t, i), slot);
    }
}

static void scan_range(ScanWorker *w, uint64_t paddr, uint64_t len,
                       ScanSlot *slot)
{
    uint64_t zero = dump_pages_zero_ahead(w->walk, paddr, len);

    paddr += zero;
    len -= zero;
    while (len) {
        uint64_t n = len;

        scan_stretch(w, paddr, &n, slot);
        paddr += n;
        len -= n;
    }
}

/* Worker's thread: scan piece @index of all memory, not counting gaps. */
static bool scan_work(void *opaque, void *worker, uint64_t index, void *slot,
                      Error **errp)
{
    const Scan *scan = opaque;
    const GuestRam *ram = &scan->guest->all;
    uint64_t skip = index * VMCOREINFO_SCAN_PIECE;
    uint64_t left = VMCOREINFO_SCAN_PIECE;
    ScanSlot *s = slot;

    assert(!s->notes->len);
    s->text_left = VMCOREINFO_SCAN_TEXT;
    s->whole = true;
    for (size_t i = 0; i < guest_ram_nr_runs(ram) && left; i++) {
        const GuestRamRun *run = guest_ram_run(ram, i);

        if (skip < run->size) {
            uint64_t n = MIN(left, run->size - skip);

            scan_range(worker, run->paddr + skip, n, s);
            left -= n;
            skip = 0;
        } else {
            skip -= run->size;
        }
    }
    return true;
}

static void scan_worker_free(void *opaque, void *worker)
{
    ScanWorker *w = worker;

    dump_pages_reader_free(w->walk);
    dump_pages_reader_free(w->look);
    g_array_unref(w->heads);
    g_free(w);
}

static void *scan_worker_new(void *opaque, Error **errp)
{
    const Scan *scan = opaque;
    ScanWorker *w = g_new0(ScanWorker, 1);

    w->scan = scan;
    w->heads = g_array_new(false, false, sizeof(uint64_t));
    w->walk = dump_pages_reader_new(scan->guest->pages, errp);
    if (w->walk) {
        w->look = dump_pages_reader_new(scan->guest->pages, errp);
    }
    if (!w->look) {
        scan_worker_free(opaque, w);
        return NULL;
    }
    return w;
}

static void *scan_slot_new(void *opaque, Error **errp)
{
    ScanSlot *slot = g_new0(ScanSlot, 1);

    slot->notes = g_ptr_array_new();
    return slot;
}

static void scan_slot_free(void *opaque, void *slot)
{
    ScanSlot *s = slot;

    g_ptr_array_set_free_func(s->notes, note_free);
    g_ptr_array_unref(s->notes);
    g_free(s);
}

static bool scan_consume(void *opaque, uint64_t index, void *slot,
                         Error **errp)
{
    ScanSlot *s = slot;
    Scan *scan = opaque;

    scan->whole &= s->whole;
    for (guint i = 0; i < s->notes->len; i++) {
        scan->whole &= add_note(scan->notes, g_ptr_array_index(s->notes, i),
                                VMCOREINFO_SCAN_NOTES);
    }
    g_ptr_array_set_size(s->notes, 0);
    return true;
}

static const DumpPipelineOps scan_ops = {
    .slot_new = scan_slot_new,
    .slot_free = scan_slot_free,
    .worker_new = scan_worker_new,
    .worker_free = scan_worker_free,
    .work = scan_work,
    .consume = scan_consume,
};

GPtrArray *vmcoreinfo_scan(const DumpGuest *guest, unsigned threads,
                           DumpProgress *progress, bool *whole,
                           Error **errp)
{
    Scan scan = {
        .guest = guest,
        .notes = vmcoreinfo_notes_new(),
        .whole = true,
    };

    make_head(&guest->abi, scan.head);
    if (!dump_pipeline_run(&scan_ops, &scan, &scan, threads,
                           DIV_ROUND_UP(guest->all.bytes,
                                        VMCOREINFO_SCAN_PIECE),
                           progress, errp)) {
        g_ptr_array_unref(scan.notes);
        return NULL;
    }
    *whole = scan.whole;
    return scan.notes;
}
