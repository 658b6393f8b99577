/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Conditions that prevent a live dump; see the header.
 *
 * These do not prevent it: kernel vhost, which faults like any thread of QEMU;
 * KVM; accelerated devices that only read guest memory.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "exec/replay-core.h"
#include "migration/colo.h"
#include "net/net.h"
#include "qemu/cutils.h"
#include "qom/object.h"
#include "system/memory.h"
#include "system/xen.h"
#include "live-check.h"

/* Unsupported devices and backends, by prefix of their type name. */
static const struct {
    const char *type;
    const char *why;
} live_types[] = {
    { "vhost-user", "another process writes to guest memory" },
    { "cryptodev-vhost-user", "another process writes to guest memory" },
    { "vhost-vdpa", "hardware writes to guest memory" },
    { "x-pci-proxy-dev", "another process writes to guest memory" },
    { "x-vfio-user-server", "another process writes to guest memory" },
    { "hv-balloon", "it discards guest memory" },
};

static int check_object(Object *obj, void *opaque)
{
    Error **errp = opaque;
    const char *type = object_get_typename(obj);

    for (size_t i = 0; i < ARRAY_SIZE(live_types); i++) {
        if (strstart(type, live_types[i].type, NULL)) {
            error_setg(errp, "the guest has a '%s': %s", type,
                       live_types[i].why);
            return 1;
        }
    }
    return 0;
}

/* Network backends are not QOM objects. */
static bool check_net(Error **errp)
{
    NetClientState *clients[MAX_QUEUE_NUM];
    int n = qemu_find_net_clients_except(NULL, clients, NET_CLIENT_DRIVER_NIC,
                                         ARRAY_SIZE(clients));

    for (int i = 0; i < MIN(n, (int)ARRAY_SIZE(clients)); i++) {
        NetClientDriver driver = clients[i]->info->type;

        if (driver == NET_CLIENT_DRIVER_VHOST_USER ||
            driver == NET_CLIENT_DRIVER_VHOST_VDPA) {
            error_setg(errp, "the network backend '%s' is of type '%s', "
                       "which writes to guest memory directly",
                       clients[i]->name, NetClientDriver_str(driver));
            return false;
        }
    }
    return true;
}

bool live_check_guest(Error **errp)
{
    if (xen_enabled()) {
        error_setg(errp, "guest memory is managed by Xen");
        return false;
    }
    if (replay_mode != REPLAY_MODE_NONE) {
        error_setg(errp, "execution is recorded or replayed");
        return false;
    }
    if (migration_incoming_colo_enabled()) {
        error_setg(errp, "COLO is in use");
        return false;
    }
    if (ram_block_discard_is_disabled()) {
        error_setg(errp, "guest memory is pinned for hardware that writes to "
                   "it, for example by VFIO");
        return false;
    }
    return object_child_foreach_recursive(object_get_root(), check_object,
                                          errp) == 0 && check_net(errp);
}

/* Read a number from a file in sysfs or procfs; 0 if not available. */
static uint64_t read_number(const char *path)
{
    g_autofree char *text = NULL;
    uint64_t value;

    if (!g_file_get_contents(path, &text, NULL, NULL) ||
        qemu_strtou64(g_strstrip(text), NULL, 10, &value) < 0) {
        return 0;
    }
    return value;
}

bool live_check_merging(bool *on, Error **errp)
{
    *on = read_number("/sys/kernel/mm/ksm/run") == 1;
    if (*on && read_number("/proc/self/ksm_merging_pages")) {
        error_setg(errp, "the host has merged pages of guest memory with "
                   "others (KSM): start QEMU with '-machine mem-merge=off'");
        return false;
    }
    return true;
}
