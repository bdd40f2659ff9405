/* SPDX-License-Identifier: MIT
 *
 * kernel_task.c - tasks are detached threads. A task's slot lives as long as
 * its thread.
 */
#include "msp_internal.h"

#include <errno.h>
#include <limits.h>
#include <msp/kernel.h>
#include <unistd.h>

/* SDK programs ask for a microcontroller's 4 KiB; one printf() needs more. */
#define LEAST_STACK ((size_t)256 * 1024)

static __thread struct msp_slot *self;

static void leave(void *arg)
{
    struct msp_slot *slot = arg;
    void *handle = NULL; /* nobody knows where copies of it are */
    msp_wait_set_task(NULL);
    self = NULL;
    msp_slot_hold(slot);
    msp_slot_retire(slot, &handle);
}

static void *run(void *arg)
{
    struct msp_slot *slot = arg;
    char name[16]; /* the kernel refuses longer ones */
    snprintf(name, sizeof(name), "%.15s", slot->u.task.name);
    if (name[0] != '\0')
        pthread_setname_np(pthread_self(), name);
    self = slot;
    msp_wait_set_task(&slot->u.task.deleted);
    pthread_cleanup_push(leave, slot);
    slot->u.task.fn(slot->u.task.arg);
    pthread_cleanup_pop(1);
    return NULL;
}

static size_t stack_size_for(int wanted)
{
    size_t size = wanted > 0 ? (size_t)wanted : 0;
    if (size < LEAST_STACK)
        size = LEAST_STACK;
    if (size < (size_t)PTHREAD_STACK_MIN)
        size = (size_t)PTHREAD_STACK_MIN;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (size + page - 1) / page * page;
}

static int start_thread(struct msp_slot *slot, int stack_size)
{
    pthread_attr_t attr;
    pthread_t thread;
    if (pthread_attr_init(&attr) != 0)
        return -ENOMEM;
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, stack_size_for(stack_size));
    int rc = pthread_create(&thread, &attr, run, slot);
    pthread_attr_destroy(&attr);
    return -rc;
}

MSP_WEAK int msp_task_new_ext(msp_task_t *task, const char *name, void (*fn)(void *), void *arg,
                              int stack_size, int prio)
{
    (void)prio;
    if (task == NULL || fn == NULL)
        return -EINVAL;
    struct msp_slot *slot = msp_slot_take();
    if (slot == NULL)
        return -ENOMEM;
    snprintf(slot->u.task.name, sizeof(slot->u.task.name), "%s", name != NULL ? name : "");
    slot->u.task.deleted = (struct msp_interrupt)MSP_INTERRUPT_INIT;
    slot->u.task.fn = fn;
    slot->u.task.arg = arg;
    /* Before the thread runs: its function may look at the variable, and may
     * be through with the memory it is in when pthread_create() returns. */
    msp_slot_publish(slot, MSP_TASK, task);
    int rc = start_thread(slot, stack_size);
    if (rc < 0) {
        msp_slot_hold(slot);
        msp_slot_retire(slot, task);
    }
    return rc;
}

MSP_WEAK int msp_task_new(const char *name, void (*fn)(void *), void *arg, int stack_size)
{
    msp_task_t task;
    return msp_task_new_ext(&task, name, fn, arg, stack_size, MSP_DEFAULT_APP_PRI);
}

MSP_WEAK void msp_task_exit(int code)
{
    (void)code;
    pthread_exit(NULL);
}

MSP_WEAK void msp_task_delete(msp_task_t *task)
{
    if (task == NULL)
        msp_task_exit(0);
    struct msp_slot *slot = msp_slot_lock(task, MSP_TASK);
    if (slot == NULL)
        return;
    if (slot == self) {
        msp_slot_unlock(slot);
        msp_task_exit(0);
    }
    /* Marked under the lock, or it could mark the slot's next task. Woken
     * without it: a place to wait has a lock of its own. */
    __atomic_store_n(&slot->u.task.deleted.fired, 1, __ATOMIC_SEQ_CST);
    struct msp_slot *waiting = __atomic_load_n(&slot->u.task.deleted.waiting, __ATOMIC_SEQ_CST);
    msp_slot_unlock(slot);
    if (waiting != NULL)
        msp_slot_wake(waiting);
}

MSP_WEAK msp_task_t msp_task_self(void)
{
    return self != NULL ? msp_slot_handle(self) : NULL;
}

MSP_WEAK const char *msp_task_get_name(msp_task_t *task)
{
    struct msp_slot *slot = msp_slot_lock(task, MSP_TASK);
    if (slot == NULL)
        return NULL;
    const char *name = slot->u.task.name;
    msp_slot_unlock(slot);
    return name;
}
