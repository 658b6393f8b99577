/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One look for VMCOREINFO in a guest that may run, without a dump.
 *
 * There is one query at a time. It keeps references to the guest's memory
 * regions from vmcoreinfo_query_new to vmcoreinfo_query_free. Nothing of the
 * guest is changed, and memory that it never touched is not read; it goes on
 * meanwhile.
 *
 * Everything here is called with the BQL held, in the main thread, except
 * vmcoreinfo_query_run and vmcoreinfo_query_cancel.
 */

#ifndef DUMP_VMCOREINFO_QUERY_H
#define DUMP_VMCOREINFO_QUERY_H

#include "qapi/qapi-types-dump.h"

typedef struct VmcoreinfoQuery VmcoreinfoQuery;

/*
 * A query that was started is over. @query is the callee's to free; NULL if
 * QEMU exits and cannot wait for it. Called once, in the main thread with the
 * BQL held, never before vmcoreinfo_query_start has returned.
 */
typedef void VmcoreinfoDone(void *opaque, VmcoreinfoQuery *query);

/*
 * Collect what only QEMU knows, in milliseconds. NULL with @errp set if that
 * is not possible now: a dump, another query or an incoming migration is
 * going on.
 *
 * @search: look through memory, if the guest's driver tells nothing
 */
VmcoreinfoQuery *vmcoreinfo_query_new(bool search, Error **errp);

/*
 * Look, in a thread that can be cancelled and does not hold the BQL, and call
 * @done. False with @errp set, and @done is not called, if there is no thread
 * to be had.
 */
bool vmcoreinfo_query_start(VmcoreinfoQuery *query, VmcoreinfoDone *done,
                            void *opaque, Error **errp);

/* Look, in this thread, whichever it is; no lock is needed. */
void vmcoreinfo_query_run(VmcoreinfoQuery *query);

/*
 * What was found, for the caller to free; NULL with @errp set if the query
 * was cancelled or failed. After vmcoreinfo_query_run or in @done, once.
 */
DumpVmcoreinfoNote *vmcoreinfo_query_result(VmcoreinfoQuery *query,
                                            Error **errp);

/* Not while it runs. */
void vmcoreinfo_query_free(VmcoreinfoQuery *query);

/*
 * Have the running query end soon. Returns at once; false if there is none.
 * Any thread, with or without the BQL.
 */
bool vmcoreinfo_query_cancel(void);

#endif
