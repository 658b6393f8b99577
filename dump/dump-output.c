/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Functions common to all outputs; see the header.
 */

#include "qemu/osdep.h"
#include "block-queue.h"
#include "dump-output.h"
#include "vmcore/sink-flat.h"

DumpOutput *dump_output_open(const DumpOutputName *name,
                             const char *must_seek, Error **errp)
{
    return name->node_name ? dump_output_open_block(name->node_name, errp) :
                             dump_output_open_fd(name, must_seek, errp);
}

bool dump_output_check_size(DumpOutput *out, uint64_t bytes, Error **errp)
{
    return out->ops->check_size(out, bytes, errp);
}

bool dump_output_needs_main_loop(const DumpOutput *out)
{
    return out->needs_main_loop;
}

DumpSink *dump_output_begin(DumpOutput *out, bool flat, bool durable,
                            DumpProgress *progress, Error **errp)
{
    DumpSink *sink = out->ops->begin(out, progress, errp);

    if (sink && durable) {
        dump_sink_set_durable(sink);
    }
    return sink && flat ? dump_sink_flat_new(sink) : sink;
}

void dump_output_release(DumpOutput *out)
{
    if (out) {
        out->ops->release(out);
    }
}

void dump_output_exit(void)
{
    block_queue_break_all();
}
