/* SPDX-License-Identifier: MIT
 *
 * ring.c - both sides of the ring, for C callers. A session's side in Go
 * (view.go) works on the same fields with the same formula.
 *
 * Memory order: the owner of an index stores it once, after the copy, and the
 * other side loads it with acquire before it touches the bytes, so a reader
 * never sees half a piece. Where a session has the other side, the store is
 * seq_cst, and so are a sleeper's parking and its second look at the index:
 * either the sleeper sees the new index, or this side sees the sleeper. A
 * session that comes in the middle of this is found by the sweep (sweep.c).
 */
#include <stddef.h>
#include <string.h>

#include "live.h"

#define PUBLIC __attribute__((visibility("default")))

_Static_assert(sizeof(dev_ringbuf_t) == sizeof(void *) + (sizeof(void *) == 8 ? 16 : 12),
               "dev_ringbuf_t is part of the ABI: four fields and nothing after them");
_Static_assert(offsetof(dev_ringbuf_t, length) == sizeof(void *), "ABI");
_Static_assert(offsetof(dev_ringbuf_t, ridx) == sizeof(void *) + 4, "ABI");
_Static_assert(offsetof(dev_ringbuf_t, widx) == sizeof(void *) + 8, "ABI");

static uint32_t used_between(uint32_t length, uint32_t ridx, uint32_t widx)
{
    return widx >= ridx ? widx - ridx : widx + length + 1 - ridx;
}

static uint32_t used(dev_ringbuf_t *rb)
{
    uint32_t ridx = __atomic_load_n(&rb->ridx, __ATOMIC_ACQUIRE);
    return used_between(rb->length, ridx, __atomic_load_n(&rb->widx, __ATOMIC_ACQUIRE));
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static uint32_t advanced(uint32_t length, uint32_t index, uint32_t n)
{
    uint32_t to_end = length + 1 - index;
    return n < to_end ? index + n : n - to_end;
}

/* Moves an index, and wakes the session that sleeps on the other side. */
static void publish(dev_ringbuf_t *rb, uint32_t *index, uint32_t value, int other)
{
    if (__atomic_load_n(&ring_sessions[other], __ATOMIC_RELAXED) == 0) {
        __atomic_store_n(index, value, __ATOMIC_RELEASE);
        return;
    }
    __atomic_store_n(index, value, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&ring_parked, __ATOMIC_SEQ_CST) != 0)
        ring_wake(rb, other);
}

PUBLIC int ringbuffer_write(dev_ringbuf_t *rb, uint8_t *data, uint32_t n)
{
    if (!rb || !data || n == 0)
        return 0;
    uint32_t length = rb->length;
    uint32_t widx = __atomic_load_n(&rb->widx, __ATOMIC_RELAXED);
    uint32_t ridx = __atomic_load_n(&rb->ridx, __ATOMIC_ACQUIRE);
    uint32_t take = least(n, length - used_between(length, ridx, widx));
    if (take < n)
        ring_refused(rb, n - take);
    if (take == 0)
        return 0;
    uint32_t head = least(take, length + 1 - widx);
    memcpy(rb->buffer + widx, data, head);
    if (head < take)
        memcpy(rb->buffer, data + head, take - head);
    publish(rb, &rb->widx, advanced(length, widx, take), RING_READER);
    return (int)take;
}

PUBLIC int ringbuffer_read(dev_ringbuf_t *rb, uint8_t *out, uint32_t n)
{
    if (!rb || !out || n == 0)
        return -1;
    uint32_t length = rb->length;
    uint32_t ridx = __atomic_load_n(&rb->ridx, __ATOMIC_RELAXED);
    uint32_t widx = __atomic_load_n(&rb->widx, __ATOMIC_ACQUIRE);
    uint32_t take = least(n, used_between(length, ridx, widx));
    if (take == 0)
        return 0;
    uint32_t head = least(take, length + 1 - ridx);
    memcpy(out, rb->buffer + ridx, head);
    if (head < take)
        memcpy(out + head, rb->buffer, take - head);
    publish(rb, &rb->ridx, advanced(length, ridx, take), RING_WRITER);
    return (int)take;
}

PUBLIC int ringbuffer_available_read_space(dev_ringbuf_t *rb)
{
    return rb ? (int)used(rb) : 0;
}

PUBLIC int ringbuffer_available_write_space(dev_ringbuf_t *rb)
{
    return rb ? (int)(rb->length - used(rb)) : 0;
}

PUBLIC int ringbuffer_full(dev_ringbuf_t *rb)
{
    return rb ? used(rb) == rb->length : 0;
}

PUBLIC int ringbuffer_empty(dev_ringbuf_t *rb)
{
    return rb ? used(rb) == 0 : 1;
}

PUBLIC int ringbuffer_clear(dev_ringbuf_t *rb)
{
    if (!rb)
        return -1;
    publish(rb, &rb->ridx, __atomic_load_n(&rb->widx, __ATOMIC_ACQUIRE), RING_WRITER);
    return 0;
}
