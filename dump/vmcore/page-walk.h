/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Which pages of a Linux guest a dump can do without: a walk over the struct
 * pages of all its memory.
 *
 * The guest has written all that is read here, and can have any page left
 * out. It can make no more of it: what is read is guest memory, in a time that
 * goes by its size.
 */

#ifndef DUMP_VMCORE_PAGE_WALK_H
#define DUMP_VMCORE_PAGE_WALK_H

#include "dump-guest.h"
#include "progress.h"
#include "vmcoreinfo.h"

/*
 * Set @guest->kept to the pages of @guest->ram that are of none of the classes
 * in @level (PAGE_CLASS_BIT), nor unusable; and tell its report of the bytes
 * that are left out. To be called after linux_guest_describe.
 *
 * A page whose struct page is not there or cannot be read is kept; the latter
 * is warned of.
 *
 * @mem: all memory of @guest; others that read it are made of its pages
 * @info: NULL is allowed, and an error
 * @threads: as in dump_pipeline_run
 *
 * False with @errp set if the kernel is not understood, there is no memory for
 * the walk, or @progress was cancelled.
 */
bool page_walk(DumpGuest *guest, DumpPagesReader *mem, const VmcoreInfo *info,
               unsigned level, unsigned threads, DumpProgress *progress,
               Error **errp);

#endif
