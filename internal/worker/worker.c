/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* pthread_setname_np, SCHED_BATCH */
#endif
#include "worker.h"

#include <errno.h>
#include <stdlib.h>

#include "../doorbell/doorbell.h"
#include "../host/host.h"
#include "thread.h"

/* Go's runtime ends the process when it cannot make a thread, so a worker is
 * made only where this many more threads could be. */
#define HEADROOM 4

struct msp_worker {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    void (*fn)(void *); /* NULL while idle; written under lock, read without */
    void *arg;
    uint32_t bell;
    int closed;
};

static void *work(void *arg)
{
    struct msp_worker *w = arg;
    msp_thread_begin("msp-worker");
    pthread_mutex_lock(&w->lock);
    for (;;) {
        while (!w->fn && !w->closed)
            pthread_cond_wait(&w->changed, &w->lock);
        if (!w->fn)
            break;
        void (*fn)(void *) = w->fn;
        pthread_mutex_unlock(&w->lock);
        fn(w->arg);
        pthread_mutex_lock(&w->lock);
        __atomic_store_n(&w->fn, NULL, __ATOMIC_SEQ_CST);
        msp_bell_ring(w->bell);
    }
    pthread_mutex_unlock(&w->lock);
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
    free(w);
    return NULL;
}

int msp_worker_new(struct msp_worker **out, uint32_t bell)
{
    struct msp_worker *w = calloc(1, sizeof(*w));
    if (!w)
        return ENOMEM;
    w->bell = bell;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->changed, NULL);
    int rc = msp_host_try_threads(HEADROOM);
    if (!rc)
        rc = msp_thread_start(NULL, work, w);
    if (rc) {
        free(w);
        return rc;
    }
    *out = w;
    return 0;
}

void msp_worker_run(struct msp_worker *w, void (*fn)(void *), void *arg)
{
    pthread_mutex_lock(&w->lock);
    w->arg = arg;
    __atomic_store_n(&w->fn, fn, __ATOMIC_SEQ_CST);
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

int msp_worker_busy(struct msp_worker *w)
{
    return __atomic_load_n(&w->fn, __ATOMIC_SEQ_CST) != NULL;
}

void msp_worker_close(struct msp_worker *w)
{
    pthread_mutex_lock(&w->lock);
    w->closed = 1;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->lock);
}
