/* SPDX-License-Identifier: MIT
 *
 * kernel_queue.c - queues of messages.
 *
 * The buffer is a ring of cells of the largest message's size, so that a
 * buffer of n such messages holds n, as SDK programs count on; how much of a
 * cell is used is kept outside of it.
 */
#include "msp_internal.h"

#include <errno.h>
#include <msp/kernel.h>

/* `own` is buf when the queue is to free it. */
static int queue_new(msp_queue_t *queue, unsigned char *buf, unsigned char *own, unsigned max_msg,
                     unsigned cells)
{
    unsigned *sizes = calloc(cells, sizeof(*sizes));
    struct msp_slot *slot = sizes != NULL ? msp_slot_take() : NULL;
    if (slot == NULL) {
        free(sizes);
        return -ENOMEM;
    }
    slot->u.queue.buf = buf;
    slot->u.queue.own = own;
    slot->u.queue.sizes = sizes;
    slot->u.queue.max_msg = max_msg;
    slot->u.queue.cells = cells;
    slot->u.queue.head = 0;
    slot->u.queue.count = 0;
    msp_slot_publish(slot, MSP_QUEUE, queue);
    return 0;
}

MSP_WEAK int msp_queue_new(msp_queue_t *queue, void *buf, unsigned int size, int max_msg)
{
    if (queue == NULL || buf == NULL || max_msg <= 0 || size < (unsigned)max_msg)
        return -EINVAL;
    return queue_new(queue, buf, NULL, (unsigned)max_msg, size / (unsigned)max_msg);
}

MSP_WEAK int msp_queue_create(msp_queue_t *queue, size_t size, size_t max_msg, uint32_t options)
{
    (void)options;
    if (queue == NULL || max_msg == 0 || size < max_msg || size > UINT32_MAX)
        return -EINVAL;
    unsigned char *buf = malloc(size);
    if (buf == NULL)
        return -ENOMEM;
    int rc = queue_new(queue, buf, buf, (unsigned)max_msg, (unsigned)(size / max_msg));
    if (rc < 0)
        free(buf);
    return rc;
}

MSP_WEAK void msp_queue_free(msp_queue_t *queue)
{
    struct msp_slot *slot = msp_slot_lock(queue, MSP_QUEUE);
    if (slot == NULL)
        return;
    unsigned char *own = slot->u.queue.own;
    unsigned *sizes = slot->u.queue.sizes;
    msp_slot_retire(slot, queue);
    free(own);
    free(sizes);
}

static unsigned char *cell_at(const struct msp_slot *slot, unsigned i)
{
    return slot->u.queue.buf + (size_t)i * slot->u.queue.max_msg;
}

MSP_WEAK int msp_queue_send(msp_queue_t *queue, void *msg, unsigned int size)
{
    if (msg == NULL || size == 0)
        return -EINVAL;
    struct msp_slot *slot = msp_slot_lock(queue, MSP_QUEUE);
    if (slot == NULL)
        return -EINVAL;
    int rc = 0;
    if (size > slot->u.queue.max_msg) {
        rc = -EMSGSIZE;
    } else if (slot->u.queue.count == slot->u.queue.cells) {
        rc = -EAGAIN;
    } else {
        uint64_t end = (uint64_t)slot->u.queue.head + slot->u.queue.count;
        unsigned tail = (unsigned)(end % slot->u.queue.cells);
        memcpy(cell_at(slot, tail), msg, size);
        slot->u.queue.sizes[tail] = size;
        slot->u.queue.count++;
        msp_slot_changed(slot);
    }
    msp_slot_unlock(slot);
    return rc;
}

MSP_WEAK int msp_queue_recv(msp_queue_t *queue, unsigned int ms, void *msg, unsigned int *size)
{
    msp_wait_leave_if_deleted();
    if (size != NULL)
        *size = 0;
    if (msg == NULL)
        return -EINVAL;
    struct msp_slot *slot = msp_slot_lock(queue, MSP_QUEUE);
    if (slot == NULL)
        return -EINVAL;
    struct msp_wait wait = msp_wait_begin(slot, ms);
    int rc = 0;
    while (rc == 0 && slot->u.queue.count == 0)
        rc = msp_wait_change(slot, &wait);
    if (rc == 0) {
        unsigned head = slot->u.queue.head;
        memcpy(msg, cell_at(slot, head), slot->u.queue.sizes[head]);
        if (size != NULL)
            *size = slot->u.queue.sizes[head];
        slot->u.queue.head = head + 1 == slot->u.queue.cells ? 0 : head + 1;
        slot->u.queue.count--;
    }
    msp_slot_unlock(slot);
    return rc;
}

MSP_WEAK int msp_queue_is_valid(msp_queue_t *queue)
{
    return msp_slot_is_valid(queue, MSP_QUEUE);
}

MSP_WEAK int msp_queue_get_count(msp_queue_t *queue)
{
    struct msp_slot *slot = msp_slot_lock(queue, MSP_QUEUE);
    if (slot == NULL)
        return -EINVAL;
    int count = (int)slot->u.queue.count;
    msp_slot_unlock(slot);
    return count;
}

MSP_WEAK void *msp_queue_buf_ptr(msp_queue_t *queue)
{
    struct msp_slot *slot = msp_slot_lock(queue, MSP_QUEUE);
    if (slot == NULL)
        return NULL;
    void *buf = slot->u.queue.buf;
    msp_slot_unlock(slot);
    return buf;
}
