/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Loses memory: whatever looks for leaks must say so, or it is not looking.
 */

#include "qemu/osdep.h"

static void *kept;

int main(void)
{
    for (int i = 0; i < 10; i++) {
        kept = g_malloc(77);    /* and the one before is lost */
    }
    return !kept;
}
