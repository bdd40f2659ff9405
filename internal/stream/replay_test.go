// SPDX-License-Identifier: MIT

package stream

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// A log of what a server has read, over all connections.
type heardMessages struct {
	away atomic.Bool // connections are refused

	mu       sync.Mutex
	messages []string // "binary N" or "text T"; "connection" begins each
	bytes    int      // of the present connection
	at       []time.Time
	ws       *websocket.Conn
}

func (h *heardMessages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h.away.Load() {
		http.Error(w, "away", http.StatusServiceUnavailable)
		return
	}
	var upgrader websocket.Upgrader
	if ws, err := upgrader.Upgrade(w, r, nil); err == nil {
		defer ws.Close()
		h.listen(ws)
	}
}

// url is where it listens until the test ends.
func (h *heardMessages) url(t *testing.T) string {
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return "ws" + strings.TrimPrefix(server.URL, "http") + "/x.pcm"
}

func (h *heardMessages) listen(ws *websocket.Conn) {
	h.mu.Lock()
	h.ws, h.bytes = ws, 0
	h.messages = append(h.messages, "connection")
	h.mu.Unlock()
	for {
		kind, p, err := ws.ReadMessage()
		if err != nil {
			return
		}
		h.mu.Lock()
		if kind == websocket.TextMessage {
			h.messages = append(h.messages, "text "+string(p))
		} else {
			h.messages = append(h.messages, fmt.Sprint("binary ", len(p)))
			h.bytes += len(p)
			h.at = append(h.at, time.Now())
		}
		h.mu.Unlock()
	}
}

func (h *heardMessages) all() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.messages, ", ")
}

func (h *heardMessages) leave() {
	h.away.Store(true)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ws.Close()
}

func TestATextKeepsItsPlaceAndIsSentAgain(t *testing.T) {
	var heard heardMessages
	s := open(t, context.Background(), faultyConfig(t, heard.url(t)))
	text := func(p string) {
		t.Helper()
		if err := s.PutText([]byte(p)); err != nil {
			t.Fatal(err)
		}
	}
	put(t, s, make([]byte, 1000))
	turn(t, s, "the first bytes are acknowledged", s.complete)
	text("one") // at an offset that is acknowledged already
	put(t, s, make([]byte, 2000))
	text("two")
	turn(t, s, "the rest is acknowledged", s.complete)
	if got, want := heard.all(), "connection, binary 1000, text one, binary 2000, text two"; got != want {
		t.Fatalf("the server heard %s, not %s", got, want)
	}
	heard.leave()
	turn(t, s, "the loss", func() bool { return s.link == nil })
	text("three")
	put(t, s, make([]byte, 3000))
	text("four")
	heard.away.Store(false)
	if err := s.Finish(); err != nil {
		t.Fatal(err)
	}
	if got := heard.all(); !strings.HasSuffix(got, "connection, text three, binary 3000, text four") {
		t.Fatalf("the server heard %s", got)
	}
}

func TestWhatWasKeptIsSentNoFasterThanReplayRate(t *testing.T) {
	var heard heardMessages
	cfg := faultyConfig(t, heard.url(t))
	cfg.PongTimeout, cfg.ConnectTimeout = 20*time.Second, 20*time.Second
	const rate, kept, chunk = 80_000, 40_000, 1000
	cfg.ReplayRate = rate
	s := open(t, context.Background(), cfg)
	put(t, s, make([]byte, chunk))
	turn(t, s, "the first bytes are acknowledged", s.complete)
	heard.leave()
	turn(t, s, "the loss", func() bool { return s.link == nil })
	for range kept / chunk {
		put(t, s, make([]byte, chunk))
	}
	heard.mu.Lock()
	heard.at = nil
	heard.mu.Unlock()
	heard.away.Store(false)
	turn(t, s, "what was kept has arrived", s.complete)
	heard.mu.Lock()
	defer heard.mu.Unlock()
	first, last := heard.at[0], heard.at[len(heard.at)-1]
	if took, least := last.Sub(first), time.Second*(kept-2*rate/20)/rate; took < least || took > 4*least {
		t.Errorf("%d bytes took %v, at %d bytes a second", kept, took, rate)
	}
	if s.pacing || heard.bytes != kept {
		t.Errorf("%d bytes of %d arrived, pacing %v", heard.bytes, kept, s.pacing)
	}
}
