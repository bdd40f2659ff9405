// SPDX-License-Identifier: MIT

// Package core is what a record session is: its place in the handle table,
// its life, and the pump that moves its chunks. It knows nothing of C.
package core

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"msprecord/internal/doorbell"
	"msprecord/internal/worker"
)

// State is a record_state_t.
type State int

const (
	StateRegistered State = 0
	StateStarting   State = 1
	StateRunning    State = 2
	StateFinished   State = 3
	StateFailed     State = 4
	StateStopping   State = 5
)

const (
	defaultChunk = 4096
	maxChunk     = 16 << 20
)

// releaseEvery is how often stop repeats data_release while data_ready blocks.
const releaseEvery = 100 * time.Millisecond

// Callbacks are an app's, as Go sees them; each may be nil.
type Callbacks struct {
	Ready   func(*doorbell.Waker) (Waiter, error) // makes the thread that data_ready runs on
	Release func(Caller)                          // has data_release run on the caller's thread; does not wait for it
	Event   func(*worker.Thread, Event)
	Message func(t *worker.Thread, data []byte, text bool) // what the server said
	Dial    func(*worker.Thread)                           // before each dial
}

// A Caller is who calls a method that may wait.
type Caller struct {
	Inside bool           // in one of the session's own callbacks
	Call   unsafe.Pointer // the boundary's own, for Release
}

// A Session is a source and a destination, and their life. Any goroutine may
// call its methods.
type Session struct {
	Handle   uint64
	name     string // for messages
	from, to target
	queue    queue         // what the program has to be told
	dialing  chan struct{} // holds a token while Callbacks.Dial runs

	mu        sync.Mutex // never held while a callback or an endpoint works
	state     State
	gone      bool // unregistered
	chunk     int
	options   Options
	callbacks Callbacks
	run       *run // the current or the last, nil before the first
}

// Register makes a session from record_register's arguments.
func Register(from, to string) (*Session, error) {
	source, err := parse("from", from)
	if err != nil {
		return nil, err
	}
	sink, err := parse("to", to)
	if err != nil {
		return nil, err
	}
	if what := shared(source, sink); what != "" {
		return nil, fmt.Errorf("from %q and to %q %s: %w", shown(from), shown(to), what, syscall.EINVAL)
	}
	warnOfVariables()
	options, err := defaults()
	if err != nil {
		return nil, err
	}
	s := &Session{
		name: shown(from) + " -> " + shown(to),
		from: source, to: sink, chunk: defaultChunk, options: options,
		dialing: make(chan struct{}, 1),
	}
	s.queue.changed.L = &s.queue.mu
	enroll(s)
	return s, nil
}

// Configure changes what may change while the session does not run.
func (s *Session) Configure(change func(chunk *int, o *Options, c *Callbacks) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.state {
	case StateStarting, StateRunning, StateStopping:
		return errRunning
	}
	return change(&s.chunk, &s.options, &s.callbacks)
}

// SetChunk sets the largest message.
func (s *Session) SetChunk(n int) error {
	return s.Configure(func(chunk *int, _ *Options, _ *Callbacks) error {
		switch {
		case n > maxChunk:
			return fmt.Errorf("chunk_size=%d is over the most, %d bytes: %w", n, maxChunk, syscall.EINVAL)
		case n <= 0:
			n = defaultChunk
		}
		*chunk = n
		return nil
	})
}

// SetOption sets one option of the table. A header may change while the
// session runs: it holds from the next dial on.
func (s *Session) SetOption(key, value string) error {
	if key == "header" {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.options.Set(key, value)
	}
	return s.Configure(func(_ *int, o *Options, _ *Callbacks) error { return o.Set(key, value) })
}

// Start opens both ends and sets the pump going.
func (s *Session) Start(by Caller) error {
	r, err := s.begin(by)
	if err != nil {
		return err
	}
	defer close(r.opened)
	if err = r.open(s.from, s.to); err == nil {
		r.warnOfShare()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if canceled := r.ctx.Err() != nil; canceled && err == nil { // by a stop, which waits for this
		err = context.Cause(r.ctx)
		s.mu.Unlock()
		r.closeEnds()
		r.closeWaiter()
		s.mu.Lock()
	}
	if err != nil {
		s.mu.Unlock()
		s.queue.settle(time.Now()) // a program whose start failed hears of nothing afterwards
		s.mu.Lock()
		s.state = StateRegistered
		r.err = err
		close(r.ended)
		return err
	}
	s.state = StateRunning
	go s.drive(r)
	return nil
}

func (s *Session) begin(by Caller) (*run, error) {
	s.mu.Lock()
	for s.state == StateFinished || s.state == StateFailed {
		s.mu.Unlock()
		if by.Inside {
			return nil, errInside
		}
		_ = s.Stop(by) // tears the old run down; its failure was logged
		s.mu.Lock()
	}
	defer s.mu.Unlock()
	switch {
	case s.gone:
		return nil, errNoSession
	case s.state != StateRegistered:
		return nil, errStarted
	}
	s.state = StateStarting
	s.run = newRun(s)
	return s.run, nil
}

// drive runs the pump and records how it ended.
func (s *Session) drive(r *run) {
	err := r.pump.run()
	if !r.over.CompareAndSwap(false, true) { // stop has left it behind
		r.closeEnds()
		r.closeWaiter()
		return
	}
	fault := guarded(func() error {
		s.conclude(r, err)
		return nil
	})
	if fault != nil {
		r.err = both(r.err, fault)
	}
	close(r.ended)
}

func (s *Session) conclude(r *run, err error) {
	r.finish(err)
	s.mu.Lock()
	stopping := s.state == StateStopping
	if !stopping {
		s.state = StateFinished
		if r.err != nil {
			s.state = StateFailed
		}
	}
	s.mu.Unlock()
	if r.err != nil {
		Log(LogError, fmt.Sprintf("%s: %v", s.name, r.err))
		r.tell(Failed, r.err, r.err.Error())
	} else if !stopping {
		r.tell(Finished, nil, "finished")
	}
	if !r.lost {
		r.tell(Disconnected, nil, "ended")
	}
}

// PreStop fixes the end of the stream.
func (s *Session) PreStop() {
	s.mu.Lock()
	r, running := s.run, s.state == StateRunning
	s.mu.Unlock()
	if running {
		r.end()
	}
}

// Stop delivers what is there and ends the run.
func (s *Session) Stop(by Caller) error {
	if by.Inside {
		s.PreStop()
		return errInside
	}
	s.mu.Lock()
	r := s.run
	switch s.state {
	case StateRegistered:
		deadline := time.Now().Add(s.options.StopTimeout)
		s.mu.Unlock()
		if len(s.dialing) > 0 && !s.dialReturned(deadline) { // of a start that failed
			return errDialing
		}
		return nil
	case StateStarting:
		r.cancel(errCanceled) // with mu held: start looks for it before the session runs
		s.mu.Unlock()
		<-r.opened
		return s.Stop(by) // another thread may have started it again
	case StateStopping:
		s.mu.Unlock()
		<-r.stopped
		return r.stopErr
	}
	s.state = StateStopping
	s.mu.Unlock()

	r.stopErr = r.stop(by)
	s.mu.Lock()
	s.state = StateRegistered
	s.mu.Unlock()
	close(r.stopped)
	return r.stopErr
}

// Unregister stops the session and forgets it.
func (s *Session) Unregister(by Caller) error {
	if by.Inside {
		return s.Stop(by)
	}
	s.mu.Lock()
	s.gone = true
	s.mu.Unlock()
	err := s.Stop(by)
	if !strike(s) {
		return errNoSession
	}
	return err
}

// Wait waits for the end of the run, for ever where timeout is negative.
func (s *Session) Wait(timeout time.Duration, by Caller) error {
	if by.Inside {
		return errInside
	}
	s.mu.Lock()
	r := s.run
	s.mu.Unlock()
	if r == nil {
		return fmt.Errorf("the session was never started: %w", syscall.EINVAL)
	}
	var over <-chan time.Time
	if timeout >= 0 {
		timer := time.NewTimer(timeout)
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-r.ended:
		return r.err
	case <-r.stopped:
		return r.stopErr
	case <-over:
		return fmt.Errorf("the source has not ended within %v: %w", timeout, syscall.ETIMEDOUT)
	}
}
