// SPDX-License-Identifier: MIT

package stream

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

var (
	faults = flag.Int("faults", 150, "how many connections the fault tests break")
	seed   = flag.Uint64("seed", 0, "what the fault tests do; 0: something new, printed")
)

// A faultyWay is a TCP proxy that breaks each connection in a way of its own.
type faultyWay struct {
	t      *testing.T
	target string
	listen net.Listener
	rng    *rand.Rand // of the accept loop
	left   atomic.Int64
	known  atomic.Bool // the server was seen to answer pings: half-open can be told from deaf
	broken [7]atomic.Int64
	wg     sync.WaitGroup
}

func newFaultyWay(t *testing.T, url string, n int) *faultyWay {
	t.Helper()
	seed := *seed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-faults %d -seed %d", n, seed)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &faultyWay{t: t, target: strings.TrimPrefix(url, "ws://"), listen: l, rng: rand.New(rand.NewPCG(seed, 1))}
	w.left.Store(int64(n))
	go w.accept()
	t.Cleanup(func() {
		l.Close()
		w.wg.Wait()
	})
	return w
}

func (w *faultyWay) url() string { return "ws://" + w.listen.Addr().String() + "/x.pcm" }

func (w *faultyWay) accept() {
	for {
		client, err := w.listen.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", w.target)
		if err != nil {
			client.Close()
			continue
		}
		kind, after, dice := w.rng.IntN(len(w.broken)), 200+w.rng.IntN(40_000), w.rng.Uint64()
		if kind == 2 && !w.known.Load() {
			kind = 0
		}
		if w.left.Add(-1) < 0 {
			kind = -1 // from here on the way is good
		} else {
			w.broken[kind].Add(1)
		}
		w.wg.Add(2)
		go w.carry(server, client, kind, after, dice)
		go w.back(client, server, kind, dice)
	}
}

func reset(c net.Conn) {
	c.(*net.TCPConn).SetLinger(0)
	c.Close()
}

// carry moves what the client says, and breaks off after so many bytes.
func (w *faultyWay) carry(server, client net.Conn, kind, after int, dice uint64) {
	defer w.wg.Done()
	buf := make([]byte, 4096)
	for moved := 0; ; {
		room := len(buf)
		if kind >= 0 {
			room = min(room, after-moved)
		}
		if kind == 3 { // byte at a time
			room = min(room, 1)
		}
		if room == 0 {
			break
		}
		n, err := client.Read(buf[:room])
		if err != nil {
			server.Close()
			client.Close()
			return
		}
		if kind == 4 && moved == 0 { // slow handshake
			time.Sleep(time.Duration(dice % uint64(30*time.Millisecond)))
		}
		if _, err := server.Write(buf[:n]); err != nil {
			client.Close()
			return
		}
		moved += n
	}
	switch kind {
	case 0: // orderly end
		client.Close()
		server.Close()
	case 1: // stall, then end
		time.Sleep(time.Duration(dice % uint64(20*time.Millisecond)))
		reset(client)
		reset(server)
	case 2: // half open: the server hears no more of it, the client must find out
		defer server.Close()
		io.Copy(io.Discard, client)
	default: // reset, in the middle of whatever it was
		reset(client)
		reset(server)
	}
}

// back moves what the server says.
func (w *faultyWay) back(client, server net.Conn, kind int, dice uint64) {
	defer w.wg.Done()
	buf := make([]byte, 4096)
	for first := true; ; first = false {
		n, err := server.Read(buf)
		if err != nil {
			if kind != 2 {
				client.Close()
			}
			return
		}
		if kind == 5 && !first { // nonsense, then the end
			buf[dice%uint64(n)] ^= byte(dice>>8) | 1
			client.Write(buf[:n])
			reset(client)
			reset(server)
			return
		}
		if kind == 2 && !first && dice%2 == 0 {
			continue // half open from both sides
		}
		if _, err := client.Write(buf[:n]); err != nil {
			return
		}
	}
}

// numbers is a stream that tells of each 8 bytes where they belong.
func numbers(from, n int) []byte {
	p := make([]byte, 0, n)
	for at := from; at < from+n; at += 8 {
		p = binary.BigEndian.AppendUint64(p, uint64(at))
	}
	return p
}

// push sends numbers through a stream, as a pump does, until the faults are
// used up, and then some, and returns how many bytes that was.
func push(t *testing.T, s *Stream, way *faultyWay) int {
	t.Helper()
	total, err := pour(s, func() bool {
		way.known.Store(s.Figures().Answers)
		return way.left.Load() > 0
	})
	if err != nil {
		t.Fatal(err)
	}
	return total
}

// pour sends numbers through a stream while more says so, and then some, and
// returns how many bytes it delivered.
func pour(s *Stream, more func() bool) (total int, err error) {
	const chunk = 2560
	rng := rand.New(rand.NewPCG(7, 7))
	for end := -1; end < 0 || total < end; {
		if end < 0 && !more() {
			end = total + 500*chunk
		}
		for range rng.IntN(6) {
			n, err := s.Reserve(chunk)
			if err != nil {
				return total, fmt.Errorf("after %d bytes: %w", total, err)
			}
			p := numbers(total, n)
			s.Put(p[:1000], p[1000:])
			total += n
		}
		if err := s.Flush(); err != nil {
			return total, fmt.Errorf("after %d bytes: %w", total, err)
		}
		if rng.IntN(4) == 0 {
			select {
			case <-s.waker.C:
			case <-time.After(time.Millisecond):
			}
		}
	}
	if err := s.Finish(); err != nil {
		return total, fmt.Errorf("finishing after %d bytes: %w", total, err)
	}
	if s.Delivered() != int64(total) {
		return total, fmt.Errorf("delivered %d of %d", s.Delivered(), total)
	}
	return total, nil
}

func faultyConfig(t *testing.T, url string) Config {
	if delay := ackDelay; delay != 50*time.Millisecond {
		ackDelay = 50 * time.Millisecond
		t.Cleanup(func() { ackDelay = delay })
	}
	cfg := config(t, url)
	cfg.BackoffFirst, cfg.BackoffLongest = time.Millisecond, 4*time.Millisecond
	cfg.PingInterval, cfg.PongTimeout = 50*time.Millisecond, 100*time.Millisecond
	cfg.ConnectTimeout = 300 * time.Millisecond
	cfg.ReplayBytes = 64 << 10
	return cfg
}

// openThrough opens a stream over a faulty way, which may take a few attempts.
func openThrough(t *testing.T, cfg Config) *Stream {
	t.Helper()
	w := newWaker(t)
	for {
		s, err := Open(context.Background(), cfg, w)
		if err == nil {
			t.Cleanup(func() { s.Close() })
			return s
		}
		if cfg.final(err) {
			t.Fatal(err)
		}
	}
}

// A resumingServer stores each stream once, whatever its connections do.
type resumingServer struct {
	mu      sync.Mutex
	streams map[string]*resumed
}

type resumed struct {
	mu    sync.Mutex
	epoch int
	data  []byte
}

func (srv *resumingServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := r.Header.Get("Record-Stream")
	kept, err1 := strconv.Atoi(r.Header.Get("Record-Offset"))
	epoch, err2 := strconv.Atoi(r.Header.Get("Record-Epoch"))
	if len(id) != 32 || err1 != nil || err2 != nil {
		http.Error(w, "bad headers", http.StatusBadRequest)
		return
	}
	srv.mu.Lock()
	st := srv.streams[id]
	if st == nil {
		st = &resumed{}
		srv.streams[id] = st
	}
	srv.mu.Unlock()
	st.mu.Lock()
	if epoch <= st.epoch {
		st.mu.Unlock()
		http.Error(w, "stale epoch", http.StatusConflict)
		return
	}
	st.epoch = epoch // from here on an older connection appends nothing
	held := len(st.data)
	st.mu.Unlock()
	if kept > held {
		http.Error(w, fmt.Sprintf("bytes %d to %d are gone", held, kept), http.StatusNotFound)
		return
	}
	var upgrader websocket.Upgrader
	ws, err := upgrader.Upgrade(w, r, http.Header{"Record-Offset": {strconv.Itoa(held)}})
	if err != nil {
		return
	}
	defer ws.Close()
	for {
		_, p, err := ws.ReadMessage()
		if err != nil {
			return
		}
		st.mu.Lock()
		if st.epoch != epoch {
			st.mu.Unlock()
			return
		}
		// Half a message at times: what is held need not end where one does.
		if len(p) > 100 && p[len(p)-1]%5 == 0 {
			st.data = append(st.data, p[:len(p)-77]...)
			st.mu.Unlock()
			return
		}
		st.data = append(st.data, p...)
		st.mu.Unlock()
	}
}

func TestFaultsLoseNothingAndRepeatNothingWhereTheServerResumes(t *testing.T) {
	srv := &resumingServer{streams: map[string]*resumed{}}
	h := httptest.NewServer(srv)
	defer h.Close()
	way := newFaultyWay(t, "ws"+strings.TrimPrefix(h.URL, "http"), *faults)
	s := openThrough(t, faultyConfig(t, way.url()))
	total := push(t, s, way)
	var got []byte
	for _, st := range srv.streams { // attempts to open may have left empty ones
		st.mu.Lock()
		got = append(got, st.data...)
		st.mu.Unlock()
	}
	if !bytes.Equal(got, numbers(0, total)) {
		i := 0
		for i < min(len(got), total) && got[i] == numbers(i/8*8, 8)[i%8] {
			i++
		}
		t.Fatalf("the server holds %d bytes of %d, the first wrong one at %d", len(got), total, i)
	}
	t.Logf("%d bytes, %d reconnects, %d sent again; faults by kind %v", total, s.Figures().Reconnects, s.Figures().Resent, counts(way))
}

func counts(w *faultyWay) (n []int64) {
	for i := range w.broken {
		n = append(n, w.broken[i].Load())
	}
	return n
}

func TestFaultsLoseNothingAndKeepTheOrderWhereTheServerDoesNotResume(t *testing.T) {
	var mu sync.Mutex
	var furthest int
	var trouble error
	url := serve(t, func(ws *websocket.Conn) {
		at := -1
		for {
			_, p, err := ws.ReadMessage()
			if err != nil {
				return
			}
			mu.Lock()
			start := int(binary.BigEndian.Uint64(p))
			switch {
			case !bytes.Equal(p, numbers(start, len(p))):
				trouble = fmt.Errorf("a message of %d bytes at %d is damaged", len(p), start)
			case at >= 0 && start != at:
				trouble = fmt.Errorf("%d follows %d on one connection", start, at)
			case at < 0 && start > furthest:
				trouble = fmt.Errorf("a connection begins at %d, but only %d had arrived", start, furthest)
			}
			at = start + len(p)
			furthest = max(furthest, at)
			mu.Unlock()
		}
	})
	way := newFaultyWay(t, url, *faults)
	s := openThrough(t, faultyConfig(t, way.url()))
	total := push(t, s, way)
	mu.Lock()
	defer mu.Unlock()
	if trouble != nil || furthest != total {
		t.Fatalf("%d bytes of %d arrived; %v", furthest, total, trouble)
	}
	t.Logf("%d bytes, %d reconnects, %d sent again; faults by kind %v", total, s.Figures().Reconnects, s.Figures().Resent, counts(way))
}

func TestAServerThatAnswersNoPingsGetsEveryByte(t *testing.T) {
	got := make(chan int, 1)
	url := serve(t, func(ws *websocket.Conn) {
		ws.SetPingHandler(func(string) error { return nil })
		at := 0
		for {
			_, p, err := ws.ReadMessage()
			if err != nil {
				got <- at
				return
			}
			if !bytes.Equal(p, numbers(at, len(p))) {
				got <- -1
				return
			}
			at += len(p)
		}
	})
	cfg := faultyConfig(t, url)
	s := open(t, context.Background(), cfg)
	const total = 1 << 20 // sixteen windows
	for at := 0; at < total; at += 4096 {
		if _, err := s.Reserve(4096); err != nil {
			t.Fatal(err)
		}
		s.Put(numbers(at, 4096), nil)
	}
	if err := s.Finish(); err != nil {
		t.Fatal(err)
	}
	if n := <-got; n != total || s.Figures().Answers || s.Figures().Reconnects != 0 {
		t.Fatalf("%d of %d bytes arrived; %+v", n, total, s.Figures())
	}
}

func TestMaxOfflineBoundsTheDialling(t *testing.T) {
	hijack := make(chan net.Conn, 1)
	url := serve(t, func(ws *websocket.Conn) {
		hijack <- ws.NetConn()
		ws.ReadMessage()
	})
	way := newFaultyWay(t, url, 0)
	cfg := faultyConfig(t, way.url())
	cfg.MaxOffline = 500 * time.Millisecond // for an attempt or more on a busy machine
	s := open(t, context.Background(), cfg)
	way.listen.Close()
	reset(<-hijack)
	for {
		if _, err := s.Reserve(10); err != nil {
			if !errors.Is(err, syscall.ECONNREFUSED) || !strings.Contains(err.Error(), "max_offline") {
				t.Fatal(err)
			}
			return
		}
		<-s.waker.C
	}
}

func TestManyStreamsDoNotComeBackTogether(t *testing.T) {
	// What each of 1,000 devices waits before its first three attempts.
	var d dialer
	d.cfg.BackoffFirst, d.cfg.BackoffLongest = 250*time.Millisecond, 30*time.Second
	var bins [8]int
	for range 1000 {
		at := time.Duration(0)
		for failed := range 3 {
			d.failed.Store(int64(failed))
			at += rand.N(d.backoff())
		}
		bins[min(int(at*time.Duration(len(bins))/(1750*time.Millisecond)), len(bins)-1)]++
	}
	t.Log("third attempts by eighths of 1.75 s:", bins)
	for _, n := range bins {
		if n > 400 {
			t.Fatalf("they bunch: %v", bins)
		}
	}
	if d.failed.Store(1 << 40); d.backoff() != d.cfg.BackoffLongest {
		t.Fatal(d.backoff())
	}
	if d.resetBackoff(); d.backoff() != d.cfg.BackoffFirst {
		t.Fatal(d.backoff())
	}
}
