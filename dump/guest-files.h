/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Files in use by the guest: its memory backends and its disks.
 *
 * BQL held, main thread.
 */

#ifndef DUMP_GUEST_FILES_H
#define DUMP_GUEST_FILES_H

/*
 * Returns false, with @errp set, if the file of @fd is in use by the guest, so
 * that a dump would overwrite it.
 *
 * Disks are identified by file name. The check does not wait for a server that
 * does not answer.
 */
bool guest_files_check(int fd, Error **errp);

/*
 * The same for a block node and its children. Only memory backends are checked:
 * the block layer protects disks.
 */
bool guest_files_check_node(BlockDriverState *bs, Error **errp);

#endif
