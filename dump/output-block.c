/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Output to a node of QEMU's block layer.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "block/block_int.h"
#include "system/block-backend.h"
#include "dump-output.h"
#include "guest-files.h"
#include "sink-block.h"

typedef struct BlockOutput {
    DumpOutput parent;
    BlockBackend *blk;          /* NULL once passed to the sink */
    uint64_t length;            /* of the node at open time, in bytes */
} BlockOutput;

/*
 * A dump does not share its node with other users: guest devices, exports,
 * jobs or parent nodes.
 */
static bool block_check_unused(BlockDriverState *bs, const char *name,
                               Error **errp)
{
    g_autofree char *user = NULL;
    BdrvChild *child;

    GRAPH_RDLOCK_GUARD_MAINLOOP();
    child = QLIST_FIRST(&bs->parents);
    if (!child) {
        return true;
    }
    user = child->klass->get_parent_desc(child);
    error_setg(errp, "dump: block node '%s' is in use by %s as '%s'", name,
               user, child->name);
    return false;
}

static BlockDriverState *block_find(const char *name, Error **errp)
{
    BlockDriverState *bs = bdrv_find_node(name);

    if (!bs) {
        error_setg(errp, "dump: there is no block node '%s'", name);
        return NULL;
    }
    /* For example after migration, when the destination uses the image. */
    if (bs->open_flags & BDRV_O_INACTIVE) {
        error_setg(errp, "dump: block node '%s' is inactive", name);
        return NULL;
    }
    return bs;
}

static bool block_open(BlockOutput *out, const char *name, Error **errp)
{
    BlockDriverState *bs = block_find(name, errp);
    int64_t length;

    if (!bs || !block_check_unused(bs, name, errp) ||
        !guest_files_check_node(bs, errp)) {
        return false;
    }
    /* Unaligned writes need to read the surrounding data. */
    out->blk = blk_new_with_bs(bs, BLK_PERM_CONSISTENT_READ | BLK_PERM_WRITE |
                               BLK_PERM_RESIZE, BLK_PERM_WRITE_UNCHANGED,
                               errp);
    if (!out->blk) {
        return false;
    }
    length = blk_getlength(out->blk);
    if (length < 0) {
        error_setg_errno(errp, -length, "dump: length of block node '%s'",
                         name);
        return false;
    }
    out->length = length;
    return true;
}

/*
 * The only way to find out whether a node can grow is to try. Restore its
 * length at once, as the dump may still be refused.
 */
static bool block_check_size(DumpOutput *parent, uint64_t bytes, Error **errp)
{
    BlockOutput *out = container_of(parent, BlockOutput, parent);
    Error *err = NULL;

    if (bytes <= out->length) {
        return true;
    }
    if (bytes > INT64_MAX - BDRV_SECTOR_SIZE) {
        error_setg(&err, "Image size too large");
    } else if (blk_truncate(out->blk, ROUND_UP(bytes, BDRV_SECTOR_SIZE),
                            false, PREALLOC_MODE_OFF, 0, &err) >= 0) {
        blk_truncate(out->blk, out->length, true, PREALLOC_MODE_OFF, 0, NULL);
        return true;
    }
    error_propagate_prepend(errp, err, "dump: no space for %" PRIu64 " bytes "
                            "of guest memory: ", bytes);
    return false;
}

static DumpSink *block_begin(DumpOutput *parent, DumpProgress *progress,
                             Error **errp)
{
    BlockOutput *out = container_of(parent, BlockOutput, parent);

    return dump_sink_block_new(g_steal_pointer(&out->blk), out->length,
                               progress);
}

static void block_release(DumpOutput *parent)
{
    BlockOutput *out = container_of(parent, BlockOutput, parent);

    if (out->blk) {
        blk_unref(out->blk);
    }
    g_free(out);
}

DumpOutput *dump_output_open_block(const char *node_name, Error **errp)
{
    static const DumpOutputOps ops = {
        .check_size = block_check_size,
        .begin = block_begin,
        .release = block_release,
    };
    BlockOutput *out = g_new0(BlockOutput, 1);

    out->parent.ops = &ops;
    out->parent.needs_main_loop = true;
    if (!block_open(out, node_name, errp)) {
        block_release(&out->parent);
        return NULL;
    }
    return &out->parent;
}
