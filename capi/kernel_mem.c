/* SPDX-License-Identifier: MIT
 *
 * kernel_mem.c - memory. Nothing of size 0 is ever asked of the C library, so
 * that NULL means exhaustion and nothing else.
 */
#include "msp_internal.h"

#include <malloc.h>

#include <msp/kernel.h>
#include <msp/log.h>

static size_t at_least_one(size_t size)
{
    return size > 0 ? size : 1;
}

MSP_WEAK void *msp_malloc(size_t size)
{
    return malloc(at_least_one(size));
}

MSP_WEAK void *msp_zalloc(size_t size)
{
    return calloc(1, at_least_one(size));
}

MSP_WEAK void *msp_calloc(size_t n, size_t size)
{
    return calloc(at_least_one(n), at_least_one(size));
}

MSP_WEAK void *msp_realloc(void *mem, size_t size)
{
    return realloc(mem, at_least_one(size));
}

/* The SDK's example app frees the block of a task that looks at it once more
 * when its sleep is over, to find that it should quit. On the device nothing
 * else has had the memory by then. So the last small blocks stay as they were
 * for a while: until KEPT more are freed. */
#define KEPT 64
#define SMALL 1024

static void *kept[KEPT];
static unsigned next_kept;

MSP_WEAK void msp_free(void *mem)
{
    if (mem != NULL && malloc_usable_size(mem) <= SMALL) {
        unsigned i = __atomic_fetch_add(&next_kept, 1, __ATOMIC_RELAXED) % KEPT;
        mem = __atomic_exchange_n(&kept[i], mem, __ATOMIC_ACQ_REL);
    }
    free(mem);
}

MSP_WEAK void msp_freep(char **ptr)
{
    if (ptr == NULL)
        return;
    msp_free(*ptr);
    *ptr = NULL;
}

/* `n` times `size` bytes were asked for, at `caller`. */
static void *check(void *mem, size_t n, size_t size, const void *caller)
{
    if (mem != NULL)
        return mem;
    LOGE("msp", "out of memory: %zu x %zu bytes, asked for at %p", n, size, caller);
    abort();
}

MSP_WEAK void *msp_malloc_check(size_t size)
{
    return check(msp_malloc(size), 1, size, __builtin_return_address(0));
}

MSP_WEAK void *msp_zalloc_check(size_t size)
{
    return check(msp_zalloc(size), 1, size, __builtin_return_address(0));
}

MSP_WEAK void *msp_calloc_check(size_t n, size_t size)
{
    return check(msp_calloc(n, size), n, size, __builtin_return_address(0));
}

MSP_WEAK void *msp_realloc_check(void *mem, size_t size)
{
    return check(msp_realloc(mem, size), 1, size, __builtin_return_address(0));
}
