/* SPDX-License-Identifier: MIT
 *
 * log.h - lines of diagnostics, of the application and of the library alike.
 *
 *     #include <msp/log.h>
 *
 *     static const char *TAG = "mic";
 *
 *     int main(void)
 *     {
 *         LOGI(TAG, "%d channels at %d Hz", 2, 48000);
 *         return 0;
 *     }
 *
 * prints to stderr, in one write(2), in colour only if that is a terminal:
 *
 *     05-17 09:30:12.345 I mic: 2 channels at 48000 Hz
 *
 * Lines above the level are dropped before they are formatted. The level is
 * MSP_LOG_INFO, unless the environment's MSP_LOG_LEVEL says error, warn, info
 * or debug, E, W, I or D, or a number from 0 (nothing) to 4 (everything).
 *
 * An application's own lines are written by the thread that logs them. Those of
 * the library (tag "record") never hold up a stream: where stderr does not take
 * one at once, or a sink is set, it waits for a thread of the library, with up to
 * 256 KiB of others; a line says how many did not fit. A record_* call that
 * fails waits up to 100 ms until its line has left, and exit() 200 ms for all.
 *
 * Every function here may be called before anything else, in a forked child,
 * and with a broken stderr: that raises no SIGPIPE. errno stays what it was.
 * msp_log_write() is a weak symbol: an application that has one of its own
 * keeps it for its own lines; the shared library goes on with the library's.
 */
#ifndef MSP_LOG_H
#define MSP_LOG_H

#ifdef __cplusplus
extern "C" {
#endif

/* Levels; each includes those above it. */
#define MSP_LOG_NONE 0
#define MSP_LOG_ERROR 1
#define MSP_LOG_WARN 2
#define MSP_LOG_INFO 3
#define MSP_LOG_DEBUG 4

/* The compiler checks the arguments against the format, as for printf(). */
#define LOGE(tag, ...) msp_log_write(MSP_LOG_ERROR, tag, __VA_ARGS__)
#define LOGW(tag, ...) msp_log_write(MSP_LOG_WARN, tag, __VA_ARGS__)
#define LOGI(tag, ...) msp_log_write(MSP_LOG_INFO, tag, __VA_ARGS__)
#define LOGD(tag, ...) msp_log_write(MSP_LOG_DEBUG, tag, __VA_ARGS__)

/* Takes a line, without time, level, tag or newline at its end.
 *
 * It may call any function, record_stop() included, and may block: that delays
 * the thread of the application whose line it is, and of the library's lines
 * those that come after. The library's lines come on a thread of the library,
 * one at a time; several threads of the application may be in the sink at once.
 * What is logged inside the sink goes to stderr. It returns normally: no
 * longjmp(), and no end of its thread. */
typedef void (*msp_log_sink_t)(int level, const char *tag, const char *line, void *arg);

/* Logs one line of any length; newlines at its end are dropped, and one is
 * added. Usually called through LOGE, LOGW, LOGI and LOGD.
 *
 * Ownership: nothing is kept. A NULL tag is an empty one.
 * Threads:   any; not in signal handlers. Blocks as long as stderr does, or
 *            the sink.
 * Returns:   nothing.
 */
void msp_log_write(int level, const char *tag, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Sets the level, in place of what MSP_LOG_LEVEL said. What is no level is
 * taken as the nearest one.
 *
 * Ownership: none.
 * Threads:   any; never blocks.
 * Returns:   nothing.
 */
void msp_log_set_level(int level);

/* Hands lines to `sink` in place of stderr; NULL takes them back. Lines of the
 * library that wait go where they would have gone, as far as that is so within
 * 100 ms. After this returns, the former sink is never called again.
 *
 * Ownership: arg stays the caller's, in use until the sink is replaced.
 * Threads:   any; waits for calls of the former sink to return, unless called
 *            inside a sink.
 * Returns:   nothing.
 */
void msp_log_set_sink(msp_log_sink_t sink, void *arg);

#ifdef __cplusplus
}
#endif

#endif
