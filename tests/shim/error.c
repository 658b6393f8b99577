/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Stand-in for QEMU's util/error.c, for the standalone build.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"

Error *error_abort;

static void error_set_msg(Error **errp, char *msg)
{
    if (errp == &error_abort) {
        fprintf(stderr, "unexpected error: %s\n", msg);
        abort();
    }
    if (!errp) {
        g_free(msg);
        return;
    }
    assert(*errp == NULL);
    *errp = g_new0(Error, 1);
    (*errp)->msg = msg;
}

void error_setg(Error **errp, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    error_set_msg(errp, g_strdup_vprintf(fmt, ap));
    va_end(ap);
}

void error_setg_errno(Error **errp, int os_errno, const char *fmt, ...)
{
    g_autofree char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    error_set_msg(errp, g_strdup_printf("%s: %s", text, strerror(os_errno)));
}

void error_propagate(Error **dst_errp, Error *local_err)
{
    if (!local_err) {
        return;
    }
    if (dst_errp == &error_abort) {
        error_set_msg(dst_errp, local_err->msg);
    } else if (dst_errp && !*dst_errp) {
        *dst_errp = local_err;
    } else {
        error_free(local_err);
    }
}

Error *error_copy(const Error *err)
{
    Error *copy = g_new0(Error, 1);

    copy->msg = g_strdup(err->msg);
    return copy;
}

const char *error_get_pretty(const Error *err)
{
    return err->msg;
}

void error_free(Error *err)
{
    if (err) {
        g_free(err->msg);
        g_free(err);
    }
}
