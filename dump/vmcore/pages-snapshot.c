/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Guest memory as of one moment; see the header.
 *
 * The states of a page:
 *
 *   KEPT ---- watch thread (SAVING: copies) --> SAVED, ZERO or LOST --+
 *     |                                                               |
 *     +------ reader: page is in the output ---------------------> GIVEN
 *
 * After the moment, a page is unprotected only when it is no longer KEPT. Where
 * missing pages are registered, an absent page is zero: in private memory
 * without a file, one that is absent according to pagemap; in shared memory of
 * a file, a hole, unless pages of the file were allocated in advance. Other
 * processes must not fill holes.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "qemu/cutils.h"
#include "qemu/units.h"
#include "page-store.h"
#include "pages-snapshot.h"
#include "spare.h"
#include "thread.h"
#include "write-watch.h"

typedef enum PageState {
    PAGE_KEPT,                  /* as at the moment */
    PAGE_SAVING,                /* the watch thread saves it */
    PAGE_SAVED,                 /* there is a copy */
    PAGE_ZERO,
    PAGE_LOST,                  /* could not be read */
    PAGE_GIVEN,                 /* released */
} PageState;

/* Bytes saved and unprotected at once, while copies are below limit / 2. */
#define SNAPSHOT_PIECE      (64 * KiB)

/*
 * Bytes unprotected at once after all of them were released: the system call
 * interrupts all CPUs.
 */
#define SNAPSHOT_BLOCK      (4 * MiB)

/* Entries of a second-level table of copies: 2 MiB if pages have 4 KiB. */
#define SNAPSHOT_TABLE      512

/* Maximum number of faults handled before the lock is released. */
#define SNAPSHOT_BATCH      16

/* Maximum bytes protected until the lock is released, or a cancel checked. */
#define SNAPSHOT_STEP       (64 * MiB)

/* Bytes of a file protected if the first byte is data: a page table. */
#define SNAPSHOT_GRAIN      (2 * MiB)

/* Maximum rounds before the moment, and dirty runs that may be left to it. */
#define SNAPSHOT_ROUNDS     4
#define SNAPSHOT_FEW        32

typedef struct Region {
    DumpSnapshotRange range;
    uint64_t piece;             /* bytes that are saved at once */
    uint8_t *states;            /* PageState by host page; atomic */
    void ***copies;             /* tables of copies by host page */
    uint8_t *dirty;             /* by piece: to protect again; under lock */
    uint32_t *given;            /* by block: number of GIVEN pages; atomic */
    bool armed;                 /* protected, except dirty pieces and holes */
} Region;

struct DumpSnapshot {
    const DumpUntouched *untouched;
    DumpSnapshotEvents events;
    uint64_t limit, hard_limit;
    size_t page;                /* bytes of a host page */
    WriteWatch watch;
    DumpThread thread;
    bool watching;              /* the thread has been started */
    QemuMutex lock;
    GArray *regions;            /* Region *, by address; changed under lock */
    bool taken;                 /* the moment has passed; under lock */
    bool ended;                 /* ignore faults; under lock */
    bool full;                  /* events.full was called; watch thread */
    const char *broken;         /* reason or NULL; atomic */
    PageStore store;
};

static uint64_t region_pages(const DumpSnapshot *s, const Region *r)
{
    return r->range.len / s->page;
}

/*
 * Index of the piece or block of @size bytes that contains offset @at. They are
 * aligned by host address, so the first and the last may be smaller.
 */
static uint64_t region_index(const Region *r, uint64_t at, uint64_t size)
{
    uintptr_t start = (uintptr_t)r->range.start;

    return (start + at) / size - start / size;
}

static uint64_t region_piece_of(const Region *r, uint64_t at)
{
    return region_index(r, at, r->piece);
}

/* Bounds, as offsets, of the piece or block of @size that contains @at. */
static void region_piece_bounds(const Region *r, uint64_t at, uint64_t size,
                                uint64_t *from, uint64_t *to)
{
    uintptr_t start = (uintptr_t)r->range.start;
    uintptr_t low = QEMU_ALIGN_DOWN(start + at, size);

    *from = low > start ? low - start : 0;
    *to = MIN(low + size - start, r->range.len);
}

static void region_free(DumpSnapshot *s, Region *r)
{
    uint64_t tables = DIV_ROUND_UP(region_pages(s, r), SNAPSHOT_TABLE);

    for (uint64_t i = 0; r->copies && i < tables; i++) {
        g_free(r->copies[i]);
    }
    g_free(r->copies);
    g_free(r->states);
    g_free(r->dirty);
    g_free(r->given);
    g_free(r);
}

static Region *region_new(const DumpSnapshot *s,
                          const DumpSnapshotRange *range)
{
    Region *r = g_try_new0(Region, 1);
    uint64_t pages = range->len / s->page;

    if (!r) {
        return NULL;
    }
    r->range = *range;
    r->piece = MAX(SNAPSHOT_PIECE, range->page);
    r->states = g_try_malloc0(pages);
    r->copies = g_try_new0(void **, DIV_ROUND_UP(pages, SNAPSHOT_TABLE));
    r->dirty = g_try_malloc0(region_piece_of(r, range->len - 1) + 1);
    r->given = g_try_new0(uint32_t, region_index(r, range->len - 1,
                                                 SNAPSHOT_BLOCK) + 1);
    return r;
}

/*
 * Is there a hole of the file at offset @at, so that access is a fault without
 * protection? @len: bytes to check, whole pages; on return the number of bytes
 * to which the result applies.
 */
static bool region_hole(const DumpSnapshot *s, const Region *r, uint64_t at,
                        uint64_t *len)
{
    uint64_t n = *len;

    if (!dump_untouched_hole(r->range.fd, r->range.fd_offset + at,
                             SNAPSHOT_GRAIN, &n)) {
        *len = QEMU_ALIGN_UP(n, s->page);
        return false;
    }
    *len = MAX(QEMU_ALIGN_DOWN(n, s->page), s->page);
    return n >= s->page;
}

static Region *snapshot_region(const DumpSnapshot *s, guint i)
{
    return g_array_index(s->regions, Region *, i);
}

/* Index of the first region that ends above @addr; or the number of regions. */
static guint snapshot_find(const DumpSnapshot *s, uintptr_t addr)
{
    guint low = 0, high = s->regions->len;

    while (low < high) {
        guint mid = low + (high - low) / 2;
        const DumpSnapshotRange *r = &snapshot_region(s, mid)->range;

        if ((uintptr_t)r->start + (r->len - 1) < addr) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

/* The region that contains @addr, and the offset in it; or NULL. */
static Region *snapshot_region_at(const DumpSnapshot *s, uintptr_t addr,
                                  uint64_t *at)
{
    guint i = snapshot_find(s, addr);
    Region *r = i < s->regions->len ? snapshot_region(s, i) : NULL;

    if (!r || addr < (uintptr_t)r->range.start) {
        return NULL;
    }
    *at = addr - (uintptr_t)r->range.start;
    return r;
}

bool dump_snapshot_has(DumpSnapshot *s, const uint8_t *host, uint64_t len)
{
    uint64_t at;
    Region *r = snapshot_region_at(s, (uintptr_t)host, &at);

    return r && len <= r->range.len - at;
}

bool dump_snapshot_add(DumpSnapshot *s, const DumpSnapshotRange *range,
                       Error **errp)
{
    uintptr_t start = (uintptr_t)range->start;
    Region *r;
    guint i;

    assert(range->page >= s->page && start % range->page == 0 && range->len &&
           range->len % range->page == 0);
    if (dump_snapshot_has(s, range->start, range->len)) {
        return true;
    }
    r = region_new(s, range);
    if (!r || !r->states || !r->copies || !r->dirty || !r->given) {
        dump_spare_free();
        error_setg(errp, "no memory to track pages");
    } else if (write_watch_register(&s->watch, range->start, range->len,
                                    range->anon || range->fd >= 0, errp)) {
        qemu_mutex_lock(&s->lock);
        i = snapshot_find(s, start);
        g_array_insert_val(s->regions, i, r);
        qemu_mutex_unlock(&s->lock);
        return true;
    }
    if (r) {
        region_free(s, r);
    }
    return false;
}

static void snapshot_let_go(DumpSnapshot *s)
{
    for (guint i = 0; i < s->regions->len; i++) {
        const DumpSnapshotRange *r = &snapshot_region(s, i)->range;

        write_watch_unregister(&s->watch, r->start, r->len);
    }
}

/*
 * Give up the snapshot, without effect on the guest. Any thread; with the lock
 * held as long as memory may be added.
 */
static void snapshot_break(DumpSnapshot *s, const char *why)
{
    if (!qatomic_cmpxchg(&s->broken, NULL, why)) {
        snapshot_let_go(s);
        if (s->events.broken) {
            s->events.broken(s->events.opaque);
        }
    }
}

const char *dump_snapshot_broken(const DumpSnapshot *s)
{
    return qatomic_load_acquire(&s->broken);
}

static PageState page_state(const Region *r, uint64_t page)
{
    return qatomic_load_acquire(&r->states[page]);
}

/* Change the state from KEPT to @state. False if it is not KEPT. */
static bool page_claim(Region *r, uint64_t page, PageState state)
{
    return qatomic_cmpxchg(&r->states[page], PAGE_KEPT, state) == PAGE_KEPT;
}

/* The table entry for the copy of a page; NULL if out of memory. */
static void **page_copy_at(Region *r, uint64_t page)
{
    void ***table = &r->copies[page / SNAPSHOT_TABLE];

    if (!*table) {
        *table = g_try_new0(void *, SNAPSHOT_TABLE);
    }
    return *table ? *table + page % SNAPSHOT_TABLE : NULL;
}

/* Save a page that is present and SAVING. False if out of memory. */
static bool page_save(DumpSnapshot *s, Region *r, uint64_t page)
{
    const uint8_t *host = r->range.start + page * s->page;
    void **copy;

    if (buffer_is_zero(host, s->page)) {
        qatomic_store_release(&r->states[page], PAGE_ZERO);
        return true;
    }
    copy = page_copy_at(r, page);
    if (!copy) {
        return false;
    }
    *copy = page_store_take(&s->store);
    if (!*copy) {
        return false;
    }
    memcpy(*copy, host, s->page);
    qatomic_store_release(&r->states[page], PAGE_SAVED);
    return true;
}

/* Save present, KEPT pages of [@from, @to). False if out of memory. */
static bool region_save(DumpSnapshot *s, Region *r, uint64_t from, uint64_t to)
{
    for (uint64_t n; from < to; from += n) {
        bool there;

        n = to - from;
        there = dump_untouched_mapped(s->untouched, r->range.start + from, &n);
        for (uint64_t at = from; there && at < from + n; at += s->page) {
            if (page_claim(r, at / s->page, PAGE_SAVING) &&
                !page_save(s, r, at / s->page)) {
                return false;
            }
        }
    }
    return true;
}

/*
 * Save the page at @at, which is written to, even if it was reclaimed by the
 * kernel. It is LOST if it cannot be read. False on failure.
 */
static bool region_save_fault(DumpSnapshot *s, Region *r, uint64_t at)
{
    uint64_t from, to;
    bool there;
    int made = 0;

    if (page_state(r, at / s->page) != PAGE_KEPT) {
        return true;
    }
    region_piece_bounds(r, at, r->range.page, &from, &to);
    if (r->range.fd >= 0) {
        /* If it was removed from the file, reading it would never return. */
        made = write_watch_make(&s->watch, r->range.start + from, s->page);
    }
    if (made < 0) {
        return false;
    }
    there = !made && dump_pages_populate(r->range.start + from, to - from);
    if (there && !region_save(s, r, from, to)) {
        return false;
    }
    for (; from < to; from += s->page) {
        page_claim(r, from / s->page, PAGE_LOST);
    }
    return true;
}

/* Unprotect the pages of [@from, @to) that are not KEPT; wakes writers. */
static bool region_let_go(const DumpSnapshot *s, const Region *r,
                          uint64_t from, uint64_t to)
{
    while (from < to) {
        uint64_t end = from;

        while (end < to && page_state(r, end / s->page) != PAGE_KEPT) {
            end += r->range.page;
        }
        if (end > from &&
            !write_watch_unprotect(&s->watch, r->range.start + from,
                                   end - from)) {
            return false;
        }
        from = MAX(end, from + r->range.page);
    }
    return true;
}

static void snapshot_check_store(DumpSnapshot *s)
{
    uint64_t held = page_store_held(&s->store);

    if (held > s->limit && !s->full) {
        s->full = true;
        if (s->events.full) {
            s->events.full(s->events.opaque);
        }
    }
    if (held > s->hard_limit) {
        snapshot_break(s, "the guest's memory was changed faster than it "
                       "could be saved");
    }
}

static void watch_failed(DumpSnapshot *s)
{
    snapshot_break(s, "failed to unprotect guest memory");
}

/* A write after the moment: save the page and some adjacent ones. */
static void watch_save(DumpSnapshot *s, Region *r, uint64_t at)
{
    bool ample = page_store_held(&s->store) < s->limit / 2;
    uint64_t from, to;

    region_piece_bounds(r, at, ample ? r->piece : r->range.page, &from, &to);
    if (!region_save(s, r, from, to) || !region_save_fault(s, r, at)) {
        dump_spare_free();
        snapshot_break(s, "no memory to save pages of the guest");
    } else if (!region_let_go(s, r, from, to)) {
        watch_failed(s);
    } else {
        snapshot_check_store(s);
    }
}

/*
 * A missing page of private memory: map zero pages there and at adjacent absent
 * pages. After the moment, those that are KEPT become ZERO.
 */
static void watch_fill(DumpSnapshot *s, Region *r, uint64_t at)
{
    uint64_t from, to;

    region_piece_bounds(r, at, r->piece, &from, &to);
    for (uint64_t n; from < to; from += n) {
        const uint8_t *host = r->range.start + from;
        bool absent;

        n = to - from;
        absent = dump_untouched_absent(s->untouched, host, &n);
        for (uint64_t i = 0; absent && s->taken && i < n; i += s->page) {
            page_claim(r, (from + i) / s->page, PAGE_ZERO);
        }
        if ((absent || at - from < n) &&
            !write_watch_zero(&s->watch, host, n)) {
            watch_failed(s);
        }
    }
}

/*
 * A missing page of a file: create it. If it exists by now, the fault of
 * another thread has been handled before: only wake this one.
 */
static void watch_make(DumpSnapshot *s, Region *r, uint64_t at)
{
    uint64_t page = at / s->page;
    const uint8_t *host = r->range.start + page * s->page;
    int made = write_watch_make(&s->watch, host, s->page);

    if (!made) {
        write_watch_wake(&s->watch, host, s->page);
        return;
    }
    if (s->taken) {
        page_claim(r, page, PAGE_ZERO);
    }
    if (made < 0 || !write_watch_unprotect(&s->watch, host, s->page)) {
        watch_failed(s);
    }
}

static void watch_answer(DumpSnapshot *s, const WriteFault *fault)
{
    uint64_t at, from, to;
    Region *r = snapshot_region_at(s, fault->addr, &at);

    if (!r) {
        return;
    }
    if (!s->taken) {
        r->dirty[region_piece_of(r, at)] = true;
    }
    if (fault->missing && r->range.fd >= 0) {
        watch_make(s, r, at);
    } else if (fault->missing) {
        watch_fill(s, r, at);
    } else if (s->taken) {
        watch_save(s, r, at);
    } else {
        region_piece_bounds(r, at, r->piece, &from, &to);
        if (!write_watch_unprotect(&s->watch, r->range.start + from,
                                   to - from)) {
            watch_failed(s);
        }
    }
}

static void watch_answer_all(DumpSnapshot *s, const WriteFault *faults, int n)
{
    qemu_mutex_lock(&s->lock);
    for (int i = 0; i < n && !s->ended && !dump_snapshot_broken(s); i++) {
        watch_answer(s, &faults[i]);
    }
    qemu_mutex_unlock(&s->lock);
}

static void *watch_thread(void *opaque)
{
    DumpSnapshot *s = opaque;
    WriteFault faults[SNAPSHOT_BATCH];
    int n;

    while ((n = write_watch_read(&s->watch, faults, ARRAY_SIZE(faults))) > 0) {
        watch_answer_all(s, faults, n);
    }
    if (n < 0) {
        qemu_mutex_lock(&s->lock);
        snapshot_break(s, "failed to read write faults of guest memory");
        qemu_mutex_unlock(&s->lock);
    }
    return NULL;
}

/*
 * Set the bounds (offsets) of the run of dirty pieces that starts at *@piece,
 * at most SNAPSHOT_STEP bytes, and advance *@piece to its end.
 */
static void region_dirty_run(const Region *r, uint64_t *piece, uint64_t pieces,
                             uint64_t *from, uint64_t *to)
{
    uintptr_t start = (uintptr_t)r->range.start;
    uint64_t first = *piece;
    uint64_t base = start / r->piece * r->piece;

    while (*piece < pieces && r->dirty[*piece] &&
           (*piece - first + 1) * r->piece <= SNAPSHOT_STEP) {
        (*piece)++;
    }
    *from = first ? base + first * r->piece - start : 0;
    *to = MIN(base + *piece * r->piece - start, r->range.len);
}

/*
 * Protect dirty pieces again. Called with the lock held; @gently: release it
 * after each run, so that the watch thread can proceed.
 */
static bool region_protect_dirty(DumpSnapshot *s, Region *r, bool gently,
                                 Error **errp)
{
    uint64_t pieces = region_piece_of(r, r->range.len - 1) + 1;
    uint64_t piece = 0, from, to;
    const uint8_t *next;

    while ((next = memchr(r->dirty + piece, true, pieces - piece))) {
        uint64_t first = next - r->dirty;

        piece = first;
        region_dirty_run(r, &piece, pieces, &from, &to);
        memset(r->dirty + first, 0, piece - first);
        if (!write_watch_protect(&s->watch, r->range.start + from, to - from,
                                 errp)) {
            return false;
        }
        if (gently) {
            qemu_mutex_unlock(&s->lock);
            qemu_mutex_lock(&s->lock);
        }
    }
    return true;
}

/* Number of runs of dirty pieces; each takes at least one system call. */
static uint64_t snapshot_dirty_runs(DumpSnapshot *s)
{
    uint64_t runs = 0;

    for (guint i = 0; i < s->regions->len; i++) {
        const Region *r = snapshot_region(s, i);
        uint64_t pieces = region_piece_of(r, r->range.len - 1) + 1;

        for (uint64_t k = 0; k < pieces; k++) {
            runs += r->dirty[k] && (!k || !r->dirty[k - 1]);
        }
    }
    return runs;
}

/*
 * Protect a region for the first time. Does not need the lock: what the watch
 * thread unprotects meanwhile is dirty, even if it is protected afterwards.
 */
static bool region_arm(DumpSnapshot *s, Region *r,
                       const DumpProgress *progress, Error **errp)
{
    bool holes = r->range.fd >= 0 &&
                 !dump_untouched_allocated(r->range.fd, r->range.fd_offset,
                                           r->range.start, r->range.len);

    for (uint64_t at = 0, n; at < r->range.len; at += n) {
        if (progress && dump_progress_cancelled(progress)) {
            return true;
        }
        n = MIN(SNAPSHOT_STEP, r->range.len - at);
        if (!(holes && region_hole(s, r, at, &n)) &&
            !write_watch_protect(&s->watch, r->range.start + at, n, errp)) {
            return false;
        }
    }
    r->armed = true;
    return true;
}

bool dump_snapshot_prepare(DumpSnapshot *s, const DumpProgress *progress,
                           Error **errp)
{
    bool ok = true;

    for (guint i = 0; ok && i < s->regions->len; i++) {
        ok = region_arm(s, snapshot_region(s, i), progress, errp);
    }
    qemu_mutex_lock(&s->lock);
    for (unsigned round = 1; ok && round < SNAPSHOT_ROUNDS &&
                             !dump_progress_cancelled(progress) &&
                             snapshot_dirty_runs(s) > SNAPSHOT_FEW; round++) {
        for (guint i = 0; ok && i < s->regions->len; i++) {
            ok = region_protect_dirty(s, snapshot_region(s, i), true, errp);
        }
    }
    qemu_mutex_unlock(&s->lock);
    return ok;
}

bool dump_snapshot_take(DumpSnapshot *s, Error **errp)
{
    bool ok = true;

    /* Nothing may be unprotected before everything is protected. */
    qemu_mutex_lock(&s->lock);
    for (guint i = 0; ok && i < s->regions->len; i++) {
        Region *r = snapshot_region(s, i);

        ok = r->armed ? region_protect_dirty(s, r, false, errp) :
                        region_arm(s, r, NULL, errp);
    }
    s->taken = ok;
    qemu_mutex_unlock(&s->lock);
    if (!ok) {
        dump_snapshot_end(s);
    }
    return ok;
}

/* Wait while the watch thread saves the page; SAVING only if broken. */
static PageState page_settled(const DumpSnapshot *s, const Region *r,
                              uint64_t page)
{
    PageState state;

    while ((state = page_state(r, page)) == PAGE_SAVING &&
           !dump_snapshot_broken(s)) {
        sched_yield();
    }
    return state;
}

static uint8_t *page_copy(const Region *r, uint64_t page)
{
    return r->copies[page / SNAPSHOT_TABLE][page % SNAPSHOT_TABLE];
}

/* Can @page be read together with the one before it, whose state is @state? */
static bool page_continues(const DumpSnapshot *s, const Region *r,
                           uint64_t page, PageState state)
{
    return page_state(r, page) == state &&
           (state != PAGE_SAVED ||
            page_copy(r, page) == page_copy(r, page - 1) + s->page);
}

static DumpPagesKind region_look(const DumpSnapshot *s, const Region *r,
                                 uint64_t at, uint64_t *len,
                                 const uint8_t **bytes)
{
    uint64_t page = at / s->page;
    uint64_t inside = at % s->page;
    uint64_t rest = s->page - inside;
    PageState state = page_settled(s, r, page);

    if (state == PAGE_SAVED) {
        *bytes = page_copy(r, page) + inside;
    }
    while (rest < *len && page_continues(s, r, ++page, state)) {
        rest += s->page;
    }
    *len = MIN(*len, rest);
    return state == PAGE_KEPT || state == PAGE_SAVED ? DUMP_PAGES_DATA :
           state == PAGE_ZERO ? DUMP_PAGES_ZERO : DUMP_PAGES_LOST;
}

DumpPagesKind dump_snapshot_look(DumpSnapshot *s, const uint8_t *host,
                                 uint64_t *len, const uint8_t **bytes)
{
    guint i = snapshot_find(s, (uintptr_t)host);
    const Region *r;

    *bytes = NULL;
    if (dump_snapshot_broken(s)) {
        return DUMP_PAGES_LOST;
    }
    if (i == s->regions->len) {
        return DUMP_PAGES_DATA;
    }
    r = snapshot_region(s, i);
    if (host < r->range.start) {
        *len = MIN(*len, r->range.start - host);
        return DUMP_PAGES_DATA;
    }
    *len = MIN(*len, r->range.start + r->range.len - host);
    return region_look(s, r, host - r->range.start, len, bytes);
}

/* Is all of [@from, @to) protected, according to the kernel? */
static bool region_protected(DumpSnapshot *s, const Region *r, uint64_t from,
                             uint64_t to)
{
    for (uint64_t n; from < to; from += n) {
        n = to - from;
        if (!dump_untouched_protected(s->untouched, r->range.start + from,
                                      &n)) {
            return false;
        }
    }
    return true;
}

static bool region_kept(const DumpSnapshot *s, const Region *r, uint64_t from,
                        uint64_t to)
{
    for (; from < to; from += s->page) {
        if (page_state(r, from / s->page) != PAGE_KEPT) {
            return false;
        }
    }
    return true;
}

static bool region_same(DumpSnapshot *s, const Region *r, uint64_t from,
                        uint64_t to)
{
    from = QEMU_ALIGN_DOWN(from, s->page);
    /* The caller's loads from guest memory come before the checks. */
    smp_rmb();
    if (region_protected(s, r, from, to)) {
        return true;
    }
    /* If the watch thread has unprotected it, it is not KEPT. */
    if (region_kept(s, r, from, to)) {
        snapshot_break(s, "the guest's memory has lost its protection from "
                       "writes, as by the host's samepage merging");
    }
    return false;
}

bool dump_snapshot_same(DumpSnapshot *s, const uint8_t *host, uint64_t len)
{
    uint64_t at;
    Region *r = snapshot_region_at(s, (uintptr_t)host, &at);

    return !r || region_same(s, r, at, MIN(at + len, r->range.len));
}

/* Release a page. False if it was released before, or in a broken snapshot. */
static bool page_give(DumpSnapshot *s, Region *r, uint64_t page)
{
    PageState state;

    do {
        state = page_settled(s, r, page);
    } while (state == PAGE_KEPT && !page_claim(r, page, PAGE_GIVEN));
    if (state == PAGE_GIVEN || state == PAGE_SAVING) {
        return false;
    }
    if (state != PAGE_KEPT) {
        qatomic_store_release(&r->states[page], PAGE_GIVEN);
    }
    if (state == PAGE_SAVED) {
        page_store_give(&s->store, page_copy(r, page));
    }
    return true;
}

/*
 * Release [@from, @to), which lies in one block; unprotect the block when all
 * of it has been released.
 */
static void region_give(DumpSnapshot *s, Region *r, uint64_t from, uint64_t to)
{
    uint32_t *given = &r->given[region_index(r, from, SNAPSHOT_BLOCK)];
    uint64_t start, end;
    uint32_t n = 0;

    for (uint64_t at = from; at < to; at += s->page) {
        n += page_give(s, r, at / s->page);
    }
    region_piece_bounds(r, from, SNAPSHOT_BLOCK, &start, &end);
    if (n && qatomic_add_fetch(given, n) == (end - start) / s->page &&
        !write_watch_unprotect(&s->watch, r->range.start + start,
                               end - start) &&
        !dump_snapshot_broken(s)) {
        watch_failed(s);
    }
}

void dump_snapshot_give(DumpSnapshot *s, const uint8_t *host, uint64_t len)
{
    uint64_t at, to;
    Region *r = snapshot_region_at(s, (uintptr_t)host, &at);

    if (!r || dump_snapshot_broken(s)) {
        return;
    }
    to = QEMU_ALIGN_DOWN(MIN(at + len, r->range.len), s->page);
    for (at = QEMU_ALIGN_UP(at, s->page); at < to; ) {
        uint64_t start, end;

        region_piece_bounds(r, at, SNAPSHOT_BLOCK, &start, &end);
        end = MIN(end, to);
        region_give(s, r, at, end);
        at = end;
    }
}

/* Can pagemap be read? Tried with a page that is certainly present. */
static bool can_read_pagemap(const DumpUntouched *u)
{
    const uint8_t byte = 1;
    uint64_t len = 1;

    return dump_untouched_mapped(u, &byte, &len);
}

DumpSnapshot *dump_snapshot_new(int device, uint64_t limit,
                                uint64_t hard_limit,
                                const DumpUntouched *untouched,
                                const DumpSnapshotEvents *events,
                                Error **errp)
{
    g_autoptr(DumpSnapshot) s = g_new0(DumpSnapshot, 1);

    s->untouched = untouched;
    s->events = *events;
    s->limit = limit;
    s->hard_limit = hard_limit;
    s->page = qemu_real_host_page_size();
    s->regions = g_array_new(false, false, sizeof(Region *));
    qemu_mutex_init(&s->lock);
    page_store_init(&s->store, s->page);
    if (!write_watch_open(&s->watch, device, errp)) {
        return NULL;
    }
    if (!can_read_pagemap(untouched)) {
        error_setg(errp, "/proc/self/pagemap cannot be read");
        return NULL;
    }
    s->watching = dump_thread_start(&s->thread, "dump-watch", watch_thread, s,
                                    errp);
    return s->watching ? g_steal_pointer(&s) : NULL;
}

void dump_snapshot_end(DumpSnapshot *s)
{
    /* The watch thread must not unprotect unregistered memory. */
    qemu_mutex_lock(&s->lock);
    s->ended = true;
    qemu_mutex_unlock(&s->lock);
    snapshot_let_go(s);
    /* From here on, no thread waits for the watch thread. */
    if (s->watching) {
        write_watch_stop(&s->watch);
        dump_thread_join(&s->thread);
        s->watching = false;
    }
}

void dump_snapshot_free(DumpSnapshot *s)
{
    if (!s) {
        return;
    }
    dump_snapshot_end(s);
    write_watch_close(&s->watch);
    for (guint i = 0; i < s->regions->len; i++) {
        region_free(s, snapshot_region(s, i));
    }
    g_array_unref(s->regions);
    page_store_deinit(&s->store);
    qemu_mutex_destroy(&s->lock);
    g_free(s);
}

void dump_snapshot_get_stats(const DumpSnapshot *s, DumpSnapshotStats *stats)
{
    *stats = (DumpSnapshotStats) {
        .saved = page_store_taken(&s->store),
        .held = page_store_held(&s->store),
        .held_max = page_store_most(&s->store),
    };
}
