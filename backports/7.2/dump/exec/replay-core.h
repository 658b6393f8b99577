/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * QEMU 7.2 has this header under another name.
 */

#ifndef BACKPORT_DUMP_EXEC_REPLAY_CORE_H
#define BACKPORT_DUMP_EXEC_REPLAY_CORE_H

#include "sysemu/replay.h"

#endif
