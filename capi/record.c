/* SPDX-License-Identifier: MIT
 *
 * record.c - each public record_* function: start the runtime or refuse, then
 * into Go. Handles and callback arguments cross as numbers, because Go must not
 * see as a pointer what is none.
 */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <msp/log.h>
#include <msp/record.h>
#include <msp/record_ext.h>

#include "_cgo_export.h"
#include "call.h"
#include "callback.h"
#include "log_queue.h"
#include "record.h"
#include "start.h"

#ifndef MSP_RECORD_VERSION
#define MSP_RECORD_VERSION "1.0.0"
#endif

#define PUBLIC __attribute__((visibility("default")))
#define NUMBER(p) ((uintptr_t)(p))

static __thread char last_error[MSP_ERROR_SIZE];

void msp_set_error(const char *line)
{
    snprintf(last_error, sizeof(last_error), "%s", line);
}

void msp_log_line(int level, const char *line)
{
    msp_log_post(level, line);
}

void msp_log_settle(void)
{
    msp_log_flush(MSP_LOG_MOMENT);
}

/* Begins a public function. Every one that goes into Go calls this first. */
static int enter(void)
{
    const char *ignored;
    last_error[0] = '\0';
    int rc = msp_go_start(last_error, &ignored);
    if (rc && rc != -ENOTSUP) /* which is for the child to say, whose log it may not be */
        msp_log_line(MSP_LOG_ERROR, last_error);
    if (ignored[0])
        msp_log_write(MSP_LOG_WARN, "record", "ignored, as the library cannot run with it: %s",
                      ignored);
    return rc;
}

/* A call that is over in microseconds, with the host's signals blocked. */
#define SHORTLY(result, call)                                                                      \
    do {                                                                                           \
        sigset_t saved;                                                                            \
        msp_block_signals(&saved);                                                                 \
        result = call;                                                                             \
        pthread_sigmask(SIG_SETMASK, &saved, NULL);                                                \
    } while (0)

/* A call that may wait, which it does outside Go. */
static int at_length(rec_hdl_t hdl, int millis, void (*begin)(struct msp_call *))
{
    int rc = enter();
    if (rc)
        return rc;
    struct msp_call call = {.handle = NUMBER(hdl), .inside = msp_inside(), .millis = millis};
    rc = msp_call_run(&call, begin);
    msp_set_error(call.error);
    if (call.log)
        msp_log_line(MSP_LOG_ERROR, call.error);
    msp_log_settle(); /* also what was logged meanwhile */
    return rc;
}

PUBLIC rec_hdl_t record_register(const char *from, const char *to)
{
    uintptr_t hdl = 0;
    if (!enter())
        SHORTLY(hdl, goRecordRegister((char *)from, (char *)to));
    return (rec_hdl_t)hdl;
}

PUBLIC void record_set_data_ready_cb(rec_hdl_t hdl, data_ready_func cb, void *arg)
{
    int rc = enter();
    if (!rc)
        SHORTLY(rc, goRecordSetReady(NUMBER(hdl), cb, NUMBER(arg)));
}

PUBLIC void record_set_data_release_cb(rec_hdl_t hdl, data_release_func cb, void *arg)
{
    int rc = enter();
    if (!rc)
        SHORTLY(rc, goRecordSetRelease(NUMBER(hdl), cb, NUMBER(arg)));
}

PUBLIC void record_set_chunk_size(rec_hdl_t hdl, int chunk_size)
{
    int rc = enter();
    if (!rc)
        SHORTLY(rc, goRecordSetChunk(NUMBER(hdl), chunk_size));
}

PUBLIC int record_start(rec_hdl_t hdl)
{
    return at_length(hdl, 0, goRecordStart);
}

PUBLIC int record_pre_stop(rec_hdl_t hdl)
{
    int rc = enter();
    if (!rc)
        SHORTLY(rc, goRecordPreStop(NUMBER(hdl)));
    return rc;
}

PUBLIC int record_stop(rec_hdl_t hdl)
{
    return at_length(hdl, 0, goRecordStop);
}

PUBLIC int record_unregister(rec_hdl_t hdl)
{
    return at_length(hdl, 0, goRecordUnregister);
}

PUBLIC int record_get_count(rec_hdl_t hdl, int *read_bytes, int *sent_bytes)
{
    int rc = enter();
    if (!rc)
        SHORTLY(rc, goRecordGetCount(NUMBER(hdl), read_bytes, sent_bytes));
    return rc;
}

PUBLIC int record_set_option(rec_hdl_t hdl, const char *key, const char *value)
{
    int rc = enter();
    if (!rc)
        SHORTLY(rc, goRecordSetOption(NUMBER(hdl), (char *)key, (char *)value));
    return rc;
}

PUBLIC int record_get_stats(rec_hdl_t hdl, record_stats_t *stats)
{
    int rc = enter();
    if (!rc)
        SHORTLY(rc, goRecordGetStats(NUMBER(hdl), stats));
    return rc;
}

PUBLIC int record_set_event_cb(rec_hdl_t hdl, record_event_func cb, void *arg)
{
    int rc = enter();
    if (!rc)
        SHORTLY(rc, goRecordSetEvent(NUMBER(hdl), cb, NUMBER(arg)));
    return rc;
}

PUBLIC int record_set_message_cb(rec_hdl_t hdl, record_message_func cb, void *arg)
{
    int rc = enter();
    if (!rc)
        SHORTLY(rc, goRecordSetMessage(NUMBER(hdl), cb, NUMBER(arg)));
    return rc;
}

PUBLIC int record_set_dial_cb(rec_hdl_t hdl, record_dial_func cb, void *arg)
{
    int rc = enter();
    if (!rc)
        SHORTLY(rc, goRecordSetDial(NUMBER(hdl), cb, NUMBER(arg)));
    return rc;
}

PUBLIC int record_send_text(rec_hdl_t hdl, const char *text)
{
    int rc = enter();
    if (!rc)
        SHORTLY(rc, goRecordSendText(NUMBER(hdl), (char *)text));
    return rc;
}

PUBLIC int record_wait(rec_hdl_t hdl, int timeout_ms)
{
    return at_length(hdl, timeout_ms, goRecordWait);
}

PUBLIC const char *record_version(void)
{
    return MSP_RECORD_VERSION;
}

PUBLIC const char *record_last_error(void)
{
    return last_error;
}
