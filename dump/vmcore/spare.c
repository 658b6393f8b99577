/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Memory set aside for out-of-memory errors. It is mapped, and not taken from
 * the heap, because malloc() cannot use freed memory of another thread's arena
 * in a thread that has none, and maps each block there.
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/units.h"
#include "spare.h"
#ifndef _WIN32
#include <sys/mman.h>

/* An Error and its messages, with a page for each of their allocations. */
#define SPARE_SIZE      (256 * KiB)

static void *spare;

void dump_spare_hold(void)
{
    void *p = mmap(NULL, SPARE_SIZE, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    dump_spare_free();
    if (p != MAP_FAILED) {
        qatomic_set(&spare, p);
    }
}

void dump_spare_free(void)
{
    void *p = qatomic_xchg(&spare, NULL);

    if (p) {
        munmap(p, SPARE_SIZE);
    }
}

#else

void dump_spare_hold(void)
{
}

void dump_spare_free(void)
{
}

#endif
