/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * QEMU 7.2 has this header under another name, and does not support
 * guest_memfd.
 */

#ifndef BACKPORT_SYSTEM_MEMORY_H
#define BACKPORT_SYSTEM_MEMORY_H

#include "exec/memory.h"

#define RAM_GUEST_MEMFD 0

#endif
