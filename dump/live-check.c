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
#include "hw/qdev-core.h"
#include "migration/colo.h"
#include "net/net.h"
#include "qemu/cutils.h"
#include "qobject/qdict.h"
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
    { "vfio-user", "another process writes to guest memory" },
    { "vfio-", "hardware writes to guest memory" },
    { "pvrdma", "hardware writes to guest memory" },
    { "hv-balloon", "it discards guest memory" },
};

/* NULL if the type is supported. */
static const char *why_not_type(const char *type)
{
    for (size_t i = 0; i < ARRAY_SIZE(live_types); i++) {
        if (strstart(type, live_types[i].type, NULL)) {
            return live_types[i].why;
        }
    }
    return NULL;
}

static int check_object(Object *obj, void *opaque)
{
    Error **errp = opaque;
    const char *type = object_get_typename(obj);
    const char *why = why_not_type(type);

    if (why) {
        error_setg(errp, "the guest has a '%s': %s", type, why);
    }
    return why != NULL;
}

/* Network backends are not QOM objects. */
static bool check_net(Error **errp)
{
    NetClientState *clients[MAX_QUEUE_NUM];
    int n = qemu_find_net_clients_except(NULL, clients, NET_CLIENT_DRIVER_NIC,
                                         ARRAY_SIZE(clients));

    for (int i = 0; i < MIN(n, (int)ARRAY_SIZE(clients)); i++) {
        NetClientDriver driver = clients[i]->info->type;

        /* passt, new in QEMU 10.1, may use vhost-user. */
        if (driver == NET_CLIENT_DRIVER_VHOST_USER ||
            driver == NET_CLIENT_DRIVER_VHOST_VDPA ||
            g_str_equal(NetClientDriver_str(driver), "passt")) {
            error_setg(errp, "the network backend '%s' is of type '%s', "
                       "which writes to guest memory directly",
                       clients[i]->name, NetClientDriver_str(driver));
            return false;
        }
    }
    return true;
}

static bool check_devices(Error **errp)
{
    return object_child_foreach_recursive(object_get_root(), check_object,
                                          errp) == 0 && check_net(errp);
}

/* For device_add; always returns false: the device is not hidden. */
static bool check_new_device(DeviceListener *listener, const QDict *options,
                             bool from_json, Error **errp)
{
    ERRP_GUARD();
    const char *type = qdict_get_try_str(options, "driver");
    const char *why = type ? why_not_type(type) : NULL;

    if (why) {
        error_setg(errp, "with '%s', %s", type, why);
    } else {
        /* It may be for a backend that was just added. */
        check_devices(errp);
    }
    if (*errp) {
        error_prepend(errp, "not possible during a live dump: ");
    }
    return false;
}

static DeviceListener live_listener = { .hide_device = check_new_device };

void live_check_begin(void)
{
    device_listener_register(&live_listener);
}

void live_check_end(void)
{
    device_listener_unregister(&live_listener);
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
    return check_devices(errp);
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
