// SPDX-License-Identifier: MIT

package stream

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// A hole is where bytes are missing, from an offset to another.
type hole struct{ start, end int64 }

// A gapServer keeps what arrives by its place in the stream, and can be away.
type gapServer struct {
	resumes bool
	slow    time.Duration // a handshake takes so long

	mu      sync.Mutex
	away    bool
	ws      *websocket.Conn
	at      int64 // offset of what comes next
	forgets bool  // it answers with at, though that cannot be sent again
	got     []byte
	gaps    []hole // that handshakes told of
}

func (srv *gapServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	srv.mu.Lock()
	if srv.away {
		srv.mu.Unlock()
		http.Error(w, "away", http.StatusServiceUnavailable)
		return
	}
	srv.mu.Unlock()
	time.Sleep(srv.slow)
	srv.mu.Lock()
	header := http.Header{}
	if srv.resumes {
		kept, _ := strconv.ParseInt(r.Header.Get("Record-Offset"), 10, 64)
		if kept > srv.at && !srv.forgets {
			if n := len(srv.gaps); n > 0 && srv.gaps[n-1].end == srv.at {
				srv.gaps[n-1].end = kept // the same outage went on
			} else {
				srv.gaps = append(srv.gaps, hole{srv.at, kept})
			}
			srv.at = kept
		}
		header.Set("Record-Offset", strconv.FormatInt(srv.at, 10))
	}
	var upgrader websocket.Upgrader
	ws, err := upgrader.Upgrade(w, r, header)
	srv.ws = ws
	srv.mu.Unlock()
	if err != nil {
		return
	}
	defer ws.Close()
	for {
		_, p, err := ws.ReadMessage()
		if err != nil {
			return
		}
		srv.mu.Lock()
		srv.got = append(srv.got, p...)
		srv.at += int64(len(p))
		srv.mu.Unlock()
	}
}

// openAt opens a stream to a server of this kind.
func openAt(t *testing.T, srv *gapServer) *Stream {
	t.Helper()
	h := httptest.NewServer(srv)
	t.Cleanup(h.Close)
	cfg := faultyConfig(t, "ws"+strings.TrimPrefix(h.URL, "http")+"/x.pcm")
	cfg.PongTimeout, cfg.ConnectTimeout = 20*time.Second, 20*time.Second
	return open(t, context.Background(), cfg)
}

func (srv *gapServer) leave() {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	srv.away = true
	srv.ws.Close()
}

func (srv *gapServer) comeBack() {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	srv.away = false
}

func TestEachGapIsToldWithItsPlace(t *testing.T) {
	for _, row := range []struct {
		name    string
		onFull  OnFull
		resumes bool
		more    bool // bytes follow the outage
	}{
		{"oldest", DropOldest, true, true},
		{"oldest, nothing after", DropOldest, true, false},
		{"newest", DropNewest, true, true},
		{"newest, nothing after", DropNewest, true, false},
		{"oldest, server keeps no account", DropOldest, false, true},
		{"newest, server keeps no account", DropNewest, false, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			const chunk = 2000
			srv := &gapServer{resumes: row.resumes}
			h := httptest.NewServer(srv)
			defer h.Close()
			cfg := faultyConfig(t, "ws"+strings.TrimPrefix(h.URL, "http")+"/x.pcm")
			cfg.OnFull, cfg.PongTimeout, cfg.ConnectTimeout = row.onFull, 20*time.Second, 20*time.Second
			var told []hole // by this goroutine's calls
			cfg.Gap = func(offset, length int64, _ bool) { told = append(told, hole{offset, offset + length}) }
			s := open(t, context.Background(), cfg)
			total := 0
			write := func(n int) {
				for end := total + n; total < end; total += chunk {
					if _, err := s.Reserve(chunk); err != nil {
						t.Fatal(err)
					}
					s.Put(numbers(total, chunk), nil)
					if err := s.Flush(); err != nil {
						t.Fatal(err)
					}
				}
			}
			arrived := func(what string, done func() bool) {
				for deadline := time.Now().Add(10 * time.Second); !done(); {
					if time.Now().After(deadline) {
						t.Fatalf("not in time: %s; %+v", what, s.Figures())
					}
					if err := s.Flush(); err != nil {
						t.Fatal(err)
					}
					select {
					case <-s.waker.C:
					case <-time.After(10 * time.Millisecond):
					}
				}
			}
			want := []byte{}
			for outage := range 3 {
				write(50 * chunk)
				arrived("what was before", func() bool { return s.confirmed == int64(total) })
				srv.leave()
				arrived("the loss", func() bool { return s.link == nil })
				write(100 * chunk)
				srv.comeBack()
				if row.more || outage < 2 {
					arrived("the new connection", func() bool { return s.link != nil })
					write(10 * chunk)
				}
			}
			if err := s.Finish(); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			at, lost := int64(0), int64(0)
			for _, g := range told {
				want = append(want, numbers(int(at), int(g.start-at))...)
				at = g.end
				lost += g.end - g.start
			}
			want = append(want, numbers(int(at), total-int(at))...)
			srv.mu.Lock()
			defer srv.mu.Unlock()
			if !bytes.Equal(srv.got, want) {
				t.Errorf("%d bytes arrived; with the gaps %v it should be %d of %d", len(srv.got), told, len(want), total)
			}
			if row.resumes && fmt.Sprint(srv.gaps) != fmt.Sprint(told) {
				t.Errorf("the server was told of %v, the app of %v", srv.gaps, told)
			}
			if f := s.Figures(); lost == 0 || f.GivenUp != lost || s.Delivered() != int64(total)-lost || s.Sent() != s.Delivered() {
				t.Errorf("gaps %v; given up %d, sent %d, delivered %d of %d", told, f.GivenUp, s.Sent(), s.Delivered(), total)
			}
		})
	}
}

// More comes in during a handshake than the window has room for: the stream
// gets on all the same.
func TestASlowHandshakeDoesNotKeepAStreamAway(t *testing.T) {
	srv := &gapServer{resumes: true, slow: 100 * time.Millisecond}
	h := httptest.NewServer(srv)
	defer h.Close()
	cfg := faultyConfig(t, "ws"+strings.TrimPrefix(h.URL, "http")+"/x.pcm")
	cfg.OnFull, cfg.PongTimeout, cfg.ConnectTimeout = DropOldest, 20*time.Second, 20*time.Second
	cfg.BackoffFirst, cfg.BackoffLongest = 100*time.Millisecond, 30*time.Second
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	s := open(t, ctx, cfg)
	tick := time.NewTicker(2 * time.Millisecond) // 2 MB/s
	defer tick.Stop()
	write := func() {
		t.Helper()
		if _, err := s.Reserve(4096); err != nil {
			t.Fatalf("%v; %+v", err, s.Figures())
		}
		s.Put(make([]byte, 4096), nil)
		if err := s.Flush(); err != nil {
			t.Fatal(err)
		}
		<-tick.C
	}
	for s.Delivered() < 100_000 {
		write()
	}
	srv.leave()
	for s.Figures().GivenUp < 1_000_000 {
		write()
	}
	srv.comeBack()
	back := s.Delivered()
	for s.Delivered() < back+1_000_000 {
		write()
	}
	if n := s.Figures().Reconnects; n > 20 {
		t.Errorf("%d connections", n)
	}
}
