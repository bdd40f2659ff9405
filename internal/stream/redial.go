// SPDX-License-Identifier: MIT

package stream

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"time"
)

// hurriedPause is the longest pause between attempts while a stop waits.
const hurriedPause = 100 * time.Millisecond

// A redial is the attempts to be connected again, or for the first time where
// a session may start without a server.
type redial struct {
	done chan struct{} // closed when link or err is set
	link *link
	err  error // dialling on is of no use

	poke chan struct{} // hurry was asked for

	mu       sync.Mutex
	last     error
	hurried  []context.Context // hurry was asked for until these end
	now      bool              // and with an attempt that waits for nothing
	breakOff func()            // ends an attempt at a TCP connection; nil: none is made
}

// errNotYet stands for the loss where there was no connection to lose. The
// first attempt then waits for nothing.
var errNotYet = fault(syscall.ENOTCONN, "there was no connection yet")

// again starts dialling, on a goroutine of its own, because of err.
func (d *dialer) again(err error) *redial {
	r := newRedial(err)
	if errors.Is(err, errGap) { // the server is there
		d.resetBackoff()
		r.now = true
	}
	go func() {
		defer d.waker.Wake()
		defer close(r.done)
		defer func() {
			if fault := recover(); fault != nil {
				r.err = ours(fault)
			}
		}()
		r.run(d)
	}()
	return r
}

// resetBackoff has the next attempts begin with the shortest pause again: the
// server has acknowledged something. Any goroutine.
func (d *dialer) resetBackoff() {
	if d != nil { // nil: of a lane, whose trunk has a dialer
		d.failed.Store(0)
	}
}

// ended judges a connection that began at since, by clock(), and is lost. The
// backoff starts over where the connection stood for longer than the pause
// before it, unless a server that acknowledges owes an acknowledgement: one
// that acknowledges nothing, or was sent nothing, has no other way to show that
// it was of use.
func (d *dialer) ended(since int64, owes bool) {
	if !owes && time.Duration(clock()-since) > d.backoff() {
		d.resetBackoff()
	}
}

func newRedial(err error) *redial {
	return &redial{done: make(chan struct{}), poke: make(chan struct{}, 1), last: err}
}

// ours is what recover returned as an error: it does not end the host.
func ours(r any) error {
	return fault(syscall.EIO, "a fault of the library, please report it: %v", r)
}

// run dials until link or err is set, and for max_offline at most.
func (r *redial) run(d *dialer) {
	ctx := d.ctx
	if most := d.cfg.MaxOffline; most > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, most)
		defer cancel()
	}
	var atLeast time.Duration // as the server has asked
	told := ""
	for first := r.lastError() == errNotYet; ; first = false {
		if !first {
			r.pause(ctx, d, atLeast)
		}
		if err := context.Cause(d.ctx); err != nil {
			r.err = err
			return
		}
		if expired(ctx) {
			r.err = fmt.Errorf("offline for longer than max_offline: %w", r.lastError())
			return
		}
		d.failed.Add(1)
		link, err := d.dial(ctx, r.connecting)
		if err != nil && d.asking.Swap(false) {
			d.waker.Wake() // who waited to give up bytes may do so now
		}
		switch {
		case err == nil:
			r.link = link
			return
		case expired(ctx), errors.Is(err, errBrokenOff):
			continue // it says nothing of the server
		}
		r.noteError(err)
		if d.cfg.final(err) {
			r.err = err
			return
		}
		var refused *refusal
		if atLeast = 0; errors.As(err, &refused) {
			atLeast = refused.after
		}
		if text := err.Error(); (first || refused != nil || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.EPROTO)) && text != told {
			d.cfg.Warn(text + ": it is tried again")
			told = text
		}
	}
}

// expired tells whether ctx has ended. What minds its deadline may notice that
// before ctx itself does.
func expired(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ctx.Err() != nil || ok && !time.Now().Before(deadline)
}

// pause waits before an attempt.
func (r *redial) pause(ctx context.Context, d *dialer, atLeast time.Duration) {
	begun := time.Now()
	pause := max(atLeast, rand.N(d.backoff()))
	for ctx.Err() == nil {
		hurries, now := r.hurries()
		if now {
			return
		}
		if hurries {
			pause = min(pause, rand.N(hurriedPause))
		}
		timer := time.NewTimer(pause - time.Since(begun))
		select {
		case <-timer.C:
			return
		case <-ctx.Done():
		case <-r.poke:
		}
		timer.Stop()
	}
}

// hurry has attempts made with short pauses, whatever the server has asked for,
// until ctx ends, and the next one now where that is true. Any goroutine.
func (r *redial) hurry(ctx context.Context, now bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if slices.Contains(r.hurried, ctx) {
		return
	}
	r.hurried = append(r.hurried, ctx)
	r.now = r.now || now
	if r.breakOff != nil {
		// Its packet may have been lost, and be sent again in seconds only.
		r.breakOff()
	}
	select {
	case r.poke <- struct{}{}:
	default:
	}
}

// hurries tells whether somebody still waits who has asked for hurry, and once
// whether the next attempt is to be made now.
func (r *redial) hurries() (hurries, now bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hurried = slices.DeleteFunc(r.hurried, func(ctx context.Context) bool { return ctx.Err() != nil })
	now, r.now = r.now, false
	return len(r.hurried) > 0, now
}

func (r *redial) connecting(breakOff func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.breakOff = breakOff
}

// backoff is the longest pause before an attempt. Pauses are spread evenly
// between nothing and a bound that doubles: full jitter, so that devices which
// lost one server together do not come back together.
func (d *dialer) backoff() time.Duration {
	pause := max(d.cfg.BackoffFirst, 1)
	for n := d.failed.Load(); n > 0 && pause < d.cfg.BackoffLongest; n-- {
		pause *= 2
	}
	return min(pause, max(d.cfg.BackoffLongest, 1))
}

// lastError is what the last attempt met. Any goroutine.
func (r *redial) lastError() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

func (r *redial) noteError(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = err
}
