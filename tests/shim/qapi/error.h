/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Stand-in for QEMU's qapi/error.h: the same calls with the same
 * meaning, for the standalone build.
 */

#ifndef ERROR_H
#define ERROR_H

struct Error {
    char *msg;
};

/* Pass &error_abort to end the test on any error. */
extern Error *error_abort;

void error_setg(Error **errp, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
void error_setg_errno(Error **errp, int os_errno, const char *fmt, ...)
    G_GNUC_PRINTF(3, 4);
void error_propagate(Error **dst_errp, Error *local_err);
Error *error_copy(const Error *err);
const char *error_get_pretty(const Error *err);
void error_free(Error *err);

#endif
