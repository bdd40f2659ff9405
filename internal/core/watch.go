// SPDX-License-Identifier: MIT

package core

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"msprecord/internal/doorbell"
	"msprecord/internal/ringbuffer"
)

// warnEvery is how often a session complains of one thing in the log.
const warnEvery = time.Second

// watch looks at the producers' side of all rings that sessions read, also
// while their pumps wait for a server: the thread that sweeps the rings tells
// it within 40 ms when one has refused bytes.
var watch watchers

type watchers struct {
	mu    sync.Mutex // guards the rest
	runs  map[*run]bool
	waker *doorbell.Waker // nil while there are no runs
	over  chan struct{}
}

func (w *watchers) add(r *run) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waker == nil {
		waker, err := doorbell.New()
		if err != nil {
			return err
		}
		w.waker, w.over, w.runs = waker, make(chan struct{}), map[*run]bool{}
		ringbuffer.TellRefusals(waker)
		go w.listen(waker, w.over)
	}
	w.runs[r] = true
	return nil
}

func (w *watchers) remove(r *run) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.runs, r)
	if len(w.runs) == 0 && w.waker != nil {
		ringbuffer.TellRefusals(nil)
		close(w.over)
		w.waker.Close()
		w.waker = nil
	}
}

// listen is the goroutine that lives while there are runs.
func (w *watchers) listen(waker *doorbell.Waker, over <-chan struct{}) {
	for {
		select {
		case <-over:
			return
		case <-waker.C:
		}
		fault := guarded(func() error {
			w.mu.Lock()
			runs := make([]*run, 0, len(w.runs))
			for r := range w.runs {
				runs = append(runs, r)
			}
			w.mu.Unlock()
			for _, r := range runs {
				r.lookAtRing()
			}
			return nil
		})
		if fault != nil {
			Log(LogError, fault.Error())
		}
	}
}

// refusals are what a producer was refused, as far as it was told.
type refusals struct {
	told   atomic.Uint64 // bytes
	mu     sync.Mutex    // held while something is told
	warned time.Time
}

// lookAtRing is watchRing for others than the pump.
func (r *run) lookAtRing() {
	r.ends.RLock()
	defer r.ends.RUnlock()
	if !r.closed && r.ready.Load() {
		r.gauge.Ring()
		r.watchRing()
	}
}

// watchRing reports what the producer was refused. Any goroutine, while the
// source is open.
func (r *run) watchRing() {
	if r.gauge == nil || r.gauge.Refused() == r.refusals.told.Load() {
		return
	}
	r.refusals.mu.Lock()
	defer r.refusals.mu.Unlock()
	refused, told := r.gauge.Refused(), r.refusals.told.Load()
	if refused <= told {
		return
	}
	if now := time.Now(); now.Sub(r.refusals.warned) > warnEvery {
		r.refusals.warned = now
		r.warn(fmt.Sprintf("the ring was full: %d bytes were refused so far", refused))
	}
	r.tellEvent(Event{Type: Overflow, Bytes: refused - told, Offset: nowhere, Message: "the ring was full"})
	r.refusals.told.Store(refused)
}

// missed counts what the program's callbacks were not told because they were
// behind, and says so in the log.
type missed struct {
	warn     func(text string)
	messages atomic.Int64

	mu      sync.Mutex // guards the rest
	bytes   int64      // of the messages
	events  int64
	warned  time.Time
	pending bool // counts have changed since the last line
}

func (m *missed) message(bytes int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.messages.Add(1)
	m.bytes += int64(bytes)
	m.complain()
}

func (m *missed) event(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.events += int64(n)
	m.complain()
}

func (m *missed) complain() {
	now := time.Now()
	m.pending = now.Sub(m.warned) <= warnEvery
	if m.pending {
		return
	}
	m.warned = now
	m.say()
}

func (m *missed) say() {
	m.warn(fmt.Sprintf("the callbacks are behind: %d messages of the server, of %d bytes, and %d events were not delivered to them so far",
		m.messages.Load(), m.bytes, m.events))
}

// atStop adds what waited in vain until the session stopped.
func (m *missed) atStop(events int, messages queued) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.events += int64(events)
	m.messages.Add(int64(messages.count))
	m.bytes += int64(messages.bytes)
	if m.pending || events > 0 || messages.count > 0 {
		m.say()
	}
}
