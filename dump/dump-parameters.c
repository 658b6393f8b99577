/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Defaults for arguments of dump-guest-memory; see the header.
 *
 * Parameters are kept in dictionaries that are converted by the schema's
 * visitors, so that a new one needs no code here.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/clone-visitor.h"
#include "qapi/qapi-commands-dump.h"
#include "qapi/qapi-visit-dump.h"
#include "qapi/qobject-input-visitor.h"
#include "qapi/qobject-output-visitor.h"
#include "monitor/monitor.h"
#include "qobject/qdict.h"
#include "dump-parameters.h"
#include "vmcore/write-watch.h"

/* NULL: none was ever set. Protected by the BQL. */
static DumpParameters *dump_defaults;

/*
 * Descriptor of /dev/userfaultfd if there is a default for live-fd, else -1.
 * Protected by the BQL.
 */
static int dump_default_device = -1;

static QDict *params_to_dict(const DumpParameters *params)
{
    DumpParameters *in = (DumpParameters *)params;
    QObject *out;
    Visitor *v = qobject_output_visitor_new(&out);

    visit_type_DumpParameters(v, NULL, &in, &error_abort);
    visit_complete(v, &out);
    visit_free(v);
    return qobject_to(QDict, out);
}

/* @dict: as created by params_to_dict, which may have been modified */
static DumpParameters *params_from_dict(const QDict *dict)
{
    DumpParameters *params;
    Visitor *v = qobject_input_visitor_new(QOBJECT(dict));

    visit_type_DumpParameters(v, NULL, &params, &error_abort);
    visit_free(v);
    return params;
}

static QDict *defaults_to_dict(void)
{
    const DumpParameters none = { 0 };

    return params_to_dict(dump_defaults ?: &none);
}

/* Add the entries of @more, which replace those of @dict. */
static void dict_override(QDict *dict, const QDict *more)
{
    const QDictEntry *e;

    for (e = qdict_first(more); e; e = qdict_next(more, e)) {
        qdict_put_obj(dict, qdict_entry_key(e),
                      qobject_ref(qdict_entry_value(e)));
    }
}

static bool dict_has(const QDict *dict, DumpParameter name)
{
    return qdict_haskey(dict, DumpParameter_str(name));
}

static void dict_del(QDict *dict, DumpParameter name)
{
    qdict_del(dict, DumpParameter_str(name));
}

void dump_choice_init(DumpChoice *choice, const DumpParameters *given)
{
    *choice = (DumpChoice) {
        .live_device = -1,
        .given = params_to_dict(given),
        .all = defaults_to_dict(),
        .next_unused = &choice->unused,
    };
    /* The monitor no longer has a descriptor of the default's name. */
    dict_del(choice->all, DUMP_PARAMETER_LIVE_FD);
    if (!dict_has(choice->given, DUMP_PARAMETER_LIVE_FD)) {
        choice->live_device = dump_default_device;
    }
    dict_override(choice->all, choice->given);
    choice->params = params_from_dict(choice->all);
}

void dump_choice_deinit(DumpChoice *choice)
{
    qapi_free_DumpParameters(choice->params);
    qapi_free_strList(choice->unused);
    qobject_unref(choice->given);
    qobject_unref(choice->all);
}

bool dump_choice_drop(DumpChoice *choice, DumpParameter name,
                      const char *why)
{
    if (dict_has(choice->given, name) || !dict_has(choice->all, name)) {
        return false;
    }
    dict_del(choice->all, name);
    qapi_free_DumpParameters(choice->params);
    choice->params = params_from_dict(choice->all);
    QAPI_LIST_APPEND(choice->next_unused,
                     g_strdup_printf("the default of '%s' is not used: %s",
                                     DumpParameter_str(name), why));
    return true;
}

static bool unset_all(QDict *dict, const QDict *given,
                      const DumpParameterList *unset, Error **errp)
{
    for (; unset; unset = unset->next) {
        if (dict_has(given, unset->value)) {
            error_setg(errp, "Parameter '%s' cannot be both set and in 'unset'",
                       DumpParameter_str(unset->value));
            return false;
        }
        dict_del(dict, unset->value);
    }
    return true;
}

/* Returns the new defaults; NULL, with @errp set, if @args are invalid. */
static DumpParameters *changed_defaults(DumpSetParameters *args, Error **errp)
{
    g_autoptr(QDict) dict = defaults_to_dict();
    g_autoptr(QDict) given =
        params_to_dict(qapi_DumpSetParameters_base(args));
    g_autoptr(DumpParameters) params = NULL;

    if (!unset_all(dict, given, args->unset, errp)) {
        return NULL;
    }
    dict_override(dict, given);
    params = params_from_dict(dict);
    return dump_check_defaults(params, errp) ? g_steal_pointer(&params) : NULL;
}

/* Take a descriptor from the monitor, and check that it is a userfaultfd. */
static int take_device(const char *name, Error **errp)
{
    int fd = monitor_get_fd(monitor_cur(), name, errp);
    WriteWatch watch;

    if (fd >= 0) {
        if (write_watch_open(&watch, fd, errp)) {
            write_watch_close(&watch);
            return fd;
        }
        error_prepend(errp, "Parameter 'live-fd': ");
        close(fd);
    }
    return -1;
}

static void set_device(int fd)
{
    if (dump_default_device >= 0) {
        close(dump_default_device);
    }
    dump_default_device = fd;
}

void qmp_dump_set_parameters(DumpSetParameters *args, Error **errp)
{
    ERRP_GUARD();
    g_autoptr(DumpParameters) params = changed_defaults(args, errp);
    int fd = -1;

    /* Done last, as it consumes the descriptor. */
    if (params && args->live_fd) {
        fd = take_device(args->live_fd, errp);
    }
    if (*errp) {
        return;
    }
    if (fd >= 0 || !params->live_fd) {
        set_device(fd);
    }
    qapi_free_DumpParameters(dump_defaults);
    dump_defaults = g_steal_pointer(&params);
}

DumpParameters *qmp_query_dump_parameters(Error **errp)
{
    return dump_defaults ? QAPI_CLONE(DumpParameters, dump_defaults) :
                           g_new0(DumpParameters, 1);
}
