// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"msprecord/cmd/record-server/archive"
	"msprecord/cmd/record-server/pcm"
)

// with returns a server in this process that was started with these flags.
func with(t *testing.T, args ...string) *rig {
	t.Helper()
	c, err := parse(args, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	return startWith(t, t.TempDir(), c)
}

// parts returns the payloads of the files that a stream was cut into, in
// their order, having checked each with its note.
func (r *rig) parts(t *testing.T, name string) [][]byte {
	t.Helper()
	var parts [][]byte
	for n := 0; ; n++ {
		file := name
		if n > 0 {
			file = suffixed(name, n)
		}
		p, err := os.ReadFile(filepath.Join(r.dir, file))
		if errors.Is(err, os.ErrNotExist) {
			return parts
		}
		payload(t, file, p) // checks a header
		if isWAV(file) {
			p = p[pcm.HeaderSize:]
		}
		note, err := archive.ReadNote(r.store.root, file)
		if err != nil || note.Part != n || note.Bytes < int64(len(p))-1 || note.Bytes > int64(len(p)) {
			t.Fatalf("%s: note %+v, %v, of %d bytes", file, note, err, len(p))
		}
		parts = append(parts, p[:note.Bytes]) // without a pad
	}
}

func TestRotationCutsBetweenFrames(t *testing.T) {
	for _, name := range []string{"mic.wav", "mic.pcm"} {
		r := with(t, "-rotate-size", "1M")
		c := r.dial(t, "/"+name+"?channels=3&bits=24")
		sound := samples(3_500_000)
		for p := sound; len(p) > 0; p = p[min(65_537, len(p)):] {
			send(t, c, p[:min(65_537, len(p))])
		}
		shut(t, c, websocket.CloseNormalClosure)
		parts := r.parts(t, name)
		if got := bytes.Join(parts, nil); len(parts) != 4 || !bytes.Equal(got, sound) {
			t.Errorf("%s: %d files of %d bytes, sent %d", name, len(parts), len(got), len(sound))
		}
		for i, p := range parts[:len(parts)-1] {
			if len(p)%9 != 0 || len(p) > 1e6+9 || len(p) < 1e6-70_000 {
				t.Errorf("%s: file %d has %d bytes", name, i, len(p))
			}
		}
		r.out.wait(t, name, "full, goes on in "+suffixed(name, 1))
		r.out.wait(t, name, " 3500000 bytes ", "closed")
		for _, v := range archive.Verify(r.store.root, mono16, false) {
			if v.State != archive.Whole {
				t.Errorf("%+v", v)
			}
		}
	}
}

func TestAStreamInSeveralFilesIsResumed(t *testing.T) {
	for _, name := range []string{"mic.wav", "mic.pcm"} {
		dir := t.TempDir()
		sound := samples(3_000_001)
		sent := 0
		for epoch := range 6 {
			c, err := parse([]string{"-rotate-size", "1M"}, io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			r := startWith(t, dir, c)
			ws, held := r.again(t, "/"+name, 0, epoch)
			if held != sent {
				t.Fatalf("%s: connection %d: %d are held, %d were stored", name, epoch, held, sent)
			}
			to := min(sent+600_000, len(sound))
			for p := sound[sent:to]; len(p) > 0; p = p[min(50_000, len(p)):] {
				send(t, ws, p[:min(50_000, len(p))])
			}
			ping(t, ws)
			if sent = to; sent == len(sound) {
				shut(t, ws, websocket.CloseNormalClosure)
			}
			ws.Close()
			r.stop()
			if epoch == 5 {
				if got := bytes.Join(r.parts(t, name), nil); !bytes.Equal(got, sound) {
					t.Errorf("%s: %d bytes are not the %d sent", name, len(got), len(sound))
				}
			}
		}
	}
}

func TestRotationByTime(t *testing.T) {
	r := with(t, "-rotate-time", "1s")
	c := r.dial(t, "/mic.wav")
	var sent []byte
	third := filepath.Join(r.dir, "mic_2.wav")
	for end := time.Now().Add(patience); ; {
		if _, err := os.Stat(third); err == nil {
			break
		}
		p := samples(640)
		send(t, c, p)
		ping(t, c)
		sent = append(sent, p...)
		if time.Now().After(end) {
			t.Fatal("no third file")
		}
		time.Sleep(10 * time.Millisecond) // a sender in real time, more or less
	}
	shut(t, c, websocket.CloseNormalClosure)
	if got := bytes.Join(r.parts(t, "mic.wav"), nil); !bytes.Equal(got, sent) {
		t.Errorf("%d bytes are not the %d sent", len(got), len(sent))
	}
}

func TestAFullDirectoryTakesNoMore(t *testing.T) {
	r := with(t, "-max-dir", "100k")
	c := r.dial(t, "/mic.pcm")
	for range 20 {
		if c.WriteMessage(websocket.BinaryMessage, samples(10_000)) != nil {
			break
		}
	}
	expectClose(t, c, websocket.CloseInternalServerErr, "the directory is full")
	if n := archive.Size(r.store.root); n > 100_000 {
		t.Errorf("the directory has %d bytes", n)
	}
	if got := r.file(t, "mic.pcm"); len(got) == 0 || !bytes.HasPrefix(bytes.Repeat(samples(10_000), 20), got) {
		t.Errorf("%d bytes are not the first of those sent", len(got))
	}
	// Whoever makes room need not start the receiver again.
	os.Remove(filepath.Join(r.dir, "mic.pcm"))
	r.store.usage.counted.Store(0)
	c = r.dial(t, "/more.pcm")
	send(t, c, samples(50_000))
	shut(t, c, websocket.CloseNormalClosure)
}

func TestPast4GiBAWAVIsAnRF64(t *testing.T) {
	s, dir := testStore(t)
	file, name, err := s.open("long.wav")
	if err != nil {
		t.Fatal(err)
	}
	st, err := newStream(file, name, name, "peer", mono16, false, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	st.append(samples(1000))
	// The rest is a hole in the file.
	const hole = 5 << 30
	st.off += hole
	st.bytes.Add(hole)
	st.append(samples(1000))
	if err := st.finish(); err != nil {
		t.Fatal(err)
	}
	r, err := archive.Open(s.root, name, mono16)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if r.Size != hole+2000 || r.Format != mono16 {
		t.Errorf("%d bytes, %v", r.Size, r.Format)
	}
	if probe, err := exec.LookPath("ffprobe"); err == nil {
		out, err := exec.Command(probe, "-v", "error", "-show_entries", "stream=duration_ts,sample_rate", "-of", "csv=p=0",
			filepath.Join(dir, name)).CombinedOutput()
		if want := fmt.Sprintf("16000,%d", (hole+2000)/2); err != nil || strings.TrimSpace(string(out)) != want {
			t.Errorf("ffprobe: %s %v, want %s", out, err, want)
		}
	}
}

func TestLimitsOnStreams(t *testing.T) {
	r := with(t, "-max-streams", "4", "-max-streams-per-peer", "2")
	refused := func(path string, h http.Header, status int) {
		t.Helper()
		ws, resp, err := websocket.DefaultDialer.Dial("ws://"+r.addr+path, h)
		if err == nil {
			ws.Close()
			t.Fatal("it was taken")
		}
		if resp == nil || resp.StatusCode != status {
			t.Errorf("%s: %v, want %d", path, err, status)
		}
	}
	a, _ := r.again(t, "/a.pcm", 0, 0)
	b := r.dial(t, "/b.pcm")
	refused("/c.pcm", nil, http.StatusTooManyRequests)
	// A connection in place of another is not one more.
	again, _ := r.again(t, "/a.pcm", 0, 1)
	ends(a)
	refused("/c.pcm", nil, http.StatusTooManyRequests)
	// What ended makes room.
	shut(t, b, websocket.CloseNormalClosure)
	shut(t, again, websocket.CloseNormalClosure)
	r.out.wait(t, "b.pcm", " 0 bytes ", "closed")
	r.out.wait(t, "a.pcm", " 0 bytes ", "closed")
	mux := r.dial(t, "/")
	send(t, mux, []byte("x.pcm\x00abc"))
	send(t, mux, []byte("y.pcm\x00abc"))
	send(t, mux, []byte("z.pcm\x00abc"))
	expectClose(t, mux, websocket.CloseTryAgainLater, "2 streams from this address")
	if len(r.file(t, "y.pcm")) != 3 {
		t.Error("what was taken was not stored")
	}
}

func TestLimitOnMessages(t *testing.T) {
	r := with(t, "-max-message", "1000")
	c := r.dial(t, "/mic.pcm")
	send(t, c, samples(1000))
	send(t, c, samples(1001))
	expectClose(t, c, websocket.CloseMessageTooBig, "")
	r.out.wait(t, "mic.pcm", " 1000 bytes ", "failed: a message is longer than 1000 bytes")
}

func TestLimitOnTheRateOfAPeer(t *testing.T) {
	r := with(t, "-max-rate", "200k")
	began := time.Now()
	c := r.dial(t, "/mic.pcm")
	sound := samples(500_000)
	for p := sound; len(p) > 0; p = p[10_000:] {
		send(t, c, p[:10_000])
	}
	shut(t, c, websocket.CloseNormalClosure)
	// One second's worth may come at once, the rest takes its time.
	if d := time.Since(began); d < 1200*time.Millisecond {
		t.Errorf("it took %v", d)
	}
	if !bytes.Equal(r.file(t, "mic.pcm"), sound) {
		t.Error("a slow peer lost bytes")
	}
}

func TestToken(t *testing.T) {
	r := with(t, "-token", "s3cret")
	base := "http://" + r.addr
	dial := func(h http.Header) int {
		ws, resp, err := websocket.DefaultDialer.Dial("ws://"+r.addr+"/mic.pcm", h)
		if err == nil {
			ws.Close()
		}
		return resp.StatusCode
	}
	for auth, want := range map[string]int{
		"": 401, "Bearer wrong": 401, "Bearer": 401, "Bearer s3cret": 101, "bearer s3cret": 101,
		"Basic ZGV2aWNlOnMzY3JldA==": 101, "Basic czNjcmV0OmRldmljZQ==": 401,
	} {
		h := http.Header{}
		if auth != "" {
			h.Set("Authorization", auth)
		}
		if got := dial(h); got != want {
			t.Errorf("%q: %d, want %d", auth, got, want)
		}
	}
	get := func(path string, h map[string]string) (int, string, http.Header) {
		t.Helper()
		req, _ := http.NewRequest("GET", base+path, nil)
		for k, v := range h {
			req.Header.Set(k, v)
		}
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body), resp.Header
	}
	html := map[string]string{"Accept": "text/html"}
	for path, want := range map[string]int{
		"/": 401, "/.page/main.js": 401, "/.page/live": 401, "/.page/recordings": 401, "/metrics": 401,
		"/.page/style.css": 200, "/healthz": 200,
	} {
		if got, body, _ := get(path, html); got != want || strings.Contains(body, "mic.pcm") {
			t.Errorf("%s: %d, want %d, %.200s", path, got, want, body)
		}
	}
	if _, body, _ := get("/", html); !strings.Contains(body, `name="token"`) {
		t.Error("a browser is not asked for the token")
	}
	login := func(token string) *http.Response {
		resp, err := (&http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).
			PostForm(base+"/.page/login", url.Values{"token": {token}})
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp
	}
	if resp := login("wrong"); len(resp.Cookies()) > 0 {
		t.Error("the wrong token got a cookie")
	}
	resp := login("s3cret")
	if len(resp.Cookies()) != 1 || !resp.Cookies()[0].HttpOnly || strings.Contains(resp.Cookies()[0].Value, "s3cret") {
		t.Fatalf("%v", resp.Cookies())
	}
	in := map[string]string{"Cookie": resp.Cookies()[0].Name + "=" + resp.Cookies()[0].Value, "Accept": "text/html"}
	for path, want := range map[string]int{"/": 200, "/.page/main.js": 200, "/.page/recordings": 200, "/metrics": 200} {
		if got, _, _ := get(path, in); got != want {
			t.Errorf("%s, logged in: %d", path, got)
		}
	}
	if got, _, _ := get("/", map[string]string{"Cookie": resp.Cookies()[0].Name + "=0", "Accept": "text/html"}); got != 401 {
		t.Errorf("another cookie: %d", got)
	}
}

func TestMetricsAndHealth(t *testing.T) {
	r := start(t)
	c := r.dial(t, "/mic.pcm")
	send(t, c, samples(1234))
	ping(t, c)
	get := func(path string) (int, string) {
		resp, err := http.Get("http://" + r.addr + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body)
	}
	_, text := get("/metrics")
	for _, want := range []string{
		"# TYPE record_server_streams gauge\nrecord_server_streams 1\n", "\nrecord_server_stored_bytes_total 1234\n",
		"\nrecord_server_gaps_total 0\n", "\nrecord_server_refused_total 0\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if status, text := get("/healthz"); status != 200 || text != "ok\n" {
		t.Errorf("healthz: %d %q", status, text)
	}
	// Streams may have these names all the same.
	m := r.dial(t, "/metrics")
	send(t, m, samples(5))
	shut(t, m, websocket.CloseNormalClosure)
	if len(r.file(t, "metrics")) != 5 {
		t.Error("a stream of that name was not stored")
	}
	r.stop()
	if status, _ := get("/healthz"); status != 503 {
		t.Errorf("healthz when stopped: %d", status)
	}
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	who := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "receiver"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, who, who, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, _ := x509.MarshalPKCS8PrivateKey(key)
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600)
	os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600)

	ctx, stop := context.WithCancel(t.Context())
	out, code := newTranscript(), make(chan int)
	go func() {
		code <- run(ctx, []string{"-addr", "127.0.0.1:0", "-dir", dir, "-tls-cert", certFile, "-tls-key", keyFile}, out, out)
	}()
	addr := strings.TrimPrefix(strings.Split(out.wait(t, "listening"), "/ ")[0], "listening on wss://")
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	dialer := websocket.Dialer{TLSClientConfig: &tls.Config{RootCAs: pool}}
	ws, _, err := dialer.Dial("wss://"+addr+"/mic.wav", nil)
	if err != nil {
		t.Fatal(err)
	}
	sound := samples(300_000)
	send(t, ws, sound)
	ping(t, ws)
	shut(t, ws, websocket.CloseNormalClosure)
	if got := payload(t, "mic.wav", (&rig{dir: dir}).file(t, "mic.wav")); !bytes.Equal(got, sound) {
		t.Errorf("%d bytes are not those sent", len(got))
	}
	if _, _, err := websocket.DefaultDialer.Dial("ws://"+addr+"/plain.pcm", nil); err == nil {
		t.Error("plain text was taken")
	}
	stop()
	if c := <-code; c != 0 {
		t.Errorf("exit %d", c)
	}
}

func TestJSONLines(t *testing.T) {
	dir := t.TempDir()
	ctx, stop := context.WithCancel(t.Context())
	out, code := newTranscript(), make(chan int)
	go func() { code <- run(ctx, []string{"-addr", "127.0.0.1:0", "-dir", dir, "-json"}, out, out) }()
	var first event
	if err := json.Unmarshal([]byte(out.wait(t, "listening")), &first); err != nil {
		t.Fatal(err)
	}
	r := &rig{addr: strings.Trim(strings.TrimPrefix(first.URL, "ws://"), "/"), dir: dir, out: out}
	c, _ := r.again(t, "/mic.pcm", 0, 0)
	send(t, c, samples(100))
	ping(t, c)
	c.NetConn().Close()
	out.wait(t, `"event":"away"`)
	c, _ = r.again(t, "/mic.pcm", 150, 1)
	shut(t, c, websocket.CloseNormalClosure)
	out.wait(t, `"event":"ended"`)
	stop()
	if c := <-code; c != 0 {
		t.Errorf("exit %d", c)
	}
	var events []string
	for _, line := range strings.Split(strings.TrimSpace(out.String()), "\n") {
		var e event
		d := json.NewDecoder(strings.NewReader(line))
		d.DisallowUnknownFields()
		if err := d.Decode(&e); err != nil || e.Time.IsZero() {
			t.Errorf("%q: %v", line, err)
		}
		events = append(events, e.Event)
		if e.Event == "ended" && (*e.Bytes != 100 || e.Gaps != 1 || e.Missing != 50 || e.Reconnects != 1 || !*e.Whole) {
			t.Errorf("%s", line)
		}
	}
	if got := strings.Join(events, " "); got != "listening started away resumed ended summary" {
		t.Errorf("events: %s", got)
	}
}

func TestSoxOpensWhatAKillLeaves(t *testing.T) {
	sox, err := exec.LookPath("sox")
	if err != nil {
		t.Skip("sox is missing: apt-get install sox")
	}
	for i := range 5 {
		dir := t.TempDir()
		cmd, addr, _ := launch(t, dir)
		c := dialAddr(t, addr, "/mic.wav")
		go func() {
			for c.WriteMessage(websocket.BinaryMessage, samples(20_000)) == nil {
			}
		}()
		for end := time.Now().Add(patience); ; {
			info, err := os.Stat(filepath.Join(dir, "mic.wav"))
			if err == nil && info.Size() > int64(100_000*(i+1)) {
				break
			}
			if time.Now().After(end) {
				t.Fatal("nothing is stored")
			}
		}
		cmd.Process.Signal(syscall.SIGKILL)
		cmd.Wait()
		name := filepath.Join(dir, "mic.wav")
		check := func() {
			t.Helper()
			out, err := exec.Command(sox, name, "-n", "stat").CombinedOutput()
			if err != nil || strings.Contains(string(out), "WARN") {
				t.Errorf("sox: %v\n%s", err, out)
			}
		}
		check()
		// And so it does after verify, which makes the note complete.
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), []string{"verify", dir}, &stdout, &stderr); code != 0 || stderr.Len() > 0 {
			t.Errorf("verify: %d %s", code, &stderr)
		}
		if !strings.HasPrefix(stdout.String(), "cut      mic.wav ") || !strings.Contains(stdout.String(), "mended: its note") {
			t.Errorf("verify: %s", &stdout)
		}
		check()
		file, _ := os.ReadFile(name)
		if w, err := parseWAV(file); err != nil || len(file)-pcm.HeaderSize-len(w.data) > 1 {
			t.Errorf("verify left a header that covers %d of %d bytes: %v", len(w.data), len(file)-pcm.HeaderSize, err)
		}
	}
}
