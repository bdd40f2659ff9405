/* SPDX-License-Identifier: MIT
 *
 * live.h - the list of live rings: what a number in a URI resolves through,
 * and where a sleeping session and a ring's other side find each other. The
 * public struct has no room for either.
 */
#ifndef MSP_RING_LIVE_H
#define MSP_RING_LIVE_H

#include <stdint.h>

#include <msp/ringbuffer.h>

/* A ring sits in the bucket its address hashes to, so a look-up reads at most
 * one bucket whatever happens meanwhile: wait-free for the producer. */
#define RING_BUCKET 32u
#define RING_SLOTS 65536u

#define RING_READER 0
#define RING_WRITER 1

struct ring_state {
    /* Bytes that producers were refused, of all rings that were in this slot, and
     * what that was when the last one that ended here ended. */
    uint64_t dropped __attribute__((aligned(8))), dropped_before __attribute__((aligned(8)));
    uint64_t told;       /* of those, what the sweep has told of */
    uint32_t generation; /* goes up when the ring in this slot ends */
    uint32_t ending;     /* 1 while destroy waits */
    uint32_t users[2];   /* who is inside the ring's memory at this moment, for each side */
    uint32_t claims;     /* bit RING_READER, RING_WRITER: a session has that side */
    uint32_t parked[2];  /* doorbell id + 1 of the session asleep on that side */
    uint32_t length;     /* as the ring was created */
    uint8_t *buffer;     /* the same */
};

extern dev_ringbuf_t *ring_address[RING_SLOTS]; /* NULL: free */
extern struct ring_state ring_states[RING_SLOTS];
extern uint32_t ring_parked;      /* sessions asleep in all; 0 keeps the producer out of here */
extern uint32_t ring_refusals;    /* doorbell id + 1 of who hears of refused bytes, 0: nobody */
extern uint32_t ring_sessions[2]; /* sessions that have a side of any ring */

/* The slot of the live ring at an address, or -1. Compares, dereferences nothing. */
int ring_find(uintptr_t address);

/* Wakes the session asleep on a side of the ring, if one is. Wait-free. */
void ring_wake(const dev_ringbuf_t *rb, int side);

/* Counts bytes that did not fit. */
void ring_refused(const dev_ringbuf_t *rb, uint32_t n);

/* Has a side of the ring in a slot looked at every 40 ms, while a session sleeps
 * there, until the same call of ring_unwatch. Returns 0, or an errno value when
 * there is no thread for it. When ring_unwatch has returned, the ring's memory is
 * not looked at any more. */
int ring_watch(uint32_t slot, int side);
void ring_unwatch(uint32_t slot, int side);

/* In a forked child: nobody sleeps here any more. */
void ring_after_fork(void);

#endif
