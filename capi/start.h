/* SPDX-License-Identifier: MIT
 *
 * start.h - the Go runtime, started at first use and refused in a forked child.
 */
#ifndef MSP_START_H
#define MSP_START_H

#include <signal.h>

#include "call.h"

/* Starts the Go runtime once. Every exported function that goes into Go calls
 * this first: one that forgot would wait for ever for a runtime that nobody
 * started. Returns 0, or a negative errno with its sentence in `error`,
 * of MSP_ERROR_SIZE bytes: -ENOTSUP in a child forked after first use; -EMFILE, -ENFILE, -EAGAIN or
 * -ENOMEM where the process has not what the runtime takes, after which a later
 * call tries again; -EBADF where the library's descriptors were closed.
 * `ignored` names the variables of the environment that were left out, to the
 * call that has started it, and is empty otherwise. */
int msp_go_start(char *error, const char **ignored);

/* Blocks, on the calling thread, the signals that are the program's business,
 * and saves the mask: while a library thread is made, which takes the mask, or
 * while the thread is inside Go (call.h). */
void msp_block_signals(sigset_t *saved);

/* Puts the calling thread, one of the library, under SCHED_BATCH. One that is
 * woken runs at once where a processor is free, but does not push aside the
 * thread that woke it: a producer gets through ringbuffer_write. */
void msp_batch(void);

#endif
