/* SPDX-License-Identifier: MIT
 *
 * ringbuffer.h - a byte ring between one writing and one reading thread.
 *
 * Lock-free: one thread writes, one reads (a record session counts as the
 * reader of its source), and neither waits for the other.
 *
 * Real-time use: ringbuffer_write() and ringbuffer_read() take no lock,
 * allocate nothing and never enter the Go runtime. They make no system call,
 * except one write(2) to an eventfd when a session sleeps on this ring.
 */
#ifndef MSP_RINGBUFFER_H
#define MSP_RINGBUFFER_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A ring. Put it where you like (static, heap, stack, inside a struct of your
 * own) and read the fields if you must; let the functions change them.
 * ridx == widx is empty. The address identifies it, so it does not move or get
 * copied between create and destroy. */
typedef struct {
    uint8_t *buffer; /* length + 1 bytes, the caller's */
    uint32_t length; /* bytes it can hold */
    uint32_t ridx;   /* next byte to read, 0..length */
    uint32_t widx;   /* next byte to write, 0..length */
} dev_ringbuf_t;

/* Makes an empty ring over `size` bytes at `buffer`; it holds size - 1.
 * Creating over a live ring replaces it.
 *
 * Ownership: struct and buffer stay the caller's; both must live until
 *            ringbuffer_destroy() has returned or the last session that uses
 *            them has been stopped.
 * Threads:   any, one at a time for a ring.
 * Returns:   0; -EINVAL for NULL or size < 2; -ENOMEM when too many rings are
 *            alive (some 16,000 fit).
 */
int ringbuffer_create(dev_ringbuf_t *rb, char *buffer, int size);

/* Ends a ring. A session that uses it ends with an error; this returns when
 * the session no longer touches it. Never touches the buffer, so freeing that
 * first is fine. NULL, or a ring that is not alive: nothing happens.
 *
 * Ownership: struct and buffer are the caller's alone again.
 * Threads:   any; waits for a copy of at most one chunk to end.
 * Returns:   nothing.
 */
void ringbuffer_destroy(dev_ringbuf_t *rb);

/* Appends what fits of n bytes. What does not fit is counted in the stats of
 * the session that reads the ring (dropped_bytes).
 *
 * Ownership: data is copied.
 * Threads:   the one writer; wait-free, see the top of this file.
 * Returns:   the bytes taken, 0 when full or for NULL.
 */
int ringbuffer_write(dev_ringbuf_t *rb, uint8_t *data, uint32_t n);

/* Takes up to n bytes.
 *
 * Ownership: copies into out.
 * Threads:   the one reader; wait-free.
 * Returns:   the bytes moved, 0 when empty; -1 when n is 0 or for NULL.
 */
int ringbuffer_read(dev_ringbuf_t *rb, uint8_t *out, uint32_t n);

/* Tells how many bytes can be read.
 *
 * Ownership: none.
 * Threads:   any; at least this many for the reader.
 * Returns:   the bytes, 0 for NULL.
 */
int ringbuffer_available_read_space(dev_ringbuf_t *rb);

/* Tells how many bytes can be written.
 *
 * Ownership: none.
 * Threads:   any; at least this many for the writer.
 * Returns:   the bytes, 0 for NULL.
 */
int ringbuffer_available_write_space(dev_ringbuf_t *rb);

/* Tells whether nothing more fits.
 *
 * Ownership: none.
 * Threads:   any.
 * Returns:   1 when full, else 0; 0 for NULL.
 */
int ringbuffer_full(dev_ringbuf_t *rb);

/* Tells whether nothing is there.
 *
 * Ownership: none.
 * Threads:   any.
 * Returns:   1 when empty, else 0; 1 for NULL.
 */
int ringbuffer_empty(dev_ringbuf_t *rb);

/* Throws away what is there.
 *
 * Ownership: none.
 * Threads:   the one reader; not while a session reads the ring.
 * Returns:   0, or -1 for NULL.
 */
int ringbuffer_clear(dev_ringbuf_t *rb);

#ifdef __cplusplus
}
#endif

#endif
