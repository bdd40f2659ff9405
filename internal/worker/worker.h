/* SPDX-License-Identifier: MIT
 *
 * worker.h - a small thread that runs C functions which may block for ever, one
 * after the other, so that none of Go's threads does.
 */
#ifndef MSP_WORKER_H
#define MSP_WORKER_H

#include <stdint.h>

struct msp_worker;

/* Makes a worker, idle. bell is the doorbell that it rings after each job.
 * Returns 0, or a positive errno: EAGAIN or ENOMEM. */
int msp_worker_new(struct msp_worker **out, uint32_t bell);

/* Begins a job. Only while the worker is idle. */
void msp_worker_run(struct msp_worker *w, void (*fn)(void *), void *arg);

/* 1 from msp_worker_run() until the job is done. */
int msp_worker_busy(struct msp_worker *w);

/* Ends an idle worker. w is gone. */
void msp_worker_close(struct msp_worker *w);

#endif
