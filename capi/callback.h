/* SPDX-License-Identifier: MIT
 *
 * callback.h - how an app's functions are called.
 */
#ifndef MSP_CALLBACK_H
#define MSP_CALLBACK_H

#include <stdint.h>

#include <msp/record.h>
#include <msp/record_ext.h>

/* The session whose callback runs on this thread, 0 for none. */
uintptr_t msp_inside(void);

/* Says that a callback of a session runs on this thread from now on, and
 * returns what was said before. */
uintptr_t msp_enter_session(uintptr_t session);

/* A small thread on which one session's data_ready runs, so that one that
 * blocks for ever costs no thread of Go's. One caller, save where noted. */
struct msp_callback;

/* Makes the thread, idle. bell is the doorbell to ring after each call.
 * Returns 0, or a positive errno: EAGAIN or ENOMEM. */
int msp_callback_new(struct msp_callback **out, data_ready_func fn, uintptr_t arg,
                     uintptr_t session, uint32_t bell);

/* Begins a call. Only while not busy. */
void msp_callback_call(struct msp_callback *cb);

/* 1 from msp_callback_call() until the function has returned. Any thread. */
int msp_callback_busy(struct msp_callback *cb);

/* Ends the function's msp_* waits, now and from now on. Any thread. */
void msp_callback_interrupt(struct msp_callback *cb);

/* Ends the thread: at once where it is idle, else when its function returns,
 * which is not waited for. cb is gone. */
void msp_callback_close(struct msp_callback *cb);

/* Calls of an app's functions as part of a session, for a worker to run. The
 * app's arg is a number to the library, which may be no pointer at all. */
struct msp_event_call {
    record_event_func fn;
    uintptr_t arg;
    uintptr_t session;
    record_event_t event;
};

struct msp_message_call {
    record_message_func fn;
    uintptr_t arg;
    uintptr_t session;
    void *data;
    uint32_t size;
    int is_text;
};

struct msp_dial_call {
    record_dial_func fn;
    uintptr_t arg;
    uintptr_t session;
};

/* Each takes the struct of its kind. */
void msp_call_event(void *job);
void msp_call_message(void *job);
void msp_call_dial(void *job);

#endif
