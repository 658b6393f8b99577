/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Sink for makedumpfile's flattened form, on top of any other sink. Offsets
 * may be written in any order, each byte once.
 */

#ifndef DUMP_VMCORE_SINK_FLAT_H
#define DUMP_VMCORE_SINK_FLAT_H

#include "sink.h"

/*
 * Create a flattened sink, which takes ownership of @base. The flat header is
 * written with the first record. Each write makes one record; consecutive
 * writes are not merged, so callers should write large pieces.
 */
DumpSink *dump_sink_flat_new(DumpSink *base);

#endif
