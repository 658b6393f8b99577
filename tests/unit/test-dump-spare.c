/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Out-of-memory errors, set while no memory is available.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/units.h"
#include "spare.h"

#ifdef CONFIG_LINUX
#include <sys/resource.h>

/* More than the unused heaps of two threads. */
#define MAX_FREE        (256 * MiB)

/* Limit the address space to its present size. */
static bool limit_memory(struct rlimit *old)
{
    g_autofree char *text = NULL;
    struct rlimit limit;
    uint64_t size;

    if (!g_file_get_contents("/proc/self/statm", &text, NULL, NULL) ||
        getrlimit(RLIMIT_AS, old) < 0) {
        return false;
    }
    size = g_ascii_strtoull(text, NULL, 10) * qemu_real_host_page_size();
    if (size / GiB > 1024) {
        return false;           /* a sanitizer */
    }
    limit = *old;
    limit.rlim_cur = size;
    return setrlimit(RLIMIT_AS, &limit) == 0;
}

/* Allocate all memory; returns it as a list, and its size. */
static void *take_all(size_t *taken)
{
    void *all = NULL, **p;

    *taken = 0;
    for (size_t size = MiB; size >= sizeof(*p); size /= 2) {
        while (*taken < MAX_FREE && (p = malloc(size))) {
            *p = all;
            all = p;
            *taken += size;
        }
    }
    return all;
}

/* In a thread, as malloc() has less to offer there. */
static void *report_thread(void *opaque)
{
    Error **errp = opaque;
    struct rlimit old;
    void *all, *next;
    size_t taken;

    if (!limit_memory(&old)) {
        return NULL;
    }
    all = take_all(&taken);
    if (taken < MAX_FREE) {
        dump_no_memory(errp, "for %d threads", 3);
    }
    setrlimit(RLIMIT_AS, &old);
    for (; all; all = next) {
        next = *(void **)all;
        free(all);
    }
    return NULL;
}

static void test_report(void)
{
    Error *err = NULL;

    dump_spare_hold();
    g_thread_join(g_thread_new("no-memory", report_thread, &err));
    if (!err) {
        g_test_skip("memory cannot be limited");
        return;
    }
    g_assert_cmpstr(error_get_pretty(err), ==,
                    "dump: no memory for 3 threads");
    error_free(err);
}
#else
static void test_report(void)
{
    g_test_skip("memory cannot be limited");
}
#endif

/* An error is also reported if nothing is held, or no longer. */
static void test_none(void)
{
    for (int i = 0; i < 2; i++) {
        Error *err = NULL;

        dump_no_memory(&err, "at all");
        g_assert_cmpstr(error_get_pretty(err), ==, "dump: no memory at all");
        error_free(err);
        dump_spare_hold();
        dump_spare_hold();
        dump_spare_free();
        dump_spare_free();
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dump/spare/report", test_report);
    g_test_add_func("/dump/spare/none", test_none);
    return g_test_run();
}
