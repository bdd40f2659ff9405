/* SPDX-License-Identifier: MIT
 *
 * sweep.c - a thread that looks at the rings beside which sessions sleep, for
 * indices that somebody moved by hand, which rings no bell. One in C costs a
 * wake-up of some microseconds; a timer in Go wakes its scheduler as well.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* pthread_setname_np */
#endif
#include "live.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <time.h>

#include "../doorbell/doorbell.h"

/* The longest that a session sleeps beside such a ring, in ns. */
#define SWEEP_EVERY 40000000

#define SIDES (RING_SLOTS * 2u) /* slot * 2 + side */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* never held for long */
static uint32_t watchers[SIDES];                         /* under lock, as the rest */
static uint64_t watched[SIDES / 64];                     /* bit: it has any; read without */
uint32_t ring_sessions[2];                               /* written under lock */
uint32_t ring_refusals;
static int running;

static int moved(dev_ringbuf_t *rb, int side)
{
    uint32_t ridx = __atomic_load_n(&rb->ridx, __ATOMIC_ACQUIRE);
    uint32_t widx = __atomic_load_n(&rb->widx, __ATOMIC_ACQUIRE);
    uint32_t length = rb->length;
    if (ridx > length || widx > length)
        return 1;
    return side == RING_READER ? !ringbuffer_empty(rb) : !ringbuffer_full(rb);
}

/* Looks at a side, under lock: who gives it up waits for that. */
static void look(uint32_t i)
{
    struct ring_state *s = &ring_states[i / 2];
    uint32_t *parked = &s->parked[i % 2];
    if (!watchers[i] || !__atomic_load_n(parked, __ATOMIC_SEQ_CST))
        return;
    __atomic_fetch_add(&s->users[i % 2], 1, __ATOMIC_SEQ_CST); /* destroy waits from here on */
    dev_ringbuf_t *rb = NULL;
    /* Destroying wakes the sleeper before it is done: one that still sleeps
     * here sleeps beside a ring that lives. */
    if (!__atomic_load_n(&s->ending, __ATOMIC_SEQ_CST) && __atomic_load_n(parked, __ATOMIC_SEQ_CST))
        rb = __atomic_load_n(&ring_address[i / 2], __ATOMIC_SEQ_CST);
    if (rb && moved(rb, i % 2))
        ring_wake(rb, i % 2);
    __atomic_fetch_sub(&s->users[i % 2], 1, __ATOMIC_SEQ_CST);
}

static void look_at(uint32_t i)
{
    pthread_mutex_lock(&lock);
    look(i);
    pthread_mutex_unlock(&lock);
}

/* Tells whether the producer of a ring was refused bytes since the last look. */
static int refused(struct ring_state *s)
{
    uint64_t dropped = __atomic_load_n(&s->dropped, __ATOMIC_RELAXED);
    if (dropped == s->told)
        return 0;
    s->told = dropped;
    return 1;
}

static void *sweep(void *unused)
{
    (void)unused;
    /* As all threads of the library: it does not push a producer aside. */
    (void)sched_setscheduler(0, SCHED_BATCH, &(struct sched_param){0});
    for (;;) {
        nanosleep(&(struct timespec){.tv_nsec = SWEEP_EVERY}, NULL);
        pthread_mutex_lock(&lock);
        /* Without its descriptors the library says so to every call, and the
         * program may take back its rings. */
        if (ring_sessions[RING_READER] + ring_sessions[RING_WRITER] == 0 || msp_bell_lost()) {
            running = 0;
            pthread_mutex_unlock(&lock);
            return NULL;
        }
        pthread_mutex_unlock(&lock);
        int tell = 0;
        for (uint32_t w = 0; w < SIDES / 64; w++) {
            for (uint64_t set = __atomic_load_n(&watched[w], __ATOMIC_RELAXED); set;
                 set &= set - 1) {
                uint32_t i = w * 64 + (uint32_t)__builtin_ctzll(set);
                look_at(i);
                tell |= refused(&ring_states[i / 2]);
            }
        }
        uint32_t hears = __atomic_load_n(&ring_refusals, __ATOMIC_SEQ_CST);
        if (tell && hears)
            msp_bell_ring(hears - 1);
    }
}

/* Starts the thread, with no signal of the host's to take; lock is held. */
static int start(void)
{
    sigset_t blocked, before;
    sigfillset(&blocked);
    pthread_attr_t attr;
    int err = pthread_attr_init(&attr);
    if (err)
        return err;
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, 64 * 1024);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    pthread_t thread;
    err = pthread_create(&thread, &attr, sweep, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    if (err == 0) {
        pthread_setname_np(thread, "msp-sweep");
        running = 1;
    }
    return err;
}

int ring_watch(uint32_t slot, int side)
{
    uint32_t i = slot * 2 + (uint32_t)side;
    pthread_mutex_lock(&lock);
    int err = running ? 0 : start();
    if (err == 0) {
        __atomic_fetch_add(&ring_sessions[side], 1, __ATOMIC_SEQ_CST);
        if (watchers[i]++ == 0)
            __atomic_fetch_or(&watched[i / 64], 1ull << i % 64, __ATOMIC_RELAXED);
    }
    pthread_mutex_unlock(&lock);
    return err;
}

void ring_unwatch(uint32_t slot, int side)
{
    uint32_t i = slot * 2 + (uint32_t)side;
    pthread_mutex_lock(&lock);
    __atomic_fetch_sub(&ring_sessions[side], 1, __ATOMIC_SEQ_CST);
    if (--watchers[i] == 0)
        __atomic_fetch_and(&watched[i / 64], ~(1ull << i % 64), __ATOMIC_RELAXED);
    pthread_mutex_unlock(&lock);
}
