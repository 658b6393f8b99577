/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Files in use by the guest; see the header.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-misc.h"
#include "block/block_int.h"
#include "exec/cpu-common.h"
#include "qemu/cutils.h"
#include "system/block-backend.h"
#include "system/ramblock.h"
#include "guest-files.h"

/* Different device nodes may refer to the same block device. */
static bool same_file(const struct stat *a, const struct stat *b)
{
    if (S_ISBLK(a->st_mode) && S_ISBLK(b->st_mode)) {
        return a->st_rdev == b->st_rdev;
    }
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Like fstat(), but with cached attributes: does not wait for a server. */
static bool fd_is_file(int fd, const struct stat *file)
{
    struct stat st;
#ifdef AT_STATX_DONT_SYNC
    struct statx stx;

    if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC,
              STATX_TYPE | STATX_INO, &stx) == 0) {
        st = (struct stat) {
            .st_mode = stx.stx_mode,
            .st_ino = stx.stx_ino,
            .st_dev = makedev(stx.stx_dev_major, stx.stx_dev_minor),
            .st_rdev = makedev(stx.stx_rdev_major, stx.stx_rdev_minor),
        };
        return same_file(&st, file);
    }
#endif
    return fstat(fd, &st) == 0 && same_file(&st, file);
}

typedef struct MemorySearch {
    const struct stat *file;
    const char *name;           /* of the RAM block that was found */
} MemorySearch;

static int search_block(RAMBlock *rb, void *opaque)
{
    MemorySearch *search = opaque;
    int fd = qemu_ram_get_fd(rb);

    if (fd >= 0 && fd_is_file(fd, search->file)) {
        search->name = qemu_ram_get_idstr(rb);
    }
    return search->name != NULL;
}

static bool check_memory(const struct stat *file, Error **errp)
{
    MemorySearch search = { .file = file };

    qemu_ram_foreach_block(search_block, &search);
    if (search.name) {
        error_setg(errp, "dump: the output is the guest's memory '%s'",
                   search.name);
    }
    return !search.name;
}

/* Number of times that QEMU has @file open; UINT_MAX if not known. */
static unsigned count_open(const struct stat *file)
{
    g_autoptr(GDir) dir = g_dir_open("/proc/self/fd", 0, NULL);
    const char *name;
    unsigned n = 0;
    int fd;

    if (!dir) {
        return UINT_MAX;
    }
    while ((name = g_dir_read_name(dir))) {
        if (qemu_strtoi(name, NULL, 10, &fd) == 0 && fd_is_file(fd, file)) {
            n++;
        }
    }
    return n;
}

static bool fdset_has_file(int64_t id, const struct stat *file)
{
    g_autoptr(FdsetInfoList) sets = qmp_query_fdsets(NULL);

    for (FdsetInfoList *set = sets; set; set = set->next) {
        FdsetFdInfoList *fds = set->value->fds;

        for (; set->value->fdset_id == id && fds; fds = fds->next) {
            if (fd_is_file(fds->value->fd, file)) {
                return true;
            }
        }
    }
    return false;
}

/* Does @name, a file name of a block driver, refer to @file? */
static bool name_is_file(const char *name, const struct stat *file)
{
    const char *id_str;
    struct stat st;
    int64_t id;

    if (strstart(name, "/dev/fdset/", &id_str)) {
        return qemu_strtoi64(id_str, NULL, 10, &id) == 0 &&
               fdset_has_file(id, file);
    }
    return stat(name, &st) == 0 && same_file(&st, file);
}

static bool check_disks(const struct stat *file, Error **errp)
{
    BlockDriverState *bs = NULL;

    /* Avoid stat() on other files unless needed: it may block. */
    if (count_open(file) < 2) {
        return true;
    }
    while ((bs = bdrv_next_all_states(bs))) {
        if (bs->exact_filename[0] && name_is_file(bs->exact_filename, file)) {
            error_setg(errp, "dump: the output is the file '%s' of the "
                       "guest's block node '%s'", bs->exact_filename,
                       bs->node_name);
            return false;
        }
    }
    return true;
}

/* The byte range used by QEMU's image locks; see file-posix.c. */
#define IMAGE_LOCK_FIRST    100
#define IMAGE_LOCK_SIZE     200

/*
 * A disk image in use has locks, whatever its name and whichever QEMU process
 * uses it.
 */
static bool check_locks(int fd, Error **errp)
{
    if (qemu_lock_fd_test(fd, IMAGE_LOCK_FIRST, IMAGE_LOCK_SIZE, true) ==
        -EAGAIN) {
        error_setg(errp, "dump: the output is a disk image that is in use");
        return false;
    }
    return true;
}

bool guest_files_check(int fd, Error **errp)
{
    struct stat st;

    if (fstat(fd, &st) < 0 || !(S_ISREG(st.st_mode) || S_ISBLK(st.st_mode))) {
        return true;
    }
    return check_memory(&st, errp) && check_disks(&st, errp) &&
           check_locks(fd, errp);
}

static bool check_node_file(const BlockDriverState *bs, Error **errp)
{
    struct stat st;

    return !bs->exact_filename[0] || stat(bs->exact_filename, &st) < 0 ||
           check_memory(&st, errp);
}

static bool GRAPH_RDLOCK
check_node_and_children(BlockDriverState *bs, Error **errp)
{
    BdrvChild *child;

    if (!check_node_file(bs, errp)) {
        return false;
    }
    QLIST_FOREACH(child, &bs->children, next) {
        if (!check_node_and_children(child->bs, errp)) {
            return false;
        }
    }
    return true;
}

bool guest_files_check_node(BlockDriverState *bs, Error **errp)
{
    GRAPH_RDLOCK_GUARD_MAINLOOP();

    return check_node_and_children(bs, errp);
}
