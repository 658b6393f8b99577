/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * QMP commands of the guest memory dump: validation of arguments, and queries.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-dump.h"
#include "block/aio.h"
#include "qemu/coroutine.h"
#include "qemu/cutils.h"
#include "qemu/units.h"
#include "dump-job.h"
#include "dump-parameters.h"
#include "guest-state.h"
#include "vmcoreinfo-query.h"
#include "vmcore/pipeline.h"

/* Bytes of saved pages that a live dump may hold. */
#define DUMP_DEFAULT_LIVE_BUFFER (256 * MiB)
#define DUMP_MIN_LIVE_BUFFER     (1 * MiB)
#define DUMP_MAX_LIVE_BUFFER     (1 * PiB)

/* The schema's formats in terms of the engine. */
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

static DumpGuestMemoryFormat dump_format(const DumpParameters *params)
{
    return params->has_format ? params->format : DUMP_GUEST_MEMORY_FORMAT_ELF;
}

static bool dump_set_range(DumpOptions *opts,
                           const DumpGuestMemoryArguments *args, Error **errp)
{
    if (args->has_begin != args->has_length) {
        error_setg(errp, "Parameter '%s' is missing",
                   args->has_begin ? "length" : "begin");
        return false;
    }
    if (!args->has_begin) {
        return true;
    }
    if (args->begin < 0) {
        error_setg(errp, "Invalid parameter 'begin': must not be negative");
        return false;
    }
    if (args->length <= 0) {
        error_setg(errp, "Invalid parameter 'length': must be greater than "
                   "zero");
        return false;
    }
    /* Both are less than 2^63, so the sum cannot wrap. */
    opts->has_range = true;
    opts->begin = args->begin;
    opts->length = args->length;
    return true;
}

static bool dump_set_threads(DumpFormat *format, bool has_threads,
                             uint8_t threads, Error **errp)
{
    if (!has_threads) {
        format->threads = 0;
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

static OnOffAuto dump_live(const DumpParameters *params)
{
    return params->has_live ? params->live : ON_OFF_AUTO_OFF;
}

static bool dump_set_live(DumpOptions *opts, const DumpParameters *params,
                          Error **errp)
{
    uint64_t buffer = params->has_live_buffer ? params->live_buffer :
                                                DUMP_DEFAULT_LIVE_BUFFER;

    if (buffer < DUMP_MIN_LIVE_BUFFER || buffer > DUMP_MAX_LIVE_BUFFER) {
        error_setg(errp, "Parameter 'live-buffer' expects 1 MiB to 1 PiB");
        return false;
    }
    opts->live = dump_live(params);
    opts->live_buffer = buffer;
    opts->live_fd = params->live_fd;
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

/* The schema and the engine have the same classes in the same order. */
static unsigned dump_level(const DumpParameters *params)
{
    unsigned level = 0;

    QEMU_BUILD_BUG_ON((int)DUMP_PAGE_CLASS_FREE != (int)PAGE_CLASS_FREE);
    QEMU_BUILD_BUG_ON((int)DUMP_PAGE_CLASS__MAX != (int)PAGE_CLASS__MAX);

    for (DumpPageClassList *e = params->exclude; e; e = e->next) {
        level |= PAGE_CLASS_BIT(e->value);
    }
    return level;
}

static DumpVmcoreinfo dump_vmcoreinfo(const DumpParameters *params)
{
    return params->has_vmcoreinfo ? params->vmcoreinfo : DUMP_VMCOREINFO_AUTO;
}

/* Set the options that can have defaults. */
static bool dump_set_params(DumpOptions *opts, const DumpParameters *params,
                            Error **errp)
{
    opts->vmcoreinfo = dump_vmcoreinfo(params);
    opts->dump_level = dump_level(params);
    opts->max_bandwidth = params->max_bandwidth;
    opts->output.direct = params->direct;
    return dump_set_format(dump_format(params), &opts->format, errp) &&
           dump_set_threads(&opts->format, params->has_threads,
                            params->threads, errp) &&
           dump_set_live(opts, params, errp);
}

/* Properties of a dump that are not in DumpParameters. */
typedef struct DumpShape {
    bool paging;
    bool range;
    bool detach;
    bool node;
} DumpShape;

/* Management tools match this text. */
static bool dump_check_filter(const DumpShape *shape,
                              const DumpParameters *params, Error **errp)
{
    const DumpFormat *format = dump_find_format(dump_format(params));
    const DumpWriterOps *ops = dump_writer_ops(format->kind);

    if ((shape->paging && !ops->paging) || (shape->range && !ops->range)) {
        error_setg(errp, "kdump-compressed format doesn't support paging or "
                   "filter");
        return false;
    }
    return true;
}

static bool dump_check_exclude(const DumpShape *shape,
                               const DumpParameters *params, Error **errp)
{
    const DumpFormat *format = dump_find_format(dump_format(params));

    if (params->exclude &&
        (shape->paging || dump_writer_ops(format->kind)->windows)) {
        error_setg(errp, "Parameter 'exclude' cannot be used with 'paging' or "
                   "format 'win-dmp'");
        return false;
    }
    return true;
}

static bool dump_check_vmcoreinfo(const DumpShape *shape,
                                  const DumpParameters *params, Error **errp)
{
    if (dump_level(params) & ~PAGE_CLASS_BIT(PAGE_CLASS_ZERO) &&
        dump_vmcoreinfo(params) == DUMP_VMCOREINFO_OFF) {
        error_setg(errp, "Parameter 'exclude' requires VMCOREINFO, which "
                   "'vmcoreinfo' disables");
        return false;
    }
    return true;
}

/* With 'auto' the guest is stopped in this case, with a warning. */
static bool dump_check_live(const DumpShape *shape,
                            const DumpParameters *params, Error **errp)
{
    if (dump_live(params) == ON_OFF_AUTO_ON && !shape->detach) {
        error_setg(errp, "dump: a live dump is not possible without "
                   "'detach'");
        return false;
    }
    return true;
}

/* Without 'detach', the limit would block QEMU itself for longer. */
static bool dump_check_bandwidth(const DumpShape *shape,
                                 const DumpParameters *params, Error **errp)
{
    if (params->max_bandwidth && !shape->detach) {
        error_setg(errp, "Parameter 'max-bandwidth' requires 'detach'");
        return false;
    }
    return true;
}

static bool dump_check_direct(const DumpShape *shape,
                              const DumpParameters *params, Error **errp)
{
    if (params->direct && shape->node) {
        error_setg(errp, "Parameter 'direct' cannot be used with a block node, "
                   "which has its own 'cache' option");
        return false;
    }
    return true;
}

/*
 * If a check fails, the parameters of its row that are only defaults are
 * dropped one after another until it succeeds.
 */
static const struct {
    bool (*check)(const DumpShape *shape, const DumpParameters *params,
                  Error **errp);
    DumpParameter gives_way[2];
} dump_rules[] = {
    { dump_check_filter, { DUMP_PARAMETER_FORMAT, DUMP_PARAMETER_FORMAT } },
    { dump_check_exclude, { DUMP_PARAMETER_EXCLUDE, DUMP_PARAMETER_FORMAT } },
    { dump_check_vmcoreinfo,
      { DUMP_PARAMETER_EXCLUDE, DUMP_PARAMETER_VMCOREINFO } },
    { dump_check_live, { DUMP_PARAMETER_LIVE, DUMP_PARAMETER_LIVE } },
    { dump_check_bandwidth,
      { DUMP_PARAMETER_MAX_BANDWIDTH, DUMP_PARAMETER_MAX_BANDWIDTH } },
    { dump_check_direct, { DUMP_PARAMETER_DIRECT, DUMP_PARAMETER_DIRECT } },
};

static bool dump_check_rules(const DumpShape *shape,
                             const DumpParameters *params, Error **errp)
{
    for (size_t i = 0; i < ARRAY_SIZE(dump_rules); i++) {
        if (!dump_rules[i].check(shape, params, errp)) {
            return false;
        }
    }
    return true;
}

/* Drop defaults that contradict the arguments of the command. */
static void dump_drop_defaults(const DumpShape *shape, DumpChoice *choice)
{
    for (size_t i = 0; i < ARRAY_SIZE(dump_rules); i++) {
        for (size_t k = 0; k < ARRAY_SIZE(dump_rules[i].gives_way); k++) {
            Error *err = NULL;

            if (!dump_rules[i].check(shape, choice->params, &err)) {
                dump_choice_drop(choice, dump_rules[i].gives_way[k],
                                 error_get_pretty(err));
                error_free(err);
            }
        }
    }
}

/* Arguments for live dumps are an error without 'live'; defaults are not. */
static bool dump_check_only_live(const DumpParameters *given,
                                 const DumpParameters *params, Error **errp)
{
    if (dump_live(params) == ON_OFF_AUTO_OFF &&
        (given->has_live_buffer || given->live_fd)) {
        error_setg(errp, "Parameter '%s' requires 'live'",
                   given->has_live_buffer ? "live-buffer" : "live-fd");
        return false;
    }
    return true;
}

bool dump_check_defaults(const DumpParameters *params, Error **errp)
{
    const DumpShape shape = { .detach = true };
    DumpOptions opts = { 0 };

    if (!dump_check_rules(&shape, params, errp) ||
        !dump_set_params(&opts, params, errp)) {
        return false;
    }
    if (dump_writer_must_seek(&opts.format)) {
        error_setg(errp, "Parameter 'format': '%s' cannot be a default, as it "
                   "requires a seekable output",
                   DumpGuestMemoryFormat_str(params->format));
        return false;
    }
    return true;
}

static bool dump_set_options(DumpOptions *opts, DumpChoice *choice,
                             DumpGuestMemoryArguments *args, Error **errp)
{
    const DumpShape shape = {
        .paging = args->paging,
        .range = args->has_begin || args->has_length,
        .detach = args->has_detach ? args->detach : args->job_id != NULL,
        .node = strstart(args->protocol, "node:", NULL),
    };

    dump_drop_defaults(&shape, choice);
    if (args->job_id && !shape.detach) {
        error_setg(errp, "Parameter 'job-id' requires 'detach'");
        return false;
    }
    opts->paging = shape.paging;
    opts->detach = shape.detach;
    opts->job_id = args->job_id;
    opts->live_device = choice->live_device;
    opts->warnings = choice->unused;
    return dump_check_rules(&shape, choice->params, errp) &&
           dump_set_range(opts, args, errp) &&
           dump_set_params(opts, choice->params, errp) &&
           dump_check_only_live(qapi_DumpGuestMemoryArguments_base(args),
                                choice->params, errp) &&
           dump_set_output(opts, args->protocol, errp);
}

void qmp_dump_guest_memory(DumpGuestMemoryArguments *args, Error **errp)
{
    DumpOptions opts = { 0 };
    DumpChoice choice;

    dump_choice_init(&choice, qapi_DumpGuestMemoryArguments_base(args));
    if (dump_set_options(&opts, &choice, args, errp)) {
        dump_job_start(&opts, errp);
    }
    dump_choice_deinit(&choice);
}

DumpQueryResult *qmp_query_dump(Error **errp)
{
    return dump_job_query();
}

void qmp_dump_cancel(Error **errp)
{
    Error *err = NULL;

    /* Executed out of band, without the BQL. */
    if (!dump_job_cancel(&err) && vmcoreinfo_query_cancel()) {
        error_free(err);
        err = NULL;
    }
    error_propagate(errp, err);
}

typedef struct QmpVmcoreinfo {
    Coroutine *co;              /* waits for the end of the query */
    VmcoreinfoQuery *query;     /* set at the end; NULL if QEMU exits */
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

/* Windows crash dumps require a guest that has published a header. */
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
