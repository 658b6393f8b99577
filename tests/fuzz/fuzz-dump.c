/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Complete dumps with arbitrary memory, partly unreadable, of any target in
 * any format to any kind of output, which may fail. A successful dump is read
 * back and compared to memory. A failed dump must have set an error and must
 * not be accepted as a complete one.
 */

#include "fuzz.h"
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include "qapi/error.h"
#include "fuzz-faults.h"
#include "fuzz-reader.h"
#include "elf-notes.h"
#include "sink-fd.h"
#include "sink-flat.h"
#include "writer.h"

#define MEMORY_LIMIT    (5 << 19)       /* 2.5 MiB: several chunks */

/* Dumps with larger bitmaps are only planned, to save time. */
#define BITMAP_LIMIT    (1 << 19)

#define FILE_LIMIT      (1 << 24)

/* More program headers than e_phnum can count. */
#define MANY_MAPPINGS   65600

typedef enum Output {
    OUT_FILE,                   /* new: holes are possible */
    OUT_OFFSET,                 /* starts after other data */
    OUT_OLD,                    /* full of old data */
    OUT_APPEND,                 /* cannot seek */
    OUT_PIPE,
    OUT_SOCKET,
    OUT__MAX,
} Output;

typedef struct Case {
    DumpGuest g;
    DumpFormat format;
    Output output;
    FuzzMemory memory;
    FuzzFacts facts;
    DumpExtraSections extra;
    DumpReport report;
    uint64_t bitmap;            /* bytes per bitmap */
} Case;

static const struct {
    uint16_t machine;
    bool is64, be;
} targets[] = {
    { EM_X86_64, true, false }, { EM_386, false, false },
    { EM_AARCH64, true, false }, { EM_ARM, false, false },
    { EM_PPC64, true, true }, { EM_PPC, false, true },
    { EM_S390, true, true }, { EM_RISCV, true, false },
};

static void make_abi(Case *c, FuzzInput *in)
{
    unsigned i = fuzz_u8(in);
    unsigned t = i % ARRAY_SIZE(targets);

    c->facts.machine = targets[t].machine;
    c->facts.is64 = targets[t].is64;
    c->facts.be = targets[t].be;
    if (i >= 128) {
        /* Includes combinations that no target has. */
        c->facts.is64 = i & 32;
        c->facts.be = i & 64;
    }
    c->g.abi.elf_machine = c->facts.machine;
    c->g.abi.elf_class = c->facts.is64 ? 2 : 1;
    c->g.abi.elf_data = c->facts.be ? 2 : 1;
}

static void make_numbers(Case *c, FuzzInput *in)
{
    FuzzFacts *f = &c->facts;
    char *uts[] = { c->g.uts.sysname, c->g.uts.nodename, c->g.uts.release,
                    c->g.uts.version, c->g.uts.machine, c->g.uts.domainname };

    c->g.page_size = f->page_size = 4096 << fuzz_u8(in) % 5;
    c->g.phys_base = f->phys_base = fuzz_edge(in);
    c->g.nr_cpus = f->nr_cpus = fuzz_u16(in);
    c->g.time_sec = f->sec = fuzz_edge(in);
    c->g.time_usec = f->usec = fuzz_u32(in);
    for (unsigned i = 0; i < 6; i++) {
        size_t n = fuzz_u8(in) % 65;

        memset(uts[i], 'a' + i, n);
        memset(f->uts[i], 'a' + i, n);
    }
}

static void make_notes(Case *c, FuzzInput *in)
{
    g_autofree uint8_t *desc = g_malloc0(70000);
    unsigned n = fuzz_u8(in) % 5;

    memset(desc, fuzz_u8(in), 70000);
    for (unsigned i = 0; i < n; i++) {
        uint32_t size = fuzz_seldom(in, 8) ? fuzz_u16(in) : fuzz_u8(in);
        bool info = fuzz_seldom(in, 3);

        elf_note_append(c->g.notes, &c->g.abi, info ? "VMCOREINFO" : "CORE",
                        i, desc, size);
        if (info) {
            c->facts.info_size = size;
            /* The last note has up to three bytes of padding. */
            c->facts.info_pos = c->g.notes->len - (size + 3) / 4 * 4;
        }
    }
    c->g.vmcoreinfo_pos = c->facts.info_pos;
    c->g.vmcoreinfo_size = c->facts.info_size;
    c->facts.notes = c->g.notes->data;
    c->facts.notes_len = c->g.notes->len;
}

static void make_memory(Case *c, FuzzInput *in)
{
    uint64_t begin = 0, length = 0;
    GuestRam all;

    fuzz_memory_init(&c->memory, MEMORY_LIMIT);
    c->memory.loses = fuzz_seldom(in, 2);
    fuzz_memory_make(&c->memory, in);
    fuzz_memory_lose(&c->memory, in);
    if (fuzz_seldom(in, 4)) {
        const GArray *blocks = c->memory.blocks;

        begin = fuzz_edge(in);
        if (blocks->len && !fuzz_seldom(in, 4)) {
            begin = g_array_index(blocks, FuzzBlock, 0).run.paddr +
                    fuzz_u16(in);
        }
        length = fuzz_seldom(in, 2) ? fuzz_edge(in) : fuzz_u32(in) % 0x80000;
        length = MIN(length, UINT64_MAX - begin + 1);
    }
    guest_ram_init(&all);
    fuzz_memory_tell(&c->memory, &all, begin, length);
    guest_ram_seal(&all);
    guest_ram_clip_of(&c->g.all, &all, length ? begin : 0, length);
    guest_ram_deinit(&all);
    if (c->format.kind == DUMP_KIND_KDUMP && fuzz_seldom(in, 2)) {
        guest_ram_drop_far(&c->g.all);
        fuzz_memory_drop_far(&c->memory);
    }
    c->facts.memory = &c->memory;
    if (fuzz_seldom(in, 2)) {
        c->g.untouched = dump_untouched_new();
    }
    dump_guest_seal(&c->g, 0, 0);
}

/* Select the method of reading memory and its failures. */
static void make_reads(Case *c, FuzzInput *in)
{
    if (fuzz_seldom(in, 3)) {
        dump_pages_still_set_method(c->g.pages, DUMP_PAGES_COPY);
    }
    fuzz_faults.memory = &c->memory;
    fuzz_faults.whole = fuzz_seldom(in, 2);
}

static void make_mappings(Case *c, FuzzInput *in)
{
    const GArray *pieces = c->memory.pieces;
    unsigned n = fuzz_u8(in) % 8;
    bool many = fuzz_u8(in) == 255;

    if (fuzz_seldom(in, 4) || !pieces->len) {
        return;
    }
    c->g.mappings = g_array_new(false, false, sizeof(DumpMapping));
    c->facts.mappings = g_array_new(false, false, sizeof(FuzzMapping));
    for (unsigned i = 0; i < n; i++) {
        const FuzzPiece *p = fuzz_piece(&c->memory,
                                        fuzz_u8(in) % pieces->len);
        uint64_t paddr = (uint64_t)p->start + (int16_t)fuzz_u16(in);
        uint64_t size = fuzz_seldom(in, 4) ? fuzz_edge(in) : fuzz_u16(in);
        uint64_t vaddr = fuzz_edge(in);
        FuzzMapping ours = { paddr, vaddr, size };
        DumpMapping theirs = { .paddr = paddr, .vaddr = vaddr, .size = size };
        unsigned times = many && !i ? MANY_MAPPINGS : 1;

        if (times > 1) {
            ours.size = theirs.size = MIN(size, 64);
        }
        for (unsigned k = 0; k < times; k++) {
            g_array_append_val(c->facts.mappings, ours);
            g_array_append_val(c->g.mappings, theirs);
        }
    }
}

static bool section_headers(void *opaque, uint64_t data_offset,
                            GArray *names, uint8_t *buf, size_t len)
{
    const Case *c = opaque;
    unsigned size = c->facts.is64 ? 64 : 40;
    unsigned w = c->facts.is64 ? 8 : 4;

    FUZZ_CHECK(len == size * c->facts.sections);
    for (unsigned i = 0; i < c->facts.sections; i++) {
        uint8_t *s = buf + i * size;

        for (unsigned k = 0; k < 4; k++) {
            s[c->facts.be ? k : 3 - k] = names->len >> (24 - 8 * k);
        }
        for (unsigned k = 0; k < w; k++) {
            s[8 + 2 * w + (c->facts.be ? k : w - 1 - k)] =
                data_offset >> (8 * (w - 1 - k));
        }
        g_array_append_vals(names, "section", 8);
    }
    return true;
}

static bool section_data(void *opaque, uint8_t *buf, size_t len,
                         Error **errp)
{
    const Case *c = opaque;

    FUZZ_CHECK(len == c->facts.section_data);
    for (size_t i = 0; i < len; i++) {
        buf[i] = fuzz_section_byte(i);
    }
    return true;
}

static void make_sections(Case *c, FuzzInput *in)
{
    if (!fuzz_seldom(in, 4)) {
        return;
    }
    c->facts.sections = 1 + fuzz_u8(in) % 5;
    c->facts.section_data = fuzz_u16(in) % 5000;
    c->extra = (DumpExtraSections) {
        .count = c->facts.sections,
        .data_size = c->facts.section_data,
        .opaque = c,
        .headers = section_headers,
        .data = section_data,
    };
    c->g.extra = &c->extra;
}

static void make_format(Case *c, FuzzInput *in)
{
    static const uint32_t flags[] = { 1, 2, 4, 0x20 };
    uint8_t what = fuzz_u8(in);

    c->format.kind = what & 3 ? DUMP_KIND_KDUMP : DUMP_KIND_ELF;
    c->output = fuzz_u8(in) % OUT__MAX;
    c->format.threads = 1 + fuzz_u8(in) % 4;
    if (c->format.kind == DUMP_KIND_KDUMP) {
        c->format.codec = (what >> 2) % DUMP_CODEC__MAX;
        c->facts.codec_flag = flags[c->format.codec];
        c->format.flat = what & 2;
        if (!c->format.flat) {
            c->output %= OUT_APPEND;
        }
    }
}

static void case_init(Case *c, FuzzInput *in)
{
    memset(c, 0, sizeof(*c));
    dump_guest_init(&c->g);
    dump_report_init(&c->report);
    c->g.report = &c->report;
    make_format(c, in);
    fuzz_faults_make(in);
    make_abi(c, in);
    make_memory(c, in);
    make_reads(c, in);
    make_numbers(c, in);
    make_notes(c, in);
    if (c->format.kind == DUMP_KIND_ELF) {
        make_mappings(c, in);
        make_sections(c, in);
    }
}

static void case_deinit(Case *c)
{
    g_clear_pointer(&c->facts.mappings, g_array_unref);
    dump_guest_deinit(&c->g);
    dump_report_deinit(&c->report);
    fuzz_faults.memory = NULL;
    fuzz_memory_deinit(&c->memory);
}

/* Does this guest fit this format? */
static bool must_fit(Case *c)
{
    const GArray *pieces = c->memory.pieces;
    FuzzAddr end, pages, bits;

    if (!pieces->len) {
        return false;
    }
    end = fuzz_piece(&c->memory, pieces->len - 1)->end;
    if (c->format.kind == DUMP_KIND_ELF) {
        return c->facts.is64 || end <= (FuzzAddr)1 << 32;
    }
    pages = (end - 1) / c->facts.page_size + 1;
    bits = (FuzzAddr)c->facts.page_size * 8;
    c->bitmap = (pages + bits - 1) / bits * c->facts.page_size;
    return c->bitmap / c->facts.page_size <= INT32_MAX / 2;
}

typedef struct Sink {
    int fd;                     /* passed to the engine */
    int peer;                   /* to read from; -1: a file */
    int file;                   /* the same file, kept open */
    uint64_t base;
    GThread *thread;
    GByteArray *got;
} Sink;

static gpointer drain(gpointer opaque)
{
    Sink *s = opaque;
    uint8_t buf[65536];
    ssize_t n;

    while ((n = read(s->peer, buf, sizeof(buf))) > 0) {
        g_byte_array_append(s->got, buf, n);
    }
    return NULL;
}

static void open_file(Sink *s, Output output)
{
    int flags;

    s->file = memfd_create("dump", MFD_CLOEXEC);
    FUZZ_CHECK(s->file >= 0);
    if (output == OUT_OFFSET) {
        s->base = 5000;
        FUZZ_CHECK(pwrite(s->file, "x", 1, 100) == 1);
        FUZZ_CHECK(lseek(s->file, s->base, SEEK_SET) == s->base);
    } else if (output == OUT_OLD) {
        g_autofree uint8_t *old = g_malloc(1 << 20);

        memset(old, 0xee, 1 << 20);
        FUZZ_CHECK(pwrite(s->file, old, 1 << 20, 0) == 1 << 20);
    } else if (output == OUT_APPEND) {
        flags = fcntl(s->file, F_GETFL);
        FUZZ_CHECK(fcntl(s->file, F_SETFL, flags | O_APPEND) == 0);
    }
    s->fd = dup(s->file);
}

static void sink_open(Sink *s, Output output)
{
    int fds[2];

    *s = (Sink) { .peer = -1, .file = -1, .got = g_byte_array_new() };
    if (output == OUT_PIPE) {
        FUZZ_CHECK(pipe(fds) == 0);
    } else if (output == OUT_SOCKET) {
        FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    } else {
        open_file(s, output);
        return;
    }
    s->peer = fds[0];
    s->fd = fds[1];
    s->thread = g_thread_new("drain", drain, s);
}

/* Read all output. The engine must have closed its descriptor. */
static void sink_collect(Sink *s)
{
    struct stat st;

    FUZZ_CHECK(fcntl(s->fd, F_GETFD) < 0 && errno == EBADF);
    if (s->thread) {
        g_thread_join(s->thread);
        close(s->peer);
        return;
    }
    FUZZ_CHECK(fstat(s->file, &st) == 0);
    FUZZ_CHECK(st.st_size <= FILE_LIMIT);
    if (st.st_size > s->base) {
        g_byte_array_set_size(s->got, st.st_size - s->base);
        FUZZ_CHECK(pread(s->file, s->got->data, s->got->len, s->base) ==
                   s->got->len);
    }
    close(s->file);
}

static void check_error(const Error *err)
{
    const FuzzFaults *f = &fuzz_faults;
    const char *text;

    FUZZ_CHECK(err);
    text = error_get_pretty(err);
    FUZZ_CHECK(g_str_has_prefix(text, "dump: "));
    /* A dump must not fail without a fault or a cancel. */
    FUZZ_CHECK(f->failed || dump_progress_cancelled(f->progress));
    if (f->failed && f->error) {
        FUZZ_CHECK(strstr(text, strerror(f->error)));
    } else if (!f->failed) {
        FUZZ_CHECK(!strcmp(text, "dump: cancelled"));
    }
}

static void check_good(const Case *c, const DumpProgress *p)
{
    FUZZ_CHECK(!fuzz_faults.failed || fuzz_faults.no_memory);
    FUZZ_CHECK(dump_progress_completed(p) == dump_progress_total(p));
    FUZZ_CHECK(dump_progress_total(p) >= c->g.ram.bytes);
    FUZZ_CHECK(dump_progress_written(p) == fuzz_faults.written);
}

static bool write_dump(const Case *c, DumpWriter *w, DumpProgress *progress,
                       int fd)
{
    DumpSink *sink = dump_sink_fd_new(fd, progress);
    Error *err = NULL;
    bool ok;

    fuzz_faults.fd = fd;
    fuzz_faults.progress = progress;
    if (c->format.flat) {
        sink = dump_sink_flat_new(sink);
    }
    ok = dump_writer_write(w, sink, &err);
    if (ok) {
        FUZZ_CHECK(!err);
        check_good(c, progress);
    } else {
        check_error(err);
        error_free(err);
    }
    dump_sink_free(sink);
    FUZZ_CHECK(fuzz_faults.closed);
    fuzz_faults.fd = -1;
    return ok;
}

static void read_back(const Case *c, const Sink *s, bool ok, uint64_t size)
{
    FuzzImage img = { s->got->data, s->got->len, c->facts.be };
    bool elf = c->format.kind == DUMP_KIND_ELF;
    g_autoptr(GByteArray) inner = NULL;

    if (!ok && c->output == OUT_OLD) {
        /* Old data after a failed dump is truncated by the job. */
        return;
    }
    if (c->format.flat) {
        /*
         * There are no holes; old data may follow. The header is written twice
         * if it can be overwritten.
         */
        if (ok) {
            img.len = MIN(img.len, fuzz_faults.written -
                          (c->output < OUT_APPEND ? 4096 : 0));
        }
        inner = fuzz_unflatten(&img, FILE_LIMIT, !ok);
        if (!inner) {
            return;
        }
        img.data = inner->data;
        img.len = inner->len;
    }
    if (ok) {
        (elf ? fuzz_read_elf : fuzz_read_kdump)(&img, &c->facts);
        /* The file has the planned size. */
        FUZZ_CHECK(size == UINT64_MAX || c->output == OUT_OLD ||
                   size == img.len);
    } else {
        (elf ? fuzz_read_failed_elf : fuzz_read_failed_kdump)(&img,
                                                              &c->facts);
    }
}

/* Bytes of lost memory; for kdump formats, of the pages affected. */
static uint64_t lost_bytes(const Case *c)
{
    uint64_t page = c->facts.page_size, lost = 0, next = 0;

    for (size_t i = 0; i < c->memory.pieces->len; i++) {
        const FuzzPiece *p = fuzz_piece(&c->memory, i);

        if (c->format.kind == DUMP_KIND_ELF) {
            lost += fuzz_memory_lost(&c->memory, p->start, p->end - p->start);
            continue;
        }
        next = MAX(next, (uint64_t)(p->start / page));
        for (; (FuzzAddr)next * page < p->end; next++) {
            lost += fuzz_memory_lost(&c->memory, (FuzzAddr)next * page, page) ?
                    page : 0;
        }
    }
    return lost;
}

/* If the dump failed, memory may not have been read and counted. */
static void check_report(Case *c, bool ok)
{
    uint64_t told = dump_report_lost(&c->report), lost = lost_bytes(c);

    FUZZ_CHECK(ok ? told == lost : told <= lost);
}

static void dump(Case *c, DumpWriter *w, DumpProgress *progress)
{
    bool elf = c->format.kind == DUMP_KIND_ELF;
    uint64_t size = elf ? dump_layout_end(w->layout) : UINT64_MAX;
    Sink s;
    bool ok;

    sink_open(&s, c->output);
    ok = write_dump(c, w, progress, s.fd);
    sink_collect(&s);
    check_report(c, ok);
    read_back(c, &s, ok, size);
    g_byte_array_unref(s.got);
}

/* Bytes of memory; for other formats than ELF, of the pages affected. */
static uint64_t planned_bytes(const Case *c)
{
    uint64_t page = c->format.kind == DUMP_KIND_ELF ? 1 : c->facts.page_size;
    FuzzAddr done = 0, pages = 0;

    for (size_t i = 0; i < c->memory.pieces->len; i++) {
        const FuzzPiece *p = fuzz_piece(&c->memory, i);
        FuzzAddr end = (p->end - 1) / page + 1;

        pages += end - MIN(end, MAX(p->start / page, done));
        done = end;
    }
    return pages * page;
}

static void plan_and_dump(Case *c)
{
    DumpProgress progress;
    Error *err = NULL;
    DumpWriter *w;
    bool fits;

    if (!dump_writer_available(&c->format)) {
        return;                 /* codec not in this build */
    }
    dump_progress_init(&progress);
    w = dump_writer_plan(&c->format, &c->g, &progress, &err);
    fits = must_fit(c);
    FUZZ_CHECK(!w == !!err);
    /* Allocations of the plan may fail. */
    FUZZ_CHECK(!w == !fits || (!w && fuzz_faults.failed));
    if (!w) {
        FUZZ_CHECK(g_str_has_prefix(error_get_pretty(err), "dump: "));
        error_free(err);
        return;
    }
    FUZZ_CHECK(dump_progress_total(&progress) == planned_bytes(c));
    if (c->bitmap <= BITMAP_LIMIT) {
        dump(c, w, &progress);
    }
    dump_writer_free(w);
}

static size_t read_memory(const Case *c, uint64_t paddr, void *buf,
                          size_t len, size_t *lost)
{
    unsigned no_memory = fuzz_faults.no_memory;
    DumpPagesReader *reader;
    size_t found;

    /* Do not inject allocation failures here. */
    fuzz_faults.no_memory = 0;
    reader = dump_pages_reader_new(c->g.pages, &error_abort);
    found = dump_pages_read(reader, paddr, buf, len, lost);
    dump_pages_reader_free(reader);
    fuzz_faults.no_memory = no_memory;
    return found;
}

/* Reads near the ends of memory give the right bytes. */
static void check_reads(const Case *c, FuzzInput *in)
{
    const GArray *pieces = c->memory.pieces;

    for (unsigned n = fuzz_u8(in) % 4; n && pieces->len; n--) {
        const FuzzPiece *p = fuzz_piece(&c->memory, fuzz_u8(in) % pieces->len);
        uint64_t paddr = (uint64_t)(fuzz_seldom(in, 2) ? p->start : p->end) +
                         (int8_t)fuzz_u8(in);
        size_t len = fuzz_u16(in) % 600;
        g_autofree uint8_t *want = g_malloc(len + 1);
        g_autofree uint8_t *got = g_malloc(len + 1);

        size_t lost, n = read_memory(c, paddr, got, len, &lost);

        FUZZ_CHECK(n + lost == fuzz_memory_read(&c->memory, paddr, want, len));
        FUZZ_CHECK(lost == fuzz_memory_lost(&c->memory, paddr, len));
        FUZZ_CHECK(!memcmp(got, want, len));
    }
}

/* Compare the runs of pages that are at least partly memory. */
static void check_pfn_runs(const Case *c)
{
    uint64_t page = c->facts.page_size;
    g_autoptr(GArray) runs = guest_ram_pfn_runs(&c->g.ram, page);
    FuzzAddr first = 0, end = 0;
    size_t n = 0;

    for (size_t i = 0; i < c->memory.pieces->len; i++) {
        const FuzzPiece *p = fuzz_piece(&c->memory, i);

        if (!i || p->start / page > end) {
            first = p->start / page;
            n++;
        }
        end = (p->end - 1) / page + 1;
        FUZZ_CHECK(n <= runs->len);
        FUZZ_CHECK(g_array_index(runs, PfnRun, n - 1).first == first);
        FUZZ_CHECK(g_array_index(runs, PfnRun, n - 1).count >= end - first);
    }
    FUZZ_CHECK(n == runs->len);
    FUZZ_CHECK(guest_ram_max_pfn(&c->g.ram, page) == end);
    FUZZ_CHECK(!n || g_array_index(runs, PfnRun, n - 1).count == end - first);
}

static int lowest_fd(void)
{
    int fd = dup(2);

    close(fd);
    return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzInput in = { data, size };
    int fd = lowest_fd();
    Case c;

    case_init(&c, &in);
    check_pfn_runs(&c);
    check_reads(&c, &in);
    plan_and_dump(&c);
    case_deinit(&c);
    fuzz_faults.fd = -1;
    FUZZ_CHECK(lowest_fd() == fd);
    return 0;
}

void fuzz_seeds(FuzzEmit *seed, FuzzEmit *word)
{
    GRand *rand = g_rand_new_with_seed(1);

    for (unsigned i = 0; i < 200; i++) {
        uint8_t in[400];

        for (size_t k = 0; k < sizeof(in); k++) {
            in[k] = g_rand_int(rand);
        }
        in[0] = i;                      /* format and codec */
        in[1] = i / 4;                  /* output */
        if (i % 2) {
            in[3] = 0;                  /* no fault */
        }
        seed(in, sizeof(in));
    }
    word("\xff\xff\xff\xff\xff\xff\xff\xff", 8);
    word("\0\xf0\xff\xff\xff\xff\xff\xff", 8);
    word("\0\0\0\x80", 4);
    word("\0\x10", 2);
    g_rand_free(rand);
}
