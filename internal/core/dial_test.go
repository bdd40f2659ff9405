// SPDX-License-Identifier: MIT

package core

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"msprecord/internal/ringbuffer/ringtest"
	"msprecord/internal/worker"
)

func TestASessionMayStartBeforeItsServer(t *testing.T) {
	for _, wire := range []string{"raw", "mux"} {
		t.Run(wire, func(t *testing.T) {
			srv := newServer(t, false)
			gate, open := newGate(t, srv.url)
			ring := ringtest.New(t, 100_001)
			s := register(t, ringURI(ring), gate)
			for key, value := range map[string]string{"connect": "later", "wire": wire, "backoff_first": "20", "backoff_longest": "20"} {
				if err := s.SetOption(key, value); err != nil {
					t.Fatal(err)
				}
			}
			var mu sync.Mutex
			var heard []EventType
			s.Configure(func(_ *int, _ *Options, c *Callbacks) error {
				c.Event = func(_ *worker.Thread, e Event) {
					mu.Lock()
					defer mu.Unlock()
					heard = append(heard, e.Type)
				}
				return nil
			})
			if err := s.Start(Caller{}); err != nil {
				t.Fatal(err)
			}
			ring.Write(make([]byte, 5000))
			until(t, "the source drained", func() bool { return ring.Used() == 0 })
			mu.Lock()
			if len(heard) > 0 {
				t.Errorf("events before there was a server: %v", heard)
			}
			mu.Unlock()
			open()
			until(t, "an acknowledgement", func() bool { return s.Stats().Delivered == 5000 })
			if err := s.Stop(Caller{}); err != nil {
				t.Fatal(err)
			}
			if st := s.Stats(); st.Reconnects != 0 || len(heard) != 2 || heard[0] != Connected || heard[1] != Disconnected {
				t.Errorf("%d reconnects, events %v", st.Reconnects, heard)
			}
		})
	}
}

// newGate is an address that leads to a server once it is opened; until then
// it ends each connection.
func newGate(t *testing.T, url string) (gate string, open func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	_, rest, _ := strings.Cut(url, "://")
	host, path, _ := strings.Cut(rest, "/")
	var isOpen atomic.Bool
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", host)
			if err != nil || !isOpen.Load() {
				client.Close()
				continue
			}
			go func() {
				io.Copy(client, server)
				client.Close()
			}()
			go func() {
				io.Copy(server, client)
				server.Close()
			}()
		}
	}()
	return "ws://" + l.Addr().String() + "/" + path, func() { isOpen.Store(true) }
}

func TestASessionWithoutItsServerStopsInTime(t *testing.T) {
	ring := ringtest.New(t, 100_001)
	s := register(t, ringURI(ring), "ws://127.0.0.1:1/x")
	for key, value := range map[string]string{"connect": "later", "stop_timeout": "300"} {
		if err := s.SetOption(key, value); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Start(Caller{}); err != nil {
		t.Fatal(err)
	}
	ring.Write(make([]byte, 5000))
	begun := time.Now()
	err := s.Stop(Caller{})
	if took := time.Since(begun); !errors.Is(err, syscall.ETIMEDOUT) || took > 5*time.Second || s.Stats().Left != 5000 {
		t.Errorf("%v after %v, %d bytes left", err, took, s.Stats().Left)
	}
}

func TestOptionsOfDiallingRefuseWhatWillNotDo(t *testing.T) {
	s := register(t, "null://", "ws://127.0.0.1:1/x")
	for _, row := range []struct{ key, value, words string }{
		{"connect", "sometimes", "first or later"},
		{"final_codes", "4001;401", "4001,401"},
		{"backoff_first", "0", "1 to 600000"},
		{"header", "Upgrade: secret-value", "handshake"},
		{"header", "secret-value", "colon"},
	} {
		err := s.SetOption(row.key, row.value)
		if !errors.Is(err, syscall.EINVAL) || !strings.Contains(err.Error(), row.words) || strings.Contains(err.Error(), "secret-value") {
			t.Errorf("%s=%s: %v", row.key, row.value, err)
		}
	}
	if len(s.options.Access.Headers) != 0 || s.options.Later || s.options.FinalCodes != nil {
		t.Errorf("something was taken: %+v", s.options)
	}
}

func TestNoSentenceAboutAServerHoldsASecret(t *testing.T) {
	h := http.Server{Handler: http.NotFoundHandler()}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go h.Serve(l)
	defer h.Close()
	for _, at := range []string{"user:se/cret@HOST/x", "user:se@cret@HOST/x", "user:se?cret@HOST/x", "user:se#cret@HOST/x", "secret@HOST/x",
		"secret:@HOST/x", "HOST/x?token=secret", "HOST/x?secret", "user:se%cret@HOST/x", "user:secret@HOST:99999/x", "user:secret@", "HOST/x?a=secret#b"} {
		uri := "ws://" + strings.Replace(at, "HOST", l.Addr().String(), 1)
		s, err := Register("null://", uri)
		if err == nil {
			if strings.Contains(s.name, "cret") {
				t.Errorf("%s is named %q", uri, s.name)
			}
			err = s.Start(Caller{})
			s.Unregister(Caller{})
		}
		if err == nil || strings.Contains(err.Error(), "cret") {
			t.Errorf("%s: %v", uri, err)
		}
	}
}
