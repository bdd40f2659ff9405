/* SPDX-License-Identifier: MIT
 *
 * record.h - stream a ring buffer, a file or memory to a WebSocket server.
 *
 * The shortest use, a whole program (examples/c has longer ones):
 *
 *     #include <inttypes.h>
 *     #include <stdio.h>
 *
 *     #include <msp/record.h>
 *     #include <msp/record_ext.h>
 *     #include <msp/ringbuffer.h>
 *
 *     static char storage[32001]; // one second at 16 kHz, mono, 16 bits
 *     static dev_ringbuf_t ring;
 *
 *     int main(void)
 *     {
 *         uint8_t pcm[640] = {0}; // 20 ms
 *         char from[64];
 *
 *         ringbuffer_create(&ring, storage, sizeof(storage));
 *         snprintf(from, sizeof(from), "ringbuffer://handle=%" PRIuPTR, (uintptr_t)&ring);
 *
 *         rec_hdl_t rec = record_register(from, "ws://127.0.0.1:9090/mic.wav");
 *         if (rec == NULL || record_start(rec) < 0) {
 *             fprintf(stderr, "%s\n", record_last_error());
 *             return 1;
 *         }
 *         ringbuffer_write(&ring, pcm, sizeof(pcm)); // from the audio thread
 *         int err = record_stop(rec); // returns when what was written is delivered
 *         record_unregister(rec);
 *         ringbuffer_destroy(&ring);
 *         return err < 0;
 *     }
 *
 * Life of a session: registered -> started -> (finished) -> stopped, then
 * started again or unregistered.
 *
 * Threads: every function may be called from any thread. No library lock is
 * held while a callback runs. The library's own threads take none of the
 * program's signals, and a dying server raises no SIGPIPE. They run under
 * SCHED_BATCH, whatever the first caller's policy is: one that is woken does
 * not push aside the thread that woke it. A data_ready may set another policy
 * for its own thread.
 *
 * Results: 0 is success, a negative errno value is failure, and
 * record_last_error() (record_ext.h) has the sentence that explains it.
 *
 * Limits: the first record_* call tries for what the library needs: descriptors,
 * threads, addresses. Where one is short it is -EMFILE, -ENFILE, -EAGAIN or
 * -ENOMEM (or NULL), and a later call tries again. README.md has the table.
 *
 * Processes: the library starts its threads at the first record_* call, so
 * fork() and daemon() before that are fine. In a child forked after it every
 * call fails at once (-ENOTSUP or NULL). The library cannot be unloaded:
 * dlclose() leaves it in place. A program that closes descriptors which it did not
 * open (closefrom) does so before the first call; after it every call is -EBADF.
 */
#ifndef MSP_RECORD_H
#define MSP_RECORD_H

#ifdef __cplusplus
extern "C" {
#endif

/* A session. Opaque: never dereferenced, never the same twice in a process. */
typedef int *rec_hdl_t;

/* Waits until the source has data. Called on a thread of the library, only
 * when the source is empty; may block for ever. One that waits in an msp_*
 * call (kernel.h) is woken by record_stop() by itself; one that waits
 * elsewhere needs a data_release_func that makes it return. */
typedef void (*data_ready_func)(void *arg);

/* Makes a blocked data_ready_func return. Called by record_stop() on its
 * caller's thread: once, and again every 100 ms while data_ready blocks. */
typedef void (*data_release_func)(void *arg);

/* Makes a session from a source and a destination; opens nothing yet.
 *
 *   source       ringbuffer://handle=N   rbuf://handle=N    a live ring (ringbuffer.h)
 *                mem://address=N&size=N                     memory, read once
 *                file://PATH   sdbuffer://handle=PATH       a file, to its end
 *                null://                                    nothing, for ever
 *   destination  ws://HOST:PORT/NAME   wss://...            a WebSocket server
 *                ringbuffer://  rbuf://  mem://  file://  sdbuffer://  null://
 *
 * N is decimal or 0x hexadecimal. A ring handle is its address; where an old
 * program prints it with %u on a 64-bit machine, its low 32 bits do as well.
 *
 * Ownership: both strings are copied. A ring and memory stay the caller's and
 *            must outlive the session's run.
 * Threads:   any.
 * Returns:   the session, or NULL: record_last_error() names the argument.
 */
rec_hdl_t record_register(const char *from, const char *to);

/* Sets what waits for data; NULL removes it. Without one, a session waits for
 * a ring's writer by itself, with no thread and no polling.
 *
 * Ownership: arg stays the caller's, in use until record_stop() has returned.
 * Threads:   any; not while the session runs (refused, logged).
 * Returns:   nothing; record_last_error() is empty on success.
 */
void record_set_data_ready_cb(rec_hdl_t hdl, data_ready_func cb, void *arg);

/* Sets what makes a blocked data_ready return; NULL removes it.
 *
 * Ownership: as record_set_data_ready_cb().
 * Threads:   any; not while the session runs (refused, logged).
 * Returns:   nothing; record_last_error() is empty on success.
 */
void record_set_data_release_cb(rec_hdl_t hdl, data_release_func cb, void *arg);

/* Sets the largest message, in bytes of payload: a read takes what is there,
 * up to this. 4096 unless set; <= 0 means 4096; 16 MiB is the most.
 *
 * Ownership: none.
 * Threads:   any; not while the session runs (refused, logged).
 * Returns:   nothing; record_last_error() is empty on success.
 */
void record_set_chunk_size(rec_hdl_t hdl, int chunk_size);

/* Opens source and destination and starts streaming. A WebSocket is connected
 * when this returns 0, unless the option connect is later.
 *
 * Ownership: a ring has one session reading it and one writing it at a time.
 * Threads:   any; blocks while connecting, at most connect_timeout (5 s).
 * Returns:   0; -EALREADY when it runs; -EAGAIN when no thread can be made for
 *            callbacks and files; -EBUSY when another session uses the ring;
 *            -ENXIO for a FIFO that nobody reads within connect_timeout; else what
 *            opening met (-ECONNREFUSED, -ETIMEDOUT, -EACCES, -EFAULT, ...).
 */
int record_start(rec_hdl_t hdl);

/* Fixes the end of the stream at what is in the source now, and returns at
 * once; record_stop() then waits for the rest. The time of stop_timeout begins
 * here: sessions that are all pre-stopped before the first is stopped take the
 * time of one, even with no server to be had. Where that time is over when
 * record_stop() comes, 100 ms are left to it.
 *
 * Ownership: none.
 * Threads:   any, data_ready included.
 * Returns:   0, also when the session does not run; -EINVAL for no session.
 */
int record_pre_stop(rec_hdl_t hdl);

/* Delivers everything that was in the source when it was called, closes, and
 * returns. After this returns, no callback of the session runs and neither
 * ring nor memory is touched: both can be freed at once.
 *
 * Ownership: gives back what the session used.
 * Threads:   any; blocks at most stop_timeout (3 s), and little longer for what
 *            hangs then. Several at once all get the result.
 * Returns:   0, also when the session does not run, or was about to start (the
 *            start gets -ECANCELED); -ETIMEDOUT when bytes had to be left behind
 *            (the message counts them) or a callback has not returned (the
 *            message says which; its memory is still in use); -EDEADLK inside the
 *            session's own callback, and the session ends after it; what broke
 *            the session, once, if it had failed.
 */
int record_stop(rec_hdl_t hdl);

/* Stops the session if it runs, and forgets it.
 *
 * Ownership: the handle is dead, whatever this returns, save for -EDEADLK and
 *            -EINVAL.
 * Threads:   any; blocks as record_stop() does.
 * Returns:   as record_stop().
 */
int record_unregister(rec_hdl_t hdl);

/* Tells the payload bytes read from the source and sent, since the last start.
 *
 * Ownership: writes *read_bytes and *sent_bytes; either may be NULL. Past
 *            INT_MAX they stay there; record_get_stats() has 64 bits.
 * Threads:   any; never blocks.
 * Returns:   0, or -EINVAL for no session.
 */
int record_get_count(rec_hdl_t hdl, int *read_bytes, int *sent_bytes);

#ifdef __cplusplus
}
#endif

#endif
