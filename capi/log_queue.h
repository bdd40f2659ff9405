/* SPDX-License-Identifier: MIT
 *
 * log_queue.h - the library's own lines, on their way to stderr or to the
 * application's sink. Either may block, and nothing of a stream waits for it.
 */
#ifndef MSP_LOG_QUEUE_H
#define MSP_LOG_QUEUE_H

#include <stddef.h>

#include "msp_internal.h"

/* How long a public function that failed waits for its line to leave. */
#define MSP_LOG_MOMENT 100

/* Logs a line of the library. Where nothing waits and stderr takes it, it is
 * written at once; else it waits for a thread that writes it, or is dropped and
 * counted where too much waits. Any thread; never blocks. */
MSP_PRIVATE void msp_log_post(int level, const char *line);

/* Waits until what was posted before has left, at most `ms`, and not at all in
 * a sink. */
MSP_PRIVATE void msp_log_flush(unsigned ms);

/* ---- What log.c does for it ---------------------------------------------- */

/* Readies log.c's lock for a fork, before the queue's own. */
MSP_PRIVATE void msp_log_init(void);

/* 1 where lines of that level are logged. */
MSP_PRIVATE int msp_log_wanted(int level);

/* 1 where this thread is in a sink. */
MSP_PRIVATE int msp_log_in_sink(void);

/* 1 where no sink is set and a line of n bytes can be written to stderr without
 * waiting. */
MSP_PRIVATE int msp_log_takes(size_t n);

/* The time that this thread's lines carry; NULL: that of the moment. */
MSP_PRIVATE extern __thread const char *msp_log_clock;

#endif
