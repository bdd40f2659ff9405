// SPDX-License-Identifier: MIT

package stream

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A recorder is a server of the kind that the mux wire was made for: it knows
// no resuming, stores a message only where it ends in a continuation frame,
// splits it at its first zero byte, and empties a file when a connection first
// names it. Frames that RFC 6455 or the wire forbid are noted as trouble.
type recorder struct {
	url   string
	deaf  bool          // answers no pings
	stall chan struct{} // not nil: nothing is read until it is closed

	mu      sync.Mutex
	files   map[string][]byte
	conns   map[net.Conn]bool
	dialled int
	trouble error
	wg      sync.WaitGroup
}

func newRecorder(t testing.TB) *recorder {
	r := &recorder{files: map[string][]byte{}, conns: map[net.Conn]bool{}}
	h := httptest.NewServer(r)
	r.url = "ws" + strings.TrimPrefix(h.URL, "http")
	t.Cleanup(func() {
		r.cut()
		h.Close()
		r.wg.Wait()
		if r.trouble != nil {
			t.Error(r.trouble)
		}
	})
	return r
}

// cut resets every connection.
func (r *recorder) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.conns {
		reset(c)
	}
}

func (r *recorder) stored() map[string][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.files)
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.URL.Path != "/" || req.Header.Get("Record-Stream") != "" {
		http.Error(w, "not the mux wire", http.StatusNotFound)
		return
	}
	conn, buf, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	switchProtocols(conn, req, "")
	r.mu.Lock()
	r.conns[conn] = true
	r.dialled++
	r.wg.Add(1)
	r.mu.Unlock()
	go func() {
		defer r.wg.Done()
		defer conn.Close()
		if r.stall != nil {
			<-r.stall
		}
		if err := r.record(conn, buf.Reader); err != nil {
			r.mu.Lock()
			r.trouble = errors.Join(r.trouble, err)
			r.mu.Unlock()
		}
		r.mu.Lock()
		delete(r.conns, conn)
		r.mu.Unlock()
	}()
}

// record reads frames until the connection ends; an error is a client's fault.
func (r *recorder) record(conn net.Conn, in *bufio.Reader) error {
	named := map[string]bool{}
	var message []byte
	var sizes []int
	for {
		var head [2]byte
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return nil
		}
		n := int64(head[1] & 0x7F)
		switch n {
		case 126:
			var x uint16
			if binary.Read(in, binary.BigEndian, &x) != nil {
				return nil
			}
			n = int64(x)
		case 127:
			if binary.Read(in, binary.BigEndian, &n) != nil {
				return nil
			}
		}
		if head[1]&maskBit == 0 {
			return errors.New("a frame is not masked")
		}
		p := make([]byte, 4+n)
		if _, err := io.ReadFull(in, p); err != nil {
			return nil
		}
		key, p := p[:4], p[4:]
		for i := range p {
			p[i] ^= key[i%4]
		}
		fin, opcode := head[0]&finBit != 0, head[0]&0x7F
		switch {
		case opcode == opPing:
			if !r.deaf {
				conn.Write(append([]byte{finBit | opPong, byte(n)}, p...))
			}
		case opcode == opPong:
		case opcode == opClose:
			conn.Write(append([]byte{finBit | opClose, byte(n)}, p...))
			return nil
		case opcode == opBinary && !fin && len(sizes) == 0, opcode == opContinuation && len(sizes) > 0:
			message = append(message, p...)
			sizes = append(sizes, int(n))
			if !fin {
				break
			}
			third := len(message) / 3
			if len(sizes) != 3 || sizes[0] != third || sizes[1] != third {
				return fmt.Errorf("a message of %d bytes came in frames of %v", len(message), sizes)
			}
			name, chunk, found := bytes.Cut(message, []byte{0})
			if !found {
				return fmt.Errorf("a message of %d bytes has no zero byte", len(message))
			}
			r.mu.Lock()
			if !named[string(name)] {
				named[string(name)] = true
				r.files[string(name)] = nil
			}
			r.files[string(name)] = append(r.files[string(name)], chunk...)
			r.mu.Unlock()
			message, sizes = message[:0], sizes[:0]
		default:
			return fmt.Errorf("a frame begins with %#x after the frames %v", head[0], sizes)
		}
	}
}

func muxConfig(t testing.TB, url string) Config {
	cfg := config(t, url)
	cfg.Mux = true
	return cfg
}

// pieces are the files of one stream in the order of their connections.
func pieces(files map[string][]byte, stem, ext string) (p [][]byte) {
	if first, ok := files[stem+ext]; ok {
		p = append(p, first)
	}
	for n := 1; n < 10000; n++ {
		if next, ok := files[fmt.Sprintf("%s_r%d%s", stem, n, ext)]; ok {
			p = append(p, next)
		}
	}
	return p
}

func TestMuxSharesAConnectionAndKeepsNames(t *testing.T) {
	r := newRecorder(t)
	names := map[string]string{"/mic.wav": "mic.wav", "/ref.wav": "ref.wav", "/": "default.pcm", "/a%20b": "a%20b"}
	var streams []*Stream
	for path := range names {
		s := open(t, context.Background(), muxConfig(t, r.url+"/dir"+path))
		defer s.Close()
		for i := range 5 {
			put(t, s, []byte(strings.Repeat(path, 1+i*1000)))
			if err := s.Flush(); err != nil {
				t.Fatal(err)
			}
		}
		put(t, s, []byte{0}) // a chunk of one byte, and that a zero
		streams = append(streams, s)
	}
	for _, s := range streams {
		if err := s.Finish(); err != nil {
			t.Fatal(err)
		}
		if s.Delivered() != s.window.next || s.Sent() != s.window.next {
			t.Fatalf("delivered %d, sent %d of %d", s.Delivered(), s.Sent(), s.window.next)
		}
	}
	files := r.stored()
	for path, name := range names {
		want := strings.Repeat(path, 5+10*1000) + "\x00"
		if string(files[name]) != want {
			t.Errorf("%s: %d bytes, want %d", name, len(files[name]), len(want))
		}
	}
	if r.dialled != 1 || len(files) != len(names) {
		t.Errorf("%d connections, files %v", r.dialled, slices.Collect(maps.Keys(files)))
	}
}

func TestMuxLosesNothingWhenTheConnectionIsLost(t *testing.T) {
	for _, deaf := range []bool{false, true} {
		t.Run(fmt.Sprintf("deaf %v", deaf), func(t *testing.T) {
			r := newRecorder(t)
			r.deaf = deaf
			way := newFaultyWay(t, r.url, 0)
			var wg, pushing sync.WaitGroup
			pushing.Add(3)
			var totals [3]int
			var reconnects atomic.Int64
			stems := [3]string{"mic", "ref", "proc"}
			for i, stem := range stems {
				cfg := faultyConfig(t, "ws://"+way.listen.Addr().String()+"/"+stem+".pcm")
				cfg.Mux, cfg.PongTimeout, cfg.ReplayBytes = true, 10*time.Second, 4<<20
				wg.Go(func() {
					pushed := sync.OnceFunc(pushing.Done)
					defer pushed()
					s, err := Open(context.Background(), cfg, newWaker(t))
					if err != nil {
						t.Error(err)
						return
					}
					defer s.Close()
					const chunk = 1600
					for ; totals[i] < 1000*chunk; totals[i] += chunk {
						if _, err := s.Reserve(chunk); err != nil {
							t.Error(err)
							return
						}
						s.Put(numbers(totals[i], chunk), nil)
						if err := s.Flush(); err != nil {
							t.Error(err)
							return
						}
						if i == 0 && totals[i]%(200*chunk) == 100*chunk {
							r.cut()
						}
					}
					// What a deaf server had not read when the connection is
					// cut is lost where its stream is over by then.
					pushed()
					pushing.Wait()
					if err := s.Finish(); err != nil {
						t.Errorf("%s: %v", stem, err)
					}
					reconnects.Add(s.Figures().Reconnects)
				})
			}
			wg.Wait()
			if reconnects.Load() == 0 {
				t.Error("no connection was lost")
			}
			files := r.stored()
			for i, stem := range stems {
				at, parts := 0, pieces(files, stem, ".pcm")
				for _, p := range parts {
					if len(p) == 0 {
						continue
					}
					from := int(binary.BigEndian.Uint64(p))
					if from > at || !bytes.Equal(p, numbers(from, len(p))) {
						t.Fatalf("%s: a file of %d bytes begins at %d, where %d is next", stem, len(p), from, at)
					}
					at = max(at, from+len(p))
				}
				if at != totals[i] {
					t.Errorf("%s: %d bytes of %d in %d files", stem, at, totals[i], len(parts))
				}
			}
		})
	}
}

func TestAMuxStreamStopsAloneWhileTheServerStalls(t *testing.T) {
	r := newRecorder(t)
	r.stall = make(chan struct{})
	ctx, cancel := context.WithCancelCause(context.Background())
	stopped := open(t, ctx, muxConfig(t, r.url+"/stopped.pcm"))
	other := open(t, context.Background(), muxConfig(t, r.url+"/other.pcm"))
	put(t, other, numbers(0, 8000))
	cause := errors.New("time is up")
	time.AfterFunc(50*time.Millisecond, func() { cancel(cause) })
	for at := 0; ; at += 80000 {
		_, err := stopped.Reserve(80000)
		if err == nil {
			stopped.Put(numbers(at, 80000), nil)
			err = stopped.Flush()
		}
		if err != nil {
			if !errors.Is(err, cause) {
				t.Fatal(err)
			}
			break
		}
	}
	stopped.Close() // half of a message may be in the socket
	close(r.stall)
	put(t, other, numbers(8000, 8000))
	if err := other.Finish(); err != nil {
		t.Fatal(err)
	}
	files := r.stored()
	if !bytes.Equal(files["other.pcm"], numbers(0, 16000)) {
		t.Errorf("other.pcm has %d bytes", len(files["other.pcm"]))
	}
	if p := files["stopped.pcm"]; len(p) == 0 || len(p)%80000 != 0 || !bytes.Equal(p, numbers(0, len(p))) {
		t.Errorf("stopped.pcm has %d bytes", len(p))
	}
	if r.dialled != 1 {
		t.Errorf("%d connections", r.dialled)
	}
}

func TestMuxIsFair(t *testing.T) {
	r := newRecorder(t)
	greedy := open(t, context.Background(), muxConfig(t, r.url+"/greedy.pcm"))
	over := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-over:
				return
			default:
			}
			if _, err := greedy.Reserve(16 << 10); err != nil {
				t.Error(err)
				return
			}
			greedy.Put(make([]byte, 16<<10), nil)
			greedy.Flush()
		}
	})
	modest := open(t, context.Background(), muxConfig(t, r.url+"/modest.pcm"))
	const chunks = 200
	before := greedy.Sent()
	for i := range chunks {
		put(t, modest, numbers(i*1600, 1600))
		if err := modest.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	// One turn of the other's may be under way, and one may come before this
	// one's; the scheduler has a say as well.
	if n := (greedy.Sent() - before) / chunks; n > 8*turnSize {
		t.Errorf("%d bytes of another stream went for each 1600", n)
	}
	close(over)
	wg.Wait()
	if err := modest.Finish(); err != nil {
		t.Fatal(err)
	}
}

func TestAMuxConnectionAsksAStreamThatIsOnItForHeaders(t *testing.T) {
	r := newRecorder(t)
	var asked [2]atomic.Int64
	var streams [2]*Stream
	for i := range streams {
		cfg := faultyConfig(t, r.url+fmt.Sprintf("/%d.pcm", i))
		cfg.Mux = true
		cfg.Headers = func(context.Context) []string {
			asked[i].Add(1)
			return nil
		}
		streams[i] = open(t, context.Background(), cfg)
	}
	if asked[0].Load() != 1 || asked[1].Load() != 0 {
		t.Fatalf("for the first connection, %d and %d times", asked[0].Load(), asked[1].Load())
	}
	streams[0].Close()
	await(t, streams[1], "the server's side of the connection", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.conns) == 1
	})
	r.cut()
	await(t, streams[1], "a reconnect", func() bool { return streams[1].Figures().Reconnects > 0 })
	if asked[0].Load() != 1 || asked[1].Load() == 0 {
		t.Fatalf("for the second connection, %d and %d times", asked[0].Load(), asked[1].Load())
	}
}

func TestMuxSaysWhatIsWrong(t *testing.T) {
	r := newRecorder(t)
	first := open(t, context.Background(), muxConfig(t, r.url+"/x.pcm"))
	defer first.Close()
	_, err := Open(context.Background(), muxConfig(t, r.url+"/x.pcm"), newWaker(t))
	if !errors.Is(err, syscall.EBUSY) || !strings.Contains(err.Error(), "x.pcm") {
		t.Errorf("a name that is taken: %v", err)
	}
	cfg := muxConfig(t, r.url+"/y.pcm")
	cfg.Speech.OpenText = "hello"
	if _, err = Open(context.Background(), cfg, newWaker(t)); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("open_text: %v", err)
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	if _, err = Open(context.Background(), muxConfig(t, "ws://"+closed.Addr().String()+"/z.pcm"), newWaker(t)); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("nobody there: %v", err)
	}
	trunks.mu.Lock()
	defer trunks.mu.Unlock()
	if len(trunks.byKey) != 1 {
		t.Errorf("%d connections are kept, one is used", len(trunks.byKey))
	}
}
