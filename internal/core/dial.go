// SPDX-License-Identifier: MIT

package core

import (
	"context"
	"time"

	"msprecord/internal/worker"
)

// callDial runs the program's dial callback for a run, unless that is over, and
// returns when it has returned, or when ctx ends; then the callback goes on, and
// the next waits for it. It has its own turn beside the queue: an event callback
// that blocks must not keep the session offline.
func (s *Session) callDial(ctx, run context.Context, dial func(*worker.Thread)) {
	select {
	case s.dialing <- struct{}{}:
	case <-ctx.Done():
		return
	}
	// A shared connection may ask a stream that has just left: stop takes the
	// same turn after the run is over.
	if run.Err() != nil {
		<-s.dialing
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { <-s.dialing }()
		t := worker.Take(ctx.Done())
		if t == nil {
			return
		}
		defer t.Give()
		if fault := guarded(func() error { dial(t); return nil }); fault != nil {
			Log(LogError, s.name+": "+fault.Error())
		}
	}()
	select {
	case <-done:
	case <-ctx.Done():
		select {
		case <-done:
		default:
			if context.Cause(ctx) == context.DeadlineExceeded {
				Log(LogWarn, s.name+": the dial callback has not returned within connect_timeout: this attempt to connect is given up")
			}
		}
	}
}

// dialReturned waits until no dial callback runs, and reports false where one
// still does at the deadline.
func (s *Session) dialReturned(deadline time.Time) bool {
	timer := time.NewTimer(time.Until(notBefore(deadline, releaseEvery)))
	defer timer.Stop()
	select {
	case s.dialing <- struct{}{}:
		<-s.dialing
		return true
	case <-timer.C:
		return false
	}
}
