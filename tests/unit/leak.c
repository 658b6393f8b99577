/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Loses memory: whatever looks for leaks must say so, or it is not looking.
 */

#include "qemu/osdep.h"

int main(void)
{
    void *volatile lost = g_malloc(77);

    lost = NULL;
    return lost != NULL;
}
