/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * QMP commands of the guest memory dump: arguments in, one validated
 * DumpOptions out; queries.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-dump.h"
#include "block/aio.h"
#include "qemu/coroutine.h"
#include "qemu/cutils.h"
#include "qemu/units.h"
#include "dump-job.h"
#include "guest-state.h"
#include "vmcoreinfo-query.h"
#include "vmcore/pipeline.h"

/* More workers than this only cost memory. */
#define DUMP_MAX_DEFAULT_THREADS 16

/* Pages of a live guest that are held until they are written. */
#define DUMP_DEFAULT_LIVE_BUFFER (256 * MiB)
#define DUMP_MIN_LIVE_BUFFER     (1 * MiB)
#define DUMP_MAX_LIVE_BUFFER     (1 * PiB)

/* The formats of the schema as the engine knows them. */
static const struct {
    DumpGuestMemoryFormat qapi;
    DumpFormat format;
} dump_formats[] = {
    { DUMP_GUEST_MEMORY_FORMAT_ELF,
      { DUMP_KIND_ELF } },
    { DUMP_GUEST_MEMORY_FORMAT_KDUMP_ZLIB,
      { DUMP_KIND_KDUMP, DUMP_CODEC_ZLIB, true } },
#ifdef CONFIG_LZO
    { DUMP_GUEST_MEMORY_FORMAT_KDUMP_LZO,
      { DUMP_KIND_KDUMP, DUMP_CODEC_LZO, true } },
#endif
#ifdef CONFIG_SNAPPY
    { DUMP_GUEST_MEMORY_FORMAT_KDUMP_SNAPPY,
      { DUMP_KIND_KDUMP, DUMP_CODEC_SNAPPY, true } },
#endif
    { DUMP_GUEST_MEMORY_FORMAT_KDUMP_RAW_ZLIB,
      { DUMP_KIND_KDUMP, DUMP_CODEC_ZLIB, false } },
#ifdef CONFIG_LZO
    { DUMP_GUEST_MEMORY_FORMAT_KDUMP_RAW_LZO,
      { DUMP_KIND_KDUMP, DUMP_CODEC_LZO, false } },
#endif
#ifdef CONFIG_SNAPPY
    { DUMP_GUEST_MEMORY_FORMAT_KDUMP_RAW_SNAPPY,
      { DUMP_KIND_KDUMP, DUMP_CODEC_SNAPPY, false } },
#endif
#ifdef CONFIG_ZSTD
    { DUMP_GUEST_MEMORY_FORMAT_KDUMP_ZSTD,
      { DUMP_KIND_KDUMP, DUMP_CODEC_ZSTD, true } },
    { DUMP_GUEST_MEMORY_FORMAT_KDUMP_RAW_ZSTD,
      { DUMP_KIND_KDUMP, DUMP_CODEC_ZSTD, false } },
#endif
    { DUMP_GUEST_MEMORY_FORMAT_WIN_DMP,
      { DUMP_KIND_WINDMP } },
};

/* The row of the table, whether this build can write the format or not. */
static const DumpFormat *dump_find_format(DumpGuestMemoryFormat qapi)
{
    for (size_t i = 0; i < ARRAY_SIZE(dump_formats); i++) {
        if (dump_formats[i].qapi == qapi) {
            return &dump_formats[i].format;
        }
    }
    g_assert_not_reached();
}

static bool dump_set_format(DumpGuestMemoryFormat qapi, DumpFormat *format,
                            Error **errp)
{
    const DumpFormat *found = dump_find_format(qapi);

    if (!dump_writer_available(found)) {
        error_setg(errp, "dump format '%s' is not supported by this QEMU",
                   DumpGuestMemoryFormat_str(qapi));
        return false;
    }
    *format = *found;
    return true;
}

/* The text is matched by management tools. */
static bool dump_check_filter(DumpGuestMemoryFormat qapi, bool paging,
                              bool range, Error **errp)
{
    const DumpFormat *format = dump_find_format(qapi);
    const DumpWriterOps *ops = dump_writer_ops(format->kind);

    if ((paging && !ops->paging) || (range && !ops->range)) {
        error_setg(errp, "kdump-compressed format doesn't support paging or "
                   "filter");
        return false;
    }
    return true;
}

static bool dump_set_range(DumpOptions *opts, bool has_begin, int64_t begin,
                           bool has_length, int64_t length, Error **errp)
{
    if (has_begin != has_length) {
        error_setg(errp, "Parameter '%s' is missing",
                   has_begin ? "length" : "begin");
        return false;
    }
    if (!has_begin) {
        return true;
    }
    if (begin < 0) {
        error_setg(errp, "Invalid parameter 'begin': must not be negative");
        return false;
    }
    if (length <= 0) {
        error_setg(errp, "Invalid parameter 'length': must be greater than "
                   "zero");
        return false;
    }
    /* Two values below 2^63: the sum cannot wrap. */
    opts->has_range = true;
    opts->begin = begin;
    opts->length = length;
    return true;
}

static bool dump_set_threads(DumpFormat *format, bool has_threads,
                             uint8_t threads, Error **errp)
{
    if (!has_threads) {
        /* Counts what affinity allows, not what the machine has. */
        format->threads = MIN(g_get_num_processors(),
                              DUMP_MAX_DEFAULT_THREADS);
        return true;
    }
    if (threads < 1 || threads > DUMP_PIPELINE_MAX_THREADS) {
        error_setg(errp, "Parameter 'threads' expects a number from 1 to %d",
                   DUMP_PIPELINE_MAX_THREADS);
        return false;
    }
    format->threads = threads;
    return true;
}

static bool dump_set_live(DumpOptions *opts, bool has_buffer, uint64_t buffer,
                          Error **errp)
{
    if (opts->live == ON_OFF_AUTO_OFF && (has_buffer || opts->live_fd)) {
        error_setg(errp, "Parameter '%s' is only for a dump with 'live'",
                   has_buffer ? "live-buffer" : "live-fd");
        return false;
    }
    if (has_buffer && (buffer < DUMP_MIN_LIVE_BUFFER ||
                       buffer > DUMP_MAX_LIVE_BUFFER)) {
        error_setg(errp, "Parameter 'live-buffer' expects 1 MiB to 1 PiB");
        return false;
    }
    opts->live_buffer = has_buffer ? buffer : DUMP_DEFAULT_LIVE_BUFFER;
    return true;
}

static bool dump_set_output(DumpOptions *opts, const char *protocol,
                            Error **errp)
{
    DumpOutputName *output = &opts->output;

    if (strstart(protocol, "file:", &output->path) ||
        strstart(protocol, "fd:", &output->fd_name) ||
        strstart(protocol, "node:", &output->node_name)) {
        return true;
    }
    error_setg(errp, "Invalid parameter 'protocol': "
               "expected 'file:', 'fd:' or 'node:' and a name");
    return false;
}

/* The schema's classes are the engine's, in the same order. */
static bool dump_set_exclude(DumpOptions *opts, const DumpPageClassList *list,
                             Error **errp)
{
    QEMU_BUILD_BUG_ON((int)DUMP_PAGE_CLASS_FREE != (int)PAGE_CLASS_FREE);
    QEMU_BUILD_BUG_ON((int)DUMP_PAGE_CLASS__MAX != (int)PAGE_CLASS__MAX);

    for (; list; list = list->next) {
        opts->dump_level |= PAGE_CLASS_BIT(list->value);
    }
    if (!opts->dump_level) {
        return true;
    }
    if (opts->paging || dump_writer_ops(opts->format.kind)->windows) {
        error_setg(errp, "Parameter 'exclude' cannot be used with 'paging' or "
                   "format 'win-dmp'");
        return false;
    }
    if (opts->dump_level & ~PAGE_CLASS_BIT(PAGE_CLASS_ZERO) &&
        opts->vmcoreinfo == DUMP_VMCOREINFO_OFF) {
        error_setg(errp, "Parameter 'exclude' needs VMCOREINFO, which "
                   "'vmcoreinfo' turns off");
        return false;
    }
    return true;
}

void qmp_dump_guest_memory(bool paging, const char *protocol,
                           bool has_detach, bool detach,
                           bool has_begin, int64_t begin,
                           bool has_length, int64_t length,
                           bool has_format, DumpGuestMemoryFormat format,
                           bool has_threads, uint8_t threads,
                           bool has_vmcoreinfo, DumpVmcoreinfo vmcoreinfo,
                           bool has_exclude, DumpPageClassList *exclude,
                           bool has_live, OnOffAuto live,
                           bool has_live_buffer, uint64_t live_buffer,
                           const char *live_fd,
                           const char *job_id, Error **errp)
{
    DumpOptions opts = {
        .live = has_live ? live : ON_OFF_AUTO_OFF,
        .live_fd = live_fd,
        .paging = paging,
        .detach = has_detach ? detach : job_id != NULL,
        .job_id = job_id,
        .vmcoreinfo = has_vmcoreinfo ? vmcoreinfo : DUMP_VMCOREINFO_AUTO,
    };

    if (!has_format) {
        format = DUMP_GUEST_MEMORY_FORMAT_ELF;
    }
    if (!dump_check_filter(format, paging, has_begin || has_length, errp)) {
        return;
    }
    if (job_id && !opts.detach) {
        error_setg(errp, "Parameter 'job-id' is only for a dump with "
                   "'detach'");
        return;
    }
    if (!dump_set_range(&opts, has_begin, begin, has_length, length, errp) ||
        !dump_set_format(format, &opts.format, errp) ||
        !dump_set_threads(&opts.format, has_threads, threads, errp) ||
        !dump_set_live(&opts, has_live_buffer, live_buffer, errp) ||
        !dump_set_exclude(&opts, has_exclude ? exclude : NULL, errp) ||
        !dump_set_output(&opts, protocol, errp)) {
        return;
    }
    dump_job_start(&opts, errp);
}

DumpQueryResult *qmp_query_dump(Error **errp)
{
    return dump_job_query();
}

void qmp_dump_cancel(Error **errp)
{
    Error *err = NULL;

    /* Out of band: no BQL. */
    if (!dump_job_cancel(&err) && vmcoreinfo_query_cancel()) {
        error_free(err);
        err = NULL;
    }
    error_propagate(errp, err);
}

typedef struct QmpVmcoreinfo {
    Coroutine *co;              /* waits until the query is over */
    VmcoreinfoQuery *query;     /* then; NULL if it did not end */
} QmpVmcoreinfo;

static void qmp_vmcoreinfo_done(void *opaque, VmcoreinfoQuery *query)
{
    QmpVmcoreinfo *wait = opaque;

    wait->query = query;
    aio_co_wake(wait->co);
}

DumpVmcoreinfoNote *coroutine_fn
qmp_query_vmcoreinfo(bool has_search, bool search, Error **errp)
{
    QmpVmcoreinfo wait = { .co = qemu_coroutine_self() };
    DumpVmcoreinfoNote *note;

    wait.query = vmcoreinfo_query_new(!has_search || search, errp);
    if (!wait.query) {
        return NULL;
    }
    if (!vmcoreinfo_query_start(wait.query, qmp_vmcoreinfo_done, &wait,
                                errp)) {
        vmcoreinfo_query_free(wait.query);
        return NULL;
    }
    qemu_coroutine_yield();
    if (!wait.query) {
        error_setg(errp, "QEMU exits before the query has ended");
        return NULL;
    }
    note = vmcoreinfo_query_result(wait.query, errp);
    vmcoreinfo_query_free(wait.query);
    return note;
}

/* Most formats suit any guest; some, a guest that has asked for it. */
static bool dump_guest_has_format(const DumpFormat *format)
{
    const GuestStateQuery query = { .windows = true };

    return !dump_writer_ops(format->kind)->windows ||
           guest_state_check(&query, NULL);
}

DumpGuestMemoryCapability *
qmp_query_dump_guest_memory_capability(Error **errp)
{
    DumpGuestMemoryCapability *cap = g_new0(DumpGuestMemoryCapability, 1);
    DumpGuestMemoryFormatList **tail = &cap->formats;
    DumpGuestMemoryProtocolList **next = &cap->protocols;
    const GuestStateQuery query = { 0 };

    for (int i = 0; i < DUMP_GUEST_MEMORY_PROTOCOL__MAX; i++) {
        QAPI_LIST_APPEND(next, i);
    }
    if (!guest_state_check(&query, NULL)) {
        return cap;
    }
    for (size_t i = 0; i < ARRAY_SIZE(dump_formats); i++) {
        if (dump_writer_available(&dump_formats[i].format) &&
            dump_guest_has_format(&dump_formats[i].format)) {
            QAPI_LIST_APPEND(tail, dump_formats[i].qapi);
        }
    }
    return cap;
}
