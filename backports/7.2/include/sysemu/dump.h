/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * QEMU 7.2 includes this header under its older name.
 */

#ifndef BACKPORT_SYSEMU_DUMP_H
#define BACKPORT_SYSEMU_DUMP_H

#include "system/dump.h"

#endif
