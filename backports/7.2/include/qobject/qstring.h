/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * QEMU 7.2 has this header under another name.
 */

#ifndef BACKPORT_QOBJECT_QSTRING_H
#define BACKPORT_QOBJECT_QSTRING_H

#include "qapi/qmp/qstring.h"

#endif
