/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Detects memory that was never written to; see the header.
 */

#include "qemu/osdep.h"
#ifdef CONFIG_LINUX
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <linux/magic.h>
#endif
#include "qemu/units.h"
#include "untouched.h"

/* Entries of /proc/self/pagemap read at once: a page of them. */
#define PAGEMAP_BATCH   512

/* Bytes of a file that are treated as data if the first byte is data. */
#define FILE_GRAIN      (64 * KiB)

/* The same when data is counted; and how often, if it grows meanwhile. */
#define COUNT_GRAIN     (2 * MiB)
#define COUNT_TRIES     3

/* Maximum number of bytes of one scan, as the kernel holds locks meanwhile. */
#define SCAN_BYTES      GiB

#define PAGEMAP_PRESENT (1ULL << 63)
#define PAGEMAP_SWAPPED (1ULL << 62)
#define PAGEMAP_UFFD_WP (1ULL << 57)

#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif
#ifndef HUGETLBFS_MAGIC
#define HUGETLBFS_MAGIC 0x958458f6
#endif
#ifndef BTRFS_SUPER_MAGIC
#define BTRFS_SUPER_MAGIC 0x9123683e
#endif

/*
 * Linux's PAGEMAP_SCAN, declared here since the headers used for the build may
 * be older than the running kernel.
 */
typedef struct ScanRegion {
    uint64_t start, end;        /* addresses */
    uint64_t categories;        /* SCAN_* */
} ScanRegion;

typedef struct ScanArg {
    uint64_t size;              /* of this structure */
    uint64_t flags;
    uint64_t start, end;        /* addresses to scan, whole pages */
    uint64_t walk_end;          /* on return: where the scan ended */
    uint64_t vec;               /* address of vec_len regions */
    uint64_t vec_len;
    uint64_t max_pages;         /* maximum to find; 0: all */
    uint64_t category_inverted;
    uint64_t category_mask;
    uint64_t category_anyof_mask;
    uint64_t return_mask;
} ScanArg;

#define SCAN_IOCTL      _IOWR('f', 16, ScanArg)
#define SCAN_PRESENT    (1ULL << 3)
#define SCAN_SWAPPED    (1ULL << 4)

struct DumpUntouched {
    int pagemap;                /* -1 if not available */
    size_t page;                /* bytes of a host page */
    bool no_scan;               /* do not use PAGEMAP_SCAN */
};

/* -1, or opened by dump_untouched_prepare. */
static int untouched_pagemap = -1;

#ifdef CONFIG_LINUX

static int open_pagemap(void)
{
    return open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
}

static int dup_pagemap(int fd)
{
    return fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

/* Read up to @n entries from page number @first on; returns their number. */
static uint64_t read_pagemap(const DumpUntouched *u, uint64_t first,
                             uint64_t *entries, uint64_t n)
{
    ssize_t got = pread(u->pagemap, entries, n * sizeof(*entries),
                        first * sizeof(*entries));

    return got > 0 ? got / sizeof(*entries) : 0;
}

#else

static int open_pagemap(void)
{
    return -1;
}

static int dup_pagemap(int fd)
{
    return -1;
}

static uint64_t read_pagemap(const DumpUntouched *u, uint64_t first,
                             uint64_t *entries, uint64_t n)
{
    return 0;
}

#endif

void dump_untouched_prepare(void)
{
    untouched_pagemap = open_pagemap();
}

DumpUntouched *dump_untouched_new(void)
{
    DumpUntouched *u = g_new0(DumpUntouched, 1);

    u->page = qemu_real_host_page_size();
    u->pagemap = untouched_pagemap >= 0 ?
                 dup_pagemap(untouched_pagemap) : open_pagemap();
    return u;
}

void dump_untouched_free(DumpUntouched *u)
{
    if (u) {
        if (u->pagemap >= 0) {
            close(u->pagemap);
        }
        g_free(u);
    }
}

bool dump_untouched_trusts_fd(int fd)
{
#ifdef CONFIG_LINUX
    struct statfs st;

    if (fstatfs(fd, &st) < 0) {
        return false;
    }
    switch ((uint32_t)st.f_type) {
    case TMPFS_MAGIC:
    case EXT4_SUPER_MAGIC:      /* ext2 and ext3 too */
    case XFS_SUPER_MAGIC:
    case BTRFS_SUPER_MAGIC:
        return true;
    }
#endif
    return false;
}

/* The number of pages, and bytes of a page, of a file on hugetlbfs. */
static bool huge_file(int fd, uint64_t *pages, uint64_t *page)
{
#ifdef CONFIG_LINUX
    struct statfs fs;
    struct stat st;

    if (fstatfs(fd, &fs) == 0 && (uint32_t)fs.f_type == HUGETLBFS_MAGIC &&
        fstat(fd, &st) == 0 && fs.f_bsize >= 512) {
        *page = fs.f_bsize;
        *pages = st.st_blocks / (fs.f_bsize / 512);
        return true;
    }
#endif
    return false;
}

bool dump_untouched_is_huge(int fd)
{
    uint64_t pages, page;

    return huge_file(fd, &pages, &page);
}

bool dump_untouched_maps_all(const DumpUntouched *u, int fd,
                             const uint8_t *host, uint64_t len, bool shared)
{
    uint64_t pages, page, mapped = 0;

    if (!u || u->pagemap < 0 || !huge_file(fd, &pages, &page)) {
        return false;
    }
    if (!shared) {
        return pages == 0;
    }
    for (uint64_t at = 0; at < len; at += page) {
        uint64_t entry;
        uint64_t index = ((uintptr_t)host + at) / u->page;

        if (read_pagemap(u, index, &entry, 1) != 1) {
            return false;
        }
        mapped += !!(entry & PAGEMAP_PRESENT);
    }
    return mapped == pages;
}

static bool entry_untouched(uint64_t entry)
{
    return !(entry & (PAGEMAP_PRESENT | PAGEMAP_SWAPPED));
}

static bool entry_mapped(uint64_t entry)
{
    return entry & PAGEMAP_PRESENT;
}

static bool entry_protected(uint64_t entry)
{
    return entry & PAGEMAP_UFFD_WP;
}

/*
 * Returns the result of @test for the page at @host, and in *@len the number of
 * bytes with the same result; false if there is no pagemap.
 */
static bool probe_pagemap(const DumpUntouched *u, const uint8_t *host,
                          bool (*test)(uint64_t entry), uint64_t *len)
{
    uint64_t entries[PAGEMAP_BATCH];
    uint64_t first = (uintptr_t)host / u->page;
    uint64_t inside = (uintptr_t)host % u->page;
    uint64_t want = MIN((inside + *len + u->page - 1) / u->page,
                        PAGEMAP_BATCH);
    uint64_t n = 1, got;
    bool answer;

    if (u->pagemap < 0) {
        return false;
    }
    got = read_pagemap(u, first, entries, want);
    if (!got) {
        return false;
    }
    answer = test(entries[0]);
    while (n < got && test(entries[n]) == answer) {
        n++;
    }
    *len = MIN(*len, n * u->page - inside);
    return answer;
}

/*
 * pagemap does not show huge pages that are being migrated or have a memory
 * error; mincore() does.
 */
static bool huge_pages_absent(const DumpUntouched *u, const uint8_t *host,
                              uint64_t *len)
{
#ifdef CONFIG_LINUX
    unsigned char in_core[PAGEMAP_BATCH];
    uint64_t inside = (uintptr_t)host % u->page;
    uint64_t n = MIN((inside + *len + u->page - 1) / u->page, PAGEMAP_BATCH);

    *len = MIN(*len, n * u->page - inside);
    if (mincore((void *)(host - inside), n * u->page, in_core) < 0) {
        return false;
    }
    for (uint64_t i = 0; i < n; i++) {
        if (in_core[i] & 1) {
            return false;
        }
    }
    return true;
#else
    return false;
#endif
}

bool dump_untouched_sees_moving(const DumpUntouched *u, const uint8_t *host,
                                uint64_t len)
{
    for (uint64_t at = 0, n; at < len; at += n) {
        n = len - at;
        if (probe_pagemap(u, host + at, entry_untouched, &n)) {
            return huge_pages_absent(u, host + at, &n);
        }
    }
    return true;
}

bool dump_untouched_mapped(const DumpUntouched *u, const uint8_t *host,
                           uint64_t *len)
{
    return u && probe_pagemap(u, host, entry_mapped, len);
}

bool dump_untouched_absent(const DumpUntouched *u, const uint8_t *host,
                           uint64_t *len)
{
    return u && probe_pagemap(u, host, entry_untouched, len);
}

bool dump_untouched_protected(const DumpUntouched *u, const uint8_t *host,
                              uint64_t *len)
{
    return u && probe_pagemap(u, host, entry_protected, len);
}

/*
 * Set *@ahead to how many of the @len bytes (whole pages) at @host precede the
 * first page that is present or in swap. False if this kernel lacks the ioctl.
 */
static bool scan_ahead(const DumpUntouched *u, uintptr_t host, uint64_t len,
                       uint64_t *ahead)
{
#ifdef CONFIG_LINUX
    for (*ahead = 0; *ahead < len; ) {
        uint64_t n = MIN(len - *ahead, SCAN_BYTES);
        /* Initialized for tools that do not know this ioctl. */
        ScanRegion region = { 0 };
        ScanArg arg = {
            .size = sizeof(arg),
            .start = host + *ahead,
            .end = host + *ahead + n,
            .vec = (uintptr_t)&region,
            .vec_len = 1,
            .max_pages = 1,
            .category_anyof_mask = SCAN_PRESENT | SCAN_SWAPPED,
            .return_mask = SCAN_PRESENT | SCAN_SWAPPED,
        };
        int found = ioctl(u->pagemap, SCAN_IOCTL, &arg);

        if (found < 0) {
            return false;
        }
        if (found) {
            *ahead = region.start - host;
            return true;
        }
        *ahead += n;
    }
    return true;
#else
    return false;
#endif
}

/* The same for any address and length, also on older kernels. */
static uint64_t absent_ahead(const DumpUntouched *u, const uint8_t *host,
                             uint64_t len)
{
    uint64_t inside = (uintptr_t)host % u->page;
    uint64_t ahead, n = u->page, step = n;

    if (u->pagemap < 0) {
        return 0;
    }
    if (!u->no_scan && scan_ahead(u, (uintptr_t)host - inside,
                                  ROUND_UP(inside + len, u->page), &ahead)) {
        return ahead > inside ? MIN(ahead - inside, len) : 0;
    }
    /* Start with one page, which is often enough. */
    for (ahead = 0; ahead < len && n == step; ahead += n) {
        step = MIN(len - ahead, ahead ? PAGEMAP_BATCH * u->page : u->page);
        n = step;
        if (!probe_pagemap(u, host + ahead, entry_untouched, &n)) {
            break;
        }
    }
    return ahead;
}

/* Is there a hole at @offset? Reduces *@len to the size of the hole. */
static bool file_hole(int fd, uint64_t offset, uint64_t *len)
{
#ifdef SEEK_DATA
    off_t data = lseek(fd, offset, SEEK_DATA);
    struct stat st;

    if (data < 0 && errno == ENXIO && fstat(fd, &st) == 0) {
        data = st.st_size;      /* no data from here to the end */
    }
    if (data > 0 && data > offset) {
        *len = MIN(*len, data - offset);
        return true;
    }
#endif
    return false;
}

/*
 * SEEK_HOLE is not used to find the end of data, as it walks all of a file
 * without holes each time; the file is checked every @grain bytes instead.
 * Memory beyond the end of a truncated file is not a hole: it is lost.
 */
bool dump_untouched_hole(int fd, uint64_t offset, uint64_t grain,
                         uint64_t *len)
{
    uint64_t at, n = 1;

    if (file_hole(fd, offset, len)) {
        return true;
    }
    for (at = grain; at < *len; at += grain) {
        if (file_hole(fd, offset + at, &n)) {
            break;
        }
    }
    *len = MIN(*len, at);
    return false;
}

#ifdef CONFIG_LINUX
/*
 * Number of the @len bytes at @host, whole pages, for which the file has data
 * in memory. Unlike lseek(), mincore() is limited to a range.
 */
static uint64_t bytes_in_core(const uint8_t *host, uint64_t len)
{
    size_t page = qemu_real_host_page_size();
    unsigned char in_core[PAGEMAP_BATCH];
    uint64_t found = 0;

    for (uint64_t at = 0, n; at < len; at += n) {
        n = MIN(len - at, PAGEMAP_BATCH * page);
        if (mincore((void *)(host + at), n, in_core) < 0) {
            return 0;
        }
        for (uint64_t i = 0; i < n / page; i++) {
            found += in_core[i] & 1 ? page : 0;
        }
    }
    return found;
}

/*
 * Number of bytes of data in memory that is mapped from a file. 0 if not known:
 * mincore() reports all pages if this process may not write to the file.
 */
static uint64_t bytes_of_data(int fd, uint64_t offset, const uint8_t *host,
                              uint64_t len)
{
    size_t page = qemu_real_host_page_size();
    uint64_t found = 0;

    for (uint64_t at = 0, n; at < len; at += n) {
        n = len - at;
        if (!dump_untouched_hole(fd, offset + at, COUNT_GRAIN, &n)) {
            n = ROUND_UP(n, page);
            found += bytes_in_core(host + at, n);
            continue;
        }
        if (bytes_in_core(host + at, page)) {
            return 0;
        }
        n = MAX(QEMU_ALIGN_DOWN(n, page), page);
    }
    return found;
}

static uint64_t bytes_of_file(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 ? st.st_blocks * UINT64_C(512) : UINT64_MAX;
}
#endif

bool dump_untouched_allocated(int fd, uint64_t offset, const uint8_t *host,
                              uint64_t len)
{
#ifdef CONFIG_LINUX
    for (unsigned tries = 0; tries < COUNT_TRIES; tries++) {
        uint64_t before = bytes_of_file(fd);
        uint64_t data = before < len ? bytes_of_data(fd, offset, host, len) :
                                       0;

        if (before > data) {
            return true;
        }
        if (bytes_of_file(fd) <= data) {
            return false;
        }
    }
#endif
    return true;
}

static bool probe_file(int fd, uint64_t offset, uint64_t *len)
{
    return dump_untouched_hole(fd, offset, FILE_GRAIN, len);
}

bool dump_untouched_probe(const DumpUntouched *u, const GuestRam *ram,
                          uint64_t paddr, uint64_t *len)
{
    const GuestRamRun *run = guest_ram_run_at(ram, paddr);
    uint64_t at;

    if (!u || !run) {
        return false;
    }
    at = paddr - run->paddr;
    *len = MIN(*len, run->size - at);
    switch (run->backing) {
    case GUEST_RAM_ANON:
        return probe_pagemap(u, run->host + at, entry_untouched, len);
    case GUEST_RAM_SHARED_FILE:
        return probe_file(run->fd, run->fd_offset + at, len);
    case GUEST_RAM_PRIVATE_FILE:
        return probe_file(run->fd, run->fd_offset + at, len) &&
               probe_pagemap(u, run->host + at, entry_untouched, len);
    case GUEST_RAM_HUGE:
        return probe_pagemap(u, run->host + at, entry_untouched, len) &&
               huge_pages_absent(u, run->host + at, len);
    default:
        return false;
    }
}

/* The same by repeated probes. */
static uint64_t probe_ahead(const DumpUntouched *u, const GuestRam *ram,
                            uint64_t paddr, uint64_t len)
{
    uint64_t ahead = 0, n;

    while (ahead < len) {
        n = len - ahead;
        if (!dump_untouched_probe(u, ram, paddr + ahead, &n)) {
            break;
        }
        ahead += n;
    }
    return ahead;
}

uint64_t dump_untouched_ahead(const DumpUntouched *u, const GuestRam *ram,
                              uint64_t paddr, uint64_t len)
{
    const GuestRamRun *run = guest_ram_run_at(ram, paddr);
    uint64_t at;

    if (!u || !run) {
        return 0;
    }
    at = paddr - run->paddr;
    len = MIN(len, run->size - at);
    switch (run->backing) {
    case GUEST_RAM_ANON:
        return absent_ahead(u, run->host + at, len);
    case GUEST_RAM_SHARED_FILE:
        return file_hole(run->fd, run->fd_offset + at, &len) ? len : 0;
    case GUEST_RAM_PRIVATE_FILE:
        return file_hole(run->fd, run->fd_offset + at, &len) ?
               absent_ahead(u, run->host + at, len) : 0;
    default:
        return probe_ahead(u, ram, paddr, len);
    }
}

void dump_untouched_set_no_scan(DumpUntouched *u)
{
    u->no_scan = true;
}
