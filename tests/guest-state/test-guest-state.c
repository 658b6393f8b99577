/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * dump/guest-state.c with stand-ins for QEMU: the order of calls and the file's
 * contents for a target that adds sections to ELF dumps, as s390x does for
 * protected guests; guests that are refused; the memory that is included.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "elf.h"
#include "qemu-stand-in.h"
#include "guest-memory.h"
#include "guest-state.h"
#include "vmcore/sink-fd.h"
#include "writer.h"
#include "x86-cpu.h"

#define RAM_SIZE    0x5000

static struct {
    bool hooks;                 /* the target has section hooks */
    uint32_t sections;          /* number announced by the add hook */
    bool short_headers;         /* write_hdr writes one less */
    int write_result;           /* result of the write hook */
    bool notes_fail;
    GString *calls;             /* a letter for each call */
    uint8_t *ram;
    int elf_machine;
} target;

static struct {
    MachineState machine;
    MemoryRegion ram;
    DeviceMemoryState dimms;
    MemoryRegion mr[2];
    RAMBlock rb[2];
    size_t nr_blocks;           /* of RAM_SIZE each, in mr[0] and mr[1] */
} qemu;

static const char names[2][12] = { "pv_mem_meta", "pv_compl" };
static const uint64_t sizes[2] = { 0x300, 0x51 };

static void sections_add(DumpState *s)
{
    g_string_append_c(target.calls, 'a');
    g_assert_cmpuint(s->total_size, ==, qemu.nr_blocks * RAM_SIZE);
    for (uint32_t i = 0; i < target.sections; i++) {
        s->shdr_num++;
        s->elf_section_data_size += sizes[i];
    }
}

static uint64_t sections_write_hdr(DumpState *s, uint8_t *buf)
{
    uint32_t n = target.sections - target.short_headers;
    uint64_t offset = s->section_offset;
    Elf64_Shdr *shdr = (void *)buf;

    g_string_append_c(target.calls, 'h');
    for (uint32_t i = 0; i < n; i++) {
        shdr[i] = (Elf64_Shdr) {
            .sh_type = htobe32(SHT_PROGBITS),
            .sh_name = htobe32(s->string_table_buf->len),
            .sh_offset = htobe64(offset),
            .sh_size = htobe64(sizes[i]),
        };
        offset += sizes[i];
        g_array_append_vals(s->string_table_buf, names[i], sizeof(names[i]));
    }
    return n * sizeof(Elf64_Shdr);
}

static int sections_write(DumpState *s, uint8_t *buf)
{
    g_string_append_c(target.calls, 'w');
    for (uint32_t i = 0; i < target.sections; i++) {
        memset(buf, '0' + i, sizes[i]);
        buf += sizes[i];
    }
    return target.write_result;
}

static void cleanup(DumpState *s)
{
    g_string_append_c(target.calls, 'c');
}

int cpu_get_dump_info(ArchDumpInfo *info,
                      const struct GuestPhysBlockList *blocks)
{
    info->d_machine = target.elf_machine;
    info->d_endian = ELFDATA2MSB;
    info->d_class = ELFCLASS64;
    if (target.hooks) {
        info->arch_sections_add_fn = sections_add;
        info->arch_sections_write_hdr_fn = sections_write_hdr;
        info->arch_sections_write_fn = sections_write;
        info->arch_cleanup_fn = cleanup;
    }
    return 0;
}

ssize_t cpu_get_note_size(int class, int machine, int nr_cpus)
{
    return 24 * nr_cpus;
}

static CPUState cpu1 = { 1, NULL };
static CPUState cpu0 = { 0, &cpu1 };
CPUTailQ cpus = { &cpu0 };

int cpu_write_elf64_note(WriteCoreDumpFunction f, CPUState *cpu, int cpuid,
                         void *opaque)
{
    static const char note[24] = "\0\0\0\5\0\0\0\4\0\0\0\1" "CORE\0\0\0";

    g_string_append_c(target.calls, 'n');
    return target.notes_fail ? -1 : f(note, sizeof(note), opaque);
}

int cpu_write_elf64_qemunote(WriteCoreDumpFunction f, CPUState *cpu,
                             void *opaque)
{
    return 0;
}

int cpu_write_elf32_note(WriteCoreDumpFunction f, CPUState *cpu, int cpuid,
                         void *opaque)
{
    g_assert_not_reached();
}

int cpu_write_elf32_qemunote(WriteCoreDumpFunction f, CPUState *cpu,
                             void *opaque)
{
    g_assert_not_reached();
}

void x86_cpu_get_winregs(CPUState *cpu, WinDmpCpu *regs)
{
    g_assert_not_reached();
}

bool x86_cpu_get_paging(CPUState *cpu, X86Paging *paging)
{
    return false;
}

void guest_phys_blocks_init(GuestPhysBlockList *list)
{
    *list = (GuestPhysBlockList) { 0 };
}

void guest_phys_blocks_append(GuestPhysBlockList *list)
{
    static GuestPhysBlock blocks[4];

    for (size_t i = 0; i < qemu.nr_blocks; i++) {
        uint64_t at = 0x10000 + i * 2 * RAM_SIZE;

        blocks[i] = (GuestPhysBlock) {
            at, at + RAM_SIZE, target.ram, &qemu.mr[i % 2],
            i + 1 < qemu.nr_blocks ? &blocks[i + 1] : NULL,
        };
    }
    list->head.first = blocks;
    list->num = qemu.nr_blocks;
}

void guest_phys_blocks_free(GuestPhysBlockList *list)
{
    *list = (GuestPhysBlockList) { 0 };
}

void memory_mapping_list_init(MemoryMappingList *list)
{
    g_assert_not_reached();
}

void memory_mapping_list_free(MemoryMappingList *list)
{
}

bool qemu_get_guest_memory_mapping(MemoryMappingList *list,
                                   const GuestPhysBlockList *blocks,
                                   Error **errp)
{
    return false;
}

int qemu_ram_get_fd(RAMBlock *rb)
{
    return -1;
}

bool qemu_ram_is_shared(RAMBlock *rb)
{
    return false;
}

uint64_t memory_region_size(MemoryRegion *mr)
{
    return mr->size;
}

size_t qemu_target_page_size(void)
{
    return 4096;
}

VMCoreInfoState *vmcoreinfo_find(void)
{
    return NULL;
}

void *qdev_get_machine(void)
{
    return &qemu.machine;
}

void cpu_synchronize_all_states(void)
{
}

void error_prepend(Error *const *errp, const char *fmt, ...)
{
    g_assert_not_reached();
}

static void target_init(void)
{
    target.calls = g_string_new("");
    target.ram = g_malloc(RAM_SIZE);
    memset(target.ram, 0xa5, RAM_SIZE);
    target.hooks = true;
    target.sections = 2;
    target.short_headers = false;
    target.write_result = 0;
    target.notes_fail = false;
    target.elf_machine = EM_S390;
    memset(&qemu, 0, sizeof(qemu));
    qemu.nr_blocks = 1;
}

static void target_fini(void)
{
    g_string_free(target.calls, true);
    g_free(target.ram);
}

static bool write_all(GuestState *state, int fd, Error **errp)
{
    const DumpFormat format = { .kind = DUMP_KIND_ELF };
    DumpProgress progress;
    DumpSink *sink;
    DumpWriter *w;
    bool ok;

    dump_progress_init(&progress);
    w = guest_state_analyse(state, &progress, errp) ?
        dump_writer_plan(&format, &state->guest, &progress, errp) : NULL;
    if (!w) {
        close(fd);
        return false;
    }
    sink = dump_sink_fd_new(fd, &progress);
    ok = dump_writer_write(w, sink, errp);
    dump_sink_free(sink);
    dump_writer_free(w);
    return ok;
}

/* Make a dump as the job does; returns the file's bytes, NULL on error. */
static char *dump(Error **errp)
{
    GuestStateQuery query = { 0 };
    g_autofree char *path = NULL;
    GuestState *state;
    char *data = NULL;
    bool ok = false;
    int fd;

    fd = g_file_open_tmp("dump-test-XXXXXX", &path, NULL);
    g_assert_cmpint(fd, >=, 0);
    state = guest_state_new(&query, errp);
    if (state) {
        ok = write_all(state, fd, errp);
    } else {
        close(fd);
    }
    guest_state_free(state);
    if (ok) {
        g_assert_true(g_file_get_contents(path, &data, NULL, NULL));
    }
    unlink(path);
    return data;
}

static const Elf64_Shdr *section(const char *file, unsigned i)
{
    const Elf64_Ehdr *ehdr = (const void *)file;

    g_assert_cmpuint(i, <, be16toh(ehdr->e_shnum));
    return (const Elf64_Shdr *)(file + be64toh(ehdr->e_shoff)) + i;
}

static void check_section(const char *file, unsigned i)
{
    const Elf64_Ehdr *ehdr = (const void *)file;
    const Elf64_Shdr *table = section(file, be16toh(ehdr->e_shstrndx));
    const Elf64_Shdr *shdr = section(file, i + 1);

    g_assert_cmpstr(file + be64toh(table->sh_offset) + be32toh(shdr->sh_name),
                    ==, names[i]);
    g_assert_cmpuint(be64toh(shdr->sh_size), ==, sizes[i]);
    for (uint64_t at = 0; at < sizes[i]; at++) {
        g_assert_cmpint(file[be64toh(shdr->sh_offset) + at], ==, '0' + i);
    }
}

static const Elf64_Phdr *check_headers(const char *file)
{
    const Elf64_Ehdr *ehdr = (const void *)file;
    const Elf64_Phdr *phdr = (const void *)(file + sizeof(*ehdr));

    /* makedumpfile expects them here; crash, at no more than 192. */
    g_assert_cmpuint(be64toh(ehdr->e_phoff), ==, 64);
    g_assert_cmpuint(be16toh(ehdr->e_phnum), ==, 2);
    g_assert_cmpuint(be32toh(phdr[0].p_type), ==, PT_NOTE);
    g_assert_cmpuint(be64toh(phdr[0].p_filesz), ==, 2 * 24);
    g_assert_cmpuint(be32toh(phdr[1].p_type), ==, PT_LOAD);
    g_assert_cmpmem(file + be64toh(phdr[1].p_offset),
                    be64toh(phdr[1].p_filesz), target.ram, RAM_SIZE);
    return phdr;
}

static void test_sections(void)
{
    g_autofree char *file = NULL;
    const Elf64_Ehdr *ehdr;

    target_init();
    file = dump(&error_abort);
    ehdr = (const void *)file;
    check_headers(file);
    /* The null section, two of the target, the string table. */
    g_assert_cmpuint(be16toh(ehdr->e_shnum), ==, 4);
    check_section(file, 0);
    check_section(file, 1);
    /* Notes of CPUs are written after add; data is written last. */
    g_assert_cmpstr(target.calls->str, ==, "annhwc");
    target_fini();
}

/* A guest whose owner does not allow dumps: add does nothing. */
static void test_nothing_added(void)
{
    g_autofree char *file = NULL;

    target_init();
    target.sections = 0;
    file = dump(&error_abort);
    check_headers(file);
    g_assert_cmpuint(be16toh(((Elf64_Ehdr *)file)->e_shnum), ==, 0);
    g_assert_cmpstr(target.calls->str, ==, "annc");
    target_fini();
}

static void test_no_hooks(void)
{
    g_autofree char *file = NULL;

    target_init();
    target.hooks = false;
    file = dump(&error_abort);
    check_headers(file);
    g_assert_cmpstr(target.calls->str, ==, "nn");
    target_fini();
}

/* Failures after add: cleanup is called exactly once. */
static void check_failure(const char *text, const char *calls)
{
    Error *err = NULL;

    g_assert_null(dump(&err));
    g_assert_nonnull(strstr(error_get_pretty(err), text));
    error_free(err);
    g_assert_cmpstr(target.calls->str, ==, calls);
    target_fini();
}

static void test_failures(void)
{
    target_init();
    target.notes_fail = true;
    check_failure("notes of CPU 0", "anc");

    target_init();
    target.short_headers = true;
    check_failure("section headers", "annhc");

    target_init();
    target.write_result = -ENXIO;
    check_failure("the target's sections: No such device or address",
                  "annhwc");

    /* The target's result need not be a negative errno. */
    target_init();
    target.write_result = 1;
    check_failure("the target's sections: Input/output error", "annhwc");
}

static void check_readable(bool readable)
{
    GuestStateQuery query = { 0 };
    Error *err = NULL;

    g_assert_cmpint(guest_state_check(&query, &err), ==, readable);
    if (!readable) {
        g_assert_nonnull(strstr(error_get_pretty(err), "confidential guest"));
    }
    error_free(err);
}

/* A guest whose memory QEMU cannot read, or reads as ciphertext. */
static void test_confidential(void)
{
    target_init();
    target.elf_machine = EM_X86_64;
    check_readable(true);
    qemu.machine.cgs = (void *)&qemu;
    check_readable(false);
    /* On s390x memory can be dumped, or the target's hooks fail. */
    target.elf_machine = EM_S390;
    check_readable(true);
    target_fini();

    target_init();
    target.elf_machine = EM_X86_64;
    qemu.nr_blocks = 3;
    qemu.mr[1].ram_block = &qemu.rb[1];
    check_readable(true);
    qemu.rb[1].flags = RAM_GUEST_MEMFD;
    check_readable(false);
    target_fini();
}

/*
 * Four blocks, in mr[0], mr[1], mr[0] and mr[1]: check how many of them a dump
 * that ends with RAM includes.
 */
static void check_ends_with_ram(size_t expected)
{
    DumpReport report;
    GuestStateQuery query = { .ends_with_ram = true, .report = &report };
    GuestState *state;

    dump_report_init(&report);
    target.hooks = false;
    qemu.nr_blocks = 4;
    g_assert_cmpuint(guest_memory_bytes(&query), ==, expected * RAM_SIZE);
    g_assert_cmpuint(dump_report_left_out(&report), ==, 0);
    state = guest_state_new(&query, &error_abort);
    g_assert_cmpuint(state->guest.ram.bytes, ==, expected * RAM_SIZE);
    g_assert_cmpuint(state->guest.all.bytes, ==, 4 * RAM_SIZE);
    g_assert_cmpuint(dump_report_left_out(&report), ==,
                     (4 - expected) * RAM_SIZE);
    guest_state_free(state);
    query.ends_with_ram = false;
    g_assert_cmpuint(guest_memory_bytes(&query), ==, 4 * RAM_SIZE);
    dump_report_deinit(&report);
}

static void test_ends_with_ram(void)
{
    target_init();
    /* No block is recognized as RAM. */
    check_ends_with_ram(4);
    /* The fourth block is device memory; the second is below RAM. */
    qemu.machine.ram = &qemu.mr[0];
    check_ends_with_ram(3);
    /* The backend of a NUMA node; then one that is the last block. */
    qemu.machine.ram = &qemu.ram;
    qemu.mr[0].container = &qemu.ram;
    check_ends_with_ram(3);
    qemu.mr[0].container = NULL;
    qemu.mr[1].container = &qemu.ram;
    check_ends_with_ram(4);
    target_fini();
}

/* Blocks in the range for memory devices are RAM. */
static void test_memory_devices(void)
{
    target_init();
    qemu.machine.ram = &qemu.mr[0];
    qemu.machine.device_memory = &qemu.dimms;
    check_ends_with_ram(3);
    qemu.dimms.base = 0x10000 + 5 * RAM_SIZE;
    qemu.dimms.mr.size = RAM_SIZE;
    check_ends_with_ram(3);
    qemu.dimms.mr.size++;
    check_ends_with_ram(4);
    qemu.dimms.base += 2 * RAM_SIZE;
    check_ends_with_ram(3);
    target_fini();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dump/guest-state/sections", test_sections);
    g_test_add_func("/dump/guest-state/nothing-added", test_nothing_added);
    g_test_add_func("/dump/guest-state/no-hooks", test_no_hooks);
    g_test_add_func("/dump/guest-state/failures", test_failures);
    g_test_add_func("/dump/guest-state/confidential", test_confidential);
    g_test_add_func("/dump/guest-state/ends-with-ram", test_ends_with_ram);
    g_test_add_func("/dump/guest-state/memory-devices", test_memory_devices);
    return g_test_run();
}
