/* SPDX-License-Identifier: MIT
 *
 * doorbell.h - how a C thread wakes a goroutine: one eventfd for the process,
 * and one bit for each goroutine that can be woken.
 */
#ifndef MSP_DOORBELL_H
#define MSP_DOORBELL_H

#include <stdint.h>

#define BELL_IDS 65536u
#define BELL_WORDS (BELL_IDS / 32u)
#define BELL_GROUPS (BELL_WORDS / 32u)

#define BELL_NOBODY (-1) /* listens yet, or in this child */
#define BELL_LOST (-2)   /* the program has closed the eventfd */

struct msp_bell {
    uint32_t groups[BELL_GROUPS]; /* bit g/32 of group: a word of it has bits */
    uint32_t words[BELL_WORDS];   /* bit id: wake that one */
    uint32_t rung;                /* 1: the eventfd is already written */
    int32_t fd;                   /* the eventfd, BELL_NOBODY or BELL_LOST */
    uint64_t device, inode;       /* of it, as fstat tells them */
};

extern struct msp_bell msp_bell;

/* Wakes the goroutine that registered id. Wait-free, keeps errno; at most one
 * write(2), and none while an earlier ring has not been heard. */
void msp_bell_ring(uint32_t id);

/* Has rings written to an eventfd from now on. */
void msp_bell_listen(int fd);

/* Returns 1 where somebody has closed that eventfd, or put another file in its
 * place, which nothing is written to from then on. */
int msp_bell_lost(void);

#endif
