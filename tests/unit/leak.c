/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Leaks memory, to verify that the leak checker works.
 */

#include "qemu/osdep.h"

static void *kept;

int main(void)
{
    for (int i = 0; i < 10; i++) {
        kept = g_malloc(77);    /* the previous block leaks */
    }
    return !kept;
}
