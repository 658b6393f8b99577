/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Arbitrary VMCOREINFO text: its analysis, and the search for it.
 *
 * A reference implementation parses the text with 128-bit arithmetic; the
 * result of the analysis must be the same.
 */

#include "fuzz-memory.h"
#include "qapi/error.h"
#include "elf-notes.h"
#include "kdump-format.h"
#include "linux-guest.h"
#include "vmcoreinfo-scan.h"

/* Address of the note that the search must find. */
#define NOTE_PADDR 0x123456789000

typedef __int128 Wide;

/* The synthetic guest. */
typedef struct Case {
    DumpGuest g;
    FuzzMemory memory;
    const char *text;           /* not terminated */
    size_t len;
} Case;

static const uint16_t machines[] = {
    EM_X86_64, EM_386, EM_AARCH64, EM_ARM, EM_PPC64, EM_S390, EM_RISCV, 258,
    EM_MIPS,
};

/* The value of the first line "@key=..."; *@n: its length. */
static const char *find(const Case *c, const char *key, size_t *n)
{
    size_t end = strnlen(c->text, c->len), klen = strlen(key);

    for (size_t at = 0; at < end; ) {
        const char *line = c->text + at;
        size_t len = 0;

        while (at + len < end && line[len] != '\n') {
            len++;
        }
        if (len > klen && line[klen] == '=' && !memcmp(line, key, klen)) {
            *n = len - klen - 1;
            return line + klen + 1;
        }
        at += len + 1;
    }
    return NULL;
}

/* Are all @n characters a number of that base that fits 64 bits? */
static bool digits(const char *s, size_t n, unsigned base, Wide *value)
{
    *value = 0;
    for (size_t i = 0; i < n; i++) {
        int digit = g_ascii_xdigit_value(s[i]);

        if (digit < 0 || digit >= (int)base) {
            return false;
        }
        *value = *value * base + digit;
        if (*value > UINT64_MAX) {
            return false;
        }
    }
    return n > 0;
}

static bool is_0x(const char *s, size_t n)
{
    return n >= 2 && s[0] == '0' && (s[1] | 32) == 'x';
}

static bool number(const Case *c, const char *key, int64_t *value)
{
    size_t n = 0;
    const char *s = find(c, key, &n);
    bool minus = s && n && *s == '-';
    bool hex;
    Wide v;

    if (!s) {
        return false;
    }
    s += minus;
    n -= minus;
    hex = is_0x(s, n);
    if (!digits(s + 2 * hex, n - 2 * hex, hex ? 16 : 10, &v)) {
        return false;
    }
    v = minus ? -v : v;
    if (v < INT64_MIN || (v > INT64_MAX && !hex)) {
        return false;
    }
    *value = (int64_t)(uint64_t)v;
    return true;
}

static bool address(const Case *c, const char *key, uint64_t *value)
{
    size_t n = 0;
    const char *s = find(c, key, &n);
    Wide v = 0;
    bool hex;

    if (!s) {
        return false;
    }
    hex = is_0x(s, n);
    if (!digits(s + 2 * hex, n - 2 * hex, 16, &v)) {
        return false;
    }
    *value = v;
    return true;
}

static void check_lookups(const Case *c, const VmcoreInfo *info)
{
    static const char *const keys[] = {
        "PAGESIZE", "OSRELEASE", "NUMBER(phys_base)", "NUMBER(PHYS_OFFSET)",
        "SYMBOL(init_uts_ns)", "OFFSET(uts_namespace.name)", "",
    };

    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        int64_t want = 1, got = 1;
        uint64_t awant = 1, agot = 1;
        size_t n = 0;
        const char *s = find(c, keys[i], &n);
        const char *t = vmcoreinfo_get(info, keys[i]);

        FUZZ_CHECK(!s == !t);
        FUZZ_CHECK(!s || (strlen(t) == n && !memcmp(s, t, n)));
        FUZZ_CHECK(number(c, keys[i], &want) ==
                   vmcoreinfo_get_number(info, keys[i], &got));
        FUZZ_CHECK(want == got);
        FUZZ_CHECK(address(c, keys[i], &awant) ==
                   vmcoreinfo_get_address(info, keys[i], &agot));
        FUZZ_CHECK(awant == agot);
    }
}

/* Returns the number of warnings: 1 if the value is invalid. */
static unsigned check_page_size(const Case *c, uint32_t page_size)
{
    unsigned bad = 0;
    int64_t v;
    size_t n;

    if (find(c, "PAGESIZE", &n)) {
        if (number(c, "PAGESIZE", &v) &&
            (v == 4096 || v == 8192 || v == 16384 || v == 32768 ||
             v == 65536)) {
            page_size = v;
        } else {
            bad = 1;
        }
    }
    FUZZ_CHECK(c->g.page_size == page_size);
    return bad;
}

/* Returns 1, with *@phys_base unchanged, if the number is invalid. */
static unsigned read_phys_base(const Case *c, int64_t *phys_base)
{
    size_t n;

    if (find(c, "NUMBER(phys_base)", &n)) {
        return !number(c, "NUMBER(phys_base)", phys_base);
    }
    if (find(c, "NUMBER(PHYS_OFFSET)", &n)) {
        return !number(c, "NUMBER(PHYS_OFFSET)", phys_base);
    }
    return 0;
}

static uint64_t to_phys(const Case *c, uint64_t vaddr)
{
    int64_t offset = 0;

    switch (c->g.abi.elf_machine) {
    case EM_X86_64:
        return vaddr + 0x80000000 + c->g.phys_base;
    case EM_386:
        return vaddr - 0xc0000000;
    case EM_PPC64:
        return vaddr - 0xc000000000000000;
    case EM_AARCH64:
        number(c, "NUMBER(kimage_voffset)", &offset);
        return vaddr - offset;
    case EM_RISCV:
        number(c, "NUMBER(va_kernel_pa_offset)", &offset);
        return vaddr - offset;
    }
    return vaddr;
}

/* Is the physical address of the symbol certain? */
static bool certain(const Case *c, uint64_t symbol)
{
    int64_t v;

    switch (c->g.abi.elf_machine) {
    case EM_X86_64:
        return symbol >= 0xffffffff80000000 &&
               number(c, "NUMBER(phys_base)", &v);
    case EM_PPC64:
        return symbol >= 0xc000000000000000;
    case EM_AARCH64:
        return number(c, "NUMBER(kimage_voffset)", &v);
    case EM_RISCV:
        return number(c, "NUMBER(va_kernel_pa_offset)", &v);
    }
    return false;
}

/*
 * Read the kernel's utsname. Returns false if it does not match the note;
 * *@gone is then set if the address is certain.
 */
static bool kernel_uts(const Case *c, char uts[6][65], bool *gone)
{
    uint64_t symbol;
    int64_t offset;
    size_t n;
    const char *release = find(c, "OSRELEASE", &n);
    bool agrees;

    *gone = false;
    if (!release || !address(c, "SYMBOL(init_uts_ns)", &symbol) ||
        !number(c, "OFFSET(uts_namespace.name)", &offset) ||
        fuzz_memory_read(&c->memory, to_phys(c, symbol + offset),
                         (uint8_t *)uts, 390) != 390) {
        return false;
    }
    for (unsigned i = 0; i < 6; i++) {
        uts[i][64] = 0;
    }
    agrees = !strcmp(uts[0], "Linux") && strlen(uts[2]) == n &&
             !memcmp(uts[2], release, n);
    *gone = !agrees && certain(c, symbol);
    return agrees;
}

/* @targets_base: phys_base if the note is not used. Returns warnings. */
static unsigned check_kernel(const Case *c, int64_t targets_base)
{
    const char *machine = kdump_machine_name(&c->g.abi);
    const LinuxUts *u = &c->g.uts;
    const char *const got[] = { u->sysname, u->nodename, u->release,
                                u->version, u->machine, u->domainname };
    char want[6][65];
    size_t n = 0;
    const char *release = find(c, "OSRELEASE", &n);
    Case by_note = *c;
    unsigned bad;
    bool gone;

    by_note.g.phys_base = targets_base;
    bad = read_phys_base(c, &by_note.g.phys_base);
    if (!kernel_uts(&by_note, want, &gone)) {
        memset(want, 0, sizeof(want));
        if (release && !gone) {
            strcpy(want[0], "Linux");
            memcpy(want[2], release, MIN(n, 64));
        }
    }
    if (machine) {
        strcpy(want[4], machine);
    }
    for (unsigned i = 0; i < 6; i++) {
        FUZZ_CHECK(memchr(got[i], 0, 65) && !strcmp(got[i], want[i]));
    }
    FUZZ_CHECK(c->g.phys_base == (gone ? targets_base : by_note.g.phys_base));
    return bad + gone;
}

/* Must the search find this note? */
static bool worth_finding(const Case *c)
{
    int64_t size;
    size_t lines = 0;
    char uts[6][65];
    Case by_note = *c;
    bool gone;

    for (size_t i = 0; i < c->len; i++) {
        lines += c->text[i] == '\n';
    }
    read_phys_base(c, &by_note.g.phys_base);
    return c->len && c->len <= 65536 && lines <= c->len / 16 &&
           number(c, "PAGESIZE", &size) && size > 0 &&
           !(size & (size - 1)) && c->len <= size &&
           kernel_uts(&by_note, uts, &gone);
}

/* Search for the note @bytes at NOTE_PADDR. */
static void check_search(const Case *c, const GByteArray *bytes)
{
    g_autofree uint8_t *there = g_malloc(bytes->len);
    g_autoptr(GPtrArray) notes = NULL;
    DumpProgress progress;
    bool whole, found = false;

    if (fuzz_memory_read(&c->memory, NOTE_PADDR, there, bytes->len) !=
        bytes->len || memcmp(there, bytes->data, bytes->len)) {
        return;                         /* overlapped by other memory */
    }
    dump_progress_init(&progress);
    notes = vmcoreinfo_scan(&c->g, 1, &progress, &whole, &error_abort);
    FUZZ_CHECK(whole);
    for (guint i = 0; i < notes->len; i++) {
        const VmcoreInfoNote *note = g_ptr_array_index(notes, i);

        found |= note->paddr == NOTE_PADDR;
    }
    FUZZ_CHECK(found == worth_finding(c));
}

/* Append a line like those of kernels, or a similar one. */
static void compose_line(GString *text, FuzzInput *in)
{
    static const char *const keys[] = {
        "PAGESIZE", "NUMBER(phys_base)", "NUMBER(PHYS_OFFSET)",
        "SYMBOL(init_uts_ns)", "OFFSET(uts_namespace.name)",
        "NUMBER(kimage_voffset)", "NUMBER(va_kernel_pa_offset)", "KEY",
    };
    const char *key = keys[fuzz_u8(in) % ARRAY_SIZE(keys)];
    unsigned format = fuzz_u8(in) % 4;
    uint64_t v = fuzz_seldom(in, 2) ? 1ULL << fuzz_u8(in) % 64 :
                                      fuzz_edge(in);

    switch (format) {
    case 0:
        g_string_append_printf(text, "%s=%" PRIu64 "\n", key, v);
        break;
    case 1:
        g_string_append_printf(text, "%s=-%" PRIu64 "\n", key, v);
        break;
    case 2:
        g_string_append_printf(text, "%s=%" PRIx64 "\n", key, v);
        break;
    default:
        g_string_append_printf(text, "%s=0x%" PRIx64 "\n", key, v);
    }
}

/* Put a utsname at or near the address that the text gives. */
static void compose_kernel(Case *c, GString *text, FuzzInput *in)
{
    char memory[395] = "Linux";
    uint64_t symbol = fuzz_edge(in);
    uint64_t offset = fuzz_u8(in);
    unsigned cut = fuzz_u8(in) % 8;
    Case so_far = *c;
    uint64_t paddr;

    g_string_append_printf(text, "OSRELEASE=6.%u\n"
                           "SYMBOL(init_uts_ns)=%" PRIx64 "\n"
                           "OFFSET(uts_namespace.name)=%" PRIu64 "\n",
                           fuzz_u8(in) % 4, symbol, offset);
    memset(memory + 65, 'n', 65 + cut);
    strcpy(memory + 130, "6.1");
    so_far.text = text->str;
    so_far.len = text->len;
    number(&so_far, "NUMBER(phys_base)", &so_far.g.phys_base);
    paddr = to_phys(&so_far, symbol + offset);
    if (paddr <= UINT64_MAX - sizeof(memory)) {
        /* In two blocks, sometimes with a gap. */
        unsigned at = fuzz_u16(in) % 394 + 1;

        fuzz_memory_add(&c->memory, paddr, memory, at);
        fuzz_memory_add(&c->memory, paddr + at, memory + at,
                        395 - at - MIN(cut, 395 - at - 1));
    }
}

static char *make_text(Case *c, FuzzInput *in, uint8_t flags, size_t *len)
{
    GString *text = g_string_new(NULL);

    if (flags & 4) {
        for (unsigned n = fuzz_u8(in) % 8; n; n--) {
            compose_line(text, in);
        }
    }
    if (flags & 8) {
        compose_kernel(c, text, in);
    }
    g_string_append_len(text, (const char *)in->data, in->len);
    *len = text->len;
    return g_string_free(text, false);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzInput in = { data, size };
    uint8_t flags = fuzz_u8(&in);
    Case c = { 0 };
    g_autofree char *text = NULL;
    g_autofree uint8_t *exact = NULL;
    g_autoptr(GByteArray) note = g_byte_array_new();
    g_autoptr(VmcoreInfo) info = NULL;
    DumpPagesReader *mem;
    g_auto(GStrv) warnings = NULL;
    DumpReport report;

    dump_guest_init(&c.g);
    c.g.abi.elf_class = flags & 1 ? ELFCLASS64 : ELFCLASS32;
    c.g.abi.elf_data = flags & 2 ? ELFDATA2MSB : ELFDATA2LSB;
    c.g.abi.elf_machine = machines[fuzz_u8(&in) % ARRAY_SIZE(machines)];
    c.g.page_size = 65536;
    c.g.phys_base = -7;
    fuzz_memory_init(&c.memory, 65536);
    text = make_text(&c, &in, flags, &c.len);
    exact = g_malloc(MAX(c.len, 1));
    memcpy(exact, text, c.len);
    c.text = (const char *)exact;
    elf_note_append(note, &c.g.abi, "VMCOREINFO", 0, exact, c.len);
    fuzz_memory_add(&c.memory, NOTE_PADDR, note->data, note->len);
    fuzz_memory_tell(&c.memory, &c.g.all, 0, 0);
    dump_guest_seal(&c.g, 0, 0);
    mem = dump_pages_reader_new(c.g.pages, &error_abort);

    check_search(&c, note);
    info = vmcoreinfo_parse(exact, c.len);
    check_lookups(&c, info);
    dump_report_init(&report);
    c.g.report = &report;
    linux_guest_describe(&c.g, mem, info);
    warnings = dump_report_warnings(&report);
    dump_report_deinit(&report);
    FUZZ_CHECK(check_page_size(&c, 65536) + check_kernel(&c, -7) ==
               g_strv_length(warnings));

    dump_pages_reader_free(mem);
    fuzz_memory_deinit(&c.memory);
    dump_guest_deinit(&c.g);
    return 0;
}

void fuzz_seeds(FuzzEmit *seed, FuzzEmit *word)
{
    static const char *const words[] = {
        "PAGESIZE=", "OSRELEASE=", "NUMBER(phys_base)=", "NUMBER(PHYS_OFFSET)=",
        "SYMBOL(init_uts_ns)=", "OFFSET(uts_namespace.name)=",
        "NUMBER(kimage_voffset)=", "NUMBER(va_kernel_pa_offset)=", "4096",
        "65536", "0x", "-0x", "-9223372036854775808", "9223372036854775808",
        "18446744073709551615", "ffffffffffffffff", "\n", "=", "\nPAGESIZE=",
    };
    static const char text[] =
        "OSRELEASE=6.1.0\nPAGESIZE=4096\nNUMBER(phys_base)=-536870912\n"
        "SYMBOL(init_uts_ns)=ffffffffb0020000\n"
        "OFFSET(uts_namespace.name)=4\nNUMBER(PHYS_OFFSET)=0x40000000";
    GRand *rand = g_rand_new_with_seed(1);

    for (unsigned i = 0; i < 64; i++) {
        uint8_t in[512];
        size_t n = i < 4 ? 2 : 200;

        for (size_t j = 0; j < n; j++) {
            in[j] = g_rand_int(rand);
        }
        in[0] = i;
        in[1] = i / 4;
        memcpy(in + n, text, strlen(text));
        seed(in, n + strlen(text));
    }
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        word(words[i], strlen(words[i]));
    }
    g_rand_free(rand);
}
