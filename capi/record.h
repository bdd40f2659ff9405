/* SPDX-License-Identifier: MIT
 *
 * record.h - what the Go side of the boundary uses of the C side.
 */
#ifndef MSP_CAPI_RECORD_H
#define MSP_CAPI_RECORD_H

/* Keeps the sentence for record_last_error() on this thread. */
void msp_set_error(const char *line);

/* Logs a line of the library's own, and does not wait for it. */
void msp_log_line(int level, const char *line);

/* Waits a moment until what was logged has left: a program that ends, or reads
 * its log, right after a call that failed finds the line there. */
void msp_log_settle(void);

#endif
