// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"msprecord/cmd/record-server/archive"
)

const bearer = "Authorization: Bearer s3cret\r\n"

// handshake sends a request line and headers as they are, and returns the
// connection and the answer's status.
func (r *rig) handshake(t *testing.T, target, headers string) (net.Conn, int) {
	t.Helper()
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n%s\r\n", target, r.addr, headers)
	var head []byte
	for b := make([]byte, 1); !bytes.HasSuffix(head, []byte("\r\n\r\n")) && !bytes.HasSuffix(head, []byte("\n\n")); {
		if _, err := io.ReadFull(c, b); err != nil {
			return c, 0
		}
		head = append(head, b...)
	}
	var status int
	fmt.Sscanf(string(head), "HTTP/1.1 %d", &status)
	return c, status
}

// flood writes p until the peer has enough of it or so much is sent.
func flood(c net.Conn, p []byte, total int) {
	for n := 0; n < total; n += len(p) {
		if _, err := c.Write(p); err != nil {
			return
		}
	}
}

// hostile is what a peer may do. Each must end as its row says.
var hostile = []struct {
	what string
	do   func(t *testing.T, r *rig)
}{
	{"names that lead elsewhere", func(t *testing.T, r *rig) {
		for _, name := range []string{
			"/../out.pcm", "/a/../../out.pcm", "/%2e%2e/out.pcm", "/..%2fout.pcm", "//etc/out.pcm", "/a%00b.pcm", "/a%0ab.pcm",
			"/a%1b[2J.pcm", "/%ff.pcm", "/.hidden", "/a/.streams/x", "/.page/live.pcm", "/.page/../out.pcm", "/mic.wav.rec.json",
			"/x.rec.json/y.pcm", "/%e2%80%aegnp.exe", "/a//b", "/a/", "/" + strings.Repeat("n", 4096), "/" + strings.Repeat("d/", 2000) + "n",
		} {
			if _, status := r.handshake(t, name, bearer); status < 300 {
				t.Errorf("%.40q: %d", name, status)
			}
		}
	}},
	{"names in other alphabets are names", func(t *testing.T, r *rig) {
		for name, file := range map[string]string{
			"/%e9%ba%a6.pcm": "麦.pcm", "/%d0%bc%d0%b8%d0%ba.pcm": "мик.pcm", "/%d9%85.pcm": "م.pcm", "/%3Cimg%20src=x%3E.pcm": "<img src=x>.pcm",
			"/a;rm%20-rf%20$HOME.pcm": "a;rm -rf $HOME.pcm", "/CON.pcm": "CON.pcm", "/" + strings.Repeat("n", 255): strings.Repeat("n", 255),
		} {
			c, status := r.handshake(t, name, bearer)
			if status != 101 {
				t.Errorf("%.40q: %d", name, status)
				continue
			}
			c.Write(frame(2, true, []byte("abc")))
			c.Write(frame(8, true, []byte{3, 232}))
			io.Copy(io.Discard, c)
			if got := r.file(t, file); string(got) != "abc" {
				t.Errorf("%.40q has %q", file, got)
			}
			if _, err := archive.ReadNote(r.store.root, file); err != nil {
				t.Errorf("%.40q: %v", file, err)
			}
		}
	}},
	{"a name that exists", func(t *testing.T, r *rig) {
		os.WriteFile(filepath.Join(r.dir, "old.pcm"), []byte("precious"), 0o644)
		c, _ := r.handshake(t, "/old.pcm", bearer)
		c.Write(frame(2, true, []byte("evil")))
		c.Write(frame(8, true, []byte{3, 232}))
		io.Copy(io.Discard, c)
		if string(r.file(t, "old.pcm")) != "precious" || string(r.file(t, "old_1.pcm")) != "evil" {
			t.Error("a file was written over")
		}
	}},
	{"a message that never ends", func(t *testing.T, r *rig) {
		c, _ := r.handshake(t, "/train.pcm", bearer)
		go io.Copy(io.Discard, c)
		c.Write(frame(2, false, make([]byte, 1000)))
		flood(c, frame(0, false, make([]byte, 1000)), 4<<20)
		r.out.wait(t, "train.pcm", "failed: a message is longer than 1000000 bytes")
	}},
	{"fragments of nothing", func(t *testing.T, r *rig) {
		c, _ := r.handshake(t, "/empty.pcm", bearer)
		c.Write(frame(2, false, nil))
		flood(c, bytes.Repeat(frame(0, false, nil), 1000), 2<<20)
		c.Close()
		r.out.wait(t, "empty.pcm", " 0 bytes ", "lost")
	}},
	{"a frame that says it is huge", func(t *testing.T, r *rig) {
		c, _ := r.handshake(t, "/huge.pcm", bearer)
		b := []byte{0x82, 0xff}
		c.Write(append(binary.BigEndian.AppendUint64(b, 1<<62), 1, 2, 3, 4))
		r.out.wait(t, "huge.pcm", "failed: a message is longer")
	}},
	{"a flood of pings that hardly reads a pong", func(t *testing.T, r *rig) {
		c, _ := r.handshake(t, "/ping.pcm", bearer)
		c.(*net.TCPConn).SetReadBuffer(4096)
		flood(c, bytes.Repeat(frame(9, true, make([]byte, 125)), 100), 4<<20)
		// Its pongs fill the buffers between us, and it is kept waiting.
		io.CopyN(io.Discard, c, 64<<10)
		c.Close()
		r.out.wait(t, "ping.pcm", " 0 bytes ")
	}},
	{"headers that come slowly", func(t *testing.T, r *rig) {
		c, err := net.Dial("tcp", r.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetReadDeadline(time.Now().Add(patience))
		stop := make(chan struct{})
		defer close(stop)
		go func() {
			for _, b := range []byte("GET /slow.pcm HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("y", 1000)) {
				c.Write([]byte{b})
				select {
				case <-stop:
					return
				case <-time.After(50 * time.Millisecond):
				}
			}
		}()
		// The server hangs up, whatever it says before.
		if _, err := io.Copy(io.Discard, c); err != nil && !errors.Is(err, net.ErrClosed) && strings.Contains(err.Error(), "timeout") {
			t.Errorf("it is still waited for: %v", err)
		}
	}},
	{"headers without end", func(t *testing.T, r *rig) {
		c, status := r.handshake(t, "/big.pcm", bearer+"X: "+strings.Repeat("y", 100_000)+"\r\n")
		if status != 431 {
			t.Errorf("%d", status)
		}
		c.Close()
	}},
	{"the wrong token", func(t *testing.T, r *rig) {
		for _, h := range []string{"", "Authorization: Bearer wrong\r\n", "Authorization: Bearer s3cre\r\n", "Cookie: record-server=00\r\n"} {
			for _, target := range []string{"/mic.pcm", "/", "/.page/live"} {
				if _, status := r.handshake(t, target, h); status != 401 {
					t.Errorf("%q on %s: %d", h, target, status)
				}
			}
		}
	}},
	{"a page of another site", func(t *testing.T, r *rig) {
		for _, target := range []string{"/mic.pcm", "/", "/.page/live"} {
			if _, status := r.handshake(t, target, bearer+"Origin: https://evil.example\r\n"); status != 403 {
				t.Errorf("%s: %d", target, status)
			}
		}
		req, _ := http.NewRequest("POST", "http://"+r.addr+"/.page/format?name=good.wav", strings.NewReader(`{"rate":1,"channels":1,"kind":"s16"}`))
		req.Header.Set("Origin", "https://evil.example")
		req.Header.Set("Authorization", "Bearer s3cret")
		resp, err := http.DefaultClient.Do(req)
		if err != nil || resp.StatusCode != 403 {
			t.Errorf("a change of format: %v %v", resp, err)
		}
	}},
	{"requests for files that are none", func(t *testing.T, r *rig) {
		for _, name := range []string{"../hostile_test.go", "/etc/passwd", ".streams/x", "good.wav.rec.json", "%00", "nothing.wav", ""} {
			for _, path := range []string{"download?as=raw&name=", "view?from=0&count=10&columns=10&name=", "samples?from=0&count=10&name="} {
				req, _ := http.NewRequest("GET", "http://"+r.addr+"/.page/"+path+name, nil)
				req.Header.Set("Authorization", "Bearer s3cret")
				resp, err := http.DefaultClient.Do(req)
				if err != nil || resp.StatusCode != 400 && resp.StatusCode != 404 {
					t.Errorf("%s%s: %v %v", path, name, resp, err)
				}
			}
		}
	}},
	{"a browser that says nonsense", func(t *testing.T, r *rig) {
		for _, p := range [][]byte{[]byte("{"), []byte(`{"watch":[` + strings.Repeat("1,", 100_000) + `1]}`), []byte(`{"watch":[99999],"listen":77}`)} {
			c, status := r.handshake(t, "/.page/live", bearer)
			if status != 101 {
				t.Fatalf("%d", status)
			}
			c.Write(frame(1, true, p))
			c.Close()
		}
	}},
	{"a browser that does not read", func(t *testing.T, r *rig) {
		for range 10 {
			c, _ := r.handshake(t, "/.page/live", bearer)
			c.(*net.TCPConn).SetReadBuffer(4096)
			c.Write(frame(1, true, []byte(`{"watch":[1],"spectra":true,"listen":1}`)))
		}
	}},
	{"connections that say nothing", func(t *testing.T, r *rig) {
		for range 100 {
			c, err := net.Dial("tcp", r.addr)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
		}
	}},
}

func TestHostilePeersAreContained(t *testing.T) {
	outer := t.TempDir()
	dir := filepath.Join(outer, "in")
	c, err := parse([]string{"-token", "s3cret", "-max-message", "1M"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	r := startWith(t, dir, c)

	// One who behaves sends all the while, and is answered for all of it.
	good, _, err := websocket.DefaultDialer.Dial("ws://"+r.addr+"/good.wav", http.Header{"Authorization": {"Bearer s3cret"}})
	if err != nil {
		t.Fatal(err)
	}
	defer good.Close()
	good.SetReadDeadline(time.Now().Add(5 * patience))
	stop, sent := make(chan struct{}), make(chan []byte)
	go func() {
		var all []byte
		chunk := samples(320)
		for {
			select {
			case <-stop:
				sent <- all
				return
			default:
			}
			if err := good.WriteMessage(websocket.BinaryMessage, chunk); err != nil {
				t.Errorf("the good stream: %v", err)
			}
			all = append(all, chunk...)
			ping(t, good)
		}
	}()
	for _, h := range hostile {
		t.Run(h.what, func(t *testing.T) { h.do(t, r) })
	}
	close(stop)
	all := <-sent
	shut(t, good, websocket.CloseNormalClosure)
	if got := payload(t, "good.wav", r.file(t, "good.wav")); !bytes.Equal(got, all) {
		t.Errorf("of the good stream %d bytes are stored, %d were sent", len(got), len(all))
	}
	if left, _ := os.ReadDir(outer); len(left) != 1 {
		t.Errorf("outside there is %v", left)
	}
}
