/* SPDX-License-Identifier: MIT */
#include "live.h"

#include <errno.h>
#include <stddef.h>
#include <time.h>

#include "../doorbell/doorbell.h"

#define PUBLIC __attribute__((visibility("default")))

dev_ringbuf_t *ring_address[RING_SLOTS];
struct ring_state ring_states[RING_SLOTS];
uint32_t ring_parked;

static uint32_t bucket_of(uintptr_t address)
{
    /* Fibonacci hashing: rings in an array, an even stride apart, spread well. */
    uint64_t h = (uint64_t)address * 0x9E3779B97F4A7C15u;
    return (uint32_t)(h >> 32) % (RING_SLOTS / RING_BUCKET) * RING_BUCKET;
}

int ring_find(uintptr_t address)
{
    uint32_t first = bucket_of(address);
    for (uint32_t i = first; i < first + RING_BUCKET; i++)
        if ((uintptr_t)__atomic_load_n(&ring_address[i], __ATOMIC_ACQUIRE) == address)
            return (int)i;
    return -1;
}

static void wake_slot(struct ring_state *s, int side)
{
    uint32_t id = __atomic_exchange_n(&s->parked[side], 0, __ATOMIC_SEQ_CST);
    if (id == 0)
        return;
    __atomic_fetch_sub(&ring_parked, 1, __ATOMIC_SEQ_CST);
    msp_bell_ring(id - 1);
}

void ring_wake(const dev_ringbuf_t *rb, int side)
{
    int i = ring_find((uintptr_t)rb);
    if (i >= 0 && __atomic_load_n(&ring_states[i].parked[side], __ATOMIC_SEQ_CST))
        wake_slot(&ring_states[i], side);
}

void ring_refused(const dev_ringbuf_t *rb, uint32_t n)
{
    int i = ring_find((uintptr_t)rb);
    if (i >= 0)
        __atomic_fetch_add(&ring_states[i].dropped, n, __ATOMIC_RELAXED);
}

void ring_after_fork(void)
{
    __atomic_store_n(&ring_parked, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&msp_bell.fd, BELL_NOBODY, __ATOMIC_SEQ_CST);
}

/* Keeps what a session compares the struct with, whose memory may be another
 * thing's by then. */
static void remember(struct ring_state *s, const dev_ringbuf_t *rb)
{
    s->buffer = rb->buffer;
    s->length = rb->length;
}

/* Ends the ring in a slot, and leaves the address in it for the caller. */
static void end_slot(struct ring_state *s)
{
    /* `users` of a child that forked while a session was inside never goes
     * back; nobody is inside there, which the doorbell's descriptor tells. */
    __atomic_store_n(&s->ending, 1, __ATOMIC_SEQ_CST);
    while ((__atomic_load_n(&s->users[RING_READER], __ATOMIC_SEQ_CST) ||
            __atomic_load_n(&s->users[RING_WRITER], __ATOMIC_SEQ_CST)) &&
           __atomic_load_n(&msp_bell.fd, __ATOMIC_SEQ_CST) != BELL_NOBODY)
        nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
    __atomic_store_n(&s->dropped_before, __atomic_load_n(&s->dropped, __ATOMIC_SEQ_CST),
                     __ATOMIC_SEQ_CST);
    __atomic_fetch_add(&s->generation, 1, __ATOMIC_SEQ_CST);
    /* Nobody can park on this generation any more, so no wake is lost. */
    wake_slot(s, RING_READER);
    wake_slot(s, RING_WRITER);
    __atomic_store_n(&s->claims, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&s->ending, 0, __ATOMIC_SEQ_CST);
}

PUBLIC int ringbuffer_create(dev_ringbuf_t *rb, char *buffer, int size)
{
    if (!rb || !buffer || size < 2)
        return -EINVAL;
    int old = ring_find((uintptr_t)rb);
    if (old >= 0)
        end_slot(&ring_states[old]);
    rb->buffer = (uint8_t *)buffer;
    rb->length = (uint32_t)size - 1;
    __atomic_store_n(&rb->ridx, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&rb->widx, 0, __ATOMIC_RELAXED);
    if (old >= 0) {
        remember(&ring_states[old], rb);
        return 0;
    }
    uint32_t first = bucket_of((uintptr_t)rb);
    for (uint32_t i = first; i < first + RING_BUCKET; i++) {
        dev_ringbuf_t *none = NULL;
        if (__atomic_compare_exchange_n(&ring_address[i], &none, rb, 0, __ATOMIC_SEQ_CST,
                                        __ATOMIC_RELAXED)) {
            remember(&ring_states[i], rb);
            return 0;
        }
    }
    return -ENOMEM;
}

PUBLIC void ringbuffer_destroy(dev_ringbuf_t *rb)
{
    int i = rb ? ring_find((uintptr_t)rb) : -1;
    if (i < 0)
        return;
    end_slot(&ring_states[i]);
    __atomic_store_n(&ring_address[i], NULL, __ATOMIC_SEQ_CST);
}
