/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Stand-in for QEMU's qemu/atomic.h, for the standalone build.
 */

#ifndef QEMU_ATOMIC_H
#define QEMU_ATOMIC_H

typedef uint64_t aligned_uint64_t __attribute__((aligned(8)));

#define qatomic_read(ptr) __atomic_load_n(ptr, __ATOMIC_RELAXED)
#define qatomic_set(ptr, v) __atomic_store_n(ptr, v, __ATOMIC_RELAXED)
#define qatomic_read_u64(ptr) qatomic_read(ptr)
#define qatomic_set_u64(ptr, v) qatomic_set(ptr, v)

#define qatomic_load_acquire(ptr) __atomic_load_n(ptr, __ATOMIC_ACQUIRE)
#define qatomic_store_release(ptr, v) __atomic_store_n(ptr, v, __ATOMIC_RELEASE)
#define qatomic_inc(ptr) ((void)__atomic_fetch_add(ptr, 1, __ATOMIC_SEQ_CST))

#define qatomic_xchg(ptr, v) __atomic_exchange_n(ptr, v, __ATOMIC_SEQ_CST)
#define qatomic_add_fetch(ptr, n) __atomic_add_fetch(ptr, n, __ATOMIC_SEQ_CST)
#define qatomic_cmpxchg(ptr, old, new) \
    __sync_val_compare_and_swap(ptr, old, new)

#ifdef __SANITIZE_THREAD__
/* The thread sanitizer does not support fences. */
static inline void smp_rmb(void)
{
    static int nothing;

    (void)__atomic_fetch_add(&nothing, 0, __ATOMIC_SEQ_CST);
}
#else
#define smp_rmb() __atomic_thread_fence(__ATOMIC_ACQUIRE)
#endif

#endif
