/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * In QEMU 7.2 the caller owns the reason of a migration blocker; later
 * versions free it.
 */

#ifndef BACKPORT_MIGRATION_BLOCKER_H
#define BACKPORT_MIGRATION_BLOCKER_H

#include "qapi/error.h"
#include "migration/blocker.h"

static inline int backport_add_blocker_internal(Error **reasonp, Error **errp)
{
    int ret = migrate_add_blocker_internal(*reasonp, errp);

    if (ret < 0) {
        error_free(*reasonp);
        *reasonp = NULL;
    }
    return ret;
}

static inline void backport_del_blocker(Error **reasonp)
{
    if (*reasonp) {
        migrate_del_blocker(*reasonp);
        error_free(*reasonp);
        *reasonp = NULL;
    }
}

#define migrate_add_blocker_internal backport_add_blocker_internal
#define migrate_del_blocker backport_del_blocker

#endif
