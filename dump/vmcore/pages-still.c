/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Current contents of guest memory. Memory of a stopped guest is read where it
 * is mapped; of that of a running guest, the kernel makes a copy.
 *
 * Access to memory that the kernel cannot provide (memory error, truncated
 * backing file, exhausted huge page pool or file system) raises a signal that
 * kills QEMU. So memory is read only if /proc/self/pagemap says that it is
 * present; otherwise the kernel is asked to populate the page tables first,
 * which fails with an error instead.
 *
 * Populating every page would cost a fifth of the time of an ELF core; pagemap
 * is read anyway, or costs a tenth of that.
 *
 * Not detected: memory that is removed between the check and the access, some
 * microseconds later, and mprotect() after dump_pages_still_new.
 *
 * Sources: madvise(2), process_vm_readv(2), proc(5).
 */

#include "qemu/osdep.h"
#ifdef CONFIG_LINUX
#include <sys/mman.h>
#include <sys/uio.h>
#endif
#include "qapi/error.h"
#include "qemu/compiler.h"
#include "qemu/units.h"
#include "pages.h"
#include "spare.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ  22
#endif

/* Maximum number of bytes that DUMP_PAGES_COPY copies at a time. */
#define STILL_COPY_SIZE     (64 * KiB)

/* Maximum number of host pages, of 4 KiB or more, that contain them. */
#define STILL_COPY_IOV      (STILL_COPY_SIZE / 4096 + 1)

/* Host addresses from start to last, inclusive. */
typedef struct HostRange {
    uintptr_t start, last;
} HostRange;

typedef struct StillPages {
    DumpPages parent;
    const GuestRam *ram;
    const DumpUntouched *untouched;
    DumpPagesMethod method;
    size_t page;                /* bytes of a host page */
    GArray *guarded;            /* HostRange: mapped without PROT_READ */
} StillPages;

typedef struct StillReader {
    DumpPagesReader parent;
    /* For DUMP_PAGES_COPY, which may copy less than was probed: */
    uint8_t *copy;              /* STILL_COPY_SIZE bytes */
    uint64_t touched, touched_end;      /* result of the last probe */
} StillReader;

static bool still_can_populate(size_t page)
{
#ifdef CONFIG_LINUX
    uint8_t here = 1;
    void *at = (void *)QEMU_ALIGN_DOWN((uintptr_t)&here, page);

    return madvise(at, page, MADV_POPULATE_READ) == 0;
#else
    return false;
#endif
}

static bool still_can_copy(void)
{
#ifdef CONFIG_LINUX
    uint8_t here = 1, byte;
    struct iovec from = { .iov_base = &here, .iov_len = 1 };
    struct iovec to = { .iov_base = &byte, .iov_len = 1 };

    return process_vm_readv(getpid(), &to, 1, &from, 1, 0) == 1;
#else
    return false;
#endif
}

static DumpPagesMethod still_best_method(size_t page)
{
    return still_can_populate(page) ? DUMP_PAGES_POPULATE :
           still_can_copy() ? DUMP_PAGES_COPY : DUMP_PAGES_TRUST;
}

#ifdef CONFIG_LINUX
static bool ram_has_host(const GuestRam *ram, const HostRange *range)
{
    for (size_t i = 0; i < guest_ram_nr_runs(ram); i++) {
        const GuestRamRun *run = guest_ram_run(ram, i);
        uintptr_t start = (uintptr_t)run->host;

        if (start <= range->last && range->start <= start + (run->size - 1)) {
            return true;
        }
    }
    return false;
}
#endif

/*
 * Find guest memory mapped without PROT_READ, for example by a debugger.
 * pagemap does not show that.
 */
static GArray *still_find_guarded(const GuestRam *ram)
{
    GArray *guarded = g_array_new(false, false, sizeof(HostRange));
#ifdef CONFIG_LINUX
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512];

    while (maps && fgets(line, sizeof(line), maps)) {
        HostRange range;
        char readable;

        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %c", &range.start,
                   &range.last, &readable) == 3 && readable == '-') {
            range.last--;
            if (ram_has_host(ram, &range)) {
                g_array_append_val(guarded, range);
            }
        }
    }
    if (maps) {
        fclose(maps);
    }
#endif
    return guarded;
}

/* Are all @len bytes at @host mapped with PROT_READ? */
static bool still_may_read(const StillPages *s, const uint8_t *host,
                           uint64_t len)
{
    uintptr_t start = (uintptr_t)host;

    for (guint i = 0; i < s->guarded->len; i++) {
        const HostRange *r = &g_array_index(s->guarded, HostRange, i);

        if (r->start <= start + (len - 1) && start <= r->last) {
            return false;
        }
    }
    return true;
}

bool dump_pages_populate(const uint8_t *host, uint64_t len)
{
#ifdef CONFIG_LINUX
    size_t page = qemu_real_host_page_size();
    uintptr_t start = QEMU_ALIGN_DOWN((uintptr_t)host, page);
    uintptr_t end = QEMU_ALIGN_UP((uintptr_t)host + len, page);
    int ret;

    do {
        ret = madvise((void *)start, end - start, MADV_POPULATE_READ);
    } while (ret < 0 && (errno == EINTR || errno == EAGAIN));
    return ret == 0;
#else
    return true;
#endif
}

/* Number of bytes from @host to the end of the host page, at most @len. */
static uint64_t still_page_rest(const StillPages *s, const uint8_t *host,
                                uint64_t len)
{
    return MIN(len, s->page - (uintptr_t)host % s->page);
}

/*
 * Populate page by page. Returns whether the first page can be read, and in
 * *@len the number of bytes with the same result.
 */
static bool still_populate_some(const StillPages *s, const uint8_t *host,
                                uint64_t *len)
{
    uint64_t n = still_page_rest(s, host, *len);
    bool ok = dump_pages_populate(host, n);

    while (n < *len) {
        uint64_t more = still_page_rest(s, host + n, *len - n);

        if (dump_pages_populate(host + n, more) != ok) {
            break;
        }
        n += more;
    }
    *len = n;
    return ok;
}

/* Can the memory at @host be read? Reduces *@len to what the result is for. */
static bool still_readable(const StillPages *s, const uint8_t *host,
                           uint64_t *len)
{
    bool trust_pagemap = still_may_read(s, host, *len);

    for (uint64_t done = 0; done < *len; ) {
        uint64_t n = *len - done;
        bool ok;

        if (trust_pagemap &&
            dump_untouched_mapped(s->untouched, host + done, &n)) {
            done += n;
            continue;
        }
        if (dump_pages_populate(host + done, n)) {
            done += n;
            continue;
        }
        ok = still_populate_some(s, host + done, &n);
        if (!ok && done) {
            *len = done;        /* report the readable part first */
            return true;
        }
        if (!ok) {
            *len = n;
            return false;
        }
        done += n;
    }
    return true;
}

#ifdef CONFIG_LINUX
/*
 * Fill @iov with an element for each host page, as process_vm_readv may not
 * copy elements in part. Returns their number.
 */
static unsigned still_copy_iov(const StillPages *s, const uint8_t *host,
                               uint64_t len, struct iovec iov[STILL_COPY_IOV])
{
    unsigned n = 0;

    for (uint64_t at = 0; at < len; n++) {
        assert(n < STILL_COPY_IOV);
        iov[n].iov_base = (void *)(host + at);
        iov[n].iov_len = still_page_rest(s, host + at, len - at);
        at += iov[n].iov_len;
    }
    return n;
}
#endif

static DumpPagesKind still_get_copy(const StillReader *r, const uint8_t *host,
                                    uint64_t *len, const uint8_t **bytes)
{
#ifdef CONFIG_LINUX
    const StillPages *s = container_of(r->parent.pages, StillPages, parent);
    struct iovec to = { .iov_base = r->copy,
                        .iov_len = MIN(*len, STILL_COPY_SIZE) };
    struct iovec from[STILL_COPY_IOV];
    ssize_t n = process_vm_readv(getpid(), &to, 1, from,
                                 still_copy_iov(s, host, to.iov_len, from),
                                 0);

    if (n <= 0) {
        *len = still_page_rest(s, host, *len);
        return DUMP_PAGES_LOST;
    }
    *len = n;
    *bytes = r->copy;
    return DUMP_PAGES_DATA;
#else
    g_assert_not_reached();
#endif
}

/* Like dump_untouched_probe, but uses the result of the last probe. */
static bool still_probe(StillReader *r, uint64_t paddr, uint64_t *len)
{
    const StillPages *s = container_of(r->parent.pages, StillPages, parent);

    if (paddr >= r->touched && paddr < r->touched_end) {
        *len = MIN(*len, r->touched_end - paddr);
        return false;
    }
    if (dump_untouched_probe(s->untouched, s->ram, paddr, len)) {
        return true;
    }
    if (s->method == DUMP_PAGES_COPY) {
        r->touched = paddr;
        r->touched_end = paddr + *len;
    }
    return false;
}

static DumpPagesKind still_get(DumpPagesReader *reader, uint64_t paddr,
                               uint64_t *len, const uint8_t **bytes)
{
    StillReader *r = container_of(reader, StillReader, parent);
    const StillPages *s = container_of(reader->pages, StillPages, parent);
    uint64_t there;
    const uint8_t *host = guest_ram_host(s->ram, paddr, &there);

    if (!host) {
        *len = MIN(*len, guest_ram_gap(s->ram, paddr));
        return DUMP_PAGES_NONE;
    }
    *len = MIN(*len, there);
    if (still_probe(r, paddr, len)) {
        return DUMP_PAGES_ZERO;
    }
    if (s->method == DUMP_PAGES_COPY) {
        return still_get_copy(r, host, len, bytes);
    }
    *bytes = host;
    return s->method == DUMP_PAGES_TRUST || still_readable(s, host, len) ?
           DUMP_PAGES_DATA : DUMP_PAGES_LOST;
}

static uint64_t still_zero_ahead(DumpPagesReader *reader, uint64_t paddr,
                                 uint64_t len)
{
    const StillPages *s = container_of(reader->pages, StillPages, parent);

    return dump_untouched_ahead(s->untouched, s->ram, paddr, len);
}

static void still_reader_free(DumpPagesReader *reader)
{
    StillReader *r = container_of(reader, StillReader, parent);

    g_free(r->copy);
    g_free(r);
}

static DumpPagesReader *still_reader_new(DumpPages *pages, Error **errp)
{
    const StillPages *s = container_of(pages, StillPages, parent);
    StillReader *r = g_try_new0(StillReader, 1);

    if (r && s->method == DUMP_PAGES_COPY) {
        r->copy = g_try_malloc(STILL_COPY_SIZE);
        if (!r->copy) {
            g_clear_pointer(&r, g_free);
        }
    }
    if (!r) {
        dump_no_memory(errp, "to read guest memory");
        return NULL;
    }
    return &r->parent;
}

static void still_free(DumpPages *pages)
{
    StillPages *s = container_of(pages, StillPages, parent);

    g_array_unref(s->guarded);
    g_free(s);
}

static const DumpPagesOps still_ops = {
    .reader_new = still_reader_new,
    .reader_free = still_reader_free,
    .get = still_get,
    .zero_ahead = still_zero_ahead,
    .free = still_free,
};

DumpPages *dump_pages_still_new(const GuestRam *ram,
                                const DumpUntouched *untouched)
{
    StillPages *s = g_new0(StillPages, 1);

    s->parent.ops = &still_ops;
    s->ram = ram;
    s->untouched = untouched;
    s->page = qemu_real_host_page_size();
    s->method = still_best_method(s->page);
    s->guarded = still_find_guarded(ram);
    return &s->parent;
}

bool dump_pages_still_in_place(const DumpPages *pages)
{
    const StillPages *s = container_of(pages, StillPages, parent);

    return s->method != DUMP_PAGES_COPY && !s->guarded->len;
}

DumpPages *dump_pages_running_new(const GuestRam *ram,
                                  const DumpUntouched *untouched)
{
    DumpPages *pages = dump_pages_still_new(ram, untouched);

    if (still_can_copy()) {
        dump_pages_still_set_method(pages, DUMP_PAGES_COPY);
    }
    return pages;
}

void dump_pages_still_set_method(DumpPages *pages, DumpPagesMethod method)
{
    container_of(pages, StillPages, parent)->method = method;
}
