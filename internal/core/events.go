// SPDX-License-Identifier: MIT

package core

import (
	"math"
	"sync"
	"time"
)

// EventType is a record_event_type_t.
type EventType int

const (
	Connected    EventType = 1
	Disconnected EventType = 2
	Finished     EventType = 3
	Failed       EventType = 4
	Overflow     EventType = 5
)

// An Event is something an app may want to hear of.
type Event struct {
	Type    EventType
	Err     int    // negative errno, or 0
	Bytes   uint64 // Overflow: bytes refused or given up since the last such event
	Offset  uint64 // Overflow: where in the stream those that were given up are missing, else nowhere
	Message string
}

// nowhere is the Offset of bytes that the ring refused: they never were in the
// stream.
const nowhere = math.MaxUint64

type queuedEvent struct {
	session *Session
	call    func()
}

// events are delivered in order by one goroutine for all sessions, which
// lives while there are any.
var events = newEventQueue()

type eventQueue struct {
	mu      sync.Mutex
	changed *sync.Cond
	queue   []queuedEvent
	current *Session // whose callback runs
	running bool
}

func newEventQueue() *eventQueue {
	q := &eventQueue{}
	q.changed = sync.NewCond(&q.mu)
	return q
}

func (q *eventQueue) add(e queuedEvent) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.queue = append(q.queue, e)
	if !q.running {
		q.running = true
		go q.deliver()
	}
}

// mostWaiting is how many events may be queued before what can wait does.
const mostWaiting = 256

// addInTurn is add for what can wait until the queue is short, or over.
func (q *eventQueue) addInTurn(e queuedEvent, over <-chan struct{}) {
	for {
		q.mu.Lock()
		short := len(q.queue) < mostWaiting
		q.mu.Unlock()
		if short {
			break
		}
		select {
		case <-over:
			return
		case <-time.After(time.Millisecond):
		}
	}
	q.add(e)
}

func (q *eventQueue) deliver() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.queue) > 0 {
		e := q.queue[0]
		q.queue = q.queue[1:]
		q.current = e.session
		q.mu.Unlock()
		e.call()
		q.mu.Lock()
		q.current = nil
		q.changed.Broadcast()
	}
	q.running = false
}

// settle waits until no event of a session is queued or being delivered. At
// the deadline it takes back what is queued, and reports false if a callback
// still runs.
func (q *eventQueue) settle(s *Session, deadline time.Time) bool {
	alarm := time.AfterFunc(time.Until(deadline), func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.changed.Broadcast()
	})
	defer alarm.Stop()
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.holds(s) && time.Now().Before(deadline) {
		q.changed.Wait()
	}
	kept := q.queue[:0]
	for _, e := range q.queue {
		if e.session != s {
			kept = append(kept, e)
		}
	}
	q.queue = kept
	return q.current != s
}

func (q *eventQueue) holds(s *Session) bool {
	if q.current == s {
		return true
	}
	for _, e := range q.queue {
		if e.session == s {
			return true
		}
	}
	return false
}
