// SPDX-License-Identifier: MIT

// Package capitest calls the public C functions in a Go process, the way a C
// program would, so that Go's race detector sees both sides of the boundary.
package capitest

/*
#cgo CFLAGS: -std=gnu99 -I${SRCDIR}/../../include
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <msp/kernel.h>
#include <msp/record_ext.h>
#include <msp/ringbuffer.h>

struct app {
	dev_ringbuf_t ring;
	char buffer[20001];
	msp_event_t wake;
	int inside_rc;
	int events[8];
};

static void ready(void *arg)
{
	struct app *app = arg;
	unsigned flags;
	msp_event_get(&app->wake, 1, MSP_EVENT_OR_CLEAR, &flags, MSP_WAIT_FOREVER);
}

static void release(void *arg)
{
	struct app *app = arg;
	msp_event_set(&app->wake, 1, MSP_EVENT_OR);
}

static void event(rec_hdl_t hdl, const record_event_t *e, void *arg)
{
	struct app *app = arg;
	__atomic_fetch_add(&app->events[e->type], 1, __ATOMIC_SEQ_CST);
	if (e->type == RECORD_EVENT_DISCONNECTED) // earlier, it would end the session
		app->inside_rc = record_stop(hdl);
}

// Streams rounds * size bytes from a ring with a data_ready to path, and
// returns 0 or the line that failed.
static int stream_through_callbacks(const char *path, int rounds, int size)
{
	struct app *app = calloc(1, sizeof(*app));
	char from[64], to[256];
	uint8_t *piece = malloc((size_t)size);
	memset(piece, 7, (size_t)size);
	ringbuffer_create(&app->ring, app->buffer, sizeof(app->buffer));
	if (msp_event_new(&app->wake, 0)) return __LINE__;
	snprintf(from, sizeof(from), "ringbuffer://handle=%" PRIuPTR, (uintptr_t)&app->ring);
	snprintf(to, sizeof(to), "file://%s", path);
	rec_hdl_t hdl = record_register(from, to);
	if (!hdl) return __LINE__;
	record_set_data_ready_cb(hdl, ready, app);
	record_set_data_release_cb(hdl, release, app);
	record_set_chunk_size(hdl, 1000);
	if (record_set_event_cb(hdl, event, app)) return __LINE__;
	if (record_start(hdl)) return __LINE__;
	if (record_start(hdl) != -EALREADY) return __LINE__;
	for (int i = 0; i < rounds; i++) {
		for (int ms = 0; ringbuffer_available_write_space(&app->ring) < size; ms++) {
			if (ms > 20000) return __LINE__;
			msp_msleep(1);
		}
		if (ringbuffer_write(&app->ring, piece, (uint32_t)size) != size) return __LINE__;
		msp_event_set(&app->wake, 1, MSP_EVENT_OR);
	}
	if (record_stop(hdl)) return __LINE__;
	int sent = 0;
	if (record_get_count(hdl, NULL, &sent) || sent != rounds * size) return __LINE__;
	record_stats_t stats = {.size = sizeof(stats)};
	if (record_get_stats(hdl, &stats) || stats.sent_bytes != (uint64_t)sent || stats.ring_length != 20000) return __LINE__;
	if (app->events[RECORD_EVENT_CONNECTED] != 1 || app->inside_rc != -EDEADLK) return __LINE__;
	if (record_unregister(hdl) || record_unregister(hdl) != -EINVAL) return __LINE__;
	if (!strstr(record_last_error(), "no such session")) return __LINE__;
	msp_event_free(&app->wake);
	ringbuffer_destroy(&app->ring);
	free(piece);
	free(app);
	return 0;
}
*/
import "C"

import (
	"unsafe"

	_ "msprecord/capi" // the functions
)

// StreamThroughCallbacks streams rounds pieces of size bytes of 7 into the
// file at path, and returns 0 or the line of C that failed.
func StreamThroughCallbacks(path string, rounds, size int) int {
	c := C.CString(path)
	defer C.free(unsafe.Pointer(c))
	return int(C.stream_through_callbacks(c, C.int(rounds), C.int(size)))
}
