// SPDX-License-Identifier: MIT

package core

import (
	"fmt"
	"syscall"
	"time"
)

// end fixes the end of the stream at what is in the source now, and has
// stop_timeout begin.
func (r *run) end() {
	r.ending.Do(func() {
		r.stopBy = time.Now().Add(r.options.StopTimeout)
		r.ends.RLock()
		defer r.ends.RUnlock()
		if !r.closed {
			r.source.SetEnd()
		}
		r.noMore.Store(true)
		if r.network != nil {
			r.network.Hurry() // if it is offline, the end waits for a dial
		}
		r.waker.Wake()
	})
}

// leaveAfter is how long a pump that was broken off is given to end.
var leaveAfter = time.Second

// stop is the protocol of record_stop, each step bounded by stop_timeout: fix
// the end, release the callback, deliver the tail, let go of everything.
func (r *run) stop(by Caller) error {
	r.end()
	deadline := notBefore(r.stopBy, releaseEvery)
	alarm := time.NewTimer(time.Until(deadline))
	defer alarm.Stop()
	again := time.NewTicker(releaseEvery)
	defer again.Stop()

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
			alarm.Reset(leaveAfter)
			select {
			case <-r.ended:
			case <-alarm.C:
				if err := r.abandon(); err != nil {
					return err
				}
			}
		}
	}
	stuck := r.blocked()
	r.closeWaiter()
	err := r.err
	events, messages, returned := r.session.queue.settle(deadline)
	r.missed.atStop(events, messages)
	switch {
	case !returned:
		return both(err, fmt.Errorf("the event or message callback has not returned (its memory is still in use): %w", syscall.ETIMEDOUT))
	case !r.session.dialReturned(deadline):
		return both(err, errDialing)
	case stuck && err == nil:
		return fmt.Errorf("data_ready has not returned (set a data_release callback that wakes it; its memory is still in use): %w", syscall.ETIMEDOUT)
	}
	return err
}

// abandon leaves a pump behind that does not end although it was broken off:
// something hangs that is beyond any bound. The pump touches nothing of the
// program's any more. nil: it has ended after all.
func (r *run) abandon() error {
	if !r.over.CompareAndSwap(false, true) {
		<-r.ended
		return nil
	}
	r.abandoned.Store(true)
	_ = r.leave()
	err := leftBehind(fmt.Errorf("%w, and source or destination hangs", errTimeout), &r.last)
	Log(LogError, r.session.name+": "+err.Error())
	r.session.queue.settle(time.Now())
	return logged{err}
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
