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
#include "callback.h"
#include "record.h"
#include "start.h"

#ifndef MSP_RECORD_VERSION
#define MSP_RECORD_VERSION "1.0.0"
#endif

#define PUBLIC __attribute__((visibility("default")))
#define NUMBER(p) ((uintptr_t)(p))

static __thread char last_error[480];

void msp_set_error(const char *line)
{
    snprintf(last_error, sizeof(last_error), "%s", line);
}

void msp_log_line(int level, const char *line)
{
    msp_log_write(level, "record", "%s", line);
}

/* Begins a public function. Every one that goes into Go calls this first. */
static int enter(void)
{
    last_error[0] = '\0';
    int rc = msp_go_start();
    if (rc)
        msp_set_error("this is a child forked after the library's first use, where its threads "
                      "are not: call fork() or daemon() before the first record_* call, or exec()");
    return rc;
}

PUBLIC rec_hdl_t record_register(const char *from, const char *to)
{
    return enter() ? NULL : (rec_hdl_t)goRecordRegister((char *)from, (char *)to);
}

PUBLIC void record_set_data_ready_cb(rec_hdl_t hdl, data_ready_func cb, void *arg)
{
    if (!enter())
        goRecordSetReady(NUMBER(hdl), cb, NUMBER(arg));
}

PUBLIC void record_set_data_release_cb(rec_hdl_t hdl, data_release_func cb, void *arg)
{
    if (!enter())
        goRecordSetRelease(NUMBER(hdl), cb, NUMBER(arg));
}

PUBLIC void record_set_chunk_size(rec_hdl_t hdl, int chunk_size)
{
    if (!enter())
        goRecordSetChunk(NUMBER(hdl), chunk_size);
}

PUBLIC int record_start(rec_hdl_t hdl)
{
    int rc = enter();
    return rc ? rc : goRecordStart(NUMBER(hdl));
}

PUBLIC int record_pre_stop(rec_hdl_t hdl)
{
    int rc = enter();
    return rc ? rc : goRecordPreStop(NUMBER(hdl));
}

PUBLIC int record_stop(rec_hdl_t hdl)
{
    int rc = enter();
    return rc ? rc : goRecordStop(NUMBER(hdl), msp_inside());
}

PUBLIC int record_unregister(rec_hdl_t hdl)
{
    int rc = enter();
    return rc ? rc : goRecordUnregister(NUMBER(hdl), msp_inside());
}

PUBLIC int record_get_count(rec_hdl_t hdl, int *read_bytes, int *sent_bytes)
{
    int rc = enter();
    return rc ? rc : goRecordGetCount(NUMBER(hdl), read_bytes, sent_bytes);
}

PUBLIC int record_set_option(rec_hdl_t hdl, const char *key, const char *value)
{
    int rc = enter();
    return rc ? rc : goRecordSetOption(NUMBER(hdl), (char *)key, (char *)value);
}

PUBLIC int record_get_stats(rec_hdl_t hdl, record_stats_t *stats)
{
    int rc = enter();
    return rc ? rc : goRecordGetStats(NUMBER(hdl), stats);
}

PUBLIC int record_set_event_cb(rec_hdl_t hdl, record_event_func cb, void *arg)
{
    int rc = enter();
    return rc ? rc : goRecordSetEvent(NUMBER(hdl), cb, NUMBER(arg));
}

PUBLIC int record_wait(rec_hdl_t hdl, int timeout_ms)
{
    int rc = enter();
    return rc ? rc : goRecordWait(NUMBER(hdl), timeout_ms, msp_inside());
}

PUBLIC const char *record_version(void)
{
    return MSP_RECORD_VERSION;
}

PUBLIC const char *record_last_error(void)
{
    return last_error;
}
