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
#include "record.h"
*/
import "C"

import (
	"fmt"
	"math"
	"syscall"
	"time"
	"unsafe"

	"msprecord/internal/core"
)

func init() {
	core.Log = func(level int, line string) {
		text := C.CString(line)
		defer C.free(unsafe.Pointer(text))
		C.msp_log_line(C.int(level), text)
	}
}

// report keeps an error for record_last_error and logs it.
func report(err error) C.int {
	if err != nil {
		core.Log(core.LogError, err.Error())
	}
	return quietly(err)
}

// quietly is report for what core has logged already.
func quietly(err error) C.int {
	if err != nil {
		text := C.CString(err.Error())
		defer C.free(unsafe.Pointer(text))
		C.msp_set_error(text)
	}
	return C.int(core.Errno(err))
}

// guard turns a panic into an error: the host must not die of ours.
func guard(rc *C.int) {
	if r := recover(); r != nil {
		*rc = report(fmt.Errorf("a fault of the library, please report it: %v: %w", r, syscall.EIO))
	}
}

// with runs do on the session of a handle.
func with(handle C.uintptr_t, function string, do func(*core.Session) error) (rc C.int) {
	defer guard(&rc)
	s, err := core.Lookup(uint64(handle))
	if err == nil {
		err = do(s)
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", function, err)
	}
	return report(err)
}

//export goRecordRegister
func goRecordRegister(from, to *C.char) (handle C.uintptr_t) {
	var rc C.int
	defer guard(&rc)
	if from == nil || to == nil {
		report(fmt.Errorf("record_register: from and to must be URIs, not NULL: %w", syscall.EINVAL))
		return 0
	}
	s, err := core.Register(C.GoString(from), C.GoString(to))
	if err != nil {
		report(fmt.Errorf("record_register: %w", err))
		return 0
	}
	return C.uintptr_t(s.Handle)
}

//export goRecordSetChunk
func goRecordSetChunk(handle C.uintptr_t, n C.int) {
	with(handle, "record_set_chunk_size", func(s *core.Session) error { return s.SetChunk(int(n)) })
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

//export goRecordStart
func goRecordStart(handle C.uintptr_t) C.int {
	return with(handle, "record_start", (*core.Session).Start)
}

//export goRecordPreStop
func goRecordPreStop(handle C.uintptr_t) C.int {
	return with(handle, "record_pre_stop", func(s *core.Session) error {
		s.PreStop()
		return nil
	})
}

//export goRecordStop
func goRecordStop(handle, inside C.uintptr_t) (rc C.int) {
	return ending(handle, "record_stop", func(s *core.Session) error { return s.Stop(inside == handle) })
}

//export goRecordUnregister
func goRecordUnregister(handle, inside C.uintptr_t) (rc C.int) {
	return ending(handle, "record_unregister", func(s *core.Session) error { return s.Unregister(inside == handle) })
}

//export goRecordWait
func goRecordWait(handle C.uintptr_t, millis C.int, inside C.uintptr_t) (rc C.int) {
	return ending(handle, "record_wait", func(s *core.Session) error {
		return s.Wait(time.Duration(millis)*time.Millisecond, inside == handle)
	})
}

// ending is with for what tells how a run ended, which core has logged.
func ending(handle C.uintptr_t, function string, do func(*core.Session) error) (rc C.int) {
	var err error
	found := with(handle, function, func(s *core.Session) error {
		err = do(s)
		return nil
	})
	if err != nil {
		return quietly(fmt.Errorf("%s: %w", function, err))
	}
	return found
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
		}
		if stats.Answers {
			filled.acknowledged = 1
		}
		C.memcpy(unsafe.Pointer(out), unsafe.Pointer(&filled), C.size_t(filled.size))
		return nil
	})
}
