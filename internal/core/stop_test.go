// SPDX-License-Identifier: MIT

package core

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"msprecord/internal/ringbuffer/ringtest"
	"msprecord/internal/worker"
)

// A server that confirms every byte and never answers a close.
func newMute(t *testing.T, handshake func(*http.Request)) (url string, drop func()) {
	t.Helper()
	var upgrader websocket.Upgrader
	var mu sync.Mutex
	var open []*websocket.Conn
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handshake(r)
		mu.Lock() // drop finds each connection whose handshake the client has seen
		ws, err := upgrader.Upgrade(w, r, nil)
		if err == nil {
			open = append(open, ws)
		}
		mu.Unlock()
		if err != nil {
			return
		}
		defer ws.Close()
		ws.SetCloseHandler(func(int, string) error { return nil })
		for {
			if _, _, err := ws.ReadMessage(); err != nil {
				break
			}
		}
		io.Copy(io.Discard, ws.NetConn()) // until the client closes
	}))
	drop = func() {
		mu.Lock()
		defer mu.Unlock()
		for _, ws := range open {
			ws.NetConn().Close()
		}
		open = nil
	}
	t.Cleanup(func() {
		drop()
		h.Close()
	})
	return "ws" + strings.TrimPrefix(h.URL, "http") + "/x", drop
}

func TestAStopThatLeftNothingBehindIsNoError(t *testing.T) {
	url, _ := newMute(t, func(*http.Request) {})
	ring := ringtest.New(t, 10_001)
	s := register(t, ringURI(ring), url)
	s.SetOption("stop_timeout", "300") // less than a server is given to answer a close
	if err := s.Start(Caller{}); err != nil {
		t.Fatal(err)
	}
	ring.Write(make([]byte, 10_000))
	until(t, "all is acknowledged", func() bool { return s.Stats().Delivered == 10_000 })
	err := s.Stop(Caller{})
	if got := s.Stats(); err != nil || got.Left != 0 || got.Delivered != 10_000 {
		t.Fatalf("%v, %+v", err, got)
	}
}

func TestAStopThatEndsAStartIsNoError(t *testing.T) {
	srv := newServer(t, false)
	for i := range 200 {
		s := register(t, "null://", srv.url)
		started := make(chan error, 1)
		go func() { started <- s.Start(Caller{}) }()
		time.Sleep(time.Duration(i) * 10 * time.Microsecond) // meets each step of a start once
		if err := s.Stop(Caller{}); err != nil {
			t.Fatalf("stop: %v", err)
		}
		if err := <-started; err != nil && !errors.Is(err, syscall.ECANCELED) {
			t.Fatalf("start: %v", err)
		}
		if err := s.Unregister(Caller{}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPreStopStartsTheClockOfStop(t *testing.T) {
	srv := newServer(t, true)
	var sessions []*Session
	for range 3 {
		ring := ringtest.New(t, 1<<20)
		s := register(t, ringURI(ring), srv.url)
		s.SetOption("stop_timeout", "1000")
		if err := s.Start(Caller{}); err != nil {
			t.Fatal(err)
		}
		ring.Write(make([]byte, 1000))
		sessions = append(sessions, s)
	}
	begun := time.Now()
	for _, s := range sessions {
		s.PreStop()
	}
	for _, s := range sessions {
		if err := s.Stop(Caller{}); !errors.Is(err, syscall.ETIMEDOUT) {
			t.Fatal(err)
		}
	}
	if took := time.Since(begun); took < 900*time.Millisecond || took > 2500*time.Millisecond {
		t.Fatalf("three stops of 1 s each took %v", took)
	}
}

// A sinkhole hangs where no context reaches.
type sinkhole struct {
	Sink
	hung chan struct{}
	open chan struct{}
}

func (s sinkhole) Reserve(max int) (int, error) {
	close(s.hung)
	<-s.open
	return max, nil
}
func (sinkhole) Put(a, b []byte) error { return nil }
func (sinkhole) Sent() int64           { return 0 }
func (sinkhole) Delivered() int64      { return 0 }
func (sinkhole) Close() error          { return nil }

func TestAPumpThatHangsIsLeftBehind(t *testing.T) {
	was := leaveAfter
	leaveAfter = 50 * time.Millisecond
	t.Cleanup(func() { leaveAfter = was })
	hole := sinkhole{hung: make(chan struct{}), open: make(chan struct{})}
	ring := ringtest.New(t, 1001)
	s := register(t, ringURI(ring), "null://")
	s.to.sink = func(opening) (Sink, error) { return hole, nil }
	s.SetOption("stop_timeout", "50")
	if err := s.Start(Caller{}); err != nil {
		t.Fatal(err)
	}
	ring.Write(make([]byte, 700))
	<-hole.hung
	waited := make(chan error, 1)
	go func() { waited <- s.Wait(-1, Caller{}) }()
	err := s.Stop(Caller{})
	if got := s.Stats(); !errors.Is(err, syscall.ETIMEDOUT) || got.Left+got.InRing != 700 || !strings.Contains(err.Error(), "700 are still in the ring") {
		t.Fatalf("%v, %+v", err, got)
	}
	if err := <-waited; !errors.Is(err, syscall.ETIMEDOUT) {
		t.Fatal(err)
	}
	if err := s.Start(Caller{}); !errors.Is(err, syscall.EBUSY) {
		t.Fatalf("the ring is still read: %v", err)
	}
	ring.Destroy() // returns
	close(hole.open)
}

func TestAHeaderMayChangeWhileTheSessionRuns(t *testing.T) {
	tokens := make(chan string, 100)
	url, drop := newMute(t, func(r *http.Request) { tokens <- r.Header.Get("Token") })
	s := register(t, "null://", url)
	s.SetOption("header", "Token: first")
	if err := s.Start(Caller{}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.SetOption("header", ""), s.SetOption("header", "Token: second")); err != nil {
		t.Fatal(err)
	}
	if err := s.SetOption("stop_timeout", "1"); !errors.Is(err, syscall.EBUSY) {
		t.Fatalf("another option: %v", err)
	}
	drop()
	if got := <-tokens + " " + <-tokens; got != "first second" {
		t.Fatalf("the server saw %s", got)
	}
}

func TestTheDialCallbackComesBeforeEachDial(t *testing.T) {
	tokens := make(chan string, 100)
	url, drop := newMute(t, func(r *http.Request) { tokens <- r.Header.Get("Token") })
	s := register(t, "null://", url)
	n := 0
	s.Configure(func(_ *int, _ *Options, c *Callbacks) error {
		c.Dial = func(*worker.Thread) {
			n++
			s.SetOption("header", "")
			s.SetOption("header", fmt.Sprint("Token: ", n))
		}
		return nil
	})
	if err := s.Start(Caller{}); err != nil {
		t.Fatal(err)
	}
	for i := 1; i <= 3; i++ {
		if got := <-tokens; got != fmt.Sprint(i) {
			t.Fatalf("dial %d had token %s", i, got)
		}
		until(t, "the connection stands", func() bool { return s.Stats().Reconnects == int64(i-1) })
		drop()
	}
}

func TestADialCallbackThatBlocksIsBounded(t *testing.T) {
	url, drop := newMute(t, func(*http.Request) {})
	s := register(t, "null://", url)
	s.SetOption("connect_timeout", "100")
	s.SetOption("stop_timeout", "300")
	gate, blocks := make(chan struct{}), make(chan bool, 1)
	blocks <- true
	s.Configure(func(_ *int, _ *Options, c *Callbacks) error {
		c.Dial = func(*worker.Thread) {
			if b := <-blocks; b {
				blocks <- b
				<-gate
			} else {
				blocks <- b
			}
		}
		return nil
	})
	begun := time.Now()
	if err := s.Start(Caller{}); !errors.Is(err, syscall.ETIMEDOUT) {
		t.Fatal(err)
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Fatalf("start took %v", took)
	}
	if err := s.Stop(Caller{}); !errors.Is(err, syscall.ETIMEDOUT) || !strings.Contains(err.Error(), "dial callback") {
		t.Errorf("a stop while the callback runs: %v", err)
	}
	gate <- struct{}{}
	<-blocks
	blocks <- false
	until(t, "it connects", func() bool { return s.Start(Caller{}) == nil })
	<-blocks
	blocks <- true
	drop()
	until(t, "it dials", func() bool { return len(s.dialing) == 1 })
	begun = time.Now()
	if err := s.Stop(Caller{}); !errors.Is(err, syscall.ETIMEDOUT) || !strings.Contains(err.Error(), "dial callback") {
		t.Fatal(err)
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Fatalf("stop took %v", took)
	}
	close(gate)
	until(t, "it returns", func() bool { return s.dialReturned(time.Now()) })
}

func TestNoDialCallbackComesForARunThatIsOver(t *testing.T) {
	s := register(t, "null://", "null://")
	run, end := context.WithCancel(context.Background())
	end()
	s.callDial(context.Background(), run, func(*worker.Thread) { t.Error("it was called") })
	if !s.dialReturned(time.Now()) {
		t.Error("its turn is not over")
	}
}

func TestAFaultAtTheEndClosesBothEndsAllTheSame(t *testing.T) {
	ring := ringtest.New(t, 101)
	s := register(t, ringURI(ring), "null://")
	s.to.sink = func(opening) (Sink, error) { return miscounting{}, nil }
	if err := s.Start(Caller{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(Caller{}); Errno(err) != -int(syscall.EIO) || !strings.Contains(err.Error(), "fault of the library") {
		t.Fatal(err)
	}
	s.to.sink = func(opening) (Sink, error) { return nopSink{}, context.Canceled }
	if err := s.Start(Caller{}); !errors.Is(err, context.Canceled) {
		t.Fatalf("the ring was not given back: %v", err)
	}
}

type miscounting struct{ Sink }

func (miscounting) Reserve(max int) (int, error) { return max, nil }
func (miscounting) Flush() error                 { return nil }
func (miscounting) Finish() error                { return nil }
func (miscounting) Sent() int64                  { return 0 }
func (miscounting) Delivered() int64             { panic("miscounted") }
func (miscounting) Close() error                 { return nil }
