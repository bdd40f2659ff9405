/* SPDX-License-Identifier: MIT
 *
 * kernel_sync.c - mutexes, semaphores and events.
 */
#include "msp_internal.h"

#include <errno.h>
#include <limits.h>
#include <msp/kernel.h>

MSP_WEAK int msp_mutex_new(msp_mutex_t *mutex)
{
    if (mutex == NULL)
        return -EINVAL;
    struct msp_slot *slot = msp_slot_take();
    if (slot == NULL)
        return -ENOMEM;
    slot->u.mutex.depth = 0;
    msp_slot_publish(slot, MSP_MUTEX, mutex);
    return 0;
}

MSP_WEAK void msp_mutex_free(msp_mutex_t *mutex)
{
    struct msp_slot *slot = msp_slot_lock(mutex, MSP_MUTEX);
    if (slot != NULL)
        msp_slot_retire(slot, mutex);
}

static int owned_by_caller(const struct msp_slot *slot)
{
    return slot->u.mutex.depth > 0 && pthread_equal(slot->u.mutex.owner, pthread_self());
}

MSP_WEAK int msp_mutex_lock(msp_mutex_t *mutex, unsigned int timeout)
{
    msp_wait_leave_if_deleted();
    struct msp_slot *slot = msp_slot_lock(mutex, MSP_MUTEX);
    if (slot == NULL)
        return -EINVAL;
    struct msp_wait wait = msp_wait_begin(slot, timeout);
    int rc = 0;
    while (rc == 0 && slot->u.mutex.depth > 0 && !owned_by_caller(slot))
        rc = msp_wait_change(slot, &wait);
    if (rc == 0) {
        slot->u.mutex.owner = pthread_self();
        slot->u.mutex.depth++;
    }
    msp_slot_unlock(slot);
    return rc;
}

MSP_WEAK int msp_mutex_unlock(msp_mutex_t *mutex)
{
    struct msp_slot *slot = msp_slot_lock(mutex, MSP_MUTEX);
    if (slot == NULL)
        return -EINVAL;
    int rc = 0;
    if (!owned_by_caller(slot))
        rc = -EPERM;
    else if (--slot->u.mutex.depth == 0)
        msp_slot_changed(slot);
    msp_slot_unlock(slot);
    return rc;
}

MSP_WEAK int msp_mutex_is_valid(msp_mutex_t *mutex)
{
    return msp_slot_is_valid(mutex, MSP_MUTEX);
}

MSP_WEAK int msp_sem_new(msp_sem_t *sem, int count)
{
    if (sem == NULL || count < 0)
        return -EINVAL;
    struct msp_slot *slot = msp_slot_take();
    if (slot == NULL)
        return -ENOMEM;
    slot->u.sem.count = count;
    msp_slot_publish(slot, MSP_SEM, sem);
    return 0;
}

MSP_WEAK void msp_sem_free(msp_sem_t *sem)
{
    struct msp_slot *slot = msp_slot_lock(sem, MSP_SEM);
    if (slot != NULL)
        msp_slot_retire(slot, sem);
}

MSP_WEAK int msp_sem_wait(msp_sem_t *sem, unsigned int timeout)
{
    msp_wait_leave_if_deleted();
    struct msp_slot *slot = msp_slot_lock(sem, MSP_SEM);
    if (slot == NULL)
        return -EINVAL;
    struct msp_wait wait = msp_wait_begin(slot, timeout);
    int rc = 0;
    while (rc == 0 && slot->u.sem.count == 0)
        rc = msp_wait_change(slot, &wait);
    if (rc == 0)
        slot->u.sem.count--;
    msp_slot_unlock(slot);
    return rc;
}

MSP_WEAK void msp_sem_signal(msp_sem_t *sem)
{
    struct msp_slot *slot = msp_slot_lock(sem, MSP_SEM);
    if (slot == NULL)
        return;
    if (slot->u.sem.count < INT_MAX)
        slot->u.sem.count++;
    msp_slot_changed(slot);
    msp_slot_unlock(slot);
}

MSP_WEAK int msp_sem_is_valid(msp_sem_t *sem)
{
    return msp_slot_is_valid(sem, MSP_SEM);
}

MSP_WEAK int msp_event_new(msp_event_t *event, unsigned int flags)
{
    if (event == NULL)
        return -EINVAL;
    struct msp_slot *slot = msp_slot_take();
    if (slot == NULL)
        return -ENOMEM;
    slot->u.event.flags = flags;
    msp_slot_publish(slot, MSP_EVENT, event);
    return 0;
}

MSP_WEAK void msp_event_free(msp_event_t *event)
{
    struct msp_slot *slot = msp_slot_lock(event, MSP_EVENT);
    if (slot != NULL)
        msp_slot_retire(slot, event);
}

static int is_satisfied(unsigned held, unsigned wanted, unsigned char opt)
{
    int all = opt == MSP_EVENT_AND || opt == MSP_EVENT_AND_CLEAR;
    return all ? (held & wanted) == wanted : (held & wanted) != 0;
}

MSP_WEAK int msp_event_get(msp_event_t *event, unsigned int flags, unsigned char opt,
                           unsigned int *actl_flags, unsigned int timeout)
{
    msp_wait_leave_if_deleted();
    /* Many callers look at it without looking at the result. */
    if (actl_flags != NULL)
        *actl_flags = 0;
    if (flags == 0 || opt > MSP_EVENT_AND_CLEAR)
        return -EINVAL;
    struct msp_slot *slot = msp_slot_lock(event, MSP_EVENT);
    if (slot == NULL)
        return -EINVAL;
    struct msp_wait wait = msp_wait_begin(slot, timeout);
    int rc = 0;
    while (rc == 0 && !is_satisfied(slot->u.event.flags, flags, opt))
        rc = msp_wait_change(slot, &wait);
    if (rc != -EINVAL && actl_flags != NULL)
        *actl_flags = slot->u.event.flags;
    if (rc == 0 && (opt == MSP_EVENT_OR_CLEAR || opt == MSP_EVENT_AND_CLEAR))
        slot->u.event.flags &= ~flags;
    msp_slot_unlock(slot);
    return rc;
}

MSP_WEAK int msp_event_set(msp_event_t *event, unsigned int flags, unsigned char opt)
{
    if (opt != MSP_EVENT_OR && opt != MSP_EVENT_AND)
        return -EINVAL;
    struct msp_slot *slot = msp_slot_lock(event, MSP_EVENT);
    if (slot == NULL)
        return -EINVAL;
    if (opt == MSP_EVENT_AND) {
        slot->u.event.flags &= flags;
    } else {
        slot->u.event.flags |= flags;
        msp_slot_changed(slot);
    }
    msp_slot_unlock(slot);
    return 0;
}

MSP_WEAK int msp_event_is_valid(msp_event_t *event)
{
    return msp_slot_is_valid(event, MSP_EVENT);
}
