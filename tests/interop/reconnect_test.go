package interop

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// returning bounds how long a client may take to come back. Its pauses grow
// with each loss, and are cut short by nothing.
const returning = 90 * time.Second

var recorderOnce sync.Once

// fodder is more than any recording is fed.
var fodder = sync.OnceValue(func() []byte { return noise(32 << 20) })

// recorder returns the example wsrec, which sends what it reads on its
// standard input.
func recorder(t *testing.T) string {
	t.Helper()
	program := filepath.Join(scratch, "wsrec")
	recorderOnce.Do(func() { compile(t, "../../../examples/c/wsrec.c", program) })
	if _, err := os.Stat(program); err != nil {
		t.Fatal("wsrec could not be built")
	}
	return program
}

// A recording is a wsrec and what it is fed.
type recording struct {
	*process
	in   io.WriteCloser
	fed  atomic.Int64
	stop chan struct{}
	done chan struct{} // closed when nothing more is fed
}

// feed starts a wsrec and feeds it noise, a piece each period, until end.
// before is what the command line begins with.
func feed(t *testing.T, period time.Duration, url string, env []string, before ...string) *recording {
	t.Helper()
	args := append(before, recorder(t), "-", url)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(append(strangers(), "MSP_RECORD_STOP_TIMEOUT=90000", "MSP_LOG_LEVEL=info"), env...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	r := &recording{process: start(t, cmd), in: in, stop: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(r.done)
		defer in.Close()
		tick := time.NewTicker(period)
		defer tick.Stop()
		for data, from := fodder(), 0; from < len(data); {
			n, err := in.Write(data[from:min(from+2560, len(data))])
			from += n
			r.fed.Store(int64(from))
			if err != nil {
				return
			}
			select {
			case <-tick.C:
			case <-r.stop:
				return
			}
		}
	}()
	return r
}

// end feeds no more, and waits until wsrec says that everything has arrived.
// It returns all that was fed.
func (r *recording) end() []byte {
	r.t.Helper()
	close(r.stop)
	if code := r.wait(2 * returning); code != 0 {
		r.t.Errorf("wsrec ended with %d", code)
	}
	<-r.done
	fed := fodder()[:r.fed.Load()]
	if want := fmt.Sprintf("%d bytes read, %d arrived, 0 dropped", len(fed), len(fed)); !strings.Contains(r.errors(), want) {
		r.t.Errorf("wsrec does not say %q", want)
	}
	return fed
}

// said waits until standard error has n times the words.
func (p *process) said(n int, words string) {
	p.t.Helper()
	until(p.t, returning, fmt.Sprintf("%s says %q %d times", filepath.Base(p.cmd.Path), words, n), func() bool {
		return strings.Count(p.errors(), words) >= n
	})
}

func until(t *testing.T, limit time.Duration, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain: ", what)
		}
	}
}

// vacantPort is one that is free, and that no outgoing connection gets: the
// kernel gives them higher ones.
func vacantPort(t *testing.T) string {
	t.Helper()
	for {
		port := strconv.Itoa(10_000 + rand.IntN(20_000))
		if l, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			l.Close()
			return port
		}
	}
}

// size is how many bytes are in the files of a folder.
func size(dir string) (n int64) {
	files, _ := os.ReadDir(dir)
	for _, f := range files {
		if info, err := f.Info(); err == nil && f.Type().IsRegular() {
			n += info.Size()
		}
	}
	return n
}

// joined checks that each connection brought a part of data in one piece, none
// began past what had arrived by then, and together they are all of it.
func joined(t *testing.T, dir, name string, data []byte) {
	t.Helper()
	const mark = 64 // bytes, which are nowhere else in the noise
	furthest, total, n := 0, 0, 0
	for ; ; n++ {
		piece, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("%s.%d", name, n)))
		if err != nil {
			break
		}
		at := bytes.Index(data, piece[:min(mark, len(piece))])
		switch {
		case at < 0 || !bytes.HasPrefix(data[at:], piece):
			t.Fatalf("connection %d brought %d bytes that were not written in this order (at %d)", n, len(piece), at)
		case at > furthest:
			t.Fatalf("connection %d begins at %d, but only %d had arrived", n, at, furthest)
		}
		furthest = max(furthest, at+len(piece))
		total += len(piece)
	}
	if furthest != len(data) {
		t.Fatalf("%d bytes of %d arrived", furthest, len(data))
	}
	t.Logf("%d bytes over %d connections, %d of them twice", len(data), n, total-len(data))
}

// The servers are not ours and do not take part in resuming: what they had not
// confirmed comes again.
func TestServersThatAreStartedAgainGetEveryByteInOrder(t *testing.T) {
	t.Parallel()
	start := map[string]func(t *testing.T, dir, port string) *server{
		"ws": func(t *testing.T, dir, port string) *server { return startNodeIn(t, dir, "pieces", port) },
		"websockets": func(t *testing.T, dir, port string) *server {
			return startPythonIn(t, dir, port)
		},
	}
	// websockets confirms a message before the program has taken it: a kill
	// loses some that no client can know of.
	end := map[string]syscall.Signal{"ws": syscall.SIGKILL, "websockets": syscall.SIGTERM}
	for kind := range start {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			dir, port := t.TempDir(), vacantPort(t)
			s := start[kind](t, dir, port)
			r := feed(t, 2*time.Millisecond, s.url+"a.pcm", nil)
			for range 2 {
				had := size(dir)
				until(t, returning, "more is stored", func() bool { return size(dir) > had+200_000 })
				s.cmd.Process.Signal(end[kind])
				s.wait(patience)
				s = start[kind](t, dir, port)
			}
			had := size(dir)
			until(t, returning, "more is stored", func() bool { return size(dir) > had })
			data := r.end()
			if !strings.Contains(r.errors(), "reconnected 2x") {
				t.Error("wsrec does not say that it reconnected twice")
			}
			s.stop()
			joined(t, dir, "a.pcm", data)
		})
		t.Run(kind+" behind nginx", func(t *testing.T) {
			t.Parallel()
			n := newNginx(t)
			dir, port := t.TempDir(), vacantPort(t)
			s := start[kind](t, dir, port)
			n.before(s)
			r := feed(t, 2*time.Millisecond, s.url+"a.pcm", s.env)
			until(t, returning, "something is stored", func() bool { return size(dir) > 200_000 })

			// The server goes; nginx answers 502 till it is back.
			s.process.cmd.Process.Signal(end[kind])
			s.process.wait(patience)
			s.proxy.said(1, "Connection refused) while connecting to upstream")
			again := start[kind](t, dir, port)
			s.process = again.process
			had := size(dir)
			until(t, returning, "more is stored", func() bool { return size(dir) > had+200_000 })

			// nginx goes, and the server stays.
			s.proxy.stop()
			s.proxy = n.start()
			had = size(dir)
			until(t, returning, "more is stored", func() bool { return size(dir) > had })
			data := r.end()
			if !strings.Contains(r.errors(), "reconnected 2x") {
				t.Error("wsrec does not say that it reconnected twice")
			}
			s.stop()
			joined(t, dir, "a.pcm", data)
		})
	}
}

func TestAServerThatAnswersNoPingsGetsEveryByte(t *testing.T) {
	t.Parallel()
	const size, chunk = 8 << 20, 2560 // eight windows
	s := startNode(t, "deaf")
	p := s.run(t, time.Minute, client(t), s.url+"x.bin", strconv.Itoa(size), strconv.Itoa(chunk))
	if got := p.line("stop "); got != "0 " {
		t.Errorf("record_stop: %s", got)
	}
	want := fmt.Sprintf("%d %d %d 1000", size, (size+chunk-1)/chunk, chunk)
	if got := s.line("stream x.bin "); got != want {
		t.Errorf("the server counts %q, want %q", got, want)
	}
	s.stored(map[string][]byte{"x.bin": noise(size)})
}

// nginx ends a connection over which nothing came for 60 s.
func TestAnIdleStreamOutlivesTheTimeoutsOfNginx(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it takes longer than the 60 s after which nginx ends an idle connection")
	}
	const idle = 65 * time.Second
	rows := []struct {
		what string
		env  []string
		lost bool
		dir  string
		s    *server
		r    *recording
	}{
		{what: "with pings"},
		{what: "without", env: []string{"MSP_RECORD_PING_INTERVAL=600000"}, lost: true},
	}
	for i := range rows { // side by side
		row := &rows[i]
		n := newNginx(t)
		row.dir = t.TempDir()
		row.s = startNodeIn(t, row.dir, "pieces", "0")
		n.before(row.s)
		row.r = feed(t, 2*idle, row.s.url+"a.pcm", append(row.s.env, row.env...)) // a piece, and then none
		until(t, patience, "the first piece is stored", func() bool { return size(row.dir) > 0 })
	}
	time.Sleep(idle)
	for _, row := range rows {
		if lost := strings.Contains(row.r.errors(), "is lost"); lost != row.lost {
			t.Errorf("%s: the connection was lost: %v", row.what, lost)
		}
		data := row.r.end()
		row.s.stop()
		joined(t, row.dir, "a.pcm", data)
	}
}
