// SPDX-License-Identifier: MIT

// Package endpoint holds what a session can read from and write to on this
// machine: a ring, memory, a file, nothing. Each source and each destination
// is used by one goroutine, except where a method says otherwise.
package endpoint

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"sync/atomic"
	"syscall"

	"msprecord/internal/doorbell"
	"msprecord/internal/ringbuffer"
)

// Ring is a live ring, found by the number in a URI.
type Ring struct{ address uintptr }

// FindRing finds the live ring that a handle means.
func FindRing(handle uint64) (Ring, error) {
	address, err := ringbuffer.Resolve(handle)
	switch {
	case errors.Is(err, ringbuffer.ErrAmbiguous):
		return Ring{}, fmt.Errorf("handle=%d: %w: print the whole address with PRIuPTR: %w", handle, err, syscall.EINVAL)
	case err != nil && !errors.Is(err, ringbuffer.ErrNoRing):
		return Ring{}, fmt.Errorf("handle=%d: %w", handle, err)
	case err != nil:
		return Ring{}, fmt.Errorf("handle=%d: %w: call ringbuffer_create before record_register, and print the ring's address with PRIuPTR: %w", handle, err, syscall.EINVAL)
	}
	return Ring{address}, nil
}

// Source reads the ring; w wakes the reader when bytes come.
func (r Ring) Source(w *doorbell.Waker) (*RingSource, error) {
	v, err := ringbuffer.Claim(r.address, ringbuffer.ReadSide)
	if err != nil {
		return nil, err
	}
	s := &RingSource{view: v, waker: w}
	s.end.Store(noEnd)
	return s, nil
}

const noEnd = math.MaxUint64

// RingSource is a ring being read.
type RingSource struct {
	view      *ringbuffer.View
	waker     *doorbell.Waker
	highWater atomic.Int64
	end       atomic.Uint64          // the ringbuffer.Edge to stop at, or noEnd
	refused   atomic.Pointer[uint64] // when the source was closed
}

// Peek hands out up to max of the bytes that are there, as two spans of the
// ring's own memory; Advance or Leave must follow. io.EOF comes after SetEnd.
func (s *RingSource) Peek(max int) (a, b []byte, err error) {
	end := s.edge()
	a, b, used, err := s.view.Spans(max, end)
	s.seen(used)
	if err == nil && len(a) == 0 && end != nil {
		err = io.EOF
	}
	return a, b, err
}

// edge is the end, nil while there is none.
func (s *RingSource) edge() *ringbuffer.Edge {
	e := s.end.Load()
	if e == noEnd {
		return nil
	}
	return &ringbuffer.Edge{Index: uint32(e)}
}

// Advance takes what Peek handed out.
func (s *RingSource) Advance() { s.view.Take() }

// Leave lets go of what Peek handed out, and leaves it in the ring.
func (s *RingSource) Leave() { s.view.Untake() }

// SetEnd makes what is in the ring now the last of it. Any goroutine; the
// first call counts.
func (s *RingSource) SetEnd() {
	if edge, err := s.view.WriteEdge(); err == nil {
		s.end.CompareAndSwap(noEnd, uint64(edge.Index))
	}
}

// Park prepares to sleep until there are more bytes than have; false when there
// are.
func (s *RingSource) Park(have int) bool { return s.view.Park(s.waker, have) }

// Unpark takes Park back.
func (s *RingSource) Unpark() { s.view.Unpark() }

// Remaining is how many bytes wait, for a report of what was left behind. Any
// goroutine.
func (s *RingSource) Remaining() int64 {
	n, err := s.view.Left(s.edge())
	if err != nil {
		return 0
	}
	return int64(n)
}

// Ring tells the ring's capacity, the most bytes seen waiting in it, now
// included, and how many the producer was refused while this source was open.
// Any goroutine.
func (s *RingSource) Ring() (length, highWater int, refused uint64) {
	if used, err := s.view.Left(nil); err == nil {
		s.seen(used)
	}
	return s.view.Length(), int(s.highWater.Load()), s.Refused()
}

// Refused is how many bytes the producer was refused while this source was
// open. Any goroutine.
func (s *RingSource) Refused() uint64 {
	if last := s.refused.Load(); last != nil {
		return *last
	}
	return s.view.Refused()
}

// seen notes how many bytes were seen waiting. Any goroutine.
func (s *RingSource) seen(used int) {
	for {
		most := s.highWater.Load()
		if int64(used) <= most || s.highWater.CompareAndSwap(most, int64(used)) {
			return
		}
	}
}

// Close gives the ring back. What the producer is refused from now on is no
// business of the session's.
func (s *RingSource) Close() error {
	refused := s.view.Refused()
	s.refused.Store(&refused)
	s.view.Release()
	return nil
}

// Sink writes the ring; w wakes the writer when there is room, ctx ends a
// wait for it.
func (r Ring) Sink(ctx context.Context, w *doorbell.Waker) (*RingSink, error) {
	v, err := ringbuffer.Claim(r.address, ringbuffer.WriteSide)
	if err != nil {
		return nil, err
	}
	return &RingSink{view: v, waker: w, ctx: ctx}, nil
}

// RingSink is a ring being written.
type RingSink struct {
	view  *ringbuffer.View
	waker *doorbell.Waker
	ctx   context.Context
	sent  atomic.Int64
}

// Reserve waits for room, and tells how much of max there is.
func (s *RingSink) Reserve(max int) (int, error) {
	for {
		n, err := s.view.Room()
		if err != nil || n > 0 {
			return min(n, max), err
		}
		if s.ctx.Err() != nil {
			return 0, fmt.Errorf("waiting for room in the destination ring: %w", context.Cause(s.ctx))
		}
		if s.view.Park(s.waker, 0) {
			select {
			case <-s.waker.C:
			case <-s.ctx.Done():
			}
			s.view.Unpark()
		}
	}
}

// Put writes a chunk that fits the room that Reserve told.
func (s *RingSink) Put(a, b []byte) error {
	for _, p := range [2][]byte{a, b} {
		n, err := s.view.Write(p)
		s.sent.Add(int64(n))
		if err != nil {
			return err
		}
		if n < len(p) {
			return fmt.Errorf("something else writes the destination ring too: %w", syscall.EBUSY)
		}
	}
	return nil
}

// Flush has nothing to do: what was put is there.
func (s *RingSink) Flush() error { return nil }

// Finish has nothing to do.
func (s *RingSink) Finish() error { return nil }

// Sent is how many bytes went into the ring. Any goroutine.
func (s *RingSink) Sent() int64 { return s.sent.Load() }

// Delivered is the same. Any goroutine.
func (s *RingSink) Delivered() int64 { return s.Sent() }

// Close gives the ring back.
func (s *RingSink) Close() error {
	s.view.Release()
	return nil
}
