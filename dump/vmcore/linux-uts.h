/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What uname(2) tells of a Linux kernel.
 *
 * Source: struct new_utsname of the Linux user ABI (six strings of 65 bytes).
 */

#ifndef DUMP_VMCORE_LINUX_UTS_H
#define DUMP_VMCORE_LINUX_UTS_H

#define LINUX_UTS_LEN           65      /* bytes of each string */

/* As it lies in guest memory. Terminated, unless it was just read there. */
typedef struct LinuxUts {
    char sysname[LINUX_UTS_LEN];
    char nodename[LINUX_UTS_LEN];
    char release[LINUX_UTS_LEN];
    char version[LINUX_UTS_LEN];
    char machine[LINUX_UTS_LEN];
    char domainname[LINUX_UTS_LEN];
} LinuxUts;

QEMU_BUILD_BUG_ON(sizeof(LinuxUts) != 6 * LINUX_UTS_LEN);

#endif
