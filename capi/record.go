// SPDX-License-Identifier: MIT

// Package capi is the one boundary between C and Go: it turns C strings,
// handles and callbacks into what core takes, and core's errors into errno
// values and sentences. It decides nothing.
package capi

/*
#cgo CFLAGS: -std=gnu99 -I${SRCDIR}/../include -fvisibility=hidden
#include <stdlib.h>
#include <string.h>
#include <msp/record.h>
#include <msp/record_ext.h>
#include "call.h"
#include "record.h"
*/
import "C"

import (
	"fmt"
	"math"
	"os"
	"runtime/debug"
	"syscall"
	"time"
	"unsafe"

	"msprecord/internal/core"
	"msprecord/internal/host"
)

func init() {
	if os.Getenv("GOGC") == "" {
		// Chunks allocate nothing; what starting many sessions leaves behind
		// need not stay as large again.
		debug.SetGCPercent(40)
	}
	core.Log = func(level int, line string) {
		text := C.CString(line)
		defer C.free(unsafe.Pointer(text))
		C.msp_log_line(C.int(level), text)
	}
	host.Report = func(line string) { core.Log(core.LogError, line) }
}

// report logs an error that core has not, keeps it for the calling thread's
// record_last_error, and returns its number.
func report(err error) C.int {
	if err == nil {
		return 0
	}
	if !core.Logged(err) {
		core.Log(core.LogError, err.Error())
	}
	C.msp_log_settle()
	text := C.CString(err.Error())
	defer C.free(unsafe.Pointer(text))
	C.msp_set_error(text)
	return C.int(core.Errno(err))
}

// on runs do on the session of a handle.
func on(handle C.uintptr_t, function string, do func(*core.Session) error) error {
	err := core.Guarded(func() error {
		s, err := core.Lookup(uint64(handle))
		if err != nil {
			return err
		}
		return do(s)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", function, err)
	}
	return nil
}

// with is on for a call that is over at once.
func with(handle C.uintptr_t, function string, do func(*core.Session) error) C.int {
	return report(on(handle, function, do))
}

// atLength is on for a call that may wait: its caller does so in C (call.h).
func atLength(call *C.struct_msp_call, function string, do func(*core.Session, core.Caller) error) {
	c := *call // the handle and what else the caller set
	go func() {
		var line string
		var log C.int
		err := on(c.handle, function, func(s *core.Session) error {
			return do(s, core.Caller{Inside: c.inside == c.handle, Call: unsafe.Pointer(call)})
		})
		if err != nil {
			line = err.Error()
			if !core.Logged(err) {
				log = 1
			}
		}
		text := C.CString(line)
		defer C.free(unsafe.Pointer(text))
		C.msp_call_finish(call, C.int(core.Errno(err)), log, text)
	}()
}

//export goRecordRegister
func goRecordRegister(from, to *C.char) (handle C.uintptr_t) {
	report(core.Guarded(func() error {
		if from == nil || to == nil {
			return fmt.Errorf("record_register: from and to must be URIs, not NULL: %w", syscall.EINVAL)
		}
		s, err := core.Register(C.GoString(from), C.GoString(to))
		if err != nil {
			return fmt.Errorf("record_register: %w", err)
		}
		handle = C.uintptr_t(s.Handle)
		return nil
	}))
	return handle
}

//export goRecordSetChunk
func goRecordSetChunk(handle C.uintptr_t, n C.int) C.int {
	return with(handle, "record_set_chunk_size", func(s *core.Session) error { return s.SetChunk(int(n)) })
}

//export goRecordSetOption
func goRecordSetOption(handle C.uintptr_t, key, value *C.char) C.int {
	return with(handle, "record_set_option", func(s *core.Session) error {
		if key == nil || value == nil {
			return fmt.Errorf("key and value must be strings, not NULL: %w", syscall.EINVAL)
		}
		return s.SetOption(C.GoString(key), C.GoString(value))
	})
}

//export goRecordSendText
func goRecordSendText(handle C.uintptr_t, text *C.char) C.int {
	return with(handle, "record_send_text", func(s *core.Session) error {
		if text == nil {
			return fmt.Errorf("text must be a string, not NULL: %w", syscall.EINVAL)
		}
		return s.SendText(C.GoString(text))
	})
}

//export goRecordStart
func goRecordStart(call *C.struct_msp_call) { atLength(call, "record_start", (*core.Session).Start) }

//export goRecordPreStop
func goRecordPreStop(handle C.uintptr_t) C.int {
	return with(handle, "record_pre_stop", func(s *core.Session) error {
		s.PreStop()
		return nil
	})
}

//export goRecordStop
func goRecordStop(call *C.struct_msp_call) { atLength(call, "record_stop", (*core.Session).Stop) }

//export goRecordUnregister
func goRecordUnregister(call *C.struct_msp_call) {
	atLength(call, "record_unregister", (*core.Session).Unregister)
}

//export goRecordWait
func goRecordWait(call *C.struct_msp_call) {
	timeout := time.Duration(call.millis) * time.Millisecond
	atLength(call, "record_wait", func(s *core.Session, c core.Caller) error { return s.Wait(timeout, c) })
}

//export goRecordGetCount
func goRecordGetCount(handle C.uintptr_t, read, sent *C.int) C.int {
	return with(handle, "record_get_count", func(s *core.Session) error {
		stats := s.Stats()
		if read != nil {
			*read = C.int(min(stats.Read, math.MaxInt32))
		}
		if sent != nil {
			*sent = C.int(min(stats.Sent, math.MaxInt32))
		}
		return nil
	})
}

//export goRecordGetStats
func goRecordGetStats(handle C.uintptr_t, out *C.record_stats_t) C.int {
	return with(handle, "record_get_stats", func(s *core.Session) error {
		if out == nil || out.size < 8 {
			return fmt.Errorf("stats must be a record_stats_t with its size set: %w", syscall.EINVAL)
		}
		stats := s.Stats()
		filled := C.record_stats_t{
			size:            min(out.size, C.sizeof_record_stats_t),
			state:           C.uint32_t(stats.State),
			read_bytes:      C.uint64_t(stats.Read),
			sent_bytes:      C.uint64_t(stats.Sent),
			left_bytes:      C.uint64_t(stats.Left),
			dropped_bytes:   C.uint64_t(stats.Dropped),
			ring_length:     C.uint32_t(stats.RingLength),
			ring_high_water: C.uint32_t(stats.RingHighWater),
			acked_bytes:     C.uint64_t(stats.Delivered),
			resent_bytes:    C.uint64_t(stats.Resent),
			window_bytes:    C.uint64_t(stats.Window),
			rtt_us:          C.uint64_t(stats.RTT.Microseconds()),
			reconnects:      C.uint32_t(stats.Reconnects),
			given_up_bytes:  C.uint64_t(stats.GivenUp),

			messages_dropped: C.uint64_t(stats.MessagesDropped),
			online_ms:        C.uint64_t(stats.Since.Milliseconds()),
			unacked_ms:       C.uint64_t(stats.Oldest.Milliseconds()),
		}
		if stats.Answers {
			filled.acknowledged = 1
		}
		if stats.Online {
			filled.online = 1
		}
		C.memcpy(unsafe.Pointer(out), unsafe.Pointer(&filled), C.size_t(filled.size))
		return nil
	})
}
