package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"msprecord/cmd/record-server/archive"
	"msprecord/cmd/record-server/pcm"
)

const testID = "00112233445566778899aabbccddeeff"

func claimHeaders(id string, offset, epoch int) http.Header {
	return http.Header{
		"Record-Stream": {id},
		"Record-Offset": {strconv.Itoa(offset)},
		"Record-Epoch":  {strconv.Itoa(epoch)},
	}
}

// again connects for the stream testID and returns where it is to go on.
func (r *rig) again(t *testing.T, path string, offset, epoch int) (*websocket.Conn, int) {
	t.Helper()
	c, resp, err := websocket.DefaultDialer.Dial("ws://"+r.addr+path, claimHeaders(testID, offset, epoch))
	if err != nil {
		t.Fatal(err, resp)
	}
	c.SetReadDeadline(time.Now().Add(patience))
	t.Cleanup(func() { c.Close() })
	held, err := strconv.Atoi(resp.Header.Get("Record-Offset"))
	if err != nil {
		t.Fatalf("Record-Offset in the answer: %v", err)
	}
	return c, held
}

// ends returns when the server has ended the connection.
func ends(c *websocket.Conn) { io.Copy(io.Discard, c.NetConn()) }

// payload is what of a file is the stream's.
func payload(t *testing.T, name string, file []byte) []byte {
	t.Helper()
	if !strings.HasSuffix(name, ".wav") {
		return file
	}
	w, err := parseWAV(file)
	if err != nil || int(w.size) != len(w.data) {
		t.Fatalf("%s: %v, %d bytes of %d", name, err, len(w.data), w.size)
	}
	return w.data
}

func TestResumeGoesOnWhereTheFileEnds(t *testing.T) {
	sound := samples(100_000)
	for _, name := range []string{"mic.pcm", "a/mic.wav"} {
		for _, cut := range []int{0, 1, 2, 4096, 5001, 99_999, 100_000} {
			r := start(t)
			c, held := r.again(t, "/"+name+"?bits=8", 0, 0)
			if held != 0 {
				t.Fatalf("a new stream begins at %d", held)
			}
			// A first fragment, so that the cut is in the middle of a message.
			rawSend(t, c, frame(2, false, sound[:cut]))
			ping(t, c)
			c.NetConn().Close()
			c, held = r.again(t, "/elsewhere.pcm", cut/2, 1)
			if held != cut {
				t.Fatalf("%s: %d bytes are held, %d were answered for", name, held, cut)
			}
			send(t, c, sound[held:])
			ping(t, c)
			// This time in the middle of a frame, and no one waits for it.
			rawSend(t, c, frame(2, true, sound)[:10+cut/3])
			c.NetConn().Close()
			c, held = r.again(t, "/"+name, len(sound), 7)
			if held < len(sound) || held > len(sound)+cut/3 {
				t.Fatalf("%s: %d are held", name, held)
			}
			send(t, c, sound[held-len(sound):])
			shut(t, c, websocket.CloseNormalClosure)
			if got := payload(t, name, r.file(t, name)); !bytes.Equal(got, append(sound, sound...)) {
				t.Errorf("%s: cut at %d: %d bytes are not what was sent", name, cut, len(got))
			}
			if _, err := os.Stat(filepath.Join(r.dir, "elsewhere.pcm")); err == nil {
				t.Error("another file was made")
			}
			line := r.out.wait(t, name, " 200000 bytes ", "closed, reconnected 2 times")
			// One where it began and one where it ended; a connection that was
			// missed before the next one came has told so, and then of its end.
			n := strings.Count(r.out.String(), name)
			away, back := strings.Count(r.out.String(), name+"  away, "), strings.Count(r.out.String(), name+"  back, ")
			if n != 2+away+back || away != back {
				t.Errorf("%d lines, %d of them away and %d back, the last %q", n, away, back, line)
			}
		}
	}
}

func TestTakeOverOfAHalfOpenConnection(t *testing.T) {
	r := start(t)
	sound := samples(10_000)
	old, _ := r.again(t, "/mic.wav", 0, 0)
	send(t, old, sound[:1001])
	ping(t, old)
	// In the middle of a message, so that the server waits for more.
	rawSend(t, old, frame(2, true, sound[1001:3000])[:500])
	c, held := r.again(t, "/mic.wav", 0, 1)
	if held < 1001 || held > 1001+500 {
		t.Fatalf("%d are held", held)
	}
	old.NetConn().Write(frame(2, true, sound[3000:9000]))
	old.NetConn().Write(frame(9, true, []byte("count")))
	ends(old)
	if got := len(r.file(t, "mic.wav")) - pcm.HeaderSize; got != held {
		t.Errorf("%d bytes are there, %d were answered", got, held)
	}
	send(t, c, sound[held:])
	shut(t, c, websocket.CloseNormalClosure)
	if got := payload(t, "mic.wav", r.file(t, "mic.wav")); !bytes.Equal(got, sound) {
		t.Errorf("%d bytes are not what was sent", len(got))
	}
}

func TestTakeOverTellsThePeer(t *testing.T) {
	r := start(t)
	old, _ := r.again(t, "/mic.pcm", 0, 0)
	r.again(t, "/mic.pcm", 0, 1)
	expectClose(t, old, websocket.ClosePolicyViolation, "a newer connection of this stream took over")
}

// Each connection is taken over while it writes as fast as it can.
func TestTakeOverWhileTheOldConnectionWrites(t *testing.T) {
	r := start(t)
	const epochs = 40
	sound := samples(32 << 20)
	held := 0
	done := make([]chan struct{}, epochs)
	for epoch := range epochs {
		c, now := r.again(t, "/mic.wav", held, epoch)
		if now < held {
			t.Fatalf("%d were held, now %d", held, now)
		}
		held = now
		busy, ended := make(chan struct{}), make(chan struct{})
		done[epoch] = ended
		go func() {
			defer close(ended)
			// No more than its share, so that the last has something to send.
			share := sound[now:min(now+len(sound)/epochs, len(sound))]
			chunk := 1000 + epoch*500
			for n := 0; len(share) > 0; n++ {
				if n == 5 {
					close(busy)
				}
				p := share[:min(chunk, len(share))]
				if c.WriteMessage(websocket.BinaryMessage, p) != nil {
					break
				}
				share = share[len(p):]
			}
		}()
		<-busy
	}
	c, held := r.again(t, "/mic.wav", held, epochs)
	for _, d := range done {
		<-d
	}
	t.Logf("%d of %d bytes came in %d connections", held, len(sound), epochs)
	for p := sound[held:]; len(p) > 0; p = p[min(1<<20, len(p)):] {
		send(t, c, p[:min(1<<20, len(p))])
	}
	shut(t, c, websocket.CloseNormalClosure)
	if got := payload(t, "mic.wav", r.file(t, "mic.wav")); !bytes.Equal(got, sound) {
		t.Errorf("%d bytes are not the %d sent", len(got), len(sound))
	}
	r.out.wait(t, "mic.wav", "closed, reconnected 40 times")
}

func TestStaleConnectionsAreRefused(t *testing.T) {
	dir := t.TempDir()
	r := startIn(t, dir)
	c, _ := r.again(t, "/mic.pcm", 0, 5)
	refused := func(r *rig) {
		t.Helper()
		for _, epoch := range []int{0, 4, 5} {
			_, resp, err := websocket.DefaultDialer.Dial("ws://"+r.addr+"/mic.pcm", claimHeaders(strings.ToUpper(testID), 0, epoch))
			if err == nil || resp.StatusCode != http.StatusConflict {
				t.Fatalf("epoch %d: %v", epoch, err)
			}
			if body, _ := io.ReadAll(resp.Body); !strings.Contains(string(body), fmt.Sprintf("Record-Epoch %d: connection 5 of this stream", epoch)) {
				t.Errorf("%s", body)
			}
		}
	}
	refused(r)
	send(t, c, []byte("abc")) // is as it was
	ping(t, c)
	c.NetConn().Close()
	refused(r)
	// Another process knows too.
	refused(startIn(t, dir))
}

func TestGapsAreToldAndCounted(t *testing.T) {
	dir := t.TempDir()
	r := startIn(t, dir)
	sound := samples(1000)
	c, _ := r.again(t, "/mic.wav?bits=8", 0, 0)
	send(t, c, sound[:100])
	ping(t, c)
	for i, step := range []struct{ offset, held int }{
		{300, 300}, // 200 are gone
		{350, 350}, // 50 more, with nothing in between
		{350, 350},
		{0, 350},
	} {
		c, held := r.again(t, "/mic.wav", step.offset, i+1)
		if held != step.held {
			t.Fatalf("step %d: at %d, want %d", i, held, step.held)
		}
		c.NetConn().Close()
	}
	c, _ = r.again(t, "/mic.wav", 350, 9)
	send(t, c, sound[350:400])
	ping(t, c)
	c.Close()
	r.stop()
	r.out.wait(t, "mic.wav", " 150 bytes ", "reconnected 5 times, gap of 250 bytes at 100")
	r.status.summary()
	r.out.wait(t, "1 stream, 150 bytes, 2 gaps of 250 bytes")

	r = startIn(t, dir)
	c, held := r.again(t, "/mic.wav", 300, 10)
	if held != 400 {
		t.Fatalf("after a restart: at %d", held)
	}
	c.NetConn().Close()
	c, _ = r.again(t, "/mic.wav", 500, 11)
	send(t, c, sound[500:])
	shut(t, c, websocket.CloseNormalClosure)
	want := append(append(bytes.Clone(sound[:100]), sound[350:400]...), sound[500:]...)
	if got := payload(t, "mic.wav", r.file(t, "mic.wav")); !bytes.Equal(got, want) {
		t.Errorf("%d bytes, want %d", len(got), len(want))
	}
	r.out.wait(t, "resumed at 150 bytes, from ", "gap of 250 bytes at 100")
	r.out.wait(t, " 650 bytes ", "closed, reconnected 7 times, gap of 250 bytes at 100, gap of 100 bytes at 400")
}

func TestManyGapsMakeNoLongLine(t *testing.T) {
	st := &stream{name: "a", asked: "a"}
	l := &ledger{}
	for i := range 6 {
		l.note(archive.Gap{Offset: int64(i * 100), Length: 10})
	}
	st.gaps = l.Gaps
	const want = ", gap of 10 bytes at 0, gap of 10 bytes at 100, gap of 10 bytes at 200, 3 gaps more of 30 bytes"
	if got := notes(st); got != want {
		t.Errorf("%q", got)
	}
}

func TestAFileThatVanishedBeginsAnew(t *testing.T) {
	for _, gone := range []bool{false, true} {
		r := start(t)
		c, _ := r.again(t, "/mic.pcm", 0, 0)
		send(t, c, samples(100))
		ping(t, c)
		os.Remove(filepath.Join(r.dir, "mic.pcm"))
		if gone {
			os.Remove(filepath.Join(r.dir, ledgerDir, testID))
		}
		c, held := r.again(t, "/new.pcm", 60, 1)
		if held != 60 {
			t.Errorf("at %d", held)
		}
		send(t, c, samples(100)[60:])
		shut(t, c, websocket.CloseNormalClosure)
		if got := r.file(t, "new.pcm"); !bytes.Equal(got, samples(100)[60:]) {
			t.Errorf("%d bytes", len(got))
		}
		r.out.wait(t, "mic.pcm", "lost: the file is gone")
		r.out.wait(t, "new.pcm", " 40 bytes ", "closed", "gap of 60 bytes at 0")
	}
}

func TestHeaderThatTrailsIsMended(t *testing.T) {
	sound := samples(10_000)
	for _, stored := range []int{0, 1, 5000, 5001} {
		dir := t.TempDir()
		r := startIn(t, dir)
		c, _ := r.again(t, "/mic.wav", 0, 0)
		send(t, c, sound[:stored])
		ping(t, c)
		c.Close()
		r.stop()
		// As a kill leaves it: samples that the header does not cover.
		file := r.file(t, "mic.wav")
		var h [pcm.HeaderSize]byte
		mono16.Header(&h, 0)
		copy(file, h[:])
		if stored == 0 {
			file = nil // or even before the header
		}
		os.WriteFile(filepath.Join(dir, "mic.wav"), file, 0o644)
		r = startIn(t, dir)
		c, held := r.again(t, "/mic.wav", 0, 1)
		w, err := parseWAV(r.file(t, "mic.wav"))
		if held != stored || err != nil || len(w.data) != stored&^1 {
			t.Fatalf("held %d of %d; %v, %d bytes", held, stored, err, len(w.data))
		}
		send(t, c, sound[held:])
		shut(t, c, websocket.CloseNormalClosure)
		if got := payload(t, "mic.wav", r.file(t, "mic.wav")); !bytes.Equal(got, sound) {
			t.Errorf("%d bytes are not what was sent", len(got))
		}
	}
}

func TestHeaderOfTheSenderOverReconnects(t *testing.T) {
	var h [pcm.HeaderSize]byte
	mono16.Header(&h, 0) // the same as ours would be
	whole := append(h[:], samples(1000)...)
	for cut := range 50 {
		for _, restart := range []bool{false, true} {
			dir := t.TempDir()
			r := startIn(t, dir)
			c, _ := r.again(t, "/mic.wav", 0, 0)
			for i := range cut {
				send(t, c, whole[i:i+1])
			}
			ping(t, c)
			if restart {
				c.Close()
				r.stop()
				r = startIn(t, dir)
			}
			c, held := r.again(t, "/mic.wav", 0, 1)
			if held != cut {
				t.Fatalf("cut at %d, held %d", cut, held)
			}
			send(t, c, whole[cut:])
			shut(t, c, websocket.CloseNormalClosure)
			if got := r.file(t, "mic.wav"); !bytes.Equal(got, whole) {
				t.Errorf("cut at %d: %d bytes stored, %d sent", cut, len(got), len(whole))
			}
		}
	}
}

func TestKillWhileTheHeaderIsCutAway(t *testing.T) {
	dir := t.TempDir()
	r := startIn(t, dir)
	c, _ := r.again(t, "/mic.wav", 0, 0)
	send(t, c, []byte("RI"))
	ping(t, c)
	c.Close()
	r.stop()
	os.Truncate(filepath.Join(dir, "mic.wav"), 4) // done, but not yet noted
	r = startIn(t, dir)
	c, held := r.again(t, "/mic.wav", 0, 1)
	send(t, c, []byte("more"))
	shut(t, c, websocket.CloseNormalClosure)
	if got := r.file(t, "mic.wav"); held != 4 || string(got) != "RIFFmore" {
		t.Errorf("at %d, %q", held, got)
	}
}

func TestAGapIsNoBeginning(t *testing.T) {
	r := start(t)
	c, _ := r.again(t, "/mic.wav", 10, 0)
	send(t, c, []byte("RIFF in the middle"))
	shut(t, c, websocket.CloseNormalClosure)
	if got := payload(t, "mic.wav", r.file(t, "mic.wav")); string(got) != "RIFF in the middle" {
		t.Errorf("%q", got)
	}
}

func TestCompleteStreamsAreForgotten(t *testing.T) {
	dir := t.TempDir()
	r := startIn(t, dir)
	c, _ := r.again(t, "/mic.wav?bits=8", 0, 0)
	send(t, c, samples(101))
	shut(t, c, websocket.CloseNormalClosure)
	r.out.wait(t, "mic.wav", "closed")
	// The answer may have been lost; the pad of an odd size is no payload.
	c, held := r.again(t, "/mic.wav", 50, 1)
	if held != 101 {
		t.Errorf("held %d", held)
	}
	ledger := filepath.Join(dir, ledgerDir, testID)
	r.forget(testID) // too early: it goes on
	if _, err := os.Stat(ledger); err != nil {
		t.Error(err)
	}
	shut(t, c, websocket.CloseNormalClosure)
	r.out.wait(t, "mic.wav", "closed, reconnected 1 time")
	if file := r.file(t, "mic.wav"); len(file) != pcm.HeaderSize+102 || !bytes.Equal(payload(t, "mic.wav", file), samples(101)) {
		t.Errorf("%d bytes", len(file))
	}
	r.forget(testID)
	if _, err := os.Stat(ledger); err == nil {
		t.Error("it is not forgotten")
	}
	r.forget(testID)
}

func TestSweep(t *testing.T) {
	st, dir := testStore(t)
	now := time.Now()
	os.Mkdir(filepath.Join(dir, ledgerDir), 0o755)
	put := func(name string, content string, age time.Duration) {
		os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644)
		os.Chtimes(filepath.Join(dir, name), time.Time{}, now.Add(-age))
	}
	put("busy.pcm", "", time.Hour)
	put("idle.pcm", "", 8*24*time.Hour)
	const text = `{"name":%q,"rate":1,"channels":1,"bits":8,"complete":%v}`
	for _, c := range []struct {
		id, content string
		age         time.Duration
	}{
		{"keep-young", fmt.Sprintf(text, "idle.pcm", false), 6 * 24 * time.Hour},
		{"keep-busy", fmt.Sprintf(text, "busy.pcm", false), 30 * 24 * time.Hour},
		{"keep-just-complete", fmt.Sprintf(text, "idle.pcm", true), time.Minute},
		{"keep-broken", "{", time.Minute},
		{"old", fmt.Sprintf(text, "idle.pcm", false), 8 * 24 * time.Hour},
		{"old-broken", "{", 8 * 24 * time.Hour},
		{"complete", fmt.Sprintf(text, "gone.pcm", true), time.Hour},
		{"half.new", "", 0},
	} {
		put(ledgerDir+"/"+c.id, c.content, c.age)
	}
	st.sweep(now)
	var left []string
	entries, _ := os.ReadDir(filepath.Join(dir, ledgerDir))
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if got := strings.Join(left, " "); got != "keep-broken keep-busy keep-just-complete keep-young" {
		t.Errorf("left: %s", got)
	}
}

func TestPlainOutputTellsAtOnceThatASenderIsAway(t *testing.T) {
	r := start(t)
	c, _ := r.again(t, "/mic.pcm", 0, 0)
	send(t, c, samples(10))
	ping(t, c)
	c.NetConn().Close()
	r.out.wait(t, "mic.pcm  away, lost: the peer went away", "; at 10 bytes, waiting for it to come back")
	c, _ = r.again(t, "/mic.pcm", 0, 1)
	r.out.wait(t, "mic.pcm  back, from 127.0.0.1:", ", at 10 bytes")
	shut(t, c, websocket.CloseNormalClosure)
	r.out.wait(t, "mic.pcm", "closed, reconnected 1 time")
}

func TestASenderThatStaysAwayGetsItsLine(t *testing.T) {
	r := start(t)
	r.awayTime = 0
	c, _ := r.again(t, "/mic.pcm", 0, 0)
	send(t, c, samples(10))
	ping(t, c)
	c.NetConn().Close()
	r.out.wait(t, "mic.pcm", " 10 bytes ", "lost: the peer went away")
	c, held := r.again(t, "/mic.pcm", 0, 1)
	if held != 10 {
		t.Errorf("later at %d", held)
	}
	shut(t, c, websocket.CloseNormalClosure)
	r.out.wait(t, "mic.pcm", "resumed at 10 bytes")
	r.out.wait(t, "mic.pcm", "closed, reconnected 1 time")
}

func TestStoppingTellsOfStreamsThatAreAway(t *testing.T) {
	r := start(t)
	c, _ := r.again(t, "/mic.pcm", 0, 0)
	send(t, c, samples(10))
	ping(t, c)
	c.NetConn().(*net.TCPConn).SetLinger(0)
	c.NetConn().Close()
	for away := false; !away; runtime.Gosched() {
		r.ids.Lock()
		away = r.lines[testID].conn == nil
		r.ids.Unlock()
	}
	r.stop()
	r.out.wait(t, "mic.pcm", " 10 bytes ", "lost: connection reset by peer")
	// The line of a stream that is away says so meanwhile.
	s := newStatus(nil, newClock().now, rows(24))
	st := newClock().stream("mic.wav")
	s.started(st)
	s.away(st, "lost: connection reset by peer", false)
	if got := string(s.frame()); !strings.Contains(got, "away, lost: connection reset by peer\n") {
		t.Errorf("%q", got)
	}
}

func TestBadResumeHeaders(t *testing.T) {
	r := start(t)
	good := claimHeaders(testID, 0, 0)
	for _, c := range []struct {
		name   string
		values []string
		reason string
	}{
		{"Record-Stream", []string{""}, `Record-Stream "": send 32 hex digits`},
		{"Record-Stream", []string{testID[1:]}, "send 32 hex digits"},
		{"Record-Stream", []string{testID + "0"}, "send 32 hex digits"},
		{"Record-Stream", []string{"../" + testID[3:]}, "send 32 hex digits"},
		{"Record-Stream", []string{testID, testID}, "send 32 hex digits"},
		{"Record-Offset", nil, "Record-Offset is missing beside Record-Stream: send the offset"},
		{"Record-Offset", []string{"-1"}, `Record-Offset "-1": send the offset`},
		{"Record-Offset", []string{"0x10"}, "in decimal"},
		{"Record-Offset", []string{"1_0"}, "in decimal"},
		{"Record-Offset", []string{"4611686018427387904"}, "in decimal"},
		{"Record-Offset", []string{"1", "1"}, `Record-Offset "1, 1"`},
		{"Record-Epoch", nil, "Record-Epoch is missing beside Record-Stream: send the number"},
		{"Record-Epoch", []string{"one"}, `Record-Epoch "one": send the number`},
		{"Record-Epoch", []string{""}, `Record-Epoch "": send the number`},
		{"Record-Epoch", []string{strings.Repeat("9", 5000)}, "9\": send the number"},
	} {
		h := good.Clone()
		delete(h, c.name)
		if c.values != nil {
			h[c.name] = c.values
		}
		_, resp, err := websocket.DefaultDialer.Dial("ws://"+r.addr+"/mic.pcm", h)
		if err == nil || resp == nil || resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%s %q: %v", c.name, c.values, err)
			continue
		}
		if body, _ := io.ReadAll(resp.Body); !strings.Contains(string(body), c.reason) {
			t.Errorf("%s %q: %s", c.name, c.values, body)
		}
	}
	if left, _ := os.ReadDir(r.dir); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestAHandshakeThatFailsLeavesNothing(t *testing.T) {
	r := start(t)
	h := claimHeaders(testID, 0, 3)
	h.Set("Origin", "http://elsewhere.example")
	if _, resp, err := websocket.DefaultDialer.Dial("ws://"+r.addr+"/mic.pcm", h); err == nil || resp.StatusCode != 403 {
		t.Fatal(err)
	}
	c, _ := r.again(t, "/mic.pcm", 0, 0)
	send(t, c, samples(10))
	ping(t, c)
	if _, resp, err := websocket.DefaultDialer.Dial("ws://"+r.addr+"/mic.pcm", h); err == nil || resp.StatusCode != 403 {
		t.Fatal(err)
	}
	c, held := r.again(t, "/mic.pcm", 0, 4)
	shut(t, c, websocket.CloseNormalClosure)
	if held != 10 || len(r.file(t, "mic.pcm")) != 10 {
		t.Errorf("held %d", held)
	}
	r.out.wait(t, "mic.pcm", " 10 bytes ", "closed, reconnected 2 times")
}

func TestSendersThatDoNotResumeAreAsBefore(t *testing.T) {
	r := start(t)
	resuming, _ := r.again(t, "/mic.pcm", 0, 0)
	for i := range 2 {
		// Offset and epoch without a stream mean nothing, nor does a stream in mux.
		h := claimHeaders(testID, 5, 9)
		path, prefix := "/", fmt.Sprintf("mux%d.pcm\x00", i)
		if i == 0 {
			h.Del("Record-Stream")
			path, prefix = "/mic.pcm", ""
		}
		c, resp, err := websocket.DefaultDialer.Dial("ws://"+r.addr+path, h)
		if err != nil {
			t.Fatal(err)
		}
		c.SetReadDeadline(time.Now().Add(patience))
		if v, ok := resp.Header["Record-Offset"]; ok {
			t.Errorf("%s: answered with %q", path, v)
		}
		send(t, c, []byte(prefix+"plain"))
		ping(t, c)
		c.NetConn().Close()
	}
	r.out.wait(t, "mic_1.pcm", " 5 bytes ", "lost: ")
	r.out.wait(t, "mux1.pcm", " 5 bytes ", "lost: ")
	send(t, resuming, []byte("resuming"))
	shut(t, resuming, websocket.CloseNormalClosure)
	if got := r.file(t, "mic.pcm"); string(got) != "resuming" {
		t.Errorf("%q", got)
	}
}

func TestAFullDiskSaysSoAndTheStreamMayGoOn(t *testing.T) {
	r := start(t)
	create := r.store.create
	r.store.create = func(name string) (storage, error) {
		f, err := create(name)
		return &fullFile{f, 1000}, err
	}
	c, _ := r.again(t, "/mic.pcm", 0, 0)
	send(t, c, samples(1500))
	expectClose(t, c, websocket.CloseInternalServerErr, "no space left")
	r.out.wait(t, "mic.pcm", " 1000 bytes ", "failed: cannot write mic.pcm: no space left")
	c, held := r.again(t, "/mic.pcm", 0, 1) // there is room again
	send(t, c, samples(1500)[held:])
	shut(t, c, websocket.CloseNormalClosure)
	if got := r.file(t, "mic.pcm"); !bytes.Equal(got, samples(1500)) {
		t.Errorf("%d bytes", len(got))
	}
}

// The program is killed at random points; what it answered for is there, and
// the file ends up as what was sent, once.
func TestKillAndRestart(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	sound := samples(8 << 20)
	for _, name := range []string{"mic.pcm", "mic.wav"} {
		dir := t.TempDir()
		acked, held := 0, 0
		for epoch := range 21 {
			cmd, addr, out := launch(t, dir)
			r := &rig{addr: addr, out: out, dir: dir}
			if epoch > 0 && epoch%3 == 0 {
				// Also while it takes a handshake, at some point of it.
				tcp, err := net.Dial("tcp", addr)
				if err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(tcp, "GET /%s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
					"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"+
					"Record-Stream: %s\r\nRecord-Offset: %d\r\nRecord-Epoch: %d\r\n\r\n", name, testID, acked, 2*epoch-1)
				for range rnd.IntN(3000) {
					runtime.Gosched()
				}
				cmd.Process.Kill()
				cmd.Wait()
				tcp.Close()
				cmd, r.addr, out = launch(t, dir)
			}
			c, now := r.again(t, "/"+name, acked, 2*epoch)
			if now < acked || now < held {
				t.Fatalf("connection %d: %d are held, %d were answered for", epoch, now, acked)
			}
			held = now
			if epoch == 20 {
				for p := sound[held:]; len(p) > 0; p = p[min(100_000, len(p)):] {
					send(t, c, p[:min(100_000, len(p))])
				}
				shut(t, c, websocket.CloseNormalClosure)
				cmd.Process.Signal(syscall.SIGTERM)
				cmd.Wait()
				out.wait(t, name, fmt.Sprintf(" %d bytes ", len(sound)), "closed, reconnected 2")
				break
			}
			// Pings carry the count sent; the kill follows one of the pongs
			// or comes in the midst of what is written meanwhile.
			chunk, cut := 1+rnd.IntN(20_000), rnd.IntN(len(sound)/20)
			reached := make(chan struct{})
			go func() {
				defer close(reached)
				for from := now; now-from <= cut && now < len(sound); {
					p := sound[now:min(now+chunk, len(sound))]
					b := frame(2, true, p)
					now += len(p)
					var count [8]byte
					binary.BigEndian.PutUint64(count[:], uint64(now))
					if _, err := c.NetConn().Write(append(b, frame(9, true, count[:])...)); err != nil {
						return
					}
				}
			}()
			pong := func() bool {
				var b [10]byte
				if _, err := io.ReadFull(c.NetConn(), b[:]); err != nil {
					return false
				}
				acked = int(binary.BigEndian.Uint64(b[2:]))
				return true
			}
			for range rnd.IntN(1 + cut/chunk) {
				pong()
			}
			cmd.Process.Kill()
			cmd.Wait()
			<-reached
			for pong() {
			}
			c.Close()
		}
		if got := payload(t, name, (&rig{dir: dir}).file(t, name)); !bytes.Equal(got, sound) {
			t.Errorf("%s: %d bytes are not the %d sent", name, len(got), len(sound))
		}
		entries, _ := os.ReadDir(dir)
		var files []string
		for _, e := range entries {
			files = append(files, e.Name())
		}
		if got := strings.Join(files, " "); got != ".streams "+name+" "+archive.NoteName(name) {
			t.Errorf("files: %s", got)
		}
	}
}
