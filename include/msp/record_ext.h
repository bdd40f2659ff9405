/* SPDX-License-Identifier: MIT
 *
 * record_ext.h - what this library adds to record.h: reasons, options,
 * statistics, events, and waiting for the end of a finite source.
 */
#ifndef MSP_RECORD_EXT_H
#define MSP_RECORD_EXT_H

#include <stdint.h>

#include <msp/record.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Where a session is in its life. */
typedef enum {
    RECORD_REGISTERED = 0, /* never started, or stopped since */
    RECORD_STARTING = 1,   /* in record_start() */
    RECORD_RUNNING = 2,
    RECORD_FINISHED = 3, /* a finite source ended and was delivered */
    RECORD_FAILED = 4,   /* broken off; record_stop() has the reason */
    RECORD_STOPPING = 5  /* in record_stop() */
} record_state_t;

/* Figures of one session since its last start. New fields are added at the
 * end; `size` tells which of them the caller knows. */
typedef struct {
    uint32_t size;             /* in: sizeof(record_stats_t); out: bytes filled */
    uint32_t state;            /* a record_state_t */
    uint64_t read_bytes;       /* taken from the source */
    uint64_t sent_bytes;       /* handed to the destination, payload only */
    uint64_t left_bytes;       /* read, and neither known to have arrived nor given up: on their
                                * way, or left behind once the session has ended; of a file or
                                * memory then also what was not read */
    uint64_t dropped_bytes;    /* refused by a full ring while the session ran */
    uint32_t ring_length;      /* capacity of the source ring, 0 for other sources */
    uint32_t ring_high_water;  /* most bytes seen waiting in it */
    uint64_t acked_bytes;      /* of sent_bytes, known to have arrived */
    uint64_t resent_bytes;     /* sent again after a lost connection */
    uint64_t window_bytes;     /* kept to be sent again, with what keeping them costs */
    uint64_t rtt_us;           /* from the last answered ping to its pong, microseconds */
    uint32_t reconnects;       /* connections made after the first */
    uint32_t acknowledged;     /* 1: the server answers pings, and so acknowledges bytes */
    uint64_t given_up_bytes;   /* read, but let go of: in an outage, as on_full says, or sent on a
                                * lost connection to a server that answers no pings */
    uint64_t messages_dropped; /* of the server, for which the message callback was too slow */
    uint32_t online;           /* 1: there is a connection to the server now */
    uint32_t reserved;         /* 0 */
    uint64_t online_ms;        /* for so long there is one, or none; milliseconds */
    uint64_t unacked_ms;       /* age of the oldest byte that was read and is not known to have
                                * arrived, since it was read; 0 for none; milliseconds */
} record_stats_t;

typedef enum {
    RECORD_EVENT_CONNECTED = 1,
    RECORD_EVENT_DISCONNECTED = 2,
    RECORD_EVENT_FINISHED = 3,
    RECORD_EVENT_ERROR = 4,
    RECORD_EVENT_OVERFLOW = 5 /* a full ring refused bytes, or some were given up */
} record_event_type_t;

typedef struct {
    uint32_t size;       /* bytes filled by the library */
    uint32_t type;       /* a record_event_type_t */
    int32_t error;       /* a negative errno value, or 0 */
    uint64_t bytes;      /* OVERFLOW: how many, since the last such event */
    const char *message; /* one sentence, valid during the call */
    uint64_t offset;     /* OVERFLOW: where they are missing in the stream, in bytes from its
                          * start, if they were given up; UINT64_MAX for a full ring */
} record_event_t;

/* Hears what happens to a session. Called on a thread of the library, in order,
 * never two of one session at a time, record_message_func included. A slow one
 * delays what comes after it in its own session: not the stream, and no other
 * session. What waits for it is bounded: OVERFLOW events are added up, and after
 * 256 events it hears of the last state of the connection alone; a log line
 * counts what it was not told. */
typedef void (*record_event_func)(rec_hdl_t hdl, const record_event_t *event, void *arg);

/* Hears a message of the server, text (is_text 1) or binary. Called as
 * record_event_func is; data is valid during the call, and what is past 1 MiB
 * of a message is cut off. Up to 1 MiB of messages wait for a slow one; those
 * that do not fit are dropped, and counted in messages_dropped. */
typedef void (*record_message_func)(rec_hdl_t hdl, const void *data, uint32_t size, int is_text,
                                    void *arg);

/* Comes right before a session dials its server: the first time, inside
 * record_start(), and each time after a lost connection. It may call
 * record_set_option(hdl, "header", ...) for this dial, which suits a token that
 * expires; record_stop() and record_wait() of its own session are refused. It
 * may run beside the session's other callbacks. While it blocks its own session
 * does not dial, and no other is delayed; after connect_timeout the attempt is
 * given up, and the next waits until it has returned. */
typedef void (*record_dial_func)(rec_hdl_t hdl, void *arg);

/* Tells the library's version, "MAJOR.MINOR.PATCH".
 *
 * Ownership: the library's, for ever.
 * Threads:   any; never blocks, and starts nothing.
 * Returns:   the version, never NULL.
 */
const char *record_version(void);

/* Tells why this thread's last record_* call failed: one line that names the
 * argument and what to do about it.
 *
 * Ownership: the library's; valid until this thread's next record_* call.
 * Threads:   any, each with its own line; never blocks, and starts nothing.
 * Returns:   the line, "" after a success, never NULL.
 */
const char *record_last_error(void);

/* Sets an option of one session; the README has the table. For a program that
 * cannot be changed the environment does the same: option connect_timeout is
 * MSP_RECORD_CONNECT_TIMEOUT, and MSP_RECORD_HEADER has a header a line. The
 * call wins. A refused value changes nothing.
 *
 * Ownership: both strings are copied.
 * Threads:   any; not while the session runs, save for "header", which then
 *            holds from the next dial on.
 * Returns:   0; -ENOENT for an unknown key, and the sentence names the one that
 *            is near; -EINVAL for a value that does not fit or no session;
 *            -EBUSY while it runs.
 */
int record_set_option(rec_hdl_t hdl, const char *key, const char *value);

/* Fills a struct whose `size` the caller has set.
 *
 * Ownership: writes no more than stats->size bytes.
 * Threads:   any; never blocks.
 * Returns:   0; -EINVAL for no session, NULL, or a size under 8.
 */
int record_get_stats(rec_hdl_t hdl, record_stats_t *stats);

/* Sets what hears of events; NULL removes it.
 *
 * Ownership: arg stays the caller's, in use until record_stop() has returned.
 * Threads:   any; not while the session runs.
 * Returns:   0; -EINVAL for no session; -EBUSY while it runs.
 */
int record_set_event_cb(rec_hdl_t hdl, record_event_func cb, void *arg);

/* Sets what hears the server's messages; NULL removes it, and they are dropped.
 *
 * Ownership: arg stays the caller's, in use until record_stop() has returned.
 * Threads:   any; not while the session runs.
 * Returns:   0; -EINVAL for no session; -EBUSY while it runs.
 */
int record_set_message_cb(rec_hdl_t hdl, record_message_func cb, void *arg);

/* Sets what comes before each dial; NULL removes it. With wire=mux, where
 * sessions share a connection, that of the session which has shared it longest.
 *
 * Ownership: arg stays the caller's, in use until record_stop() has returned,
 *            and after a record_start() that failed until cb has returned.
 * Threads:   any; not while the session runs.
 * Returns:   0; -EINVAL for no session; -EBUSY while it runs.
 */
int record_set_dial_cb(rec_hdl_t hdl, record_dial_func cb, void *arg);

/* Sends a text message (RFC 6455 section 5.6) behind everything that is in the
 * source now, in its place between the chunks: a word to a speech service, or
 * metadata. It is kept and sent again as chunks are. For a WebSocket server with
 * wire=raw.
 *
 * Ownership: text is copied; at most 256 KiB wait for their place at once.
 * Threads:   any; never blocks. The order of calls from several threads is that
 *            in which the calls return.
 * Returns:   0; -EINVAL for no session, NULL or text that is not UTF-8;
 *            -ENOTCONN where the session does not run or is being stopped;
 *            -ENOTSUP for another destination; -EAGAIN when too much waits.
 */
int record_send_text(rec_hdl_t hdl, const char *text);

/* Waits until a finite source is delivered (RECORD_FINISHED). A session that
 * is stopped meanwhile ends the wait too.
 *
 * Ownership: none.
 * Threads:   any; blocks for timeout_ms milliseconds at most, < 0 for ever.
 * Returns:   0 when finished or stopped; -ETIMEDOUT; -EINVAL for no session or
 *            one that was never started; -EDEADLK inside the session's own
 *            callback; what broke the session, if it failed.
 */
int record_wait(rec_hdl_t hdl, int timeout_ms);

#ifdef __cplusplus
}
#endif

#endif
