// SPDX-License-Identifier: MIT

package capi

/*
#include <stdlib.h>
#include "call.h"
#include "callback.h"
*/
import "C"

import (
	"syscall"
	"unsafe"

	"msprecord/internal/core"
	"msprecord/internal/doorbell"
	"msprecord/internal/worker"
)

//export goRecordSetReady
func goRecordSetReady(handle C.uintptr_t, fn C.data_ready_func, arg C.uintptr_t) C.int {
	return setCallback(handle, "record_set_data_ready_cb", func(c *core.Callbacks) {
		c.Ready = nil
		if fn != nil {
			c.Ready = func(w *doorbell.Waker) (core.Waiter, error) { return newThread(fn, arg, handle, w) }
		}
	})
}

//export goRecordSetRelease
func goRecordSetRelease(handle C.uintptr_t, fn C.data_release_func, arg C.uintptr_t) C.int {
	return setCallback(handle, "record_set_data_release_cb", func(c *core.Callbacks) {
		c.Release = nil
		if fn != nil {
			c.Release = func(by core.Caller) { C.msp_call_release((*C.struct_msp_call)(by.Call), fn, arg) }
		}
	})
}

//export goRecordSetEvent
func goRecordSetEvent(handle C.uintptr_t, fn C.record_event_func, arg C.uintptr_t) C.int {
	return setCallback(handle, "record_set_event_cb", func(c *core.Callbacks) {
		c.Event = nil
		if fn != nil {
			c.Event = func(t *worker.Thread, e core.Event) { callEvent(t, fn, arg, handle, e) }
		}
	})
}

//export goRecordSetMessage
func goRecordSetMessage(handle C.uintptr_t, fn C.record_message_func, arg C.uintptr_t) C.int {
	return setCallback(handle, "record_set_message_cb", func(c *core.Callbacks) {
		c.Message = nil
		if fn != nil {
			c.Message = func(t *worker.Thread, data []byte, text bool) { callMessage(t, fn, arg, handle, data, text) }
		}
	})
}

//export goRecordSetDial
func goRecordSetDial(handle C.uintptr_t, fn C.record_dial_func, arg C.uintptr_t) C.int {
	return setCallback(handle, "record_set_dial_cb", func(c *core.Callbacks) {
		c.Dial = nil
		if fn != nil {
			c.Dial = func(t *worker.Thread) { callDial(t, fn, arg, handle) }
		}
	})
}

func setCallback(handle C.uintptr_t, function string, set func(*core.Callbacks)) C.int {
	return with(handle, function, func(s *core.Session) error {
		return s.Configure(func(_ *int, _ *core.Options, c *core.Callbacks) error {
			set(c)
			return nil
		})
	})
}

// What a callback is given is C memory: its call goes on while no Go function
// waits in C for it.

func callEvent(t *worker.Thread, fn C.record_event_func, arg, handle C.uintptr_t, e core.Event) {
	call := allocate[C.struct_msp_event_call]()
	defer C.free(unsafe.Pointer(call))
	message := C.CString(e.Message)
	defer C.free(unsafe.Pointer(message))
	*call = C.struct_msp_event_call{fn: fn, arg: arg, session: handle, event: C.record_event_t{
		size:    C.sizeof_record_event_t,
		_type:   C.uint32_t(e.Type),
		error:   C.int32_t(e.Err),
		bytes:   C.uint64_t(e.Bytes),
		message: message,
		offset:  C.uint64_t(e.Offset),
	}}
	t.Run(unsafe.Pointer(C.msp_call_event), unsafe.Pointer(call))
}

func callMessage(t *worker.Thread, fn C.record_message_func, arg, handle C.uintptr_t, data []byte, text bool) {
	call := allocate[C.struct_msp_message_call]()
	defer C.free(unsafe.Pointer(call))
	body := C.CBytes(data)
	defer C.free(body)
	*call = C.struct_msp_message_call{fn: fn, arg: arg, session: handle, data: body, size: C.uint32_t(len(data))}
	if text {
		call.is_text = 1
	}
	t.Run(unsafe.Pointer(C.msp_call_message), unsafe.Pointer(call))
}

func callDial(t *worker.Thread, fn C.record_dial_func, arg, handle C.uintptr_t) {
	call := allocate[C.struct_msp_dial_call]()
	defer C.free(unsafe.Pointer(call))
	*call = C.struct_msp_dial_call{fn: fn, arg: arg, session: handle}
	t.Run(unsafe.Pointer(C.msp_call_dial), unsafe.Pointer(call))
}

// allocate is C memory for a T, zeroed.
func allocate[T any]() *T {
	var t T
	return (*T)(C.calloc(1, C.size_t(unsafe.Sizeof(t))))
}

// A thread is the C thread of one session's data_ready.
type thread struct{ c *C.struct_msp_callback }

func newThread(fn C.data_ready_func, arg C.uintptr_t, handle C.uintptr_t, w *doorbell.Waker) (core.Waiter, error) {
	var t thread
	if errno := C.msp_callback_new(&t.c, fn, arg, handle, C.uint32_t(w.ID)); errno != 0 {
		return nil, syscall.Errno(errno)
	}
	return t, nil
}

func (t thread) Call()      { C.msp_callback_call(t.c) }
func (t thread) Busy() bool { return C.msp_callback_busy(t.c) != 0 }
func (t thread) Interrupt() { C.msp_callback_interrupt(t.c) }
func (t thread) Close()     { C.msp_callback_close(t.c) }
