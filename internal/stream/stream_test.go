// SPDX-License-Identifier: MIT

package stream

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"msprecord/internal/doorbell"
)

// serve answers each WebSocket with handle, and returns the server's URL.
func serve(t testing.TB, handle func(*websocket.Conn)) string {
	t.Helper()
	var upgrader websocket.Upgrader
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer ws.Close()
		handle(ws)
	}))
	t.Cleanup(server.Close)
	return "ws" + strings.TrimPrefix(server.URL, "http")
}

// config is what a stream needs, with the options' defaults.
func config(t testing.TB, url string) Config {
	t.Helper()
	u, err := ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	return Config{
		URL: u,
		Settings: Settings{
			ConnectTimeout: 5 * time.Second, PingInterval: 10 * time.Second, PongTimeout: 10 * time.Second,
			ReplayBytes: 1 << 20, BackoffFirst: 250 * time.Millisecond, BackoffLongest: 30 * time.Second,
		},
		Events: Events{Up: func(string) {}, Down: func(error) {}, Gap: func(int64, int64, bool) {}, Warn: func(string) {}},
	}
}

func newWaker(t testing.TB) *doorbell.Waker {
	t.Helper()
	w, err := doorbell.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

func open(t testing.TB, ctx context.Context, cfg Config) *Stream {
	t.Helper()
	s, err := Open(ctx, cfg, newWaker(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func dial(t testing.TB, ctx context.Context, url string) *Stream {
	t.Helper()
	return open(t, ctx, config(t, url))
}

func put(t testing.TB, c *Stream, p []byte) {
	t.Helper()
	if n, err := c.Reserve(len(p)); n < len(p) || err != nil {
		t.Fatalf("Reserve(%d) = %d, %v", len(p), n, err)
	}
	if err := c.Put(p[:len(p)/3], p[len(p)/3:]); err != nil {
		t.Fatal(err)
	}
}

func TestAChunkIsOneMessageAndTheEndIsConfirmed(t *testing.T) {
	type message struct {
		kind int
		data []byte
	}
	got := make(chan message, 1000)
	url := serve(t, func(ws *websocket.Conn) {
		defer close(got)
		for {
			kind, data, err := ws.ReadMessage()
			if err != nil {
				if !websocket.IsCloseError(err, websocket.CloseNormalClosure) {
					t.Errorf("ended with %v, want a close with 1000", err)
				}
				return
			}
			got <- message{kind, data}
		}
	})
	c := dial(t, context.Background(), url)
	var want [][]byte
	total := 0
	for i := range 300 {
		p := bytes.Repeat([]byte{byte(i)}, 1+i*i)
		want = append(want, p)
		total += len(p)
		put(t, c, p)
		if i%50 == 0 {
			if err := c.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := c.Finish(); err != nil {
		t.Fatal(err)
	}
	if c.Sent() != int64(total) {
		t.Fatalf("sent %d of %d", c.Sent(), total)
	}
	i := 0
	for m := range got {
		if m.kind != websocket.BinaryMessage || !bytes.Equal(m.data, want[i]) {
			t.Fatalf("message %d differs: kind %d, %d bytes, want %d", i, m.kind, len(m.data), len(want[i]))
		}
		i++
	}
	if i != len(want) {
		t.Fatalf("%d messages of %d", i, len(want))
	}
}

func TestAPingIsAnswered(t *testing.T) {
	pong := make(chan string, 1)
	url := serve(t, func(ws *websocket.Conn) {
		ws.SetPongHandler(func(payload string) error {
			pong <- payload
			return nil
		})
		ws.WriteControl(websocket.PingMessage, []byte("are you there"), time.Now().Add(time.Second))
		for {
			if _, _, err := ws.ReadMessage(); err != nil {
				return
			}
		}
	})
	c := dial(t, context.Background(), url)
	select {
	case <-c.waker.C: // the reader leaves the answer to us
	case <-time.After(10 * time.Second):
		t.Fatal("not woken")
	}
	if _, err := c.Reserve(10); err != nil {
		t.Fatal(err)
	}
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-pong:
		if got != "are you there" {
			t.Fatalf("pong with %q", got)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("no pong")
	}
}

func TestACloseThatForbidsRetryingIsAnErrorWithItsReason(t *testing.T) {
	url := serve(t, func(ws *websocket.Conn) {
		ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.ClosePolicyViolation, "no such name"), time.Now().Add(time.Second))
		ws.ReadMessage()
	})
	c := dial(t, context.Background(), url)
	for {
		_, err := c.Reserve(10)
		if err == nil {
			select {
			case <-c.waker.C:
				continue
			case <-time.After(10 * time.Second):
				t.Fatal("the close was not noticed")
			}
		}
		if !errors.Is(err, syscall.EPIPE) || !strings.Contains(err.Error(), "1008") || !strings.Contains(err.Error(), "no such name") {
			t.Fatalf("Reserve: %v", err)
		}
		return
	}
}

func TestACancelBreaksOffABlockedWrite(t *testing.T) {
	release := make(chan struct{})
	url := serve(t, func(ws *websocket.Conn) { <-release }) // reads nothing
	defer close(release)
	ctx, cancel := context.WithCancelCause(context.Background())
	c := dial(t, ctx, url)
	cause := errors.New("time is up")
	time.AfterFunc(50*time.Millisecond, func() { cancel(cause) })
	p := make([]byte, 1<<20)
	for {
		if _, err := c.Reserve(len(p)); err != nil {
			if !errors.Is(err, cause) {
				t.Fatalf("Reserve: %v", err)
			}
			return
		}
		c.Put(p, nil)
		if err := c.Flush(); err != nil {
			if !errors.Is(err, cause) {
				t.Fatalf("Flush: %v", err)
			}
			return
		}
	}
}

func TestDialSaysWhatIsWrong(t *testing.T) {
	httpServer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/secret":
			w.WriteHeader(http.StatusUnauthorized)
		case "/bad":
			http.Error(w, "the name will not do", http.StatusBadRequest)
		case "/missing":
			w.WriteHeader(http.StatusNotFound)
		case "/moved":
			http.Redirect(w, r, "/other", http.StatusFound)
		}
	}))
	defer httpServer.Close()
	base := "ws" + strings.TrimPrefix(httpServer.URL, "http")
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	for _, row := range []struct {
		url   string
		errno syscall.Errno
		words string
	}{
		{base + "/secret", syscall.EACCES, "401"},
		{base + "/missing", syscall.ENOENT, "check the path"},
		{base + "/bad", syscall.EPROTO, `400 Bad Request "the name will not do"`},
		{base + "/moved", syscall.EPROTO, "redirects"},
		{base + "/page", syscall.EPROTO, "HTTP 200"},
		{"ws://user:password@" + closed.Addr().String() + "/x", syscall.ECONNREFUSED, "nothing listens"},
		{"ws://" + silent.Addr().String() + "/x", syscall.ETIMEDOUT, "no answer within"},
		{"wss://" + strings.TrimPrefix(base, "ws://") + "/x", syscall.EPROTO, "what it expects"},
	} {
		cfg := config(t, row.url)
		cfg.ConnectTimeout = 200 * time.Millisecond
		_, err := Open(context.Background(), cfg, newWaker(t))
		if !errors.Is(err, row.errno) || !strings.Contains(err.Error(), row.words) || strings.Contains(err.Error(), "password") {
			t.Errorf("%s: %v; want %v and %q", row.url, err, row.errno, row.words)
		}
	}
}

func TestAChunkAllocatesNothing(t *testing.T) {
	url := serve(t, func(ws *websocket.Conn) {
		io.Copy(io.Discard, ws.NetConn()) // gorilla's reader would allocate in this process
	})
	c := dial(t, context.Background(), url)
	p := make([]byte, 2560)
	chunk := func() {
		put(t, c, p)
		if err := c.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	chunk() // the batch grows at first
	if n := testing.AllocsPerRun(2000, chunk); n != 0 {
		t.Fatalf("%v allocations a chunk", n)
	}
}
