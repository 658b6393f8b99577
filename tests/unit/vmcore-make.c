/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Write a dump of generated memory, for tests/engine/ to read back:
 *
 *   vmcore-make out=FILE ram=FILE [key=value...]
 *
 * run=PADDR:SIZE (repeatable) adds memory. Its contents are written to the
 * ram file, run after run in the order given. See options[] below for
 * the other keys. Exit code 1 and the error on standard error if the dump
 * fails.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "elf-notes.h"
#include "sink-fd.h"
#include "sink-flat.h"
#include "sink-stream.h"
#include "kdump-format.h"
#include "writer.h"

typedef struct Options {
    const char *out, *ram;
    uint64_t class, be, machine, page, kdump, codec, flat, threads, maps;
    uint64_t stream, sections;
    const char *vmcoreinfo;
} Options;

static Options o = {
    .class = 64, .machine = EM_X86_64, .page = 4096, .threads = 2,
};

static const struct {
    const char *name;
    uint64_t *number;
    const char **text;
} options[] = {
    { "out", NULL, &o.out },
    { "ram", NULL, &o.ram },
    { "class", &o.class },
    { "be", &o.be },
    { "machine", &o.machine },
    { "page", &o.page },
    { "kdump", &o.kdump },
    { "codec", &o.codec },
    { "flat", &o.flat },
    { "threads", &o.threads },
    { "maps", &o.maps },            /* mappings of the first page */
    { "stream", &o.stream },        /* write to a stream */
    { "sections", &o.sections },    /* sections of the target */
    { "vmcoreinfo", NULL, &o.vmcoreinfo },
};

static GPtrArray *hosts;        /* memory of all runs */

static void fail(const char *what)
{
    fprintf(stderr, "vmcore-make: %s\n", what);
    exit(2);
}

static void fill(uint8_t *p, uint64_t size, uint64_t seed)
{
    GRand *r = g_rand_new_with_seed(seed);

    for (uint64_t at = 0; at < size; at += 512) {
        uint64_t n = MIN(512, size - at);
        /* Mostly whole pages of one kind, so that there are zero pages. */
        int kind = (seed + at / 8192) % 4;

        if (kind == 1) {
            memset(p + at, 'a' + at / 512 % 20, n);
        } else if (kind == 2) {
            for (uint64_t i = 0; i < n; i++) {
                p[at + i] = g_rand_int(r);
            }
        } else if (kind == 3 && at % 8192 == 0) {
            p[at] = 1;
        }
    }
    g_rand_free(r);
}

static void add_run(GuestRam *ram, GByteArray *saved, const char *spec)
{
    char *end;
    uint64_t paddr = g_ascii_strtoull(spec, &end, 0);
    uint64_t size = g_ascii_strtoull(end + 1, NULL, 0);
    uint8_t *host = g_malloc0(size);

    g_ptr_array_add(hosts, host);
    fill(host, size, paddr / 4096 + size);
    guest_ram_add(ram, paddr, size, host);
    g_byte_array_append(saved, host, size);
}

static void parse(int argc, char **argv, GuestRam *ram, GByteArray *saved)
{
    for (int i = 1; i < argc; i++) {
        char *value = strchr(argv[i], '=');
        size_t k;

        if (!value) {
            fail(argv[i]);
        }
        *value++ = '\0';
        if (!strcmp(argv[i], "run")) {
            add_run(ram, saved, value);
            continue;
        }
        for (k = 0; k < ARRAY_SIZE(options); k++) {
            if (!strcmp(argv[i], options[k].name)) {
                break;
            }
        }
        if (k == ARRAY_SIZE(options)) {
            fail(argv[i]);
        }
        if (options[k].number) {
            *options[k].number = g_ascii_strtoull(value, NULL, 0);
        } else {
            *options[k].text = value;
        }
    }
}

/* Sections like those of a target, with two bytes of data each. */
static bool section_headers(void *opaque, uint64_t data_offset,
                            GArray *names, uint8_t *buf, size_t len)
{
    const DumpGuest *guest = opaque;
    size_t size = guest->abi.elf_class == ELFCLASS64 ? 64 : 40;
    size_t word = size == 64 ? 8 : 4;

    for (uint64_t i = 0; i < o.sections; i++) {
        g_autofree char *name = g_strdup_printf("extra%" PRIu64, i);
        uint8_t *s = buf + i * size;

        dump_put32(&guest->abi, s, names->len);
        dump_put32(&guest->abi, s + 4, SHT_PROGBITS);
        if (word == 8) {
            dump_put64(&guest->abi, s + 24, data_offset + 2 * i);
            dump_put64(&guest->abi, s + 32, 2);
        } else {
            dump_put32(&guest->abi, s + 16, data_offset + 2 * i);
            dump_put32(&guest->abi, s + 20, 2);
        }
        g_array_append_vals(names, name, strlen(name) + 1);
    }
    return len == o.sections * size;
}

static bool section_data(void *opaque, uint8_t *buf, size_t len,
                         Error **errp)
{
    for (size_t i = 0; i < len; i++) {
        buf[i] = '0' + i;
    }
    return true;
}

static void describe(DumpGuest *guest, DumpExtraSections *extra)
{
    guest->abi = (DumpAbi) {
        .elf_class = o.class == 64 ? ELFCLASS64 : ELFCLASS32,
        .elf_data = o.be ? ELFDATA2MSB : ELFDATA2LSB,
        .elf_machine = o.machine,
    };
    guest->page_size = o.page;
    guest->phys_base = -4096;
    guest->nr_cpus = 3;
    guest->time_sec = 1700000000;
    guest->time_usec = 123456;
    g_strlcpy(guest->uts.machine, kdump_machine_name(&guest->abi) ?: "?",
              LINUX_UTS_LEN);
    for (unsigned i = 0; i < guest->nr_cpus; i++) {
        elf_note_append(guest->notes, &guest->abi, "CORE", NT_PRSTATUS,
                        "registers", 9);
    }
    if (o.vmcoreinfo) {
        guest->vmcoreinfo_pos = guest->notes->len + 12 + 12;
        guest->vmcoreinfo_size = strlen(o.vmcoreinfo);
        elf_note_append(guest->notes, &guest->abi, "VMCOREINFO", 0,
                        o.vmcoreinfo, strlen(o.vmcoreinfo));
    }
    if (o.sections) {
        *extra = (DumpExtraSections) {
            .count = o.sections, .data_size = 2 * o.sections, .opaque = guest,
            .headers = section_headers, .data = section_data,
        };
        guest->extra = extra;
    }
}

static void add_mappings(DumpGuest *guest)
{
    const GuestRamRun *run = guest_ram_run(&guest->ram, 0);

    guest->mappings = g_array_new(false, false, sizeof(DumpMapping));
    for (uint64_t i = 0; i < o.maps; i++) {
        /* Each extends beyond the run: only RAM must be included. */
        DumpMapping m = {
            .paddr = run->paddr + run->size - MIN(run->size, o.page),
            .vaddr = 0xc0000000 + i * o.page * 2,
            .size = o.page * 2,
        };
        g_array_append_val(guest->mappings, m);
    }
}

static bool dump(const DumpGuest *guest, Error **errp)
{
    DumpFormat format = {
        .kind = o.kdump ? DUMP_KIND_KDUMP : DUMP_KIND_ELF,
        .codec = o.codec, .flat = o.flat, .threads = o.threads,
    };
    DumpProgress progress;
    DumpWriter *w;
    DumpSink *sink;
    bool ok;
    int fd;

    if (!dump_writer_available(&format)) {
        error_setg(errp, "format not available");
        return false;
    }
    dump_progress_init(&progress);
    w = dump_writer_plan(&format, guest, &progress, errp);
    if (!w) {
        return false;
    }
    fd = open(o.out, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    sink = o.stream ? dump_sink_stream_new(fd, &progress) :
                      dump_sink_fd_new(fd, &progress);
    if (o.flat) {
        sink = dump_sink_flat_new(sink);
    }
    ok = dump_writer_write(w, sink, errp);
    if (ok && !o.flat) {
        struct stat st;

        g_assert_cmpint(stat(o.out, &st), ==, 0);
        g_assert_cmpint(st.st_size, ==, dump_layout_end(w->layout));
    }
    if (ok) {
        g_assert_cmpuint(dump_progress_completed(&progress), ==,
                         dump_progress_total(&progress));
    }
    dump_writer_free(w);
    dump_sink_free(sink);
    return ok;
}

int main(int argc, char **argv)
{
    g_autoptr(GByteArray) saved = g_byte_array_new();
    DumpExtraSections extra;
    DumpGuest guest;
    Error *err = NULL;
    bool ok;

    hosts = g_ptr_array_new_with_free_func(g_free);
    dump_guest_init(&guest);
    parse(argc, argv, &guest.all, saved);
    if (!o.out || !o.ram ||
        !g_file_set_contents(o.ram, (char *)saved->data, saved->len, NULL)) {
        fail("out= and ram= are needed");
    }
    dump_guest_seal(&guest, 0, 0);
    describe(&guest, &extra);
    if (o.maps) {
        add_mappings(&guest);
    }
    ok = dump(&guest, &err);
    if (!ok) {
        fprintf(stderr, "%s\n", error_get_pretty(err));
        error_free(err);
    }
    dump_guest_deinit(&guest);
    g_ptr_array_unref(hosts);
    return !ok;
}
