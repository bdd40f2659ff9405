/* SPDX-License-Identifier: MIT
 *
 * call.h - a public function that takes its time.
 *
 * A host's signal handler that was installed without SA_ONSTACK must never run
 * on a goroutine's stack, which is small. So no host thread is inside Go with
 * its signals open: short calls block them for their microseconds, and long
 * ones hand the work to a goroutine and wait here, in C, where handlers run as
 * in any other wait.
 */
#ifndef MSP_CALL_H
#define MSP_CALL_H

#include <pthread.h>
#include <stdint.h>

#include <msp/record.h>

#define MSP_ERROR_SIZE 1000

/* One call, on its caller's stack. */
struct msp_call {
    uintptr_t handle;
    uintptr_t inside; /* the session whose callback makes the call, 0 for none */
    int millis;       /* record_wait's timeout */

    pthread_mutex_t lock;
    pthread_cond_t changed;
    data_release_func release; /* to be run on the caller's thread, NULL for none */
    uintptr_t release_arg;
    int done;
    int rc;
    int log; /* the sentence is not in the log yet */
    char error[MSP_ERROR_SIZE];
};

/* Lets `begin` start the work in Go, waits until it is done, and runs what it
 * wants run on this thread meanwhile. Returns the result; call->error has the
 * sentence. */
int msp_call_run(struct msp_call *call, void (*begin)(struct msp_call *));

/* For the goroutine that does the work: asks for a run of data_release, which
 * is not waited for, and ends the call, after which it is gone. */
void msp_call_release(struct msp_call *call, data_release_func fn, uintptr_t arg);
void msp_call_finish(struct msp_call *call, int rc, int log, const char *error);

#endif
