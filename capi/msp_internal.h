/* SPDX-License-Identifier: MIT
 *
 * msp_internal.h - what the files of the OS layer share, and how the record
 * library wakes a thread that waits in it.
 *
 * Mutexes, semaphores, events, queues, timers and tasks all live in slots.
 * A slot's memory is never given back and its condition variable is never
 * destroyed; freeing an object only moves the slot to its next generation. A
 * handle is a number, (generation, index), looked up and compared, so a stale
 * one is found out even while another thread frees or reuses the slot, and
 * nothing has to wait for the last waiter to leave.
 *
 * Locks, outermost first: the timer lock, one slot lock, the pool lock. The
 * log's, its queue's before its sink's, are taken with none of them held. None is held while code
 * of the application runs.
 */
#ifndef MSP_INTERNAL_H
#define MSP_INTERNAL_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* pthread_setname_np */
#endif

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* On definitions only: on a declaration it would make every reference weak. */
#define MSP_WEAK __attribute__((weak, visibility("default")))
#define MSP_PRIVATE __attribute__((visibility("hidden")))

struct msp_slot;

/* ---- Interrupting waits -------------------------------------------------- */

/* Ends the msp_* waits of one thread. It belongs to whoever declares it and
 * must outlive every fire and the thread's binding to it. */
struct msp_interrupt {
    int fired;
    struct msp_slot *waiting; /* where the bound thread waits; NULL outside waits */
};

/* clang-format off */
#define MSP_INTERRUPT_INIT {0, NULL}
/* clang-format on */

/* Binds `it` to the calling thread in place of what was bound; NULL unbinds.
 * One thread at a time. */
MSP_PRIVATE void msp_interrupt_bind(struct msp_interrupt *it);

/* Makes the bound thread's current and later waits (event, sem, queue, mutex)
 * return -EINTR and its msp_msleep() return early, until armed again. What can
 * be had without waiting is still handed out, so nothing is lost. Any thread;
 * never blocks for longer than a slot lock is held. */
MSP_PRIVATE void msp_interrupt_fire(struct msp_interrupt *it);

/* Lets waits wait again. Only while the bound thread is in no wait: one that
 * has not yet seen the fire would miss it. */
MSP_PRIVATE void msp_interrupt_arm(struct msp_interrupt *it);

/* ---- Slots --------------------------------------------------------------- */

enum msp_kind { MSP_FREE = 0, MSP_TASK, MSP_MUTEX, MSP_SEM, MSP_EVENT, MSP_QUEUE, MSP_TIMER };

struct msp_slot {
    pthread_cond_t cond; /* on the monotonic clock */
    uint32_t index;
    uint32_t gen;
    enum msp_kind kind;
    struct msp_slot *next; /* in the free list */
    union {
        struct {
            char name[32];
            struct msp_interrupt deleted;
            void (*fn)(void *);
            void *arg;
        } task;
        struct {
            pthread_t owner; /* while depth > 0 */
            unsigned depth;
        } mutex;
        struct {
            int count;
        } sem;
        struct {
            unsigned flags;
        } event;
        struct {
            unsigned char *buf; /* cells of max_msg bytes */
            unsigned *sizes;    /* of the message in each cell */
            unsigned char *own; /* buf, when the queue allocated it */
            unsigned max_msg;
            unsigned cells;
            unsigned head;
            unsigned count;
        } queue;
        struct { /* guarded by the timer lock */
            void (*fn)(void *, void *);
            void *arg;
            struct msp_slot *next; /* in the list of running timers */
            long long due;
            int ms;
            int repeat;
            int running;
        } timer;
    } u;
};

/* Takes a slot that nobody else knows of yet. NULL: out of memory. */
MSP_PRIVATE struct msp_slot *msp_slot_take(void);

/* Gives a slot that was filled its kind, and its handle to *handle. */
MSP_PRIVATE void msp_slot_publish(struct msp_slot *slot, enum msp_kind kind, void **handle);

/* Finds the live object of that kind and returns its slot locked, or NULL.
 * `handle` points to the handle; where an SDK program passes the handle itself
 * (msp_task_get_name(msp_task_self())), that is understood as well. */
MSP_PRIVATE struct msp_slot *msp_slot_lock(void *const *handle, enum msp_kind kind);
MSP_PRIVATE void msp_slot_unlock(struct msp_slot *slot);

/* Ends the object of a locked slot: clears *handle, wakes the waiters, unlocks,
 * and lets the slot be taken again. */
MSP_PRIVATE void msp_slot_retire(struct msp_slot *slot, void **handle);

/* The present handle of a slot that is locked or cannot be retired meanwhile. */
MSP_PRIVATE void *msp_slot_handle(const struct msp_slot *slot);

/* The handle meant by `handle`, see msp_slot_lock(). NULL for NULL. */
MSP_PRIVATE void *msp_handle_load(void *const *handle);

/* 1 when the handle names a live object of that kind. */
MSP_PRIVATE int msp_slot_is_valid(void *const *handle, enum msp_kind kind);

/* Locks a slot that is known to exist, whatever lives in it. */
MSP_PRIVATE void msp_slot_hold(struct msp_slot *slot);

/* Waits on a locked slot's condition variable, for ever when until is NULL.
 * Returns as pthread_cond_timedwait() does. */
MSP_PRIVATE int msp_slot_block(struct msp_slot *slot, const struct timespec *until);

/* Makes everybody who waits on the slot look again. The slot is not locked. */
MSP_PRIVATE void msp_slot_wake(struct msp_slot *slot);

/* The same for a locked slot. It wakes all, never one: that one may be on its
 * way out, timed out or interrupted. */
MSP_PRIVATE void msp_slot_changed(struct msp_slot *slot);

/* Readies slots for use, once: each file that has locks registers handlers
 * that hold them over a fork, so that the child finds them free and what they
 * guard whole. pthread_atfork() runs what was registered last first, which has
 * to be whoever takes the outer lock: such a file calls this before it
 * registers its own. */
MSP_PRIVATE void msp_slots_init(void);

/* ---- Waiting ------------------------------------------------------------- */

struct msp_wait {
    uint32_t gen;
    unsigned timeout;
    int expired;
    struct timespec until;
};

/* Starts a wait of `timeout` ms on a locked slot. */
MSP_PRIVATE struct msp_wait msp_wait_begin(const struct msp_slot *slot, unsigned timeout);

/* Waits until somebody changes a locked slot. 0: look again at what is waited
 * for. Otherwise give up: -ETIMEDOUT, -EINTR, or -EINVAL when the object is
 * gone. The slot is locked again whatever it returns, and must be unlocked.
 * Ends the calling task, unlocking, when msp_task_delete() wants that. */
MSP_PRIVATE int msp_wait_change(struct msp_slot *slot, struct msp_wait *wait);

/* Sleeps `ms`, unless interrupted. */
MSP_PRIVATE void msp_wait_sleep(unsigned ms);

/* Makes the calling thread a task that ends when `deleted` is fired. */
MSP_PRIVATE void msp_wait_set_task(struct msp_interrupt *deleted);

/* Ends the calling task when msp_task_delete() wants that. Holding no lock. */
MSP_PRIVATE void msp_wait_leave_if_deleted(void);

/* Initialises what sleeping threads wait on, again in a forked child. */
MSP_PRIVATE void msp_sleepers_init(void);

/* Initialises a condition variable on the monotonic clock. */
MSP_PRIVATE void msp_cond_init(pthread_cond_t *cond);

/* `ms` from now on the monotonic clock. */
MSP_PRIVATE struct timespec msp_deadline(unsigned ms);

/* Local wall-clock time as "MM-DD hh:mm:ss.mmm", cut to fit. */
MSP_PRIVATE void msp_wall_clock(char *buf, size_t size);

#endif
