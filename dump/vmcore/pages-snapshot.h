/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Guest memory as it was at one moment, while the guest goes on changing it.
 *
 * At the moment all pages are protected from writes. A thread of the
 * snapshot's own, the watch, answers who wants to write: it keeps a copy of
 * the page, or only that it was zero, and lets him go on. Who reads takes the
 * page itself if it is still protected after it was read, else the copy. When
 * a page is in the output, it is given back: nobody sleeps for it any more.
 *
 * Protecting all of a large guest takes time, while it would stand still. So
 * it is protected before, in rounds; whoever writes then is let go on, and the
 * place is noted, to be protected once more.
 *
 * Locks: a mutex that is held by the watch while it copies pages, and by who
 * protects memory for the time of a system call; by nobody who touches
 * guest memory that is watched, so that the watch never waits for someone who
 * waits for it. It needs neither the BQL nor RCU. The state of a page is
 * changed by compare-and-swap.
 *
 * Memory is told by its address in this process, and is to stay mapped, with
 * nothing taken from it, until the snapshot is freed.
 */

#ifndef DUMP_VMCORE_PAGES_SNAPSHOT_H
#define DUMP_VMCORE_PAGES_SNAPSHOT_H

#include "pages.h"
#include "progress.h"

typedef struct DumpSnapshot DumpSnapshot;

/* Called at most once each, by any thread, which must not be held up. */
typedef struct DumpSnapshotEvents {
    /* More than the limit is held: whoever writes ought to be stopped. */
    void (*full)(void *opaque);
    /* Nothing is protected any more; dump_snapshot_broken tells why. */
    void (*broken)(void *opaque);
    void *opaque;
} DumpSnapshotEvents;

/* Memory to be watched. */
typedef struct DumpSnapshotRange {
    const uint8_t *start;       /* of a page */
    uint64_t len;               /* whole pages, not 0 */
    size_t page;                /* of the host, or of hugetlbfs, bytes */
    bool anon;                  /* private, without a file, no hugetlbfs */
    /*
     * Of what is shared of a file on tmpfs, or a memfd: the file, and where in
     * it @start is. Its holes cost nothing then. Must be -1 for other memory.
     */
    int fd;
    uint64_t fd_offset;
} DumpSnapshotRange;

typedef struct DumpSnapshotStats {
    uint64_t saved;             /* host pages that were copied */
    uint64_t held;              /* bytes of copies now */
    uint64_t held_max;          /* the most that ever were */
} DumpSnapshotStats;

/*
 * A snapshot of nothing yet, with its watch.
 *
 * @device: descriptor of /dev/userfaultfd, not used up, or -1; see
 *          write_watch_open
 * @limit: bytes of copies that are held before @events->full is called. More
 *         are held all the same, but the snapshot breaks at @hard_limit
 * @untouched: what tells of the page tables; must outlive the result
 *
 * NULL with @errp set if this cannot be done here.
 */
DumpSnapshot *dump_snapshot_new(int device, uint64_t limit,
                                uint64_t hard_limit,
                                const DumpUntouched *untouched,
                                const DumpSnapshotEvents *events,
                                Error **errp);

/* Nobody reads any more. NULL is allowed. */
void dump_snapshot_free(DumpSnapshot *s);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DumpSnapshot, dump_snapshot_free)

/*
 * Add memory; what is in the snapshot already is passed over, a part of it
 * is not. Before the moment, or in it. False with @errp set if it cannot be
 * watched.
 */
bool dump_snapshot_add(DumpSnapshot *s, const DumpSnapshotRange *range,
                       Error **errp);

/* Is all of [@host, @host + @len) in it? */
bool dump_snapshot_has(DumpSnapshot *s, const uint8_t *host, uint64_t len);

/*
 * Protect what there is to be protected, so that little is left for the
 * moment. Takes up to tens of milliseconds per GiB; writers go on. Ends early
 * when @progress is cancelled. False with @errp set on failure.
 */
bool dump_snapshot_prepare(DumpSnapshot *s, const DumpProgress *progress,
                           Error **errp);

/*
 * This is the moment: what is in memory now is what is read from here on.
 * Writers may be at work; each either comes before it, with all that it
 * wrote before, or after. False with @errp set on failure; then nothing is
 * protected.
 */
bool dump_snapshot_take(DumpSnapshot *s, Error **errp);

/*
 * Nothing is protected any more, and nobody sleeps; no copy is made
 * from here on. What is read is not that of the moment. May be called more
 * than once.
 */
void dump_snapshot_end(DumpSnapshot *s);

/* Why it is of no use, or NULL. */
const char *dump_snapshot_broken(const DumpSnapshot *s);

void dump_snapshot_get_stats(const DumpSnapshot *s, DumpSnapshotStats *stats);

/* -- for pages-live.c -------------------------------------------------- */

/*
 * What is at @host, of which @bytes is NULL where it can be read itself, to
 * be asked for by dump_snapshot_same afterwards; else @bytes is the copy, until
 * it is given back. @len: as in dump_pages_get. What is not watched does not
 * change.
 */
DumpPagesKind dump_snapshot_look(DumpSnapshot *s, const uint8_t *host,
                                 uint64_t *len, const uint8_t **bytes);

/* Was all of this, which was read itself, protected until now? */
bool dump_snapshot_same(DumpSnapshot *s, const uint8_t *host, uint64_t len);

/*
 * The whole pages in [@host, @host + @len) will not be asked for any more.
 */
void dump_snapshot_give(DumpSnapshot *s, const uint8_t *host, uint64_t len);

#endif
