/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What target/<arch>/arch_dump.c calls (declared in system/dump.h), and what
 * is called there: the hooks by which a target adds sections to ELF dumps.
 *
 * BQL held, unless said otherwise.
 */

#ifndef DUMP_DUMP_TARGET_H
#define DUMP_DUMP_TARGET_H

#include "guest-types.h"

/* The overlap of block and range: false if there is none. */
bool dump_target_overlap(const GuestPhysBlock *block, int64_t begin,
                         int64_t length, uint64_t *start, uint64_t *end);

/*
 * Let the target say what sections it has, if any. To be called before the
 * notes of CPUs are collected: they may depend on what the hook starts.
 */
void dump_target_add_sections(GuestState *state);

#endif
