/* SPDX-License-Identifier: MIT */
#include "call.h"

#include <stdio.h>

#include "callback.h"
#include "start.h"

int msp_call_run(struct msp_call *call, void (*begin)(struct msp_call *))
{
    pthread_mutex_init(&call->lock, NULL);
    pthread_cond_init(&call->changed, NULL);
    sigset_t saved;
    msp_block_signals(&saved);
    begin(call);
    pthread_sigmask(SIG_SETMASK, &saved, NULL);
    pthread_mutex_lock(&call->lock);
    for (;;) {
        data_release_func release = call->release;
        if (release) {
            call->release = NULL;
            pthread_mutex_unlock(&call->lock);
            uintptr_t outer = msp_enter_session(call->handle);
            release((void *)call->release_arg);
            (void)msp_enter_session(outer);
            pthread_mutex_lock(&call->lock);
        } else if (call->done) {
            break;
        } else {
            pthread_cond_wait(&call->changed, &call->lock);
        }
    }
    pthread_mutex_unlock(&call->lock);
    pthread_cond_destroy(&call->changed);
    pthread_mutex_destroy(&call->lock);
    return call->rc;
}

void msp_call_release(struct msp_call *call, data_release_func fn, uintptr_t arg)
{
    pthread_mutex_lock(&call->lock);
    call->release = fn;
    call->release_arg = arg;
    pthread_cond_signal(&call->changed);
    pthread_mutex_unlock(&call->lock);
}

void msp_call_finish(struct msp_call *call, int rc, int log, const char *error)
{
    pthread_mutex_lock(&call->lock);
    snprintf(call->error, sizeof(call->error), "%s", error);
    call->rc = rc;
    call->log = log;
    call->done = 1;
    pthread_cond_signal(&call->changed);
    pthread_mutex_unlock(&call->lock);
}
