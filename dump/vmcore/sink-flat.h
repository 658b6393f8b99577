/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Sink for makedumpfile's flattened form, over any other sink: any offset in
 * any order, each byte once.
 */

#ifndef DUMP_VMCORE_SINK_FLAT_H
#define DUMP_VMCORE_SINK_FLAT_H

#include "sink.h"

/*
 * A flattened sink that owns @base. The flat header is written with the
 * first record. Records are as large as the writes that make them;
 * consecutive writes are not joined, so callers write large pieces.
 */
DumpSink *dump_sink_flat_new(DumpSink *base);

#endif
