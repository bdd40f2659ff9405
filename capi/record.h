/* SPDX-License-Identifier: MIT
 *
 * record.h - what the Go side of the boundary uses of the C side.
 */
#ifndef MSP_CAPI_RECORD_H
#define MSP_CAPI_RECORD_H

/* Keeps the sentence for record_last_error() on this thread. */
void msp_set_error(const char *line);

/* Logs a line of the library's own. */
void msp_log_line(int level, const char *line);

#endif
