// SPDX-License-Identifier: MIT

// Package ringtest gives Go tests the rings that C programs make: in C
// memory, through the public functions.
package ringtest

/*
#cgo CFLAGS: -I${SRCDIR}/../../../include
#include <stdlib.h>
#include <msp/ringbuffer.h>
*/
import "C"

import (
	"sync/atomic"
	"testing"
	"unsafe"

	_ "msprecord/internal/ringbuffer" // the functions
)

// A Ring is a live dev_ringbuf_t.
type Ring struct{ c *C.dev_ringbuf_t }

// New makes a ring over size bytes, which holds size-1, until the test ends.
func New(t testing.TB, size int) *Ring {
	t.Helper()
	r := &Ring{(*C.dev_ringbuf_t)(C.malloc(C.sizeof_dev_ringbuf_t))}
	buffer := (*C.char)(C.malloc(C.size_t(size)))
	if rc := C.ringbuffer_create(r.c, buffer, C.int(size)); rc != 0 {
		t.Fatalf("ringbuffer_create(%d) = %d", size, rc)
	}
	t.Cleanup(func() {
		C.ringbuffer_destroy(r.c)
		C.free(unsafe.Pointer(buffer))
		C.free(unsafe.Pointer(r.c))
	})
	return r
}

// Address is what a program prints into a URI.
func (r *Ring) Address() uintptr { return uintptr(unsafe.Pointer(r.c)) }

// Write is ringbuffer_write.
func (r *Ring) Write(p []byte) int {
	return int(C.ringbuffer_write(r.c, (*C.uint8_t)(unsafe.SliceData(p)), C.uint32_t(len(p))))
}

// Read is ringbuffer_read.
func (r *Ring) Read(p []byte) int {
	return int(C.ringbuffer_read(r.c, (*C.uint8_t)(unsafe.SliceData(p)), C.uint32_t(len(p))))
}

// Used is ringbuffer_available_read_space.
func (r *Ring) Used() int { return int(C.ringbuffer_available_read_space(r.c)) }

// Room is ringbuffer_available_write_space.
func (r *Ring) Room() int { return int(C.ringbuffer_available_write_space(r.c)) }

// Destroy is ringbuffer_destroy.
func (r *Ring) Destroy() { C.ringbuffer_destroy(r.c) }

// MoveByHand advances widx as a program may that fills the buffer itself; it
// must not wrap.
func (r *Ring) MoveByHand(n int) {
	atomic.AddUint32((*uint32)(&r.c.widx), uint32(n))
}

// Damage puts an index where it cannot be.
func (r *Ring) Damage() { atomic.StoreUint32((*uint32)(&r.c.widx), uint32(r.c.length)+1) }
