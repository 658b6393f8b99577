/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Query for the VMCOREINFO of a guest that may run, without a dump.
 *
 * There is one query at a time. It keeps references to the guest's memory
 * regions from vmcoreinfo_query_new to vmcoreinfo_query_free. The guest is
 * neither stopped nor modified, and its untouched memory is not read.
 *
 * All functions but vmcoreinfo_query_run and vmcoreinfo_query_cancel are called
 * in the main thread with the BQL held.
 */

#ifndef DUMP_VMCOREINFO_QUERY_H
#define DUMP_VMCOREINFO_QUERY_H

#include "qapi/qapi-types-dump.h"

typedef struct VmcoreinfoQuery VmcoreinfoQuery;

/*
 * A started query has ended. The callee takes ownership of @query, which is
 * NULL if QEMU exits and cannot wait for it. Called once, in the main thread
 * with the BQL held, after vmcoreinfo_query_start has returned.
 */
typedef void VmcoreinfoDone(void *opaque, VmcoreinfoQuery *query);

/*
 * Collect QEMU's state of the guest, in milliseconds. Returns NULL, with @errp
 * set, on failure or during a dump, another query or an incoming migration.
 *
 * @search: search memory if the guest's driver published nothing
 */
VmcoreinfoQuery *vmcoreinfo_query_new(bool search, Error **errp);

/*
 * Run the query in a thread without the BQL, which can be cancelled, and call
 * @done at the end. Returns false, with @errp set, if the thread cannot be
 * created; @done is not called then.
 */
bool vmcoreinfo_query_start(VmcoreinfoQuery *query, VmcoreinfoDone *done,
                            void *opaque, Error **errp);

/* Run the query in the calling thread; any thread, without locks. */
void vmcoreinfo_query_run(VmcoreinfoQuery *query);

/*
 * The result, owned by the caller; NULL, with @errp set, if the query was
 * cancelled or failed. Called once, after vmcoreinfo_query_run or in @done.
 */
DumpVmcoreinfoNote *vmcoreinfo_query_result(VmcoreinfoQuery *query,
                                            Error **errp);

/* Must not be called while the query runs. */
void vmcoreinfo_query_free(VmcoreinfoQuery *query);

/*
 * Cancel the running query. Returns at once; false if there is none. Any
 * thread, with or without the BQL.
 */
bool vmcoreinfo_query_cancel(void);

#endif
