/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Helper for tests that need to know which pages of memory the host has.
 */

#ifndef DUMP_TEST_HOST_H
#define DUMP_TEST_HOST_H

/*
 * Skip the test and return true if the host does not report which pages are
 * present, or not correctly. qemu-user does not translate /proc/self/pagemap;
 * it also accepts all kinds of madvise() without doing anything, so that lost
 * memory cannot be detected.
 */
static inline bool test_skip_unknown_pages(void)
{
    volatile uint8_t here = 1;          /* touched, so present or in swap */
    uint64_t index = (uintptr_t)&here / qemu_real_host_page_size();
    int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    uint64_t entry = 0;
    bool reported;

    reported = fd >= 0 && pread(fd, &entry, sizeof(entry),
                                index * sizeof(entry)) == sizeof(entry) &&
               entry >> 62;
    if (fd >= 0) {
        close(fd);
    }
    if (!reported) {
        g_test_skip("this host does not report which pages are present");
    }
    return !reported;
}

#endif
