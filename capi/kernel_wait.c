/* SPDX-License-Identifier: MIT
 *
 * kernel_wait.c - waiting on a slot, and what ends a wait before its time.
 *
 * An interrupt and a waiter meet without a lock of their own. The waiter, its
 * slot locked, publishes where it waits and then looks whether the interrupt
 * has fired; fire marks the interrupt and then looks where the thread waits.
 * In a sequentially consistent order one of the two sees the other, and a fire
 * that sees a waiter broadcasts under that slot's lock, which the waiter only
 * gives up inside pthread_cond_wait(). Slots are never freed, so that a fire
 * that comes late does no harm.
 *
 * Both write by an exchange. A store would do on every processor, but not in
 * qemu-user on x86, where AArch64's load-acquire passes its store-release.
 */
#include "msp_internal.h"

#include <errno.h>
#include <msp/kernel.h>

/* Where threads wait that want nothing but time to pass. */
static struct msp_slot sleepers;

static __thread struct {
    struct msp_interrupt *bound;
    struct msp_interrupt *deleted; /* of the task this thread is, if any */
} self;

void msp_sleepers_init(void)
{
    msp_cond_init(&sleepers.cond);
}

void msp_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attr);
    pthread_condattr_destroy(&attr);
}

struct timespec msp_deadline(unsigned ms)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += (time_t)(ms / 1000);
    t.tv_nsec += (long)(ms % 1000) * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    return t;
}

void msp_interrupt_bind(struct msp_interrupt *it)
{
    self.bound = it;
}

void msp_interrupt_fire(struct msp_interrupt *it)
{
    (void)__atomic_exchange_n(&it->fired, 1, __ATOMIC_SEQ_CST);
    struct msp_slot *slot = __atomic_load_n(&it->waiting, __ATOMIC_SEQ_CST);
    if (slot != NULL)
        msp_slot_wake(slot);
}

void msp_interrupt_arm(struct msp_interrupt *it)
{
    __atomic_store_n(&it->fired, 0, __ATOMIC_SEQ_CST);
}

void msp_wait_set_task(struct msp_interrupt *deleted)
{
    self.deleted = deleted;
}

static int has_fired(struct msp_interrupt *it)
{
    return it != NULL && __atomic_load_n(&it->fired, __ATOMIC_SEQ_CST);
}

static void publish(struct msp_slot *slot)
{
    if (self.bound != NULL)
        (void)__atomic_exchange_n(&self.bound->waiting, slot, __ATOMIC_SEQ_CST);
    if (self.deleted != NULL)
        (void)__atomic_exchange_n(&self.deleted->waiting, slot, __ATOMIC_SEQ_CST);
}

/* From here on waits work again: the application's clean-up handlers run. */
static void leave(void)
{
    self.deleted = NULL;
    pthread_exit(NULL);
}

void msp_wait_leave_if_deleted(void)
{
    if (has_fired(self.deleted))
        leave();
}

struct msp_wait msp_wait_begin(const struct msp_slot *slot, unsigned timeout)
{
    struct msp_wait wait = {
        .gen = slot->gen, .timeout = timeout, .expired = timeout == MSP_NO_WAIT};
    if (timeout != MSP_NO_WAIT && timeout != MSP_WAIT_FOREVER)
        wait.until = msp_deadline(timeout);
    return wait;
}

int msp_wait_change(struct msp_slot *slot, struct msp_wait *wait)
{
    if (wait->expired)
        return -ETIMEDOUT;
    publish(slot);
    if (has_fired(self.deleted) || has_fired(self.bound)) {
        publish(NULL);
        if (!has_fired(self.deleted))
            return -EINTR;
        msp_slot_unlock(slot);
        leave();
    }
    if (wait->timeout == MSP_WAIT_FOREVER)
        msp_slot_block(slot, NULL);
    else if (msp_slot_block(slot, &wait->until) == ETIMEDOUT)
        wait->expired = 1; /* what is waited for is looked at once more */
    publish(NULL);
    return slot->gen == wait->gen ? 0 : -EINVAL;
}

void msp_wait_sleep(unsigned ms)
{
    if (self.bound == NULL && self.deleted == NULL) {
        struct timespec until = msp_deadline(ms);
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
            ;
        return;
    }
    msp_slots_init();
    msp_slot_hold(&sleepers);
    struct msp_wait wait = msp_wait_begin(&sleepers, ms);
    while (msp_wait_change(&sleepers, &wait) == 0)
        ;
    msp_slot_unlock(&sleepers);
}
