// SPDX-License-Identifier: MIT

// Package ringbuffer is the ring between a C producer and a session: the
// producer's side in C (ring.c), the list of live rings (live.c), and here a
// session's side, on the same memory with the same formula.
package ringbuffer

/*
#cgo CFLAGS: -I${SRCDIR}/../../include -fvisibility=hidden
#include <stdlib.h>
#include "live.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"msprecord/internal/doorbell"
)

// A Side is one end of a ring: a session reads a source, writes a destination.
type Side int

const (
	ReadSide  Side = C.RING_READER
	WriteSide Side = C.RING_WRITER
)

var (
	// ErrDestroyed: the ring ended while a session used it.
	ErrDestroyed = fmt.Errorf("the ring was destroyed while the session used it (stop the session first): %w", syscall.ENODEV)
	// ErrGone: the ring was never destroyed, and its memory is not its own.
	ErrGone     = fmt.Errorf("the ring's memory was freed or used for something else without ringbuffer_destroy: %w", syscall.EFAULT)
	errReleased = fmt.Errorf("the session has given the ring back: %w", syscall.ENODEV)
	errDamaged  = fmt.Errorf("the ring's fields are damaged (an index lies beyond its length, or the length has changed): %w", syscall.EINVAL)
)

// A View is a session's hold on one side of a live ring. It belongs to one
// goroutine; only Left, WriteEdge and Refused may be called from others.
type View struct {
	ring       *C.dev_ringbuf_t
	buffer     unsafe.Pointer // as the ring was created
	length     uint32         // the same
	slot       int
	state      *C.struct_ring_state
	generation uint32
	side       Side
	released   atomic.Bool
	before     uint64 // bytes that the producer was refused before Claim
	owed       uint32 // bytes handed out by Spans and not yet taken
}

// Claim takes one side of the live ring at an address, until Release.
func Claim(address uintptr, side Side) (*View, error) {
	slot := int(C.ring_find(C.uintptr_t(address)))
	if slot < 0 {
		return nil, fmt.Errorf("no ring lives at %#x: create it before the session starts: %w", address, syscall.ENODEV)
	}
	v := &View{ring: ringAt(slot), slot: slot, state: &C.ring_states[slot], side: side}
	v.generation = atomic.LoadUint32((*uint32)(&v.state.generation))
	if err := v.pin(); err != nil {
		return nil, err
	}
	defer v.unpin()
	v.buffer, v.length = unsafe.Pointer(v.state.buffer), uint32(v.state.length)
	if err := lives(slot); err != nil {
		return nil, err
	}
	bit := uint32(1) << side
	if atomic.OrUint32((*uint32)(&v.state.claims), bit)&bit != 0 {
		return nil, fmt.Errorf("another session uses the ring at %#x already: stop it first: %w", address, syscall.EBUSY)
	}
	if err := C.ring_watch(C.uint32_t(slot), C.int(side)); err != 0 {
		atomic.AndUint32((*uint32)(&v.state.claims), ^bit)
		return nil, fmt.Errorf("no thread to watch the ring (raise the limit on threads): %w", syscall.Errno(err))
	}
	v.before = atomic.LoadUint64((*uint64)(&v.state.dropped))
	return v, nil
}

// Release gives the side back. When it returns, neither the ring nor its buffer
// is touched any more, whoever calls what.
func (v *View) Release() {
	C.ring_unwatch(C.uint32_t(v.slot), C.int(v.side))
	v.released.Store(true)
	for atomic.LoadUint32(v.users()) != 0 {
		time.Sleep(20 * time.Microsecond)
	}
	atomic.AddUint32(v.users(), 1)
	if v.ended() == nil { // and does not end before the claim is given back
		atomic.AndUint32((*uint32)(&v.state.claims), ^(uint32(1) << v.side))
	}
	v.unpin()
}

// pin keeps the ring's memory in place until unpin: destroy and Release wait for
// it. It fails once the ring has ended or was given back, and is held only while
// bytes are copied.
func (v *View) pin() error {
	atomic.AddUint32(v.users(), 1)
	err := v.ended()
	if err == nil && v.released.Load() {
		err = errReleased
	}
	if err != nil {
		v.unpin()
	}
	return err
}

func (v *View) unpin() { atomic.AddUint32(v.users(), ^uint32(0)) }

func (v *View) users() *uint32 { return (*uint32)(&v.state.users[v.side]) }

// ended tells that the ring was destroyed, or created again.
func (v *View) ended() error {
	if atomic.LoadUint32((*uint32)(&v.state.ending)) == 0 &&
		atomic.LoadUint32((*uint32)(&v.state.generation)) == v.generation {
		return nil
	}
	return ErrDestroyed
}

// indices reads both indices, with what lies between them. Only when pinned.
func (v *View) indices() (length, ridx, widx, used uint32, err error) {
	length = v.length
	ridx = atomic.LoadUint32((*uint32)(&v.ring.ridx))
	widx = atomic.LoadUint32((*uint32)(&v.ring.widx))
	if ridx > length || widx > length || uint32(v.ring.length) != length {
		return 0, 0, 0, 0, errDamaged
	}
	return length, ridx, widx, distance(length, ridx, widx), nil
}

// distance is how far an index has to go to meet another.
func distance(length, from, to uint32) uint32 {
	if to >= from {
		return to - from
	}
	return to + length + 1 - from
}

// Length is the ring's capacity in bytes.
func (v *View) Length() int { return int(v.length) }

// Left is how many bytes wait in the ring, up to end where end is given.
func (v *View) Left(end *Edge) (int, error) {
	if err := v.pin(); err != nil {
		return 0, err
	}
	defer v.unpin()
	length, ridx, _, used, err := v.indices()
	return int(upTo(end, length, ridx, used)), err
}

// upTo is how many of the used bytes lie before end.
func upTo(end *Edge, length, ridx, used uint32) uint32 {
	if end == nil {
		return used
	}
	left := distance(length, ridx, end.Index)
	if left > used {
		return 0 // the reader is past it
	}
	return left
}

// An Edge is a place in the ring: the write index at some moment.
type Edge struct{ Index uint32 }

// WriteEdge is where the producer stands now.
func (v *View) WriteEdge() (Edge, error) {
	if err := v.pin(); err != nil {
		return Edge{}, err
	}
	defer v.unpin()
	_, _, widx, _, err := v.indices()
	return Edge{widx}, err
}

// Spans hands out up to max of the bytes that are there, and not past end
// where end is given; two spans where they wrap. It also tells how many bytes
// were there. After it returned bytes, and only then, Take must follow:
// until then destroy waits.
func (v *View) Spans(max int, end *Edge) (a, b []byte, used int, err error) {
	if err := v.pin(); err != nil {
		return nil, nil, 0, err
	}
	length, ridx, _, there, err := v.indices()
	n := upTo(end, length, ridx, there)
	if err != nil || n == 0 || max <= 0 {
		v.unpin()
		return nil, nil, int(there), err
	}
	n = min(n, uint32(max))
	head := min(n, length+1-ridx)
	a = unsafe.Slice((*byte)(unsafe.Add(v.buffer, ridx)), head)
	if head < n {
		b = unsafe.Slice((*byte)(v.buffer), n-head)
	}
	v.owed = n
	return a, b, int(there), nil
}

// Take ends what Spans began: the bytes are the producer's room again.
func (v *View) Take() {
	ridx := uint32(v.ring.ridx) + v.owed
	if ridx > v.length {
		ridx -= v.length + 1
	}
	v.owed = 0
	atomic.StoreUint32((*uint32)(&v.ring.ridx), ridx)
	v.unpin()
}

// Untake ends what Spans began and leaves the bytes where they are.
func (v *View) Untake() {
	if v.owed != 0 {
		v.owed = 0
		v.unpin()
	}
}

// Room is how many bytes fit.
func (v *View) Room() (int, error) {
	if err := v.pin(); err != nil {
		return 0, err
	}
	defer v.unpin()
	length, _, _, used, err := v.indices()
	return int(length - used), err
}

// Write appends bytes through the one producer there is, ringbuffer_write.
func (v *View) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := v.pin(); err != nil {
		return 0, err
	}
	defer v.unpin()
	return int(C.ringbuffer_write(v.ring, (*C.uint8_t)(unsafe.Pointer(unsafe.SliceData(p))), C.uint32_t(len(p)))), nil
}

// Park says that w's owner goes to sleep on this side until the other side
// moves, and reports false, with nothing parked, when the ring has ended or it
// has moved already: a reader finds more than have bytes, a writer room. What
// wakes it takes the parking back.
func (v *View) Park(w *doorbell.Waker, have int) bool {
	if v.pin() != nil {
		return false
	}
	defer v.unpin()
	// In this order, and the other side in the opposite one: see ring.c.
	if atomic.SwapUint32((*uint32)(&v.state.parked[v.side]), w.ID+1) == 0 {
		atomic.AddUint32((*uint32)(&C.ring_parked), 1)
	}
	if v.moved(have) {
		v.unpark()
		return false
	}
	return true
}

// Unpark takes a parking back; nothing happens where there is none.
func (v *View) Unpark() {
	if v.pin() == nil {
		v.unpark()
		v.unpin()
	}
}

func (v *View) unpark() {
	if atomic.SwapUint32((*uint32)(&v.state.parked[v.side]), 0) != 0 {
		atomic.AddUint32((*uint32)(&C.ring_parked), ^uint32(0))
	}
}

// moved tells whether there is something to do on this side. Only when pinned.
func (v *View) moved(have int) bool {
	length, _, _, used, err := v.indices()
	if v.side == ReadSide {
		return err != nil || int64(used) > int64(have)
	}
	return err != nil || used != length
}

// Refused is how many bytes the producer was refused since Claim; a ring that
// has ended keeps its count until another one ends in its slot.
func (v *View) Refused() uint64 {
	count := atomic.LoadUint64((*uint64)(&v.state.dropped))
	if atomic.LoadUint32((*uint32)(&v.state.generation)) != v.generation {
		count = atomic.LoadUint64((*uint64)(&v.state.dropped_before))
	}
	return count - v.before
}

// TellRefusals has w woken within 40 ms when a producer was refused bytes of any
// ring that a session reads; nil ends that.
func TellRefusals(w *doorbell.Waker) {
	var id uint32
	if w != nil {
		id = w.ID + 1
	}
	atomic.StoreUint32((*uint32)(&C.ring_refusals), id)
}

// ErrNoRing and ErrAmbiguous tell a bad handle from an unclear one.
var (
	ErrNoRing    = errors.New("no live ring has this address or these low 32 bits")
	ErrAmbiguous = errors.New("several live rings share these low 32 bits")
)
