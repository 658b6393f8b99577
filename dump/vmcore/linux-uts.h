/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The utsname of a Linux kernel, as returned by uname(2).
 *
 * Source: struct new_utsname of the Linux user ABI (six strings of 65 bytes).
 */

#ifndef DUMP_VMCORE_LINUX_UTS_H
#define DUMP_VMCORE_LINUX_UTS_H

#define LINUX_UTS_LEN           65      /* bytes of each string */

/*
 * Has the layout of guest memory. The strings are NUL-terminated, except
 * directly after reading them from there.
 */
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
