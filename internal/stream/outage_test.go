// SPDX-License-Identifier: MIT

package stream

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// await has a stream do what it must until done says so.
func await(t testing.TB, s *Stream, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); {
		if err := s.Flush(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not in 20 s; %+v", what, s.Figures())
		}
		select {
		case <-s.waker.C:
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// end has a stream do what it must until it fails, and returns with what.
func end(t testing.TB, s *Stream) error {
	t.Helper()
	for deadline := time.After(20 * time.Second); ; {
		if _, err := s.Reserve(10); err != nil {
			return err
		}
		if err := s.Flush(); err != nil {
			return err
		}
		select {
		case <-s.waker.C:
		case <-deadline:
			t.Fatalf("no end in 20 s; %+v", s.Figures())
		}
	}
}

// wait waits until a stream has taken its connection, so that a server can end
// it from there on.
func wait(up <-chan struct{}) {
	select {
	case <-up:
	case <-time.After(20 * time.Second):
	}
}

// hearing reads what comes on a WebSocket, and answers pings, to its end.
func hearing(ws *websocket.Conn) {
	for {
		if _, _, err := ws.ReadMessage(); err != nil {
			return
		}
	}
}

// upgrade answers a request with a WebSocket that answers pings.
func upgrade(conn net.Conn, req *http.Request) {
	var upgrader websocket.Upgrader
	if ws, err := upgrader.Upgrade(taken{conn}, req, nil); err == nil {
		hearing(ws)
	}
}

// taken is a connection as a response whose writer was hijacked.
type taken struct{ conn net.Conn }

func (t taken) Header() http.Header         { return http.Header{} }
func (t taken) Write(p []byte) (int, error) { return t.conn.Write(p) }
func (t taken) WriteHeader(int)             {}
func (t taken) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return t.conn, bufio.NewReadWriter(bufio.NewReader(t.conn), bufio.NewWriter(t.conn)), nil
}

func TestMaxOfflineIsExact(t *testing.T) {
	const most = 500 * time.Millisecond
	for what, row := range map[string]struct {
		answer  string
		backoff time.Duration
	}{
		"a server that asks to be left alone": {"HTTP/1.1 503 Busy\r\nRetry-After: 86400\r\nContent-Length: 0\r\n\r\n", time.Millisecond},
		"a long backoff":                      {"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", time.Hour},
		"a server that says nothing":          {"", time.Millisecond},
	} {
		for _, mux := range []bool{false, true} {
			t.Run(fmt.Sprint(what, ", mux ", mux), func(t *testing.T) {
				up := make(chan struct{})
				srv := script(t, nil, func(conn net.Conn, req *http.Request, n int) {
					if n == 1 {
						switchProtocols(conn, req, "")
						wait(up)
						return
					}
					io.WriteString(conn, row.answer)
					io.Copy(io.Discard, conn)
				})
				cfg := config(t, srv.url)
				cfg.Mux, cfg.MaxOffline, cfg.BackoffFirst = mux, most, row.backoff
				cfg.ConnectTimeout = 20 * time.Second
				begun := time.Now()
				cfg.Up = func(string) { close(up) }
				cfg.Down = func(error) { begun = time.Now() }
				s := open(t, context.Background(), cfg)
				err := end(t, s)
				if took := time.Since(begun); took < most-50*time.Millisecond || took > most+time.Second {
					t.Errorf("it took %v", took)
				}
				if !strings.Contains(err.Error(), "max_offline") {
					t.Error(err)
				}
			})
		}
	}
}

func TestARefusalAtARedialIsAnOutageThatIsToldOf(t *testing.T) {
	statuses := []string{"401 Unauthorized", "403 Forbidden", "404 Not Found", "301 Moved", "200 OK", "500 Oops", "502 Bad Gateway"}
	for _, mux := range []bool{false, true} {
		t.Run(fmt.Sprint("mux ", mux), func(t *testing.T) {
			up := make(chan struct{}, 10)
			srv := script(t, nil, func(conn net.Conn, req *http.Request, n int) {
				switch {
				case n == 1:
					switchProtocols(conn, req, "")
					wait(up)
				case n-2 < len(statuses):
					fmt.Fprintf(conn, "HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n", statuses[n-2])
				default:
					upgrade(conn, req)
				}
			})
			cfg := faultyConfig(t, srv.url)
			cfg.Mux = mux
			cfg.Up = func(string) { up <- struct{}{} }
			var mu sync.Mutex
			var warned []string
			cfg.Warn = func(text string) {
				mu.Lock()
				defer mu.Unlock()
				warned = append(warned, text)
			}
			s := open(t, context.Background(), cfg)
			await(t, s, "a reconnect", func() bool { return s.Figures().Reconnects == 1 })
			mu.Lock()
			defer mu.Unlock()
			for i, status := range statuses {
				if i >= len(warned) || !strings.Contains(warned[i], status) {
					t.Errorf("%q is missing in %q", status, warned)
				}
			}
		})
	}
}

func TestACertificateThatDoesNotFitAtARedialIsAnOutage(t *testing.T) {
	good := certificate(t, certOf{ips: []net.IP{net.IPv4(127, 0, 0, 1)}})
	bad := certificate(t, certOf{ips: []net.IP{net.IPv4(127, 0, 0, 1)}, from: time.Now().Add(time.Hour), until: time.Now().Add(2 * time.Hour)})
	var dials atomic.Int64
	server := &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		if n := dials.Add(1); n > 1 && n < 5 {
			return &bad, nil
		}
		return &good, nil
	}}
	srv := script(t, server, func(conn net.Conn, req *http.Request, n int) {
		if n == 1 {
			switchProtocols(conn, req, "") // and the end
			return
		}
		upgrade(conn, req)
	})
	cfg := faultyConfig(t, srv.url)
	cfg.ConnectTimeout = 5 * time.Second
	cfg.Access.CA = pemFile(t, good, bad)
	s := open(t, context.Background(), cfg)
	await(t, s, "a reconnect", func() bool { return s.Figures().Reconnects == 1 })
}

func TestCloseCodesThatEndASessionAtOnce(t *testing.T) {
	final := []int{1002, 1003, 1007, 1008, 1009, 1010, 4001}
	for _, mux := range []bool{false, true} {
		for _, code := range append(final, 1000, 1001, 1011, 1012, 1013, 3000, 4000) {
			var dials atomic.Int64
			up := make(chan struct{}, 10)
			srv := script(t, nil, func(conn net.Conn, req *http.Request, _ int) {
				if dials.Add(1) > 1 {
					upgrade(conn, req)
					return
				}
				switchProtocols(conn, req, "")
				wait(up)
				io.WriteString(conn, frame(finBit|opClose, string([]byte{byte(code >> 8), byte(code)})+"why"))
				io.Copy(io.Discard, conn)
			})
			cfg := faultyConfig(t, srv.url)
			cfg.Mux, cfg.FinalCodes = mux, []int{401, 4001}
			cfg.Up = func(string) { up <- struct{}{} }
			s := open(t, context.Background(), cfg)
			if !slices.Contains(final, code) {
				await(t, s, fmt.Sprint("a reconnect after ", code), func() bool { return s.Figures().Reconnects == 1 })
				continue
			}
			if err := end(t, s); !errors.Is(err, syscall.EPIPE) || !strings.Contains(err.Error(), fmt.Sprint(code, ` "why"`)) || dials.Load() != 1 {
				t.Errorf("%d: %v, after %d dials", code, err, dials.Load())
			}
		}
	}
}

func TestAnHTTPAnswerOfFinalCodesEndsASession(t *testing.T) {
	srv := script(t, nil, func(conn net.Conn, req *http.Request, n int) {
		if n == 1 {
			switchProtocols(conn, req, "") // and the end
			return
		}
		io.WriteString(conn, "HTTP/1.1 401 Who are you\r\nContent-Length: 0\r\n\r\n")
	})
	cfg := faultyConfig(t, srv.url)
	cfg.FinalCodes = []int{4001, 401}
	if err := end(t, open(t, context.Background(), cfg)); !errors.Is(err, syscall.EACCES) {
		t.Fatal(err)
	}
}

func TestParseCodes(t *testing.T) {
	for list, want := range map[string][]int{"": nil, "401": {401}, "4001,401 , 1011": {4001, 401, 1011}} {
		if got, ok := ParseCodes(list); !ok || !slices.Equal(got, want) {
			t.Errorf("%q: %v, %v", list, got, ok)
		}
	}
	for _, bad := range []string{",", "401,", "x", "101", "600", "5000", "-1", "401;403"} {
		if got, ok := ParseCodes(bad); ok {
			t.Errorf("%q: %v", bad, got)
		}
	}
}

// A link that drops again and again, and is of use in between, is dialled
// again after the shortest pause each time.
func TestALinkThatDropsInGoodHealthComesBackFast(t *testing.T) {
	const drops = 12
	for what, row := range map[string]struct{ mux, deaf, idle bool }{
		"acknowledging":            {},
		"answering no pings":       {deaf: true},
		"idle":                     {idle: true},
		"mux":                      {mux: true},
		"mux, answering no pings":  {mux: true, deaf: true},
		"mux, with nothing to say": {mux: true, idle: true},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			acknowledged := make(chan struct{}, 1000)
			url := serve(t, func(ws *websocket.Conn) {
				answer := ws.PingHandler()
				ws.SetPingHandler(func(p string) error {
					if row.deaf {
						return nil
					}
					err := answer(p)
					acknowledged <- struct{}{}
					return err
				})
				go hearing(ws)
				if row.deaf || row.idle {
					time.Sleep(150 * time.Millisecond) // stands longer than the pauses
					reset(ws.NetConn())
					return
				}
				<-acknowledged
				time.Sleep(5 * time.Millisecond) // the pong leaves
				ws.NetConn().Close()
			})
			cfg := config(t, url)
			cfg.Mux, cfg.BackoffFirst, cfg.BackoffLongest = row.mux, 40*time.Millisecond, time.Hour
			s := open(t, context.Background(), cfg)
			begun := time.Now()
			for n := int64(0); n < drops; n++ {
				switch {
				case row.deaf:
					put(t, s, make([]byte, 5000))
				case !row.idle:
					put(t, s, make([]byte, 300_000)) // has a ping behind it
				}
				await(t, s, "a reconnect", func() bool { return s.Figures().Reconnects > n })
			}
			if took := time.Since(begun); took > 15*time.Second {
				t.Errorf("%d drops took %v", drops, took)
			}
		})
	}
}

func TestTheBackoffGrowsWithConnectionsThatBringNothing(t *testing.T) {
	d := &dialer{}
	d.cfg.BackoffFirst, d.cfg.BackoffLongest = 250*time.Millisecond, 30*time.Second
	d.failed.Store(3)
	long := clock() - int64(time.Hour)
	if d.ended(long, true); d.failed.Load() != 3 {
		t.Error("a server that acknowledged nothing of what it was sent counts as good")
	}
	if d.ended(clock(), false); d.failed.Load() != 3 {
		t.Error("a connection that ended at once counts as good")
	}
	if d.ended(long, false); d.failed.Load() != 0 {
		t.Error("a connection that stood does not count")
	}
}
