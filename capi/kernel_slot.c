/* SPDX-License-Identifier: MIT
 *
 * kernel_slot.c - where the objects of the OS layer live: slots, their handles
 * and their locks.
 */
#include "msp_internal.h"

#include <stdlib.h>

/* Chunk k holds FIRST_CHUNK << k slots, so that a short table of chunks, read
 * without a lock, has room for any number of objects. */
#define FIRST_CHUNK 64u

/* A handle is tag, generation, index and a one, from the top. No handle can be
 * taken for the address of a handle variable: those are even, and user space
 * is below 2^63 on 64-bit machines. */
#if UINTPTR_MAX > 0xffffffffu
#define TAG (((uintptr_t)1 << 63) | 1)
#define GEN_BITS 31
#define INDEX_BITS 31
#define CHUNKS 25
#else
#define TAG ((uintptr_t)1)
#define GEN_BITS 15
#define INDEX_BITS 16
#define CHUNKS 10
#endif
#define GEN_MASK (((uintptr_t)1 << GEN_BITS) - 1)
#define INDEX_MASK (((uintptr_t)1 << INDEX_BITS) - 1)

/* Slots share a fixed set of locks: fork has to hold all of them. There is no
 * slot to lock before they are initialised. */
#define STRIPES 32u
static pthread_mutex_t stripes[STRIPES];

static struct {
    pthread_mutex_t lock;
    struct msp_slot *chunks[CHUNKS];
    /* Free slots, first in, first out: so it takes longest until the
     * generation in a stale handle comes round again. */
    struct msp_slot *oldest, *newest;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER};

static pthread_once_t once = PTHREAD_ONCE_INIT;

static pthread_mutex_t *stripe_of(const struct msp_slot *slot)
{
    return &stripes[slot->index % STRIPES];
}

static void each_slot(void (*fn)(struct msp_slot *slot))
{
    for (unsigned k = 0; k < CHUNKS && pool.chunks[k] != NULL; k++)
        for (size_t i = 0; i < (size_t)FIRST_CHUNK << k; i++)
            fn(&pool.chunks[k][i]);
}

static void fork_prepare(void)
{
    for (unsigned i = 0; i < STRIPES; i++)
        pthread_mutex_lock(&stripes[i]);
    pthread_mutex_lock(&pool.lock);
}

static void fork_release(void)
{
    pthread_mutex_unlock(&pool.lock);
    for (unsigned i = 0; i < STRIPES; i++)
        pthread_mutex_unlock(&stripes[i]);
}

static void forget_waiters(struct msp_slot *slot)
{
    msp_cond_init(&slot->cond);
}

/* The waiters stayed in the parent; a condition variable that still counts
 * them would wait for them. */
static void fork_child(void)
{
    each_slot(forget_waiters);
    fork_release();
    msp_sleepers_init();
}

static void init(void)
{
    for (unsigned i = 0; i < STRIPES; i++)
        pthread_mutex_init(&stripes[i], NULL);
    pthread_atfork(fork_prepare, fork_release, fork_child);
    msp_sleepers_init();
}

void msp_slots_init(void)
{
    pthread_once(&once, init);
}

/* Adds a slot to the free ones. The pool is locked. */
static void push(struct msp_slot *slot)
{
    slot->next = NULL;
    if (pool.oldest == NULL)
        pool.oldest = slot;
    else
        pool.newest->next = slot;
    pool.newest = slot;
}

/* Adds a chunk of free slots, if it can. The pool is locked. */
static void grow(void)
{
    unsigned k = 0;
    uint32_t first = 0;
    while (k < CHUNKS && pool.chunks[k] != NULL)
        first += FIRST_CHUNK << k++;
    if (k == CHUNKS)
        return;
    uint32_t n = FIRST_CHUNK << k;
    struct msp_slot *chunk = calloc(n, sizeof(*chunk));
    if (chunk == NULL)
        return;
    for (uint32_t i = 0; i < n; i++) {
        chunk[i].index = first + i;
        msp_cond_init(&chunk[i].cond);
        push(&chunk[i]);
    }
    __atomic_store_n(&pool.chunks[k], chunk, __ATOMIC_RELEASE);
}

struct msp_slot *msp_slot_take(void)
{
    msp_slots_init();
    pthread_mutex_lock(&pool.lock);
    if (pool.oldest == NULL)
        grow();
    struct msp_slot *slot = pool.oldest;
    if (slot != NULL)
        pool.oldest = slot->next;
    pthread_mutex_unlock(&pool.lock);
    return slot;
}

void *msp_slot_handle(const struct msp_slot *slot)
{
    uintptr_t gen = slot->gen & GEN_MASK;
    return (void *)(TAG | gen << (INDEX_BITS + 1) | (uintptr_t)slot->index << 1);
}

void msp_slot_publish(struct msp_slot *slot, enum msp_kind kind, void **handle)
{
    pthread_mutex_lock(stripe_of(slot));
    slot->kind = kind;
    __atomic_store_n(handle, msp_slot_handle(slot), __ATOMIC_RELEASE);
    pthread_mutex_unlock(stripe_of(slot));
}

static int is_handle(const void *p)
{
    return ((uintptr_t)p & TAG) == TAG;
}

static struct msp_slot *slot_at(uintptr_t index)
{
    unsigned k = 0;
    while (k < CHUNKS && index >= (uintptr_t)FIRST_CHUNK << k)
        index -= (uintptr_t)FIRST_CHUNK << k++;
    if (k == CHUNKS)
        return NULL;
    struct msp_slot *chunk = __atomic_load_n(&pool.chunks[k], __ATOMIC_ACQUIRE);
    return chunk != NULL ? &chunk[index] : NULL;
}

void *msp_handle_load(void *const *handle)
{
    if (handle == NULL || is_handle(handle))
        return (void *)(uintptr_t)handle;
    return __atomic_load_n(handle, __ATOMIC_ACQUIRE);
}

struct msp_slot *msp_slot_lock(void *const *handle, enum msp_kind kind)
{
    void *h = msp_handle_load(handle);
    if (!is_handle(h))
        return NULL;
    struct msp_slot *slot = slot_at((uintptr_t)h >> 1 & INDEX_MASK);
    if (slot == NULL)
        return NULL;
    pthread_mutex_lock(stripe_of(slot));
    if (slot->kind == kind && msp_slot_handle(slot) == h)
        return slot;
    pthread_mutex_unlock(stripe_of(slot));
    return NULL;
}

void msp_slot_hold(struct msp_slot *slot)
{
    pthread_mutex_lock(stripe_of(slot));
}

int msp_slot_block(struct msp_slot *slot, const struct timespec *until)
{
    if (until == NULL)
        return pthread_cond_wait(&slot->cond, stripe_of(slot));
    return pthread_cond_timedwait(&slot->cond, stripe_of(slot), until);
}

void msp_slot_changed(struct msp_slot *slot)
{
    pthread_cond_broadcast(&slot->cond);
}

void msp_slot_wake(struct msp_slot *slot)
{
    pthread_mutex_lock(stripe_of(slot));
    msp_slot_changed(slot);
    pthread_mutex_unlock(stripe_of(slot));
}

void msp_slot_unlock(struct msp_slot *slot)
{
    pthread_mutex_unlock(stripe_of(slot));
}

void msp_slot_retire(struct msp_slot *slot, void **handle)
{
    /* Before any waiter can run: it may free the memory the handle is in. */
    void *h = msp_slot_handle(slot);
    if (!is_handle(handle))
        __atomic_compare_exchange_n(handle, &h, NULL, 0, __ATOMIC_RELEASE, __ATOMIC_RELAXED);
    slot->kind = MSP_FREE;
    slot->gen++;
    msp_slot_changed(slot);
    pthread_mutex_unlock(stripe_of(slot));

    pthread_mutex_lock(&pool.lock);
    push(slot);
    pthread_mutex_unlock(&pool.lock);
}

int msp_slot_is_valid(void *const *handle, enum msp_kind kind)
{
    struct msp_slot *slot = msp_slot_lock(handle, kind);
    if (slot == NULL)
        return 0;
    msp_slot_unlock(slot);
    return 1;
}
