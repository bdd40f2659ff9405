/* SPDX-License-Identifier: MIT
 *
 * xringbuffer.h - the newer spelling of ringbuffer.h: the same ring, layout and
 * functions under the names x_ringbuf_t and xringbuffer_*. Every promise about
 * ownership, threads and results is the one made there.
 */
#ifndef XUTILS_XRINGBUFFER_H
#define XUTILS_XRINGBUFFER_H

#include <msp/ringbuffer.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef dev_ringbuf_t x_ringbuf_t;

static inline int xringbuffer_create(x_ringbuf_t *rb, uint8_t *buffer, int size)
{
    return ringbuffer_create(rb, (char *)buffer, size);
}

static inline void xringbuffer_destroy(x_ringbuf_t *rb)
{
    ringbuffer_destroy(rb);
}

static inline int xringbuffer_write(x_ringbuf_t *rb, uint8_t *data, uint32_t n)
{
    return ringbuffer_write(rb, data, n);
}

static inline int xringbuffer_read(x_ringbuf_t *rb, uint8_t *out, uint32_t n)
{
    return ringbuffer_read(rb, out, n);
}

static inline int xringbuffer_available_read_space(x_ringbuf_t *rb)
{
    return ringbuffer_available_read_space(rb);
}

static inline int xringbuffer_available_write_space(x_ringbuf_t *rb)
{
    return ringbuffer_available_write_space(rb);
}

static inline int xringbuffer_full(x_ringbuf_t *rb)
{
    return ringbuffer_full(rb);
}

static inline int xringbuffer_empty(x_ringbuf_t *rb)
{
    return ringbuffer_empty(rb);
}

static inline int xringbuffer_clear(x_ringbuf_t *rb)
{
    return ringbuffer_clear(rb);
}

static inline int xringbuffer_reset(x_ringbuf_t *rb)
{
    return ringbuffer_clear(rb);
}

#ifdef __cplusplus
}
#endif

#endif
