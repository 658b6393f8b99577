/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Arbitrary notes published by a guest: parsing, and conversion for the dump.
 *
 * A reference implementation parses the notes, too; both must find the same
 * notes and the same end of the valid part.
 */

#include "fuzz.h"
#include "linux-guest.h"
#include "elf-notes.h"

/* A note found by the reference implementation. */
typedef struct Seen {
    uint64_t name, namesz, desc, descsz, type;  /* offsets and bytes */
} Seen;

static uint64_t word(const uint8_t *p, bool be)
{
    return be ? (uint64_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3] :
                (uint64_t)p[3] << 24 | p[2] << 16 | p[1] << 8 | p[0];
}

/* Parse the note at *@pos; false at the end, end mark or damage. */
static bool see(const uint8_t *buf, uint64_t len, bool be, uint64_t *pos,
                Seen *s)
{
    uint64_t at = *pos + 12;

    if (at > len) {
        return false;
    }
    s->namesz = word(buf + *pos, be);
    s->descsz = word(buf + *pos + 4, be);
    s->type = word(buf + *pos + 8, be);
    if (!(s->namesz | s->descsz | s->type)) {
        return false;
    }
    s->name = at;
    s->desc = at + (s->namesz + 3) / 4 * 4;
    if (s->desc + s->descsz > len) {
        return false;
    }
    *pos = MIN(s->desc + (s->descsz + 3) / 4 * 4, len);
    return true;
}

static bool same_name(const uint8_t *name, uint64_t namesz, const char *want)
{
    uint64_t n = strlen(want);

    if (namesz == n + 1 && name[n] == 0) {
        namesz--;
    }
    return namesz == n && !memcmp(name, want, n);
}

static void check_note(const ElfNote *note, const Seen *s, const uint8_t *buf)
{
    FUZZ_CHECK((const uint8_t *)note->name == buf + s->name);
    FUZZ_CHECK(note->namesz == s->namesz);
    FUZZ_CHECK(note->desc == buf + s->desc);
    FUZZ_CHECK(note->descsz == s->descsz);
    FUZZ_CHECK(note->type == s->type);
    FUZZ_CHECK(elf_note_is(note, "VMCOREINFO") ==
               same_name(buf + s->name, s->namesz, "VMCOREINFO"));
    FUZZ_CHECK(elf_note_is(note, "") ==
               same_name(buf + s->name, s->namesz, ""));
}

/* Returns the size of all complete notes. */
static uint64_t check_walk(const DumpAbi *abi, const uint8_t *buf, size_t len)
{
    bool be = abi->elf_data == ELFDATA2MSB;
    size_t pos = 0;
    uint64_t at = 0;
    ElfNote note;
    Seen s;

    while (see(buf, len, be, &at, &s)) {
        FUZZ_CHECK(elf_note_next(abi, buf, len, &pos, &note));
        check_note(&note, &s, buf);
        FUZZ_CHECK(pos == at);
    }
    FUZZ_CHECK(!elf_note_next(abi, buf, len, &pos, &note));
    FUZZ_CHECK(pos == at);
    return at;
}

/* A converted note: the name is terminated at its first NUL. */
static void check_rebuilt(const uint8_t *theirs, const Seen *t,
                          const uint8_t *ours, const Seen *s)
{
    uint64_t n = strnlen((const char *)theirs + t->name, t->namesz);

    FUZZ_CHECK(s->namesz == n + 1 && ours[s->name + n] == 0);
    FUZZ_CHECK(!memcmp(ours + s->name, theirs + t->name, n));
    FUZZ_CHECK(s->descsz == t->descsz && s->type == t->type);
    FUZZ_CHECK(!memcmp(ours + s->desc, theirs + t->desc, t->descsz));
}

static void check_taken_over(const DumpGuest *g, const uint8_t *theirs,
                             size_t len, uint64_t ours_at, bool has_info)
{
    bool be = g->abi.elf_data == ELFDATA2MSB;
    const uint8_t *ours = g->notes->data;
    uint64_t at = 0;
    bool info = false;
    Seen t, s;

    while (see(theirs, len, be, &at, &t)) {
        FUZZ_CHECK(see(ours, g->notes->len, be, &ours_at, &s));
        check_rebuilt(theirs, &t, ours, &s);
        FUZZ_CHECK(ours_at % 4 == 0);
        if (!info && same_name(theirs + t.name, t.namesz, "VMCOREINFO")) {
            info = true;
            FUZZ_CHECK(g->vmcoreinfo_pos == s.desc);
            FUZZ_CHECK(g->vmcoreinfo_size == s.descsz);
        }
    }
    FUZZ_CHECK(ours_at == g->notes->len);
    FUZZ_CHECK(info == has_info);
    FUZZ_CHECK(info || !g->vmcoreinfo_size);
}

static bool all_zero(const uint8_t *p, size_t n)
{
    while (n && !*p) {
        p++;
        n--;
    }
    return !n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzInput in = { data, size };
    uint8_t flags = fuzz_u8(&in);
    DumpGuest g;
    g_autofree uint8_t *buf = NULL;
    g_autoptr(VmcoreInfo) info = NULL;
    g_auto(GStrv) warnings = NULL;
    DumpReport report;
    size_t len, before;
    uint64_t whole;

    dump_guest_init(&g);
    g.abi.elf_class = flags & 1 ? ELFCLASS64 : ELFCLASS32;
    g.abi.elf_data = flags & 2 ? ELFDATA2MSB : ELFDATA2LSB;
    buf = fuzz_bytes(&in, SIZE_MAX, &len);

    whole = check_walk(&g.abi, buf, len);
    if (flags & 4) {
        elf_note_append(g.notes, &g.abi, "CORE", 1, "registers", 9);
    }
    before = g.notes->len;
    dump_report_init(&report);
    g.report = &report;
    info = linux_guest_add_notes(&g, buf, len);
    warnings = dump_report_warnings(&report);
    dump_report_deinit(&report);
    FUZZ_CHECK(g_strv_length(warnings) == !all_zero(buf + whole, len - whole));
    check_taken_over(&g, buf, len, before, info != NULL);
    dump_guest_deinit(&g);
    return 0;
}

void fuzz_seeds(FuzzEmit *seed, FuzzEmit *word)
{
    static const char *const names[] = { "VMCOREINFO", "QEMU", "", "Xen" };
    static const uint8_t sizes[] = { 0, 1, 3, 4, 11 };

    for (unsigned flags = 0; flags < 8; flags++) {
        DumpAbi abi = { ELFCLASS64, flags & 2 ? ELFDATA2MSB : ELFDATA2LSB };
        g_autoptr(GByteArray) in = g_byte_array_new();

        g_byte_array_append(in, (uint8_t[]) { flags }, 1);
        for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
            elf_note_append(in, &abi, names[(i + flags) % ARRAY_SIZE(names)],
                            i, "PAGESIZE=4096\n", sizes[i]);
        }
        seed(in->data, in->len);
        /* The last note truncated in its padding and in its descriptor. */
        seed(in->data, in->len - 1);
        seed(in->data, in->len - 5);
        /* Zeroes after the note, as in Linux. */
        g_byte_array_append(in, (uint8_t[41]) { 0 }, 41);
        seed(in->data, in->len - 1);
        in->data[in->len - 1] = 1;
        seed(in->data, in->len);
    }
    word("VMCOREINFO", 10);
    word("VMCOREINFO\0\0", 12);
    word("\xff\xff\xff\xff", 4);
    word("\xff\xff\xff\x7f", 4);
    word("\x0b\0\0\0", 4);
    word("\0\0\0\x0b", 4);
}
