/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Flushing a descriptor to stable storage.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/thread.h"
#include "fd-host.h"
#include "fd-sync.h"
#include "thread.h"

/* Interval of checks for a cancel. */
#define SYNC_POLL_MS    100

/* Shared by the waiting thread and the one that makes the system call. */
typedef struct FdSync {
    DumpThread thread;
    int fd;
    int error;                  /* errno or 0; valid when done is set */
    QemuMutex lock;
    QemuCond changed;           /* with lock: done was set */
    bool done;                  /* under lock */
    bool left;                  /* under lock: the waiting thread gave up */
} FdSync;

bool fd_is_storage(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 &&
           (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode));
}

static void sync_free(FdSync *s)
{
    qemu_cond_destroy(&s->changed);
    qemu_mutex_destroy(&s->lock);
    g_free(s);
}

static void *sync_thread(void *opaque)
{
    FdSync *s = opaque;
    bool left;

    s->error = fd_host_sync(s->fd);
    qemu_mutex_lock(&s->lock);
    s->done = true;
    left = s->left;
    qemu_cond_signal(&s->changed);
    qemu_mutex_unlock(&s->lock);
    if (left) {
        qemu_close(s->fd);
        sync_free(s);
    }
    return NULL;
}

/* False if the dump was cancelled before the thread was done. */
static bool sync_wait(FdSync *s, const DumpProgress *progress)
{
    bool done;

    qemu_mutex_lock(&s->lock);
    while (!s->done && !(progress && dump_progress_out_of_time(progress))) {
        qemu_cond_timedwait(&s->changed, &s->lock, SYNC_POLL_MS);
    }
    done = s->done;
    s->left = !done;
    if (s->left) {
        dump_thread_leave(&s->thread);
    }
    qemu_mutex_unlock(&s->lock);
    return done;
}

/* NULL if no thread can be started. */
static FdSync *sync_begin(int fd)
{
    FdSync *s = g_try_new0(FdSync, 1);

    if (!s) {
        return NULL;
    }
    s->fd = fd;
    qemu_mutex_init(&s->lock);
    qemu_cond_init(&s->changed);
    if (!dump_thread_start(&s->thread, "dump-sync", sync_thread, s, NULL)) {
        sync_free(s);
        return NULL;
    }
    return s;
}

static bool sync_result(int error, Error **errp)
{
    if (error) {
        error_setg_errno(errp, error, "dump: writing the output to stable "
                         "storage");
    }
    return !error;
}

bool fd_sync(int *fd, const DumpProgress *progress, Error **errp)
{
    FdSync *s = sync_begin(*fd);
    int error;

    if (!s) {
        return sync_result(fd_host_sync(*fd), errp);
    }
    if (!sync_wait(s, progress)) {
        *fd = -1;
        error_setg(errp, "dump: cancelled");
        return false;
    }
    dump_thread_join(&s->thread);
    error = s->error;
    sync_free(s);
    return sync_result(error, errp);
}
