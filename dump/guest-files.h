/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Files that the guest itself lives in: its memory and its disks.
 *
 * BQL held, main thread.
 */

#ifndef DUMP_GUEST_FILES_H
#define DUMP_GUEST_FILES_H

/*
 * Is the file that @fd is open for none of the guest's? False with @errp set
 * if a dump there would overwrite the guest.
 *
 * Disks are looked for by the name of their file; those on a server that does
 * not answer are not waited for.
 */
bool guest_files_check(int fd, Error **errp);

/*
 * The same for a block node and all that it is made of. Only the guest's
 * memory is looked for: the block layer knows of disks.
 */
bool guest_files_check_node(BlockDriverState *bs, Error **errp);

#endif
