/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Snapshot: guest memory as of one moment, while the guest continues to run.
 *
 * At the moment, all pages are write-protected. The snapshot's watch thread
 * handles write faults: it saves a copy of the page, or that it was zero, and
 * wakes the writer. A reader uses the page itself if it is still protected
 * after it was read, else the copy. A page in the output is released: it is not
 * saved any more.
 *
 * Protecting a large guest takes time. To stop it only briefly, memory is
 * protected beforehand, in rounds: the watch thread wakes writers at once, and
 * records what has to be protected again.
 *
 * Locks: a mutex, held by the watch thread while it handles faults, and by
 * others while they protect memory. Others do not access watched memory with
 * the mutex held, since the watch thread would never wake them. The BQL and RCU
 * are not needed. A page leaves its first state by compare-and-swap.
 *
 * Memory is specified by host address. It must stay mapped, with nothing
 * discarded from it, until the snapshot is freed.
 */

#ifndef DUMP_VMCORE_PAGES_SNAPSHOT_H
#define DUMP_VMCORE_PAGES_SNAPSHOT_H

#include "pages.h"
#include "progress.h"

typedef struct DumpSnapshot DumpSnapshot;

/* Called at most once each, by any thread, with locks held: must not block. */
typedef struct DumpSnapshotEvents {
    /* Copies exceed the limit: writers should be stopped. */
    void (*full)(void *opaque);
    /* Nothing is protected any more; see dump_snapshot_broken. */
    void (*broken)(void *opaque);
    void *opaque;
} DumpSnapshotEvents;

/* Memory to be watched. */
typedef struct DumpSnapshotRange {
    const uint8_t *start;       /* aligned to page */
    uint64_t len;               /* bytes, whole pages, not 0 */
    size_t page;                /* page size of host or hugetlbfs, bytes */
    bool anon;                  /* private, without a file, no hugetlbfs */
    /*
     * For shared memory of a memfd, or of a file on tmpfs: the file, whose
     * holes are not protected then, and the offset of @start. Otherwise -1.
     */
    int fd;
    uint64_t fd_offset;
} DumpSnapshotRange;

typedef struct DumpSnapshotStats {
    uint64_t saved;             /* number of host pages copied */
    uint64_t held;              /* bytes of copies now */
    uint64_t held_max;          /* maximum of held */
} DumpSnapshotStats;

/*
 * Create a snapshot without memory, and start its watch thread.
 *
 * @device: as for write_watch_open
 * @limit: @events->full is called when copies exceed this number of bytes
 * @hard_limit: the snapshot breaks when they exceed this
 * @untouched: gives access to pagemap; must outlive the result
 *
 * NULL with @errp set if the host does not support or permit this.
 */
DumpSnapshot *dump_snapshot_new(int device, uint64_t limit,
                                uint64_t hard_limit,
                                const DumpUntouched *untouched,
                                const DumpSnapshotEvents *events,
                                Error **errp);

/* Must not be called while a thread reads. NULL is allowed. */
void dump_snapshot_free(DumpSnapshot *s);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DumpSnapshot, dump_snapshot_free)

/*
 * Add memory, before dump_snapshot_take and not during dump_snapshot_prepare.
 * Does nothing if the range lies within one that was added; ranges must not
 * overlap otherwise. False with @errp set if writes cannot be tracked.
 */
bool dump_snapshot_add(DumpSnapshot *s, const DumpSnapshotRange *range,
                       Error **errp);

/* Does a range that was added contain [@host, @host + @len)? */
bool dump_snapshot_has(DumpSnapshot *s, const uint8_t *host, uint64_t len);

/*
 * Protect memory in advance, so that little is left to dump_snapshot_take.
 * Takes up to tens of milliseconds per GiB; writers continue meanwhile. Returns
 * true early when @progress is cancelled. False with @errp set on failure.
 */
bool dump_snapshot_prepare(DumpSnapshot *s, const DumpProgress *progress,
                           Error **errp);

/*
 * Take the snapshot: readers get what is in memory now. Other threads may be
 * writing: if a write is in the snapshot, so are all earlier ones of the same
 * thread. False with @errp set on failure; then nothing is protected.
 */
bool dump_snapshot_take(DumpSnapshot *s, Error **errp);

/*
 * Remove the protection, wake all writers, and end the watch thread. Data read
 * later is not that of the moment. May be called again, but not concurrently.
 */
void dump_snapshot_end(DumpSnapshot *s);

/* The reason, a static string, if the snapshot is broken; else NULL. */
const char *dump_snapshot_broken(const DumpSnapshot *s);

void dump_snapshot_get_stats(const DumpSnapshot *s, DumpSnapshotStats *stats);

/* For pages-live.c only. */

/*
 * Get the memory at @host. DUMP_PAGES_DATA with *@bytes NULL: read it at @host,
 * and call dump_snapshot_same afterwards; otherwise *@bytes is the copy, valid
 * until released. @len: as in dump_pages_get. Memory that was not added is
 * assumed not to change.
 */
DumpPagesKind dump_snapshot_look(DumpSnapshot *s, const uint8_t *host,
                                 uint64_t *len, const uint8_t **bytes);

/* Has memory read at @host been protected up to now? If not, look again. */
bool dump_snapshot_same(DumpSnapshot *s, const uint8_t *host, uint64_t len);

/*
 * Release the pages that lie entirely in [@host, @host + @len); they must not
 * be read again.
 */
void dump_snapshot_give(DumpSnapshot *s, const uint8_t *host, uint64_t len);

#endif
