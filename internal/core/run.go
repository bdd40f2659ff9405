// SPDX-License-Identifier: MIT

package core

import (
	"context"
	"fmt"
	"sync/atomic"
	"syscall"
	"time"

	"msprecord/internal/doorbell"
	"msprecord/internal/stream"
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
	refused   uint64
	warned    time.Time
	lost      bool // the connection is
	met       bool // there has been one

	opened chan struct{} // closed when start has opened both ends, or failed
	ended  chan struct{} // closed when the pump is over; then err is set
	err    error
	left   atomic.Int64

	stopped chan struct{} // closed when stop is over; then stopErr is set
	stopErr error

	ready atomic.Bool // source and sink can be asked for figures
}

// A gauge is a source that can tell about its ring.
type gauge interface {
	Ring() (length, highWater int, refused uint64)
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
			_ = r.closeEnds()
			r.closeWaiter()
		}
	}()
	o := opening{ctx: r.ctx, waker: r.waker, chunk: r.chunk, options: r.options, events: stream.Events{
		Up: r.connected, Down: r.disconnected, Gap: r.gaveUp, Warn: r.warn,
	}, headers: r.session.headers}
	if r.callbacks.Message != nil {
		o.events.Message = r.heard
	}
	if r.source, err = from.source(o); err != nil {
		return fmt.Errorf("source: %w", err)
	}
	if r.gauge, _ = r.source.(gauge); r.gauge == nil {
		o.options.OnFull = stream.Hold // a file, or memory, can wait
	}
	if r.callbacks.Ready != nil {
		if r.waiter, err = r.callbacks.Ready(r.waker); err != nil {
			return fmt.Errorf("no thread for data_ready (raise the limit on threads, or let sessions share): %w", err)
		}
	}
	if r.sink, err = to.sink(o); err != nil {
		return err
	}
	if r.network, _ = r.sink.(connection); r.network == nil {
		r.connected("opened")
	}
	r.lost = !r.met // with connect=later
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

func (r *run) closeEnds() error {
	var err error
	if r.sink != nil {
		err = r.sink.Close()
	}
	if r.source != nil {
		err = both(err, r.source.Close())
	}
	r.cancel(nil)
	return err
}

func (r *run) closeWaiter() {
	if r.waiter != nil {
		r.waiter.Close()
	}
	r.waker.Close()
}

// gaveUp tells of bytes that an outage outlasted.
func (r *run) gaveUp(offset, length int64) {
	text := fmt.Sprintf("%d bytes from offset %d on were given up, as on_full says", length, offset)
	r.warn(text)
	r.tellEvent(Event{Type: Overflow, Bytes: uint64(length), Offset: uint64(offset), Message: text})
}

func (r *run) warn(text string) { Log(LogWarn, r.session.name+": "+text) }

// heard hands on what the server said. It holds the connection's reader back
// while the app is behind.
func (r *run) heard(data []byte, text bool) {
	events.addInTurn(queuedEvent{session: r.session, call: func() { r.callbacks.Message(data, text) }}, r.ctx.Done())
}

// finish closes both ends after the pump, and counts what stays behind.
func (r *run) finish(err error) {
	defer func() {
		if fault := recover(); fault != nil {
			r.err = both(r.err, ours(fault))
		}
	}()
	r.watchRing()
	delivered := r.sink.Delivered()
	left := r.source.Remaining() + r.read.Load() - delivered
	if r.network != nil {
		left -= r.network.Figures().GivenUp
	}
	if closeErr := r.closeEnds(); err == nil {
		err = closeErr
	}
	if err == nil {
		return
	}
	r.left.Store(left)
	r.err = logged{fmt.Errorf("%w: %d bytes are left behind, %d are known to have arrived", err, left, delivered)}
}

// watchRing reports what the producer was refused.
func (r *run) watchRing() {
	if r.gauge == nil {
		return
	}
	_, _, refused := r.gauge.Ring()
	if refused == r.refused {
		return
	}
	if now := time.Now(); now.Sub(r.warned) > time.Second {
		r.warned = now
		r.warn(fmt.Sprintf("the ring was full: %d bytes were refused so far", refused))
	}
	r.tellEvent(Event{Type: Overflow, Bytes: refused - r.refused, Offset: nowhere, Message: "the ring was full"})
	r.refused = refused
}

func (r *run) tell(t EventType, err error, message string) {
	r.tellEvent(Event{Type: t, Err: Errno(err), Message: message})
}

func (r *run) tellEvent(e Event) {
	if r.callbacks.Event != nil {
		events.add(queuedEvent{session: r.session, call: func() { r.callbacks.Event(e) }})
	}
}

// end fixes the end of the stream at what is in the source now.
func (r *run) end() {
	r.source.SetEnd()
	r.ending.Store(true)
	if r.network != nil {
		r.network.Hurry() // if it is offline, the end waits for a dial
	}
	r.waker.Wake()
}

// stop is the protocol of record_stop, each step bounded by stop_timeout: fix
// the end, release the callback, deliver the tail, let go of everything.
func (r *run) stop(by Caller) error {
	deadline := time.Now().Add(r.options.StopTimeout)
	alarm := time.NewTimer(r.options.StopTimeout)
	defer alarm.Stop()
	again := time.NewTicker(releaseEvery)
	defer again.Stop()

	r.end()
	r.release(by)
	pumping, tokens := r.ended, (<-chan struct{})(nil)
	for late := false; !late && (pumping != nil || r.blocked()); {
		select {
		case <-pumping:
			pumping, tokens = nil, r.waker.C // which was the pump's till now
		case <-tokens:
		case <-again.C:
			if r.blocked() {
				r.release(by)
			}
		case <-alarm.C:
			late = true
			r.cancel(errTimeout)
			<-r.ended // nothing the pump does outlasts the cancel
		}
	}
	stuck := r.blocked()
	r.closeWaiter()
	if soonest := time.Now().Add(releaseEvery); deadline.Before(soonest) {
		deadline = soonest // one that runs just now is not stuck yet
	}
	if !events.settle(r.session, deadline) {
		return both(r.err, fmt.Errorf("the event callback has not returned: %w", syscall.ETIMEDOUT))
	}
	if stuck && r.err == nil {
		return fmt.Errorf("data_ready has not returned (set a data_release callback that wakes it; its memory is still in use): %w", syscall.ETIMEDOUT)
	}
	return r.err
}

func (r *run) blocked() bool { return r.waiter != nil && r.waiter.Busy() }

// release makes data_ready return: by waking its msp_* waits, and by the
// app's own callback.
func (r *run) release(by Caller) {
	if r.waiter != nil {
		r.waiter.Interrupt()
	}
	if r.callbacks.Release != nil {
		r.callbacks.Release(by)
	}
}

func (r *run) fill(s *Stats) {
	s.Left = r.left.Load()
	if !r.ready.Load() {
		return
	}
	s.Read, s.Sent, s.Delivered = r.read.Load(), r.sink.Sent(), r.sink.Delivered()
	if r.network != nil {
		s.Figures = r.network.Figures()
	}
	if r.gauge != nil {
		s.RingLength, s.RingHighWater, s.Dropped = r.gauge.Ring()
	}
}
