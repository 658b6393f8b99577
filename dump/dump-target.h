/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Interface to target/<arch>/arch_dump.c: the functions that it calls (declared
 * in system/dump.h), and its hooks that add sections to ELF dumps.
 *
 * BQL held, unless said otherwise.
 */

#ifndef DUMP_DUMP_TARGET_H
#define DUMP_DUMP_TARGET_H

#include "guest-types.h"

/*
 * Set [*@start, *@end) to the part of @block inside the range; a @length of 0
 * means all memory. Returns false if it is empty.
 */
bool dump_target_overlap(const GuestPhysBlock *block, int64_t begin,
                         int64_t length, uint64_t *start, uint64_t *end);

/*
 * Let the target announce its sections, if any. Called before the CPU notes are
 * collected, which may depend on the hook's side effects.
 */
void dump_target_add_sections(GuestState *state);

#endif
