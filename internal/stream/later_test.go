// SPDX-License-Identifier: MIT

package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A server that is back for a moment gets the tail of a stop, whatever the
// pause between attempts was by then.
func TestAFinishWhileOfflineDialsAtOnce(t *testing.T) {
	const busy = "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n"
	for what, answer := range map[string]string{
		"backoff":                  busy + "\r\n",
		"backoff, the window full": busy + "\r\n",
		"the server's Retry-After": busy + "Retry-After: 86400\r\n\r\n",
	} {
		full := strings.Contains(what, "full")
		for _, mux := range []bool{false, true} {
			t.Run(fmt.Sprint(what, ", mux ", mux), func(t *testing.T) {
				var back atomic.Bool
				up := make(chan struct{}, 10)
				var refused, since atomic.Int64
				srv := script(t, nil, func(conn net.Conn, req *http.Request, n int) {
					switch {
					case n == 1:
						switchProtocols(conn, req, "")
						wait(up)
					case back.Load() && since.Add(1) > 3: // not the first attempt meets it
						upgrade(conn, req)
					default:
						io.WriteString(conn, answer)
						refused.Add(1)
					}
				})
				cfg := config(t, srv.url)
				cfg.Mux, cfg.BackoffFirst, cfg.BackoffLongest = mux, time.Millisecond, time.Hour
				cfg.Up = func(string) { up <- struct{}{} }
				s := open(t, context.Background(), cfg)
				await(t, s, "the loss", func() bool { return s.link == nil })
				put(t, s, make([]byte, 5000))
				await(t, s, "a refusal", func() bool { return refused.Load() > 0 })
				if mux {
					s.lane.trunk.dialer.failed.Store(40)
				} else {
					s.dialer.failed.Store(40)
				}
				back.Store(true)
				begun := time.Now()
				if full { // a stop finds the stream before Finish
					s.Hurry()
					put(t, s, make([]byte, cfg.ReplayBytes/2))
					put(t, s, make([]byte, cfg.ReplayBytes/2))
				}
				if err := s.Finish(); err != nil {
					t.Fatal(err)
				}
				want := int64(5000)
				if full {
					want += int64(cfg.ReplayBytes)
				}
				if took := time.Since(begun); took > 5*time.Second || s.Delivered() != want {
					t.Errorf("it took %v, and %d bytes are delivered", took, s.Delivered())
				}
			})
		}
	}
}

func TestHurryEndsWithWhoAskedForIt(t *testing.T) {
	r := newRedial(errNotYet)
	broken := 0
	r.connecting(func() { broken++ })
	one, cancelOne := context.WithCancel(context.Background())
	two, cancelTwo := context.WithCancel(context.Background())
	r.hurry(one, true)
	r.hurry(one, true)
	if hurries, now := r.hurries(); broken != 1 || !hurries || !now {
		t.Errorf("%d attempts were broken off; %v, %v", broken, hurries, now)
	}
	r.connecting(nil)
	r.hurry(two, false)
	cancelOne()
	if hurries, now := r.hurries(); !hurries || now {
		t.Error("the second is forgotten with the first, or waits for nothing")
	}
	cancelTwo()
	if hurries, _ := r.hurries(); hurries {
		t.Error("hurry outlasts both")
	}
}

// A stop does not keep a server busy that ends each connection.
func TestAHurryHasPauses(t *testing.T) {
	var dials atomic.Int64
	srv := script(t, nil, func(conn net.Conn, req *http.Request, _ int) {
		dials.Add(1)
		switchProtocols(conn, req, frame(finBit|opClose, "\x03\xf3full")) // 1011
		io.Copy(io.Discard, conn)
	})
	ctx, cancel := context.WithTimeoutCause(context.Background(), time.Second, errors.New("time is up"))
	defer cancel()
	cfg := config(t, srv.url)
	s := open(t, ctx, cfg)
	put(t, s, make([]byte, 1000))
	if err := s.Finish(); err == nil || !strings.Contains(err.Error(), `1011 "full"`) {
		t.Errorf("the reason is missing: %v", err)
	}
	if n := dials.Load(); n < 2 || n > 100 {
		t.Errorf("%d dials in a second", n)
	}
}

// A connection whose first packet was lost stands only when it is sent again,
// in seconds: a stop does not wait for that.
func TestHurryBreaksOffAnAttemptThatGetsNoAnswer(t *testing.T) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprint("127.0.0.1:", name.(*unix.SockaddrInet4).Port)
	for { // until its queue is full, and packets are dropped
		conn, err := net.DialTimeout("tcp", address, 200*time.Millisecond)
		if err != nil {
			break
		}
		defer conn.Close()
	}
	cfg := config(t, "ws://"+address+"/x")
	cfg.Later, cfg.ConnectTimeout, cfg.BackoffFirst = true, time.Hour, time.Hour
	s := open(t, context.Background(), cfg)
	trying := func() bool {
		s.redial.mu.Lock()
		defer s.redial.mu.Unlock()
		return s.redial.breakOff != nil
	}
	await(t, s, "an attempt", trying)
	s.Hurry()
	await(t, s, "another attempt", func() bool { return s.dialer.failed.Load() > 1 && trying() })
}

func TestAStreamMayStartWithoutAServer(t *testing.T) {
	for _, mux := range []bool{false, true} {
		t.Run(fmt.Sprint("mux ", mux), func(t *testing.T) {
			srv := script(t, nil, func(conn net.Conn, req *http.Request, n int) {
				if n < 4 {
					fmt.Fprintf(conn, "HTTP/1.1 %d Not yet\r\nContent-Length: 0\r\n\r\n", 400+n)
					return
				}
				upgrade(conn, req)
			})
			cfg := faultyConfig(t, srv.url)
			cfg.Later, cfg.Mux = true, mux
			up, warned := 0, make(chan string, 10)
			cfg.Up = func(string) { up++ }
			cfg.Down = func(err error) { t.Errorf("down: %v", err) }
			cfg.Warn = func(text string) { warned <- text }
			s := open(t, context.Background(), cfg)
			if s.link != nil || up != 0 {
				t.Fatal("it is connected")
			}
			total := 0
			for ; total < 30_000; total += 1000 {
				put(t, s, numbers(total, 1000))
			}
			await(t, s, "a connection", func() bool { return up > 0 })
			for ; total < 60_000; total += 1000 {
				put(t, s, numbers(total, 1000))
			}
			if err := s.Finish(); err != nil {
				t.Fatal(err)
			}
			if f := s.Figures(); s.Delivered() != int64(total) || f.Resent != 0 || f.Reconnects != 0 || up != 1 {
				t.Errorf("%d of %d delivered, %+v, %d times up", s.Delivered(), total, f, up)
			}
			if first := <-warned; !strings.Contains(first, "401") {
				t.Errorf("first it said %q", first)
			}
		})
	}
}

func TestWhatCannotBeMendedFailsAStartWithoutAServer(t *testing.T) {
	for what, mend := range map[string]func(*Config){
		"certificate": func(c *Config) { c.Access.CA = "/no/such/file" },
		"key":         func(c *Config) { c.Access.Cert = "/no/such/file" },
		"header":      func(c *Config) { c.Access.Headers = []string{"Upgrade: x"} },
	} {
		for _, mux := range []bool{false, true} {
			cfg := config(t, "wss://127.0.0.1:1/x")
			cfg.Later, cfg.Mux = true, mux
			mend(&cfg)
			if err := tryOpen(t, cfg); err == nil {
				t.Errorf("%s, mux %v: no error", what, mux)
			}
		}
	}
}

func TestAStartWithoutAServerIsBoundedByMaxOffline(t *testing.T) {
	for _, mux := range []bool{false, true} {
		cfg := faultyConfig(t, "ws://127.0.0.1:1/x")
		cfg.Later, cfg.Mux, cfg.MaxOffline = true, mux, 200*time.Millisecond
		s := open(t, context.Background(), cfg)
		if err := end(t, s); !errors.Is(err, syscall.ECONNREFUSED) || !strings.Contains(err.Error(), "max_offline") {
			t.Errorf("mux %v: %v", mux, err)
		}
	}
}
