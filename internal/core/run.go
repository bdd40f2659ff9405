// SPDX-License-Identifier: MIT

package core

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"msprecord/internal/doorbell"
	"msprecord/internal/stream"
	"msprecord/internal/worker"
)

// A run is a session between one start and its stop.
type run struct {
	pump
	session   *Session
	options   Options
	callbacks Callbacks
	cancel    context.CancelCauseFunc
	gauge     gauge      // nil where the source is no ring
	network   connection // nil where the sink has no connection
	lost      bool       // the connection is
	met       bool       // there has been one
	refusals  refusals
	missed    missed

	ending sync.Once // fixes the end of the stream
	stopBy time.Time // when stop_timeout is over, counted from there

	ends   sync.RWMutex // guards the ends while they are asked, and what follows
	closed bool         // they are closed, or left behind: nobody asks them
	last   Stats        // what they said last
	ready  atomic.Bool  // they can be asked

	opened chan struct{} // closed when start has opened both ends, or failed
	over   atomic.Bool   // the pump is over, or stop has left it behind: who comes first
	ended  chan struct{} // closed when the pump is over; then err is set
	err    error

	stopped chan struct{} // closed when stop is over; then stopErr is set
	stopErr error
}

// A gauge is a source that can tell about its ring.
type gauge interface {
	Ring() (length, highWater int, refused uint64)
	Refused() uint64
}

// A connection is a sink that can tell about its network.
type connection interface {
	Figures() stream.Figures
	Hurry()
}

// newRun takes what start may use; the caller holds the session's lock.
func newRun(s *Session) *run {
	r := &run{
		session: s, options: s.options, callbacks: s.callbacks,
		opened: make(chan struct{}), ended: make(chan struct{}), stopped: make(chan struct{}),
	}
	r.ctx, r.cancel = context.WithCancelCause(context.Background())
	r.chunk = s.chunk
	r.looked = r.watchRing
	r.missed.warn = r.warn
	return r
}

// open opens the waker, the source, the thread for data_ready and the sink, in
// this order, and on failure closes what it had opened.
func (r *run) open(from, to target) (err error) {
	if r.waker, err = doorbell.New(); err != nil {
		return err
	}
	defer func() {
		if fault := recover(); fault != nil {
			err = ours(fault)
		}
		if err != nil {
			r.closeEnds()
			r.closeWaiter()
		}
	}()
	o := opening{ctx: r.ctx, waker: r.waker, chunk: r.chunk, options: r.options, events: stream.Events{
		Up: r.connected, Down: r.disconnected, Gap: r.gaveUp, Warn: r.warn,
	}, headers: r.headers}
	if r.callbacks.Event != nil || r.callbacks.Message != nil || r.callbacks.Dial != nil {
		if err := worker.Prepare(); err != nil {
			return err
		}
	}
	if r.callbacks.Message != nil {
		o.events.Message = r.heard
	}
	if r.source, err = from.source(o); err != nil {
		return fmt.Errorf("source: %w", err)
	}
	if r.gauge, _ = r.source.(gauge); r.gauge == nil {
		o.options.OnFull = stream.Hold // a file, or memory, can wait
	} else if err = watch.add(r); err != nil {
		return err
	}
	if r.callbacks.Ready != nil {
		if r.waiter, err = r.callbacks.Ready(r.waker); err != nil {
			return fmt.Errorf("no thread for data_ready (raise the limit on threads, or let sessions share): %w", err)
		}
	}
	o.source = r.source
	if r.sink, err = to.sink(o); err != nil {
		return err
	}
	if r.network, _ = r.sink.(connection); r.network == nil {
		r.connected("opened")
	}
	r.lost = !r.met // with connect=later
	r.live, r.minChunk, r.minWait = r.gauge != nil, r.options.MinChunk, r.options.MinChunkWait
	if r.minChunk > r.chunk {
		return fmt.Errorf("min_chunk=%d is more than a message may have, %d bytes: raise the chunk size: %w", r.minChunk, r.chunk, syscall.EINVAL)
	}
	if r.live {
		if length, _, _ := r.gauge.Ring(); r.minChunk > length {
			return fmt.Errorf("min_chunk=%d is more than the ring can hold, %d bytes: make the ring larger: %w", r.minChunk, length, syscall.EINVAL)
		}
	}
	r.ready.Store(true)
	return nil
}

// connected tells that the sink can take bytes, again where it could not.
func (r *run) connected(text string) {
	switch {
	case r.lost && r.met:
		r.warn(text + " again")
	case r.lost:
		r.warn(text)
	}
	r.lost, r.met = false, true
	r.tell(Connected, nil, text)
}

// disconnected tells that it cannot for now.
func (r *run) disconnected(err error) {
	r.lost = true
	r.warn(err.Error())
	r.tell(Disconnected, err, err.Error())
}

// closeEnds closes both ends and breaks off what still works on them.
func (r *run) closeEnds() {
	_ = r.closeSink()
	_ = r.closeSource()
}

func (r *run) closeSink() error {
	if r.sink == nil {
		return nil
	}
	return guarded(r.sink.Close)
}

// closeSource closes the source, after the sink: nothing is asked of either
// any more.
func (r *run) closeSource() error {
	if r.gauge != nil {
		watch.remove(r)
	}
	_ = r.leave()
	defer r.cancel(nil)
	if r.source == nil {
		return nil
	}
	return guarded(r.source.Close)
}

func (r *run) closeWaiter() {
	if r.waiter != nil {
		r.waiter.Close()
	}
	r.waker.Close()
}

// gaveUp tells of bytes that an outage outlasted, or that nobody knows of.
func (r *run) gaveUp(offset, length int64, sent bool) {
	text := fmt.Sprintf("%d bytes from offset %d on were given up, as on_full says", length, offset)
	if sent {
		text = fmt.Sprintf("%d bytes from offset %d on were sent on a connection that is lost, to a server that answers no pings, and are no longer kept: nobody knows whether they arrived", length, offset)
	}
	r.warn(text)
	r.tellEvent(Event{Type: Overflow, Bytes: uint64(length), Offset: uint64(offset), Message: text})
}

func (r *run) warn(text string) { Log(LogWarn, r.session.name+": "+text) }

// heard hands on what the server said. It never waits: the connection's reader
// also hears the pongs.
func (r *run) heard(data []byte, text bool) {
	if !r.abandoned.Load() && !r.session.queue.addMessage(&r.callbacks, data, text) {
		r.missed.message(len(data))
	}
}

func (r *run) tell(t EventType, err error, message string) {
	r.tellEvent(Event{Type: t, Err: Errno(err), Message: message})
}

func (r *run) tellEvent(e Event) {
	if r.callbacks.Event == nil || r.abandoned.Load() {
		return
	}
	if lost := r.session.queue.addEvent(&r.callbacks, e); lost > 0 {
		r.missed.event(lost)
	}
}

// headers are what the next dial sends, where the program may have changed
// them, and may do so now.
func (r *run) headers(ctx context.Context) []string {
	s := r.session
	if r.callbacks.Dial != nil {
		s.callDial(ctx, r.ctx, r.callbacks.Dial)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.options.Access.Headers
}

// finish closes both ends after the pump, and counts what stays behind.
func (r *run) finish(err error) {
	r.watchRing()
	closeErr := r.closeSink() // what arrives counts until here
	fault := r.leave()
	closeErr = both(both(closeErr, fault), r.closeSource())
	if err == nil {
		err = closeErr
	}
	whole := r.last.Left == 0 && r.last.InRing == 0 && fault == nil
	if err != nil && !(whole && errors.Is(err, errTimeout)) {
		r.err = logged{leftBehind(err, &r.last)}
	}
}

// leftBehind adds to an error what has not arrived.
func leftBehind(err error, s *Stats) error {
	switch {
	case s.Left == 0 && s.InRing == 0:
		return fmt.Errorf("%w: the %d bytes that were read have arrived", err, s.Delivered)
	case s.InRing == 0:
		return fmt.Errorf("%w: %d bytes are left behind, %d are known to have arrived", err, s.Left, s.Delivered)
	}
	return fmt.Errorf("%w: %d bytes are left behind, %d are known to have arrived, and %d are still in the ring", err, s.Left, s.Delivered, s.InRing)
}
