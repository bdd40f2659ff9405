/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* pthread_setname_np */
#endif
#include "callback.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "../internal/doorbell/doorbell.h"
#include "../internal/host/host.h"
#include "msp_internal.h"
#include "start.h"

/* Go's runtime ends the process when it cannot make a thread, so a callback's
 * thread is made only where this many more could be. */
#define HEADROOM 4

/* Only what is touched of a stack is memory; printf alone wants some 8 KiB. */
#define STACK_SIZE (256 * 1024)

struct msp_callback {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    data_ready_func fn;
    void *arg;
    uintptr_t session;
    uint32_t bell;
    int busy;   /* written under lock, read without */
    int closed; /* no call comes any more: the thread frees cb if busy */
    struct msp_interrupt interrupt;
};

static __thread uintptr_t inside;

uintptr_t msp_inside(void)
{
    return inside;
}

uintptr_t msp_enter_session(uintptr_t session)
{
    uintptr_t outer = inside;
    inside = session;
    return outer;
}

static void discard(struct msp_callback *cb)
{
    pthread_cond_destroy(&cb->changed);
    pthread_mutex_destroy(&cb->lock);
    free(cb);
}

static void *run(void *arg)
{
    struct msp_callback *cb = arg;
    uint32_t bell = cb->bell;
    msp_batch(); /* its maker may be a thread of the program, of any policy */
    msp_interrupt_bind(&cb->interrupt);
    inside = cb->session;
    pthread_mutex_lock(&cb->lock);
    for (;;) {
        while (!cb->busy && !cb->closed)
            pthread_cond_wait(&cb->changed, &cb->lock);
        if (!cb->busy) /* closed while idle: the closer joins and frees */
            break;
        pthread_mutex_unlock(&cb->lock);
        cb->fn(cb->arg);
        pthread_mutex_lock(&cb->lock);
        if (cb->closed) { /* closed while busy: nobody else has cb any more */
            pthread_mutex_unlock(&cb->lock);
            msp_interrupt_bind(NULL);
            discard(cb);
            return NULL;
        }
        __atomic_store_n(&cb->busy, 0, __ATOMIC_SEQ_CST);
        msp_bell_ring(bell);
    }
    pthread_mutex_unlock(&cb->lock);
    msp_interrupt_bind(NULL);
    return NULL;
}

int msp_callback_new(struct msp_callback **out, data_ready_func fn, uintptr_t arg,
                     uintptr_t session, uint32_t bell)
{
    struct msp_callback *cb = calloc(1, sizeof(*cb));
    if (!cb)
        return ENOMEM;
    cb->fn = fn;
    cb->arg = (void *)arg;
    cb->session = session;
    cb->bell = bell;
    pthread_mutex_init(&cb->lock, NULL);
    pthread_cond_init(&cb->changed, NULL);
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_SIZE);
    sigset_t saved;
    msp_block_signals(&saved);
    int rc = msp_host_try_threads(HEADROOM);
    if (!rc)
        rc = pthread_create(&cb->thread, &attr, run, cb);
    pthread_sigmask(SIG_SETMASK, &saved, NULL);
    pthread_attr_destroy(&attr);
    if (rc) {
        discard(cb);
        return rc;
    }
    (void)pthread_setname_np(cb->thread, "msp-data-ready");
    *out = cb;
    return 0;
}

void msp_callback_call(struct msp_callback *cb)
{
    pthread_mutex_lock(&cb->lock);
    __atomic_store_n(&cb->busy, 1, __ATOMIC_SEQ_CST);
    pthread_cond_signal(&cb->changed);
    pthread_mutex_unlock(&cb->lock);
}

int msp_callback_busy(struct msp_callback *cb)
{
    return __atomic_load_n(&cb->busy, __ATOMIC_SEQ_CST);
}

void msp_callback_interrupt(struct msp_callback *cb)
{
    msp_interrupt_fire(&cb->interrupt);
}

void msp_callback_close(struct msp_callback *cb)
{
    pthread_t thread = cb->thread;
    pthread_mutex_lock(&cb->lock);
    int busy = cb->busy;
    cb->closed = 1;
    if (busy)
        pthread_detach(thread); /* before the unlock, after which it may end */
    pthread_cond_signal(&cb->changed);
    pthread_mutex_unlock(&cb->lock);
    if (busy)
        return;
    pthread_join(thread, NULL);
    discard(cb);
}

void msp_call_event(void *job)
{
    struct msp_event_call *call = job;
    uintptr_t outer = msp_enter_session(call->session);
    call->fn((rec_hdl_t)call->session, &call->event, (void *)call->arg);
    (void)msp_enter_session(outer);
}

void msp_call_message(void *job)
{
    struct msp_message_call *call = job;
    uintptr_t outer = msp_enter_session(call->session);
    call->fn((rec_hdl_t)call->session, call->data, call->size, call->is_text, (void *)call->arg);
    (void)msp_enter_session(outer);
}

void msp_call_dial(void *job)
{
    struct msp_dial_call *call = job;
    uintptr_t outer = msp_enter_session(call->session);
    call->fn((rec_hdl_t)call->session, (void *)call->arg);
    (void)msp_enter_session(outer);
}
