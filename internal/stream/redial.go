// SPDX-License-Identifier: MIT

package stream

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"time"
)

// Attempts are spread evenly between nothing and a bound that doubles: full
// jitter, so that devices which lost one server together do not come back
// together.
var (
	firstBackoff   = 250 * time.Millisecond
	longestBackoff = 30 * time.Second
)

const stableAfter = time.Minute // a connection that lasted so long starts over

// A redial is the attempts to be connected again.
type redial struct {
	done chan struct{} // closed when link or err is set
	link *link
	err  error // dialling on is of no use

	mu   sync.Mutex
	last error
}

// again starts dialling, on a goroutine of its own. since is when the lost
// connection began, by clock(), err why it was lost.
func (d *dialer) again(since int64, err error) *redial {
	d.settle(since)
	r := newRedial(err)
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

// settle starts the backoff over, where a connection was stable.
func (d *dialer) settle(since int64) {
	if time.Duration(clock()-since) >= stableAfter {
		d.failed = 0
	}
}

func newRedial(err error) *redial { return &redial{done: make(chan struct{}), last: err} }

// ours is what recover returned as an error: it does not end the host.
func ours(r any) error {
	return fault(syscall.EIO, "a fault of the library, please report it: %v", r)
}

// run dials until link or err is set.
func (r *redial) run(d *dialer) {
	begun := time.Now()
	var atLeast time.Duration
	for {
		timer := time.NewTimer(max(atLeast, rand.N(backoff(d.failed))))
		select {
		case <-timer.C:
		case <-d.ctx.Done():
			timer.Stop()
			r.err = d.ctx.Err()
			return
		}
		d.failed++
		link, err := d.dial()
		if err == nil {
			r.link = link
			return
		}
		if d.ctx.Err() == nil {
			r.mu.Lock()
			r.last = err
			r.mu.Unlock()
		}
		var refused *refusal
		atLeast = 0
		if errors.As(err, &refused) {
			atLeast = refused.after
		}
		switch {
		case final(err):
			r.err = err
			return
		case d.cfg.MaxOffline > 0 && time.Since(begun) > d.cfg.MaxOffline:
			r.err = fmt.Errorf("offline for longer than max_offline: %w", err)
			return
		}
	}
}

// backoff is the longest pause before an attempt.
func backoff(failed int) time.Duration {
	return min(firstBackoff<<min(failed, 16), longestBackoff)
}

// lastError is what the last attempt met. Any goroutine.
func (r *redial) lastError() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}
