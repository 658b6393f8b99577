/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Stand-in for QEMU's qemu/osdep.h: what the engine in dump/vmcore/ uses of
 * it, for the standalone build.
 */

#ifndef QEMU_OSDEP_H
#define QEMU_OSDEP_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#ifdef __linux__
#define CONFIG_LINUX 1
#define CONFIG_FALLOCATE 1
#define CONFIG_FDATASYNC 1
#endif

#ifdef __x86_64__
#define HOST_X86_64 1
#endif

/* For tests with intentional data races. */
#ifdef __SANITIZE_THREAD__
#define DUMP_UNDER_TSAN 1
#endif

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#include "qemu/compiler.h"

typedef struct Error Error;

#define ARRAY_SIZE(x) G_N_ELEMENTS(x)

#define DIV_ROUND_UP(n, d) (((n) + (d) - 1) / (d))
#define QEMU_ALIGN_DOWN(n, m) ((n) / (m) * (m))
#define QEMU_ALIGN_UP(n, m) QEMU_ALIGN_DOWN((n) + (m) - 1, (m))
#define ROUND_DOWN(n, d) ((n) & -(0 ? (n) : (d)))
#define ROUND_UP(n, d) ROUND_DOWN((n) + (d) - 1, (d))

#define QEMU_BUILD_BUG_ON(x) G_STATIC_ASSERT(!(x))

static inline uintptr_t qemu_real_host_page_size(void)
{
    return sysconf(_SC_PAGESIZE);
}

static inline int qemu_close(int fd)
{
    return close(fd);
}

#endif
