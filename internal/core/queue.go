// SPDX-License-Identifier: MIT

package core

import (
	"sync"
	"time"

	"msprecord/internal/worker"
)

// What may wait for a session's callbacks.
const (
	maxEvents       = 256
	maxMessageBytes = 1 << 20 // one message always fits, however large
	messageOverhead = 128     // what a message costs besides its bytes
)

// A queue holds the events and messages that a session has to tell its
// program, in order, until the callbacks have taken them. It is bounded, and
// nothing waits for it: a callback that blocks delays what comes after it in
// its own session, and nothing else.
type queue struct {
	mu      sync.Mutex // guards the rest; never held while a callback runs
	changed sync.Cond  // signalled when a callback has returned
	items   []item
	events  int // of items, how many are events
	bytes   int // what the messages of items cost
	busy    bool
	running bool          // deliver's goroutine lives
	over    chan struct{} // closed: deliver need not wait for a thread; nil: it does not wait
}

// An item is an event or a message, and the callbacks that hear of it.
type item struct {
	callbacks *Callbacks
	event     *Event // nil: a message
	data      []byte
	text      bool
}

func (i *item) cost() int { return len(i.data) + messageOverhead }

func (i *item) tell(t *worker.Thread) {
	defer func() {
		if fault := recover(); fault != nil {
			Log(LogError, ours(fault).Error())
		}
	}()
	if i.event != nil {
		i.callbacks.Event(t, *i.event)
		return
	}
	i.callbacks.Message(t, i.data, i.text)
}

// addEvent queues an event, and returns how many events are not told because
// too many wait. What the program is told stays true: overflows are added up,
// and of connections that were lost and made again while it did not listen, it
// hears of the last state.
func (q *queue) addEvent(c *Callbacks, e Event) (lost int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	full := q.events >= maxEvents
	switch e.Type {
	case Overflow:
		if last := q.lastOverflow(e.Offset == nowhere); last != nil {
			switch adjoins := last.Offset+last.Bytes == e.Offset; {
			case e.Offset == nowhere, adjoins:
				last.merge(e)
				return 0
			case full:
				last.merge(e)
				return 1
			}
		}
	case Connected, Disconnected:
		if full && q.cancel(e.Type) {
			return 2
		}
	}
	q.add(item{callbacks: c, event: &e})
	q.events++
	return 0
}

// lastOverflow is the newest overflow event that waits, of bytes that a ring
// refused or of bytes that were given up. The caller holds mu.
func (q *queue) lastOverflow(refused bool) *Event {
	for i := len(q.items) - 1; i >= 0; i-- {
		if e := q.items[i].event; e != nil && e.Type == Overflow && (e.Offset == nowhere) == refused {
			return e
		}
	}
	return nil
}

// cancel removes the newest event of a connection where it is the opposite of
// one that comes now, and tells whether it did. The caller holds mu.
func (q *queue) cancel(comes EventType) bool {
	for i := len(q.items) - 1; i >= 0; i-- {
		e := q.items[i].event
		if e == nil || e.Type != Connected && e.Type != Disconnected {
			continue
		}
		if e.Type == comes {
			return false
		}
		q.items = append(q.items[:i], q.items[i+1:]...)
		q.events--
		return true
	}
	return false
}

// addMessage queues a message of the server, and reports false where it does
// not fit.
func (q *queue) addMessage(c *Callbacks, data []byte, text bool) bool {
	i := item{callbacks: c, data: data, text: text}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.bytes > 0 && q.bytes+i.cost() > maxMessageBytes {
		return false
	}
	q.bytes += i.cost()
	q.add(i)
	return true
}

// add queues an item, and starts the goroutine that delivers it. The caller
// holds mu.
func (q *queue) add(i item) {
	q.items = append(q.items, i)
	if !q.running {
		q.running = true
		go q.deliver()
	}
}

// deliver tells everything that is queued, one after the other, and ends.
func (q *queue) deliver() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.items) > 0 {
		over := make(chan struct{})
		q.over = over
		q.mu.Unlock()
		t := worker.Take(over)
		q.mu.Lock()
		q.over = nil
		if t == nil {
			continue
		}
		for len(q.items) > 0 {
			i := q.items[0]
			q.items[0] = item{}
			q.items = q.items[1:]
			if i.event != nil {
				q.events--
			} else {
				q.bytes -= i.cost()
			}
			q.busy = true
			q.mu.Unlock()
			i.tell(t)
			q.mu.Lock()
			q.busy = false
			q.changed.Broadcast()
		}
		t.Give()
	}
	q.items, q.running = nil, false
}

// queued is how many messages, with how many bytes.
type queued struct{ count, bytes int }

// settle waits until everything is told and no callback runs. Halfway to the
// deadline it takes back what still waits, and counts it, so that a callback
// that is slow has time to return. It reports false where one has not.
func (q *queue) settle(deadline time.Time) (events int, messages queued, returned bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	halfway := time.Now().Add(time.Until(deadline) / 2)
	q.await(notBefore(halfway, releaseEvery), func() bool { return !q.busy && len(q.items) == 0 })
	for _, i := range q.items {
		if i.event != nil {
			events++
		} else {
			messages.count++
			messages.bytes += len(i.data)
		}
	}
	q.items, q.events, q.bytes = nil, 0, 0
	if q.over != nil {
		close(q.over)
		q.over = nil
	}
	q.await(notBefore(deadline, releaseEvery), func() bool { return !q.busy })
	return events, messages, !q.busy
}

// await waits until a condition holds, or the deadline is over. The caller
// holds mu.
func (q *queue) await(deadline time.Time, holds func() bool) {
	if holds() {
		return
	}
	alarm := time.AfterFunc(time.Until(deadline), func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.changed.Broadcast()
	})
	defer alarm.Stop()
	for !holds() && time.Now().Before(deadline) {
		q.changed.Wait()
	}
}

// notBefore is a deadline that is at least so far away.
func notBefore(deadline time.Time, d time.Duration) time.Time {
	if soonest := time.Now().Add(d); deadline.Before(soonest) {
		return soonest
	}
	return deadline
}
