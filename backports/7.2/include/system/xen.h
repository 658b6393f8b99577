/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * QEMU 7.2 has this header under another name.
 */

#ifndef BACKPORT_SYSTEM_XEN_H
#define BACKPORT_SYSTEM_XEN_H

#include "sysemu/xen.h"

#endif
