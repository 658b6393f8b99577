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
 * Create a flattened sink, which takes ownership of @base. Each write makes one
 * record; consecutive writes are not merged, so callers should write large
 * pieces. If @base rewinds, the flattened header is zero until finish, so that
 * an incomplete file is not taken for a dump.
 */
DumpSink *dump_sink_flat_new(DumpSink *base);

#endif
