/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * QEMU before 10.1 has this header under another name.
 */

#ifndef BACKPORT_SYSTEM_MEMORY_H
#define BACKPORT_SYSTEM_MEMORY_H

#include "exec/memory.h"

#endif
