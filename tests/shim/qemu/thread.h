/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Stand-in for QEMU's qemu/thread.h, for the standalone build: over
 * pthreads, so that the thread sanitizer sees every lock.
 */

#ifndef QEMU_THREAD_H
#define QEMU_THREAD_H

#include <pthread.h>
#include <time.h>

typedef struct QemuMutex {
    pthread_mutex_t lock;
} QemuMutex;

typedef struct QemuCond {
    pthread_cond_t cond;
} QemuCond;

static inline void qemu_mutex_init(QemuMutex *mutex)
{
    pthread_mutex_init(&mutex->lock, NULL);
}

static inline void qemu_mutex_destroy(QemuMutex *mutex)
{
    pthread_mutex_destroy(&mutex->lock);
}

static inline void qemu_mutex_lock(QemuMutex *mutex)
{
    pthread_mutex_lock(&mutex->lock);
}

static inline void qemu_mutex_unlock(QemuMutex *mutex)
{
    pthread_mutex_unlock(&mutex->lock);
}

static inline void qemu_cond_init(QemuCond *cond)
{
    pthread_cond_init(&cond->cond, NULL);
}

static inline void qemu_cond_destroy(QemuCond *cond)
{
    pthread_cond_destroy(&cond->cond);
}

static inline void qemu_cond_signal(QemuCond *cond)
{
    pthread_cond_signal(&cond->cond);
}

static inline void qemu_cond_broadcast(QemuCond *cond)
{
    pthread_cond_broadcast(&cond->cond);
}

static inline void qemu_cond_wait(QemuCond *cond, QemuMutex *mutex)
{
    pthread_cond_wait(&cond->cond, &mutex->lock);
}

/* Returns false if it timed out. */
static inline bool qemu_cond_timedwait(QemuCond *cond, QemuMutex *mutex,
                                       int ms)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    ts.tv_nsec += (ms % 1000) * 1000000L;
    ts.tv_sec += ms / 1000 + ts.tv_nsec / 1000000000L;
    ts.tv_nsec %= 1000000000L;
    return pthread_cond_timedwait(&cond->cond, &mutex->lock, &ts) == 0;
}

#endif
