// SPDX-License-Identifier: MIT

package core

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"msprecord/internal/ringbuffer/ringtest"
)

// A listener keeps what it hears, message for message.
type listener struct {
	url string
	mu  sync.Mutex
	got []string // "text T", or "N bytes"
}

func newListener(t *testing.T) *listener {
	t.Helper()
	l := &listener{}
	var upgrader websocket.Upgrader
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer ws.Close()
		for {
			kind, p, err := ws.ReadMessage()
			if err != nil {
				return
			}
			said := fmt.Sprint(len(p), " bytes")
			if kind == websocket.TextMessage {
				said = "text " + string(p)
			}
			l.mu.Lock()
			l.got = append(l.got, said)
			l.mu.Unlock()
		}
	}))
	t.Cleanup(h.Close)
	l.url = "ws" + strings.TrimPrefix(h.URL, "http") + "/x"
	return l
}

func (l *listener) heard() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.got)
}

func TestATextComesBehindWhatWasWrittenBefore(t *testing.T) {
	srv := newListener(t)
	ring := ringtest.New(t, 1<<20)
	s := register(t, ringURI(ring), srv.url)
	if err := s.SendText("early"); !errors.Is(err, syscall.ENOTCONN) {
		t.Errorf("before the start: %v", err)
	}
	if err := s.Start(Caller{}); err != nil {
		t.Fatal(err)
	}
	const rounds = 200
	for i := range rounds {
		ring.Write(make([]byte, 1000+i))
		if err := s.SendText(fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.SendText("\xff"); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("what is no UTF-8: %v", err)
	}
	if err := s.Stop(Caller{}); err != nil {
		t.Fatal(err)
	}
	total, want, texts := 0, 0, 0
	for _, said := range srv.heard() {
		var n int
		if _, err := fmt.Sscanf(said, "%d bytes", &n); err == nil {
			total += n
			continue
		}
		want += 1000 + texts
		if said != fmt.Sprint("text ", texts) || total != want {
			t.Fatalf("%q comes behind %d bytes, want text %d behind %d", said, total, texts, want)
		}
		texts++
	}
	if texts != rounds {
		t.Errorf("%d texts of %d", texts, rounds)
	}
	if err := s.SendText("late"); !errors.Is(err, syscall.ENOTCONN) {
		t.Errorf("after the stop: %v", err)
	}
}

func TestATextHasABoundAndADestination(t *testing.T) {
	s := register(t, "null://", "null://")
	if err := s.Start(Caller{}); err != nil {
		t.Fatal(err)
	}
	if err := s.SendText("to nobody"); !errors.Is(err, syscall.ENOTSUP) {
		t.Error(err)
	}
	var q texts
	for n := 0; q.add(textMessage{body: make([]byte, 1000)}); n++ {
		if n > maxTextBytes/1000 {
			t.Fatal("there is no bound")
		}
	}
}

func TestNoMessageIsShorterThanMinChunk(t *testing.T) {
	srv := newListener(t)
	ring := ringtest.New(t, 1<<20)
	s := register(t, ringURI(ring), srv.url)
	s.SetChunk(1600)
	for key, value := range map[string]string{"min_chunk": "1000"} {
		if err := s.SetOption(key, value); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Start(Caller{}); err != nil {
		t.Fatal(err)
	}
	const piece, pieces = 320, 103
	for range pieces {
		ring.Write(make([]byte, piece))
		time.Sleep(time.Millisecond) // what an audio thread does
	}
	if err := s.Stop(Caller{}); err != nil {
		t.Fatal(err)
	}
	total := 0
	heard := srv.heard()
	for i, said := range heard {
		var n int
		fmt.Sscanf(said, "%d bytes", &n)
		if total += n; n < 1000 && i < len(heard)-1 || n > 1600 {
			t.Errorf("message %d of %d has %d bytes", i, len(heard), n)
		}
	}
	if total != piece*pieces || len(heard) < 10 {
		t.Errorf("%d bytes of %d, in %d messages", total, piece*pieces, len(heard))
	}
}

func TestBytesWaitForMinChunkNoLongerThanMinChunkWait(t *testing.T) {
	srv := newListener(t)
	ring := ringtest.New(t, 1<<20)
	s := register(t, ringURI(ring), srv.url)
	s.SetOption("min_chunk", "1000")
	s.SetOption("min_chunk_wait", "200")
	if err := s.Start(Caller{}); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	ring.Write(make([]byte, 100))
	until(t, "the bytes come all the same", func() bool { return len(srv.heard()) > 0 })
	if took := time.Since(begun); took < 150*time.Millisecond {
		t.Errorf("they waited %v only", took)
	}
	s.Stop(Caller{})
	if err := s.SetOption("close_text", "\xff"); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("a text that is no UTF-8: %v", err)
	}
	small := ringtest.New(t, 1000)
	if err := withMinChunk(t, ringURI(small), srv.url).Start(Caller{}); !errors.Is(err, syscall.EINVAL) || !strings.Contains(err.Error(), "the ring can hold") {
		t.Errorf("a min_chunk over the ring: %v", err)
	}
	s.SetChunk(999)
	if err := s.Start(Caller{}); !errors.Is(err, syscall.EINVAL) || !strings.Contains(err.Error(), "min_chunk=1000") {
		t.Errorf("a min_chunk over the chunk size: %v", err)
	}
}

func withMinChunk(t *testing.T, from, to string) *Session {
	s := register(t, from, to)
	s.SetOption("min_chunk", "1000")
	return s
}
