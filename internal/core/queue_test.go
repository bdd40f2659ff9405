// SPDX-License-Identifier: MIT

package core

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"msprecord/internal/ringbuffer/ringtest"
	"msprecord/internal/worker"
)

// blocked is a queue whose first event's callback blocks until release.
func blocked(t *testing.T) (q *queue, c *Callbacks, release func() []string) {
	t.Helper()
	q = &queue{}
	q.changed.L = &q.mu
	gate := make(chan struct{})
	var mu sync.Mutex
	var told []string
	tell := func(text string) {
		<-gate
		mu.Lock()
		defer mu.Unlock()
		told = append(told, text)
	}
	c = &Callbacks{
		Event: func(_ *worker.Thread, e Event) {
			if e.Type == Overflow {
				tell(fmt.Sprint(e.Bytes, "@", int64(e.Offset)))
			} else {
				tell(fmt.Sprint(e.Type))
			}
		},
		Message: func(_ *worker.Thread, data []byte, _ bool) { tell(fmt.Sprintf("%.9s", data)) },
	}
	q.addEvent(c, Event{Type: Connected})
	until(t, "the callback runs", func() bool {
		q.mu.Lock()
		defer q.mu.Unlock()
		return q.busy
	})
	return q, c, func() []string {
		t.Helper()
		close(gate)
		if events, messages, returned := q.settle(time.Now().Add(20 * time.Second)); events+messages.count > 0 || !returned {
			t.Fatalf("%d events and %d messages were not told, returned is %v", events, messages.count, returned)
		}
		return told[1:]
	}
}

func TestOverflowsThatWaitAreAddedUp(t *testing.T) {
	q, c, release := blocked(t)
	for _, e := range []Event{
		{Bytes: 1, Offset: nowhere}, {Bytes: 10, Offset: 100}, {Bytes: 2, Offset: nowhere},
		{Bytes: 5, Offset: 110}, {Bytes: 7, Offset: 200}, {Bytes: 3, Offset: 207},
	} {
		e.Type = Overflow
		if lost := q.addEvent(c, e); lost != 0 {
			t.Fatalf("%d events are lost", lost)
		}
	}
	if got, want := strings.Join(release(), " "), "3@-1 15@100 10@200"; got != want {
		t.Fatalf("told %s, want %s", got, want)
	}
}

func TestEventsThatWaitAreBoundedAndTheLastStateIsTold(t *testing.T) {
	q, c, release := blocked(t)
	const rounds = 10 * maxEvents
	lost, bytes := 0, uint64(0)
	for i := range rounds {
		lost += q.addEvent(c, Event{Type: Disconnected})
		lost += q.addEvent(c, Event{Type: Overflow, Bytes: 1, Offset: uint64(10 * i)})
		bytes++
		lost += q.addEvent(c, Event{Type: Connected})
	}
	lost += q.addEvent(c, Event{Type: Disconnected})
	lost += q.addEvent(c, Event{Type: Finished})
	told := release()
	if len(told) > maxEvents+4 || len(told)+lost != 3*rounds+2 {
		t.Fatalf("%d events were told and %d lost of %d", len(told), lost, 3*rounds+2)
	}
	var state string
	var sum uint64
	for _, text := range told {
		var n uint64
		if _, err := fmt.Sscanf(text, "%d@", &n); err == nil && strings.Contains(text, "@") {
			sum += n
		} else if text != fmt.Sprint(Finished) {
			if text == state {
				t.Fatalf("state %s was told twice in a row", text)
			}
			state = text
		}
	}
	if state != fmt.Sprint(Disconnected) || told[len(told)-1] != fmt.Sprint(Finished) || sum != bytes {
		t.Fatalf("the last state told is %s, the last event %s, %d bytes of %d", state, told[len(told)-1], sum, bytes)
	}
}

func TestMessagesThatWaitAreBoundedInBytes(t *testing.T) {
	for _, size := range []int{0, 100, 100_000, 5 * maxMessageBytes} {
		q, c, release := blocked(t)
		fit := 0
		for i := range 20_000 {
			data := make([]byte, size)
			copy(data, fmt.Sprint(i))
			if !q.addMessage(c, data, true) {
				break
			}
			fit++
		}
		if held := fit * (size + messageOverhead); fit == 0 || fit > 1 && held > maxMessageBytes || held+size+messageOverhead <= maxMessageBytes {
			t.Fatalf("%d messages of %d bytes wait", fit, size)
		}
		if told := release(); len(told) != fit {
			t.Fatalf("%d messages were told of %d", len(told), fit)
		}
	}
}

func TestACallbackThatIsSlowIsNoErrorOfStop(t *testing.T) {
	s := register(t, "null://", "null://")
	s.SetOption("stop_timeout", "2000")
	s.Configure(func(_ *int, _ *Options, c *Callbacks) error {
		c.Event = func(*worker.Thread, Event) { time.Sleep(100 * time.Millisecond) }
		return nil
	})
	if err := s.Start(Caller{}); err != nil {
		t.Fatal(err)
	}
	for range 100 { // 10 s of work for the callback
		s.run.tell(Disconnected, nil, "")
		s.run.tell(Connected, nil, "")
	}
	begun := time.Now()
	if err := s.Stop(Caller{}); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begun); took > 8*time.Second {
		t.Fatalf("stop took %v", took)
	}
}

func TestACallbackThatBlocksDelaysItsOwnSessionAlone(t *testing.T) {
	gate := make(chan struct{})
	start := func(event func(*worker.Thread, Event)) *Session {
		s := register(t, "null://", "null://")
		s.SetOption("stop_timeout", "200")
		s.Configure(func(_ *int, _ *Options, c *Callbacks) error {
			c.Event = event
			return nil
		})
		if err := s.Start(Caller{}); err != nil {
			t.Fatal(err)
		}
		return s
	}
	var blocking []*Session
	for range 5 {
		blocking = append(blocking, start(func(*worker.Thread, Event) { <-gate }))
	}
	var told []EventType
	free := start(func(_ *worker.Thread, e Event) { told = append(told, e.Type) })
	if err := free.Stop(Caller{}); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(told) != "[1 2]" {
		t.Fatalf("the other session heard %v", told)
	}
	for _, s := range blocking {
		if err := s.Stop(Caller{}); Errno(err) != -110 {
			t.Fatalf("stop beside a callback that blocks: %v", err)
		}
	}
	close(gate)
}

// The 40 ms sweep tells of refused bytes while the pump waits for room.
func TestRefusedBytesAreToldWhileThePumpWaits(t *testing.T) {
	full := ringtest.New(t, 101) // nobody reads it
	ring := ringtest.New(t, 1001)
	s := register(t, ringURI(ring), ringURI(full))
	s.SetOption("stop_timeout", "50")
	heard := make(chan Event, 10)
	s.Configure(func(_ *int, _ *Options, c *Callbacks) error {
		c.Event = func(_ *worker.Thread, e Event) { heard <- e }
		return nil
	})
	if err := s.Start(Caller{}); err != nil {
		t.Fatal(err)
	}
	<-heard // connected
	ring.Write(make([]byte, 100))
	until(t, "the destination is full", func() bool { return s.Stats().Sent == 100 })
	ring.Write(make([]byte, 700))
	until(t, "what waits in the ring is told", func() bool { return s.Stats().RingHighWater == 700 })
	ring.Write(make([]byte, 700))
	select {
	case e := <-heard:
		if e.Type != Overflow || e.Bytes != 400 {
			t.Fatalf("%+v", e)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("refused bytes are not told")
	}
	if got := s.Stats(); got.Dropped != 400 || got.RingHighWater != 1000 {
		t.Fatalf("%+v", got)
	}
	s.Stop(Caller{})
	ring.Write(make([]byte, 700))
	ring.Destroy()
	if got := s.Stats(); got.Dropped != 400 || got.Left+got.InRing != 1000 {
		t.Fatalf("after stop: %+v", got)
	}
}
