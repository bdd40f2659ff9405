// SPDX-License-Identifier: MIT

package core

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/sys/unix"

	"msprecord/internal/doorbell"
	"msprecord/internal/ringbuffer/ringtest"
	"msprecord/internal/worker"
)

// A test that leaves a goroutine or a session behind fails the suite.
func TestMain(m *testing.M) {
	w, err := doorbell.New() // its listener stays for good
	if err != nil {
		panic(err)
	}
	w.Close()
	before := runtime.NumGoroutine() + 1 // that of the first connection stays as well
	code := m.Run()
	deadline := time.Now().Add(5 * time.Second)
	for runtime.NumGoroutine() > before && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	if n := runtime.NumGoroutine(); n > before {
		buf := make([]byte, 1<<20)
		fmt.Printf("FAIL: %d goroutines were left behind\n%s\n", n-before, buf[:runtime.Stack(buf, true)])
		code = 1
	}
	if n := len(table.sessions); n != 0 {
		fmt.Printf("FAIL: %d sessions were left registered\n", n)
		code = 1
	}
	os.Exit(code)
}

// register makes a session that is unregistered when the test ends.
func register(t testing.TB, from, to string) *Session {
	t.Helper()
	s, err := Register(from, to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Unregister(Caller{}) })
	return s
}

func ringURI(r *ringtest.Ring) string { return fmt.Sprintf("ringbuffer://handle=%d", r.Address()) }

// A server keeps what each connection sent, until it is told to stall.
type server struct {
	url   string
	mu    sync.Mutex
	got   bytes.Buffer
	sizes []int         // of the messages
	stall chan struct{} // closed: read on
	close func()        // ends the server and its connections
}

func newServer(t testing.TB, stalled bool) *server {
	t.Helper()
	s := &server{stall: make(chan struct{})}
	if !stalled {
		close(s.stall)
	}
	var upgrader websocket.Upgrader
	h := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer ws.Close()
		<-s.stall
		for {
			_, p, err := ws.ReadMessage()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.got.Write(p)
			s.sizes = append(s.sizes, len(p))
			s.mu.Unlock()
		}
	}))
	t.Cleanup(h.Close)
	var conns sync.Map // hijacked ones are not the server's to close
	h.Config.ConnState = func(c net.Conn, _ http.ConnState) { conns.Store(c, nil) }
	s.close = func() {
		h.Listener.Close()
		conns.Range(func(c, _ any) bool {
			c.(net.Conn).Close()
			return true
		})
	}
	h.Start()
	if stalled {
		t.Cleanup(func() { close(s.stall) })
	}
	s.url = "ws" + strings.TrimPrefix(h.URL, "http") + "/x.pcm"
	return s
}

func (s *server) bytes() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.got.Bytes())
}

func until(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func TestStopDeliversWhatWasWritten(t *testing.T) {
	srv := newServer(t, false)
	ring := ringtest.New(t, 100_001)
	s := register(t, ringURI(ring), srv.url)
	if err := s.SetChunk(2560); err != nil {
		t.Fatal(err)
	}
	var want []byte
	for round := range 50 {
		if err := s.Start(Caller{}); err != nil {
			t.Fatal(err)
		}
		p := bytes.Repeat([]byte{byte(round)}, 1+round*1000)
		ring.Write(p)
		want = append(want, p...)
		if err := s.Stop(Caller{}); err != nil {
			t.Fatal(err)
		}
		if got := s.Stats(); got.Read != int64(len(p)) || got.Sent != got.Read || got.Left != 0 || got.State != StateRegistered {
			t.Fatalf("round %d of %d bytes: %+v", round, len(p), got)
		}
	}
	if !bytes.Equal(srv.bytes(), want) {
		t.Fatalf("the server has %d bytes of %d", len(srv.bytes()), len(want))
	}
}

// A session that has fallen behind takes many chunks from the ring at once, also
// where they wrap; each is a message all the same.
func TestABacklogLeavesInChunks(t *testing.T) {
	const size, chunk = 300_000, 2560
	srv := newServer(t, false)
	ring := ringtest.New(t, size+1)
	ring.Write(make([]byte, size/3))
	ring.Read(make([]byte, size/3))
	p := make([]byte, size)
	for i := range p {
		p[i] = byte(i * 7 / 3)
	}
	ring.Write(p)
	s := register(t, ringURI(ring), srv.url)
	if err := s.SetChunk(chunk); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(Caller{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(Caller{}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(srv.bytes(), p) {
		t.Fatalf("the server has %d bytes of %d", len(srv.bytes()), len(p))
	}
	srv.mu.Lock()
	defer srv.mu.Unlock()
	for i, n := range srv.sizes {
		if last := i == len(srv.sizes)-1; n > chunk || n < chunk && !last {
			t.Fatalf("message %d of %d has %d bytes", i, len(srv.sizes), n)
		}
	}
}

func TestStopIsBoundedAndSaysWhatItLeft(t *testing.T) {
	srv := newServer(t, true)
	ring := ringtest.New(t, 32<<20)
	s := register(t, ringURI(ring), srv.url)
	if err := s.SetOption("stop_timeout", "200"); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(Caller{}); err != nil {
		t.Fatal(err)
	}
	ring.Write(make([]byte, 31<<20))
	begun := time.Now()
	err := s.Stop(Caller{})
	if took := time.Since(begun); took < 150*time.Millisecond || took > 5*time.Second {
		t.Errorf("stop took %v", took)
	}
	stats := s.Stats()
	if !errors.Is(err, syscall.ETIMEDOUT) || stats.Left == 0 || !strings.Contains(err.Error(), fmt.Sprint(stats.Left)) {
		t.Fatalf("stop: %v; %+v", err, stats)
	}
	if inRing := int64(ring.Used()); stats.Left+stats.Delivered+inRing != 31<<20 {
		t.Fatalf("left %d + delivered %d + in the ring %d is not what was written", stats.Left, stats.Delivered, inRing)
	}
}

func TestAnyThreadMayCallAnything(t *testing.T) {
	srv := newServer(t, false)
	ring := ringtest.New(t, 5000)
	s := register(t, ringURI(ring), srv.url)
	var wg sync.WaitGroup
	stopWriting := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		p := make([]byte, 100)
		for {
			select {
			case <-stopWriting:
				return
			default:
				ring.Write(p)
			}
		}
	})
	for range 4 {
		wg.Go(func() {
			for range 50 {
				s.Start(Caller{})
				s.PreStop()
				s.Stats()
				s.Stop(Caller{})
			}
		})
	}
	wg.Wait()
	close(stopWriting)
	writer.Wait()
	if err := s.Stop(Caller{}); err != nil {
		t.Fatal(err)
	}
	if got := s.Stats().State; got != StateRegistered {
		t.Fatalf("state %d", got)
	}
}

func TestAFiniteSourceFinishes(t *testing.T) {
	dir := t.TempDir()
	want := bytes.Repeat([]byte("finite "), 100_000)
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	if err := os.WriteFile(in, want, 0o600); err != nil {
		t.Fatal(err)
	}
	s := register(t, "file://"+in, "sdbuffer://handle="+out)
	if err := s.Start(Caller{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(10*time.Second, Caller{}); err != nil {
		t.Fatal(err)
	}
	if got := s.Stats(); got.State != StateFinished || got.Sent != int64(len(want)) {
		t.Fatalf("%+v", got)
	}
	if got, err := os.ReadFile(out); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%d bytes of %d, %v", len(got), len(want), err)
	}
	if err := s.Stop(Caller{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(Caller{}); err != nil {
		t.Fatalf("again: %v", err)
	}
}

func TestADestroyedRingEndsTheSession(t *testing.T) {
	ring := ringtest.New(t, 1000)
	s := register(t, ringURI(ring), "null://")
	if err := s.Start(Caller{}); err != nil {
		t.Fatal(err)
	}
	ring.Destroy()
	if err := s.Wait(10*time.Second, Caller{}); !errors.Is(err, syscall.ENODEV) {
		t.Fatalf("wait: %v", err)
	}
	if err := s.Stop(Caller{}); !errors.Is(err, syscall.ENODEV) {
		t.Fatalf("stop: %v", err)
	}
	if err := s.Stop(Caller{}); err != nil {
		t.Fatalf("second stop: %v", err)
	}
	if err := s.Start(Caller{}); !errors.Is(err, syscall.ENODEV) {
		t.Fatalf("start on a ring that is gone: %v", err)
	}
}

func TestEventsTellWhatHappens(t *testing.T) {
	ring := ringtest.New(t, 11)
	s := register(t, ringURI(ring), "null://")
	var mu sync.Mutex
	var got []string
	s.Configure(func(_ *int, _ *Options, c *Callbacks) error {
		c.Event = func(_ *worker.Thread, e Event) {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, fmt.Sprint(e.Type, " ", e.Bytes))
		}
		return nil
	})
	if err := s.Start(Caller{}); err != nil {
		t.Fatal(err)
	}
	ring.Write(make([]byte, 30))
	if err := s.Stop(Caller{}); err != nil {
		t.Fatal(err)
	}
	if want := "[1 0 5 20 2 0]"; fmt.Sprint(got) != want { // connected, overflow, disconnected
		t.Fatalf("events %v, want %s", got, want)
	}
}

func TestOnlyMemoryThatIsGoneIsTheProgramsFault(t *testing.T) {
	page, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(page)
	var none *Session
	for _, fault := range []struct {
		what string
		do   func()
		want syscall.Errno
	}{
		{"memory that is not there", func() { use(page[len(page)-1]) }, syscall.EFAULT},
		{"a nil pointer", func() { use(none.chunk) }, syscall.EIO},
		{"an index", func() { use(page[len(page):][os.Getpid()]) }, syscall.EIO},
		{"a panic", func() { panic("fault") }, syscall.EIO},
	} {
		p := pump{source: faulty{do: fault.do}, sink: nopSink{}, ctx: t.Context(), chunk: 10, looked: func() {}}
		if err := p.run(); !errors.Is(err, fault.want) {
			t.Errorf("%s: %v, want %v", fault.what, err, fault.want)
		}
		err := Guarded(func() error { fault.do(); return nil })
		if !errors.Is(err, fault.want) {
			t.Errorf("%s, in a call: %v, want %v", fault.what, err, fault.want)
		}
	}
}

// use keeps the compiler from leaving out what it is given.
//
//go:noinline
func use(any) {}

type faulty struct {
	Source
	do func()
}

func (f faulty) Peek(int) (a, b []byte, err error) { f.do(); return }
func (faulty) Leave()                              {}

type nopSink struct{ Sink }

func (nopSink) Reserve(n int) (int, error) { return n, nil }

func TestOptionsComeFromTheTable(t *testing.T) {
	t.Setenv("MSP_RECORD_STOP_TIMEOUT", "1234")
	s := register(t, "null://", "null://")
	if s.options.StopTimeout != 1234*time.Millisecond || s.options.ConnectTimeout != 5*time.Second {
		t.Fatalf("%+v", s.options)
	}
	if err := s.SetOption("stop_timeout", "99"); err != nil || s.options.StopTimeout != 99*time.Millisecond {
		t.Fatalf("the call must win: %v %+v", err, s.options)
	}
	for _, value := range []string{"", "0", "-1", "x", "600001", "1s"} {
		if err := s.SetOption("stop_timeout", value); !errors.Is(err, syscall.EINVAL) {
			t.Errorf("%q: %v", value, err)
		}
	}
	if err := s.SetOption("no_such", "1"); !errors.Is(err, syscall.ENOENT) {
		t.Error(err)
	}
	t.Setenv("MSP_RECORD_STOP_TIMEOUT", "soon")
	if _, err := Register("null://", "null://"); !errors.Is(err, syscall.EINVAL) || !strings.Contains(err.Error(), "MSP_RECORD_STOP_TIMEOUT") {
		t.Errorf("a bad environment: %v", err)
	}
}

func TestTheREADMEHasTheOptionTable(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(readme), "<!-- options -->\n")
	got, _, found := strings.Cut(rest, "<!-- /options -->")
	var want strings.Builder
	want.WriteString("| option | value | default | what it does |\n| --- | --- | --- | --- |\n")
	for _, o := range OptionTable {
		fmt.Fprintf(&want, "| `%s` | %s | %s | %s |\n", o.Key, o.Kind, o.Default, o.Doc)
	}
	if !found || strings.TrimSpace(got) != strings.TrimSpace(want.String()) {
		t.Fatalf("put this between the options markers of README.md:\n%s", want.String())
	}
}

func FuzzParseNeverPanics(f *testing.F) {
	for _, seed := range []string{"ringbuffer://handle=1", "mem://address=0x10&size=4", "file://x", "ws://u:p@h:1/x?y#z", "null://", "://", "sdbuffer://handle="} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		if _, err := parse("to", uri); err != nil && Errno(err) >= 0 {
			t.Fatalf("%q: an error without an errno: %v", uri, err)
		}
	})
}

func TestAPasswordIsNotShown(t *testing.T) {
	for uri, want := range map[string]string{
		"ws://me:secret@host/x@y": "ws://xxxxx@host/x@y",
		"file:///a@b":             "file:///a@b",
		"plain":                   "plain",
	} {
		if got := shown(uri); got != want {
			t.Errorf("shown(%q) = %q, want %q", uri, got, want)
		}
	}
}

func TestErrnoOfAnError(t *testing.T) {
	for err, want := range map[error]int{
		nil:                                 0,
		fmt.Errorf("x: %w", syscall.ENOSPC): -int(syscall.ENOSPC),
		errStarted:                          -int(syscall.EALREADY),
		fmt.Errorf("x: %w", os.ErrNotExist): -int(syscall.ENOENT),
		io.ErrUnexpectedEOF:                 -int(syscall.EIO),
	} {
		if got := Errno(err); got != want {
			t.Errorf("Errno(%v) = %d, want %d", err, got, want)
		}
	}
}

func TestALongWaitEndsInTime(t *testing.T) {
	s := register(t, "null://", "null://")
	if err := s.Wait(0, Caller{}); !errors.Is(err, syscall.EINVAL) {
		t.Fatalf("never started: %v", err)
	}
	if err := s.Start(Caller{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(time.Millisecond, Caller{}); !errors.Is(err, syscall.ETIMEDOUT) {
		t.Fatalf("a source without end: %v", err)
	}
	waited := make(chan error)
	go func() { waited <- s.Wait(-1, Caller{}) }()
	if err := s.Stop(Caller{}); err != nil {
		t.Fatal(err)
	}
	if err := <-waited; err != nil {
		t.Fatalf("a stop ends the wait: %v", err)
	}
}

func TestPreStopFixesTheEnd(t *testing.T) {
	srv := newServer(t, false)
	ring := ringtest.New(t, 1000)
	s := register(t, ringURI(ring), srv.url)
	if err := s.Start(Caller{}); err != nil {
		t.Fatal(err)
	}
	ring.Write([]byte("before"))
	s.PreStop()
	until(t, "finished", func() bool { return s.Stats().State == StateFinished })
	ring.Write([]byte("after"))
	if err := s.Stop(Caller{}); err != nil {
		t.Fatal(err)
	}
	if got := string(srv.bytes()); got != "before" {
		t.Fatalf("the server has %q", got)
	}
}
