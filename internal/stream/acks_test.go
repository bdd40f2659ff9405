// SPDX-License-Identifier: MIT

package stream

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/sys/unix"
)

func TestTheRoundTripIsThatOfThePingThatWasAnswered(t *testing.T) {
	var a ackState
	a.begin()
	at := func(d time.Duration) int64 { return a.since + int64(d) }
	first := a.pend(1000, 0, at(0))
	second := a.pend(2000, 0, at(500*time.Millisecond))
	a.settle(first, 1000, at(600*time.Millisecond))
	if rtt := time.Duration(a.rtt.Load()); rtt != 600*time.Millisecond {
		t.Errorf("%v, want that of the first ping, 600ms", rtt)
	}
	if oldest, pending := a.oldestPing(); !pending || oldest.at != at(500*time.Millisecond) {
		t.Errorf("the second ping is not the oldest that waits: %v, %v", oldest, pending)
	}
	for range 3 * maxPendingPings {
		second = a.pend(3000, 0, at(time.Second))
	}
	if oldest, _ := a.oldestPing(); oldest.at != at(500*time.Millisecond) || len(a.pings) > maxPendingPings {
		t.Errorf("of %d pings the oldest is from %v", len(a.pings), oldest)
	}
	a.settle(second, 3000, at(2*time.Second))
	if _, pending := a.oldestPing(); pending || a.acked.Load() != 3000 {
		t.Errorf("the newest pong does not settle the older pings; %d acknowledged", a.acked.Load())
	}
}

// turn lets a stream act until done, as its pump would.
func turn(t *testing.T, s *Stream, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s; %+v", what, s.Figures())
		}
		if err := s.Flush(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		select {
		case <-s.waker.C:
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func TestASecondPingWithoutAnAnswerIsNoticed(t *testing.T) {
	var pings atomic.Int32
	url := serve(t, func(ws *websocket.Conn) {
		var first string
		ws.SetPingHandler(func(p string) error {
			switch pings.Add(1) {
			case 1:
				first = p
			case 2: // the answer to the first comes after the second
				return ws.WriteControl(websocket.PongMessage, []byte(first), time.Now().Add(time.Second))
			}
			return nil
		})
		for {
			if _, _, err := ws.ReadMessage(); err != nil {
				return
			}
		}
	})
	cfg := config(t, url)
	cfg.PongTimeout = time.Second
	lost := false
	cfg.Down = func(error) { lost = true }
	s := open(t, context.Background(), cfg)
	put(t, s, make([]byte, 8192)) // enough for a ping at once
	turn(t, s, "a ping", func() bool { return pings.Load() == 1 })
	put(t, s, make([]byte, 8192))
	turn(t, s, "a second ping", func() bool { return pings.Load() == 2 })
	at := time.Now()
	turn(t, s, "the loss", func() bool { return lost })
	if took := time.Since(at); took > 3*time.Second {
		t.Fatalf("the second ping was missed after %v, with a pong_timeout of 1s", took)
	}
}

func TestAServerThatAnswersNoPingsHoldsNobodyBack(t *testing.T) {
	url := serve(t, func(ws *websocket.Conn) {
		ws.SetPingHandler(func(string) error { return nil })
		for {
			if _, _, err := ws.ReadMessage(); err != nil {
				return
			}
		}
	})
	cfg := config(t, url)
	cfg.ReplayBytes = 64 << 10
	warned := ""
	cfg.Warn = func(text string) { warned = text }
	s := open(t, context.Background(), cfg)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var longest time.Duration
	for range 150 { // 3 s, at a rate that fills the window in 1.6 s
		<-tick.C
		at := time.Now()
		put(t, s, make([]byte, 800))
		if err := s.Flush(); err != nil {
			t.Fatal(err)
		}
		longest = max(longest, time.Since(at))
	}
	if longest > 500*time.Millisecond {
		t.Errorf("a chunk waited %v", longest)
	}
	if !strings.Contains(warned, "wire=mux") || s.Figures().Answers {
		t.Errorf("the warning is %q; %+v", warned, s.Figures())
	}
}

func TestAStreamGoesOnWhereTheProcessHasItsMost(t *testing.T) {
	for _, policy := range []OnFull{Hold, DropOldest} {
		for _, ignoring := range []bool{false, true} {
			t.Run(fmt.Sprintf("on_full %d, pings ignored %v", policy, ignoring), func(t *testing.T) {
				var ws atomic.Pointer[websocket.Conn]
				var away atomic.Bool
				url := serve(t, func(c *websocket.Conn) {
					if away.Load() {
						return
					}
					if ignoring {
						c.SetPingHandler(func(string) error { return nil })
					}
					ws.Store(c)
					for {
						if _, _, err := c.ReadMessage(); err != nil {
							return
						}
					}
				})
				windowMemory.Add(ProcessBound) // what other streams hold
				defer windowMemory.Add(-ProcessBound)
				ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
				defer cancel()
				cfg := config(t, url)
				cfg.OnFull = policy
				cfg.PingInterval, cfg.PongTimeout = 50*time.Millisecond, 500*time.Millisecond
				s := open(t, ctx, cfg)
				send := func(total int) {
					t.Helper()
					for range total / 1000 {
						if _, err := s.Reserve(1000); err != nil {
							t.Fatalf("%v; %+v", err, s.Figures())
						}
						if err := s.Put(make([]byte, 1000), nil); err != nil {
							t.Fatal(err)
						}
					}
				}
				send(500_000)
				if policy != DropOldest || ignoring {
					return
				}
				away.Store(true)
				ws.Load().Close()
				turn(t, s, "the loss", func() bool { return s.link == nil })
				send(500_000)
				if s.Figures().GivenUp == 0 || s.window.memory < LeastWindow/2 {
					t.Errorf("%d bytes of memory; %+v", s.window.memory, s.Figures())
				}
			})
		}
	}
}

func TestAWindowCountsWhatItCosts(t *testing.T) {
	mask, err := newMasker()
	if err != nil {
		t.Fatal(err)
	}
	form := wire{mask: mask}
	w := window{limit: 4 << 20}
	before := windowMemory.Load()
	for w.place(form.room(1)) {
		w.put(&form, []byte{0}, nil)
	}
	cost := windowMemory.Load() - before
	if cost > int64(w.limit)*5/4 || int64(cap(w.messages))*int64(messageCost)/2 > int64(w.limit) {
		t.Errorf("a window of %d bytes costs %d, with chunks of 1 byte", w.limit, cost)
	}
	w.release()
	if n := windowMemory.Load() - before; n != 0 {
		t.Errorf("%d bytes are counted after the release", n)
	}
}

func TestAServerThatAsksForWhatIsGoneIsToldSo(t *testing.T) {
	srv := &gapServer{resumes: true}
	s := openAt(t, srv)
	for range 50 {
		put(t, s, make([]byte, 2000))
	}
	turn(t, s, "everything has arrived", s.complete)
	srv.mu.Lock()
	srv.at, srv.forgets = 10_000, true
	srv.ws.Close()
	srv.mu.Unlock()
	var err error
	for deadline := time.Now().Add(10 * time.Second); err == nil && time.Now().Before(deadline); {
		err = s.Flush()
		select {
		case <-s.waker.C:
		case <-time.After(5 * time.Millisecond):
		}
	}
	if err == nil || !strings.Contains(err.Error(), "says it holds 10000 bytes of a stream that can be sent again from 100000 on") {
		t.Fatalf("%v", err)
	}
}

func TestAConnectionEndsThoughAChildHoldsItsSocket(t *testing.T) {
	ended := make(chan struct{})
	url := serve(t, func(ws *websocket.Conn) {
		_, _, _ = ws.ReadMessage()
		close(ended)
	})
	s := dial(t, context.Background(), url)
	l := s.link.(*link)
	var child int // as in a forked child: another descriptor of the same socket
	if err := l.raw.Control(func(fd uintptr) { child, _ = unix.Dup(int(fd)) }); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(child)
	s.Close()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("the server has not heard of the end")
	}
	var n int
	var err error
	_ = ears.epoll.Control(func(fd uintptr) {
		n, err = unix.EpollWait(int(fd), make([]unix.EpollEvent, 8), 0)
	})
	if n != 0 || err != nil {
		t.Errorf("the poller is told of %d connections for ever, %v", n, err)
	}
}

// Bytes that a hung server's TCP takes are no answer to a ping.
func TestAServerThatHangsIsNoticedThoughItsTCPTakesBytes(t *testing.T) {
	hang := make(chan struct{})
	url := serve(t, func(ws *websocket.Conn) {
		for {
			if _, _, err := ws.ReadMessage(); err != nil {
				return
			}
			select {
			case <-hang:
				<-t.Context().Done()
				return
			default:
			}
		}
	})
	cfg := config(t, url)
	cfg.PongTimeout, cfg.PingInterval = time.Second, 100*time.Millisecond
	lost := false
	cfg.Down = func(error) { lost = true }
	s := open(t, context.Background(), cfg)
	put(t, s, make([]byte, 8192))
	turn(t, s, "the first pong", func() bool { return s.Figures().Answers })
	close(hang)
	begun := time.Now()
	turn(t, s, "the loss", func() bool {
		if time.Since(begun) < 10*time.Second {
			put(t, s, make([]byte, 100)) // the socket takes them
		}
		return lost
	})
	if took := time.Since(begun); took > 4*time.Second {
		t.Errorf("the loss was noticed after %v", took)
	}
}
