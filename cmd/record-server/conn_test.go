package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"msprecord/cmd/record-server/archive"
	"msprecord/cmd/record-server/pcm"
)

// patience is how long a test waits for what should happen at once.
const patience = 20 * time.Second

// transcript is what a server says, to be waited for.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{} // closed and replaced by each write
}

func newTranscript() *transcript { return &transcript{more: make(chan struct{})} }

func (o *transcript) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.more)
	o.more = make(chan struct{})
	return o.text.Write(p)
}

func (o *transcript) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// wait returns the first whole line that has all of parts in it.
func (o *transcript) wait(t *testing.T, parts ...string) string {
	t.Helper()
	late := time.After(patience)
	for {
		o.mu.Lock()
		text, more := o.text.String(), o.more
		o.mu.Unlock()
		lines := strings.Split(text, "\n")
	next:
		for _, l := range lines[:len(lines)-1] {
			for _, p := range parts {
				if !strings.Contains(l, p) {
					continue next
				}
			}
			return l
		}
		select {
		case <-more:
		case <-late:
			t.Fatalf("no line with %q in\n%s", parts, text)
		}
	}
}

// rig is a server in this process.
type rig struct {
	*server
	addr string
	dir  string
	out  *transcript
}

func start(t *testing.T) *rig {
	t.Helper()
	return startIn(t, t.TempDir())
}

func startIn(t *testing.T, dir string) *rig {
	t.Helper()
	return startWith(t, dir, config{format: mono16, limits: limits{message: maxMessage}})
}

func startWith(t *testing.T, dir string, c config) *rig {
	t.Helper()
	st, err := openStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := newTranscript()
	status := newStatus(out, time.Now, rows(0))
	quiet, drawn := make(chan struct{}), make(chan struct{})
	go func() { status.run(quiet); close(drawn) }()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := newServer(st, status, c)
	h := srv.http()
	served := make(chan struct{})
	go func() { h.Serve(listener{TCPListener: ln.(*net.TCPListener), gate: srv.gate}); close(served) }()
	t.Cleanup(func() {
		h.Close()
		srv.stop()
		close(quiet)
		<-drawn
		<-served
		st.close()
	})
	return &rig{srv, ln.Addr().String(), dir, out}
}

// dial connects to a path of the server.
func (r *rig) dial(t *testing.T, path string) *websocket.Conn {
	t.Helper()
	c, _, err := websocket.DefaultDialer.Dial("ws://"+r.addr+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.SetReadDeadline(time.Now().Add(patience))
	t.Cleanup(func() { c.Close() })
	return c
}

func (r *rig) file(t *testing.T, name string) []byte {
	t.Helper()
	p, err := os.ReadFile(filepath.Join(r.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func send(t *testing.T, c *websocket.Conn, p []byte) {
	t.Helper()
	if err := c.WriteMessage(websocket.BinaryMessage, p); err != nil {
		t.Fatal(err)
	}
}

// shut closes with code and returns when the server has answered.
func shut(t *testing.T, c *websocket.Conn, code int) {
	t.Helper()
	c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, ""), time.Now().Add(patience))
	expectClose(t, c, code, "")
}

func expectClose(t *testing.T, c *websocket.Conn, code int, reason string) {
	t.Helper()
	_, _, err := c.ReadMessage()
	var closed *websocket.CloseError
	if !errors.As(err, &closed) || closed.Code != code || !strings.Contains(closed.Text, reason) {
		t.Fatalf("the connection ended with %v, want %d %s", err, code, reason)
	}
}

// frame is one masked frame, made by hand.
func frame(opcode byte, final bool, p []byte) []byte {
	b := []byte{opcode, 0x80}
	if final {
		b[0] |= 0x80
	}
	switch n := len(p); {
	case n < 126:
		b[1] |= byte(n)
	case n < 1<<16:
		b[1] |= 126
		b = binary.BigEndian.AppendUint16(b, uint16(n))
	default:
		b[1] |= 127
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	mask := [4]byte{0xa1, 0x5c, 0x33, 0x0f}
	b = append(b, mask[:]...)
	for i, x := range p {
		b = append(b, x^mask[i%4])
	}
	return b
}

// thirds is p as the SDK sends it: a third, a third, the rest.
func thirds(p []byte) []byte {
	n := len(p) / 3
	b := frame(2, false, p[:n])
	b = append(b, frame(0, false, p[n:2*n])...)
	return append(b, frame(0, true, p[2*n:])...)
}

func rawSend(t *testing.T, c *websocket.Conn, p []byte) {
	t.Helper()
	if _, err := c.NetConn().Write(p); err != nil {
		t.Fatal(err)
	}
}

func TestRawStreamIsStored(t *testing.T) {
	r := start(t)
	sound := samples(500_000)
	for _, size := range []int{1000, 4096, 65536, 100_001, 500_000} {
		name := fmt.Sprintf("a/b/%d.wav", size)
		c := r.dial(t, "/"+name+"?rate=8000&channels=2")
		for p := sound; len(p) > 0; p = p[min(size, len(p)):] {
			send(t, c, p[:min(size, len(p))])
			c.WriteMessage(websocket.TextMessage, []byte("not audio"))
		}
		shut(t, c, websocket.CloseNormalClosure)
		// Complete with the close answered, not some time later.
		w, err := parseWAV(r.file(t, name))
		if err != nil || !bytes.Equal(w.data, sound) || w.format != (of(8000, 2, 16)) {
			t.Errorf("%s: %v, %d bytes, %v", name, err, len(w.data), w.format)
		}
		r.out.wait(t, name, "started, from 127.0.0.1:")
		r.out.wait(t, name, " 500000 bytes ", "kB/s", "closed, ", "text message", "ignored")
	}
}

// A sender that writes channel=2 hears of it, and is recorded all the same.
func TestAMisspelledQueryIsToldAndTheStreamIsStored(t *testing.T) {
	r := start(t)
	for name, c := range map[string]struct{ query, hint string }{
		"a.wav": {"channel=2", `"channel" in the URL is not used: did you mean channels?`},
		"b.wav": {"token=x&RATE=8000", `"RATE" in the URL is not used: did you mean rate?`},
		"c.wav": {"channels%1b[2J=2", `"channels\x1b[2J" in the URL is not used: did you mean channels?`},
	} {
		ws := r.dial(t, "/"+name+"?"+c.query)
		send(t, ws, []byte("1234"))
		shut(t, ws, websocket.CloseNormalClosure)
		r.out.wait(t, name, "started, ", c.hint)
		r.out.wait(t, name, " closed, ", c.hint)
		if w, err := parseWAV(r.file(t, name)); err != nil || string(w.data) != "1234" || w.format != mono16 {
			t.Errorf("%s: %v, %q, %v", name, err, w.data, w.format)
		}
	}

	mux := r.dial(t, "/?bit=8")
	rawSend(t, mux, thirds([]byte("mux.pcm\x001234")))
	r.out.wait(t, "mux.pcm", "started, ", `"bit" in the URL is not used: did you mean bits?`)
	shut(t, mux, websocket.CloseNormalClosure)

	for _, query := range []string{"", "token=rat&date=1&x=%zz", "channels=1", "rat%65=8000"} {
		if hint := pcm.QueryHint(query); hint != "" {
			t.Errorf("%q: %s", query, hint)
		}
	}
}

func TestRawStreamInThreeFrames(t *testing.T) {
	r := start(t)
	c := r.dial(t, "/mic.pcm")
	var want []byte
	for n := range 300 {
		p := samples(n * 7)
		want = append(want, p...)
		rawSend(t, c, thirds(p))
	}
	shut(t, c, 4000)
	if got := r.file(t, "mic.pcm"); !bytes.Equal(got, want) {
		t.Errorf("%d bytes are not the %d sent", len(got), len(want))
	}
	r.out.wait(t, "mic.pcm", "closed with 4000")
}

func TestMuxStreamsAreTakenApart(t *testing.T) {
	for _, fragmented := range []bool{false, true} {
		t.Run(fmt.Sprint("fragmented ", fragmented), func(t *testing.T) {
			r := start(t)
			c := r.dial(t, "/?bits=8")
			want := map[string][]byte{}
			names := []string{"a.pcm", "dir/b.wav", "a-rather-long-name-" + strings.Repeat("x", 200) + ".pcm"}
			sound := samples(200_000)
			for i := range 300 {
				name := names[i*i%7%3]
				chunk := sound[i : i+i*i%4999]
				if i == 150 {
					chunk = sound // more than any buffer
				}
				want[name] = append(want[name], chunk...)
				m := append([]byte(name+"\x00"), chunk...)
				if fragmented {
					rawSend(t, c, thirds(m))
				} else {
					send(t, c, m)
				}
			}
			send(t, c, nil)
			shut(t, c, websocket.CloseNormalClosure)
			for name, p := range want {
				got := r.file(t, name)
				if strings.HasSuffix(name, ".wav") {
					w, err := parseWAV(got)
					if err != nil || w.Bits != 8 {
						t.Errorf("%s: %v, %v", name, err, w.format)
					}
					got = w.data
				}
				if !bytes.Equal(got, p) {
					t.Errorf("%s has %d bytes that are not the %d sent", name, len(got), len(p))
				}
				r.out.wait(t, name, fmt.Sprintf(" %d bytes ", len(p)), "closed")
			}
		})
	}
}

func TestHeaderOfTheSenderSplitOverMessages(t *testing.T) {
	r := start(t)
	var h [pcm.HeaderSize]byte
	mono16.Header(&h, 0)
	whole := append(h[:], samples(1000)...)
	c := r.dial(t, "/mic.wav")
	for _, p := range [][]byte{whole[:1], whole[1:3], whole[3:]} {
		send(t, c, p)
		ping(t, c) // so that they are not taken together
	}
	shut(t, c, websocket.CloseNormalClosure)
	if got := r.file(t, "mic.wav"); !bytes.Equal(got, whole) {
		t.Errorf("%d bytes stored, %d sent", len(got), len(whole))
	}
}

// ping returns when the server has answered one.
func ping(t *testing.T, c *websocket.Conn) {
	t.Helper()
	c.WriteControl(websocket.PingMessage, []byte("count"), time.Now().Add(patience))
	// By hand: gorilla reads pongs only on the way to a message.
	var b [7]byte
	if _, err := io.ReadFull(c.NetConn(), b[:]); err != nil || string(b[:]) != "\x8a\x05count" {
		t.Fatalf("instead of a pong: %q, %v", b, err)
	}
}

func TestPongSaysThatAllBeforeItIsInTheFile(t *testing.T) {
	r := start(t)
	c := r.dial(t, "/mic.pcm")
	sound := samples(200_000)
	// A ping after a message, and one between two frames of another: all in
	// one piece, so that the server finds it in one read.
	b := frame(2, true, sound[:1000])
	b = append(b, frame(9, true, []byte("count"))...)
	b = append(b, frame(2, false, sound[1000:1500])...)
	b = append(b, frame(9, true, []byte("count"))...)
	rawSend(t, c, b)
	var pongs [14]byte
	if _, err := io.ReadFull(c.NetConn(), pongs[:]); err != nil || string(pongs[:]) != "\x8a\x05count\x8a\x05count" {
		t.Fatalf("%q, %v", pongs, err)
	}
	if got := r.file(t, "mic.pcm"); !bytes.Equal(got, sound[:1500]) {
		t.Errorf("%d bytes are there, want 1500", len(got))
	}
	rawSend(t, c, frame(0, true, sound[1500:]))
	ping(t, c)
	if got := r.file(t, "mic.pcm"); !bytes.Equal(got, sound) {
		t.Errorf("%d bytes are there, want %d", len(got), len(sound))
	}
	shut(t, c, websocket.CloseNormalClosure)
}

func TestOneNameTwiceIsTwoFiles(t *testing.T) {
	r := start(t)
	os.WriteFile(filepath.Join(r.dir, "mic.pcm"), []byte("old"), 0o644)
	a, b := r.dial(t, "/mic.pcm"), r.dial(t, "/")
	r.out.wait(t, "mic_1.pcm", "started", "mic.pcm exists")
	send(t, b, []byte("mic.pcm\x00bbb"))
	send(t, a, []byte("aaa"))
	shut(t, a, websocket.CloseNormalClosure)
	shut(t, b, websocket.CloseNormalClosure)
	for name, want := range map[string]string{"mic.pcm": "old", "mic_1.pcm": "aaa", "mic_2.pcm": "bbb"} {
		if got := r.file(t, name); string(got) != want {
			t.Errorf("%s has %q, want %q", name, got, want)
		}
	}
	r.out.wait(t, "mic_2.pcm", "closed", "mic.pcm exists")
}

func TestHandshakesThatAreRefused(t *testing.T) {
	r := start(t)
	outside, _ := os.ReadDir(filepath.Dir(r.dir))
	for _, c := range []struct {
		path   string
		origin string
		status int
		reason string
	}{
		{"/../mic.wav", "", 400, ".. in it"},
		{"/%2e%2e/mic.wav", "", 400, ".. in it"},
		{"/a%2F..%2F..%2Fmic.wav", "", 400, ".. in it"},
		{"//etc/mic.wav", "", 400, "absolute"},
		{"/mic%00.wav", "", 400, "U+0000"},
		{"/mic%1b.wav", "", 400, "U+001B"},
		{"/.hidden", "", 400, "dot"},
		{"/a/", "", 400, "nothing follows"},
		{"/" + strings.Repeat("n", 256), "", 400, "longer than 255"},
		{"/mic.wav?rate=fast", "", 400, "rate"},
		{"/?channels=0", "", 400, "channels"},
		{"/mic.pcm?bits=7", "", 400, "bits"},
		{"/mic.wav", "http://elsewhere.example", 403, "origin"},
		{"/", "http://elsewhere.example", 403, "origin"},
	} {
		h := http.Header{}
		if c.origin != "" {
			h.Set("Origin", c.origin)
		}
		conn, resp, err := websocket.DefaultDialer.Dial("ws://"+r.addr+c.path, h)
		if err == nil {
			conn.Close()
			t.Errorf("%s %s: taken", c.path, c.origin)
			continue
		}
		if resp == nil {
			t.Errorf("%s %s: %v", c.path, c.origin, err)
			continue
		}
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != c.status || !strings.Contains(string(body), c.reason) {
			t.Errorf("%s %s: %d %s, want %d %s", c.path, c.origin, resp.StatusCode, body, c.status, c.reason)
		}
		r.out.wait(t, "refused 127.0.0.1:", c.reason)
	}
	if left, _ := os.ReadDir(r.dir); len(left) > 0 {
		t.Errorf("refused handshakes left %v", left)
	}
	if now, _ := os.ReadDir(filepath.Dir(r.dir)); len(now) != len(outside) {
		t.Error("something was made outside the directory")
	}
	h := http.Header{"Origin": {"http://" + r.addr}}
	c, _, err := websocket.DefaultDialer.Dial("ws://"+r.addr+"/mic.wav", h)
	if err != nil {
		t.Fatalf("a page of this host: %v", err)
	}
	c.Close()
}

func TestMuxMessagesThatAreRefused(t *testing.T) {
	r := start(t)
	for _, c := range []struct {
		message string
		reason  string
	}{
		{"../mic.wav\x00x", ".. in it"},
		{"/etc/mic.wav\x00x", "absolute"},
		{"\x00x", "empty"},
		{"mic\x1b.wav\x00x", "U+001B"},
		{"no zero byte", "no zero byte"},
		{strings.Repeat("n", archive.MaxName+1), "no zero byte in its first"},
		{strings.Repeat("n", 100_000), "no zero byte in its first"},
	} {
		ws := r.dial(t, "/")
		send(t, ws, []byte("good.pcm\x00abc"))
		send(t, ws, []byte(c.message))
		expectClose(t, ws, websocket.ClosePolicyViolation, c.reason)
		r.out.wait(t, "good", " 3 bytes ", "failed: ", c.reason)
	}
	ws := r.dial(t, "/")
	for i := range maxStreams + 1 {
		send(t, ws, fmt.Appendf(nil, "many/%d\x00x", i))
	}
	expectClose(t, ws, websocket.ClosePolicyViolation, "more than 256 streams")
	if left, _ := os.ReadDir(filepath.Join(r.dir, "many")); len(left) != 2*maxStreams { // a note beside each
		t.Errorf("%d files", len(left))
	}
}

func TestMessagesThatAreTooLong(t *testing.T) {
	r := start(t)
	// Only the head of a frame is sent: the length alone decides.
	for _, n := range []uint64{maxMessage + 1, 1 << 62, 1<<64 - 1} {
		c := r.dial(t, "/mic.pcm")
		send(t, c, []byte("abc"))
		rawSend(t, c, binary.BigEndian.AppendUint64([]byte{0x82, 0xff}, n))
		rawSend(t, c, make([]byte, 4+maxMessage/8)) // the mask, and a start
		expectClose(t, c, websocket.CloseMessageTooBig, "")
	}
	c := r.dial(t, "/whole.pcm")
	send(t, c, make([]byte, maxMessage))
	shut(t, c, websocket.CloseNormalClosure)
	r.out.wait(t, "mic.pcm", " 3 bytes ", "failed: a message is longer than 33554432 bytes")
	r.out.wait(t, "whole.pcm", " 33554432 bytes ", "closed")
}

func TestBrokenFramesEndTheStream(t *testing.T) {
	r := start(t)
	c := r.dial(t, "/mic.pcm")
	send(t, c, []byte("abc"))
	rawSend(t, c, []byte{0x82, 0x03, 'x', 'y', 'z'}) // not masked
	expectClose(t, c, websocket.CloseProtocolError, "")
	r.out.wait(t, "mic.pcm", " 3 bytes ", "failed: bad MASK")
}

func TestFramesAtRandomDoNotBreakTheServer(t *testing.T) {
	r := start(t)
	rnd := rand.New(rand.NewPCG(1, 2))
	names := []string{"a\x00", "b.wav\x00", "c", "..\x00", "\x00", ""}
	var wg sync.WaitGroup
	for i := range 200 {
		var b []byte
		for range 20 {
			opcode := []byte{0, 1, 2, 2, 2, 0, 9, 10, 8, 3}[rnd.IntN(10)]
			p := append([]byte(names[rnd.IntN(len(names))]), samples(rnd.IntN(300))...)
			f := frame(opcode, rnd.IntN(3) > 0, p)
			if rnd.IntN(20) == 0 {
				f[rnd.IntN(len(f))] ^= byte(1 << rnd.IntN(8))
			}
			b = append(b, f...)
		}
		c := r.dial(t, []string{"/", "/raw.wav"}[i%2])
		wg.Go(func() {
			c.NetConn().Write(b)
			c.NetConn().(*net.TCPConn).CloseWrite()
			io.Copy(io.Discard, c.NetConn())
		})
	}
	wg.Wait()
	c := r.dial(t, "/after.pcm")
	shut(t, c, websocket.CloseNormalClosure)
	r.out.wait(t, "after.pcm", "closed")
	if text := r.out.String(); strings.Contains(text, "panic") {
		t.Error(text)
	}
}

func TestAPeerThatDiesIsLost(t *testing.T) {
	r := start(t)
	reset := r.dial(t, "/reset.wav")
	send(t, reset, samples(1001))
	ping(t, reset)
	reset.NetConn().(*net.TCPConn).SetLinger(0)
	reset.NetConn().Close()
	r.out.wait(t, "reset.wav", " 1001 bytes ", "lost: connection reset by peer")

	// In the middle of a message: what came of it is kept.
	cut := r.dial(t, "/cut.wav")
	rawSend(t, cut, frame(2, true, samples(1000))[:8+500])
	cut.NetConn().Close()
	r.out.wait(t, "cut.wav", " 500 bytes ", "lost: ")
	for name, n := range map[string]int{"reset.wav": 1000, "cut.wav": 500} {
		if w, err := parseWAV(r.file(t, name)); err != nil || len(w.data) != n {
			t.Errorf("%s: %v, %d bytes", name, err, len(w.data))
		}
	}
}

func TestFullDiskEndsThatStreamOnly(t *testing.T) {
	r := start(t)
	create := r.store.create
	r.store.create = func(name string) (storage, error) {
		if strings.HasPrefix(name, "no") {
			return nil, &fs.PathError{Op: "openat", Path: name, Err: syscall.ENOSPC}
		}
		f, err := create(name)
		if err == nil && strings.HasPrefix(name, "full") {
			return &fullFile{f, 1000}, nil
		}
		return f, err
	}
	good := r.dial(t, "/good.pcm")
	full, mux := r.dial(t, "/full.pcm"), r.dial(t, "/")
	send(t, good, samples(900))
	send(t, full, samples(900))
	send(t, full, samples(900))
	expectClose(t, full, websocket.CloseInternalServerErr, "cannot write full.pcm: no space left on device")
	r.out.wait(t, "full.pcm", " 1000 bytes ", "failed: cannot write full.pcm: no space left on device")
	send(t, mux, []byte("none.pcm\x00x"))
	expectClose(t, mux, websocket.CloseInternalServerErr, "cannot create none.pcm: no space left on device")

	_, resp, err := websocket.DefaultDialer.Dial("ws://"+r.addr+"/none.pcm", nil)
	if err == nil || resp.StatusCode != http.StatusInsufficientStorage {
		t.Errorf("no room for a file: %v", err)
	}
	send(t, good, samples(900))
	shut(t, good, websocket.CloseNormalClosure)
	if got := r.file(t, "good.pcm"); len(got) != 1800 {
		t.Errorf("the other stream has %d bytes", len(got))
	}

	// A disk that fills with the very last bytes: the close is not answered
	// as if they were stored.
	last := r.dial(t, "/full2.pcm")
	b := frame(2, true, samples(1001))
	rawSend(t, last, append(b, frame(8, true, websocket.FormatCloseMessage(1000, ""))...))
	expectClose(t, last, websocket.CloseInternalServerErr, "no space left")
}

// fullFile is a file on a disk that has room bytes left.
type fullFile struct {
	storage
	room int64
}

func (f *fullFile) WriteAt(p []byte, off int64) (int, error) {
	if fits := max(f.room-off, 0); int64(len(p)) > fits {
		n, _ := f.storage.WriteAt(p[:fits], off)
		return n, syscall.ENOSPC
	}
	return f.storage.WriteAt(p, off)
}

func TestPageForBrowsers(t *testing.T) {
	r := start(t)
	c := r.dial(t, "/mic.pcm")
	send(t, c, samples(1234))
	ping(t, c)
	for path, status := range map[string]int{"/": 200, "/mic.pcm": 426} {
		resp, err := http.Get("http://" + r.addr + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		text := string(body)
		if resp.StatusCode != status || !strings.Contains(text, "ws://"+r.addr+"/NAME") || !strings.Contains(text, " 1234 bytes ") {
			t.Errorf("%s: %d %s", path, resp.StatusCode, text)
		}
		if ct := resp.Header.Get("Content-Type"); !strings.HasPrefix(ct, "text/plain") {
			t.Errorf("%s: %s", path, ct)
		}
	}
	resp, err := http.Post("http://"+r.addr+"/", "text/plain", strings.NewReader("x"))
	if err != nil || resp.StatusCode != 405 {
		t.Errorf("POST: %v, %v", resp, err)
	}
}

func TestStoppingTakesWhatWasSent(t *testing.T) {
	r := start(t)
	c, quiet := r.dial(t, "/mic.pcm"), r.dial(t, "/quiet.pcm")
	ping(t, c)
	sound := samples(1_000_000)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for p := sound; len(p) > 0; p = p[1000:] {
			c.WriteMessage(websocket.BinaryMessage, p[:1000])
		}
	}()
	r.out.wait(t, "quiet.pcm", "started")
	stopped := make(chan struct{})
	go func() { r.stop(); close(stopped) }()
	<-sent
	// Reading answers the close, which follows all that was written.
	expectClose(t, c, websocket.CloseGoingAway, "stopping")
	expectClose(t, quiet, websocket.CloseGoingAway, "stopping")
	c.Close()
	quiet.Close()
	<-stopped
	if got := r.file(t, "mic.pcm"); !bytes.Equal(got, sound) {
		t.Errorf("%d bytes stored of %d", len(got), len(sound))
	}
	r.out.wait(t, "mic.pcm", " 1000000 bytes ", "stopped")
	_, resp, err := websocket.DefaultDialer.Dial("ws://"+r.addr+"/late.pcm", nil)
	if err == nil || resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a stopped server takes connections: %v", err)
	}
}
