// SPDX-License-Identifier: MIT

package stream

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/base64"
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

	"github.com/gorilla/websocket"
)

// switchProtocols answers a handshake (section 4.2.2), with more behind the
// answer, in one write.
func switchProtocols(w io.Writer, req *http.Request, behind string) {
	sum := sha1.Sum([]byte(req.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	fmt.Fprintf(w, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n%s", base64.StdEncoding.EncodeToString(sum[:]), behind)
}

// frame is one as a server sends it: first byte, then the payload.
func frame(first byte, payload string) string {
	n := len(payload)
	switch {
	case n < 126:
		return string([]byte{first, byte(n)}) + payload
	case n <= 0xFFFF:
		return string([]byte{first, 126, byte(n >> 8), byte(n)}) + payload
	}
	return string([]byte{first, 127, 0, 0, 0, 0, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}) + payload
}

func TestFramesAreTakenApartHoweverTheyComeIn(t *testing.T) {
	in := frame(finBit|opPing, "") +
		frame(finBit|opBinary, "") +
		frame(finBit|opPong, "abc") +
		frame(opText, strings.Repeat("x", 300)) +
		frame(finBit|opPing, strings.Repeat("p", maxControl)) + // within a message
		frame(opContinuation, "") +
		frame(finBit|opContinuation, strings.Repeat("y", 70000)) +
		frame(finBit|opClose, "\x03\xe8bye")
	want := "9()10(abc)9(" + strings.Repeat("p", maxControl) + ")8(\x03\xe8bye)"
	for _, piece := range []int{1, 2, 3, 7, 126, 127, 1000, len(in)} {
		var box inbox
		var got strings.Builder
		for rest := []byte(in); len(rest) > 0; rest = rest[min(piece, len(rest)):] {
			p := bytes.Clone(rest[:min(piece, len(rest))])
			if err := box.take(p, func(opcode byte, payload []byte) error {
				fmt.Fprintf(&got, "%d(%s)", opcode, payload)
				return nil
			}); err != nil {
				t.Fatalf("in pieces of %d: %v", piece, err)
			}
			clear(p) // the next read goes to the same place
		}
		if got.String() != want {
			t.Fatalf("in pieces of %d: %q", piece, got.String())
		}
	}
}

func TestABreachOfTheProtocolIsNamed(t *testing.T) {
	for in, want := range map[string]string{
		frame(finBit|0x40|opBinary, "x"):                                  "reserved bit",
		string([]byte{finBit | opBinary, maskBit | 1, 1, 2, 3, 4}):        "masked",
		frame(finBit|3, ""):                                               "opcode 3",
		frame(finBit|0xB, ""):                                             "opcode 11",
		frame(opPing, ""):                                                 "in parts",
		frame(finBit|opPong, strings.Repeat("x", 126)):                    "longer than 125",
		frame(finBit|opContinuation, ""):                                  "out of order",
		frame(opText, "") + frame(opText, ""):                             "out of order",
		string([]byte{finBit | opBinary, 127, 0x80, 0, 0, 0, 0, 0, 0, 0}): "highest bit",
		frame(finBit|opClose, "\x03"):                                     "half a code",
		frame(finBit|opClose, "\x03\xe8\xff"):                             "not UTF-8",
		frame(finBit|opClose, "\x03\xed"):                                 "1005 is no code",
	} {
		var box inbox
		err := box.take([]byte(in), func(opcode byte, payload []byte) error {
			_, err := parseClose(payload)
			return err
		})
		if !errors.Is(err, syscall.EPROTO) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, where %q is meant", in, err, want)
		}
	}
}

// What a server sends right behind its handshake, in the same segment, is not
// lost with the reader of the handshake, and a breach is answered with 1002.
func TestWhatComesWithTheHandshakeIsHeard(t *testing.T) {
	for name, behind := range map[string]string{
		"a ping":   frame(finBit|opPing, "at once"),
		"a breach": frame(finBit|opPing, "at once") + frame(finBit|3, ""),
	} {
		t.Run(name, func(t *testing.T) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer listener.Close()
			opcodes := make(chan byte, 16)
			go func() {
				defer close(opcodes)
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				defer conn.Close()
				in := bufio.NewReader(conn)
				req, err := http.ReadRequest(in)
				if err != nil {
					return
				}
				switchProtocols(conn, req, behind)
				for {
					head := make([]byte, 6)
					if _, err := in.Peek(6); err != nil {
						return
					}
					in.Read(head)
					in.Discard(int(head[1] &^ maskBit))
					opcodes <- head[0] & opBits
				}
			}()
			s := dial(t, context.Background(), "ws://"+listener.Addr().String()+"/x")
			want := map[string]byte{"a ping": opPong, "a breach": opClose}[name]
			deadline := time.After(10 * time.Second)
			for {
				if err := s.Flush(); err != nil {
					t.Fatal(err)
				}
				select {
				case got, ok := <-opcodes:
					if !ok {
						t.Fatal("the connection ended")
					}
					if got == want {
						return
					}
				case <-s.waker.C:
				case <-deadline:
					t.Fatal("no answer")
				}
			}
		})
	}
}

// Where somebody listens, gorilla reads; a breach is named all the same.
func TestABreachIsNamedWhereSomebodyListens(t *testing.T) {
	for what, row := range map[string]struct{ frames, words string }{
		"opcode":         {frame(finBit|3, ""), "opcode"},
		"reserved bit":   {frame(finBit|0x40|opBinary, "x"), "RSV1"},
		"mask":           {string([]byte{finBit | opBinary, maskBit | 1, 1, 2, 3, 4}), "MASK"},
		"order":          {frame(finBit|opContinuation, ""), "continuation"},
		"close code":     {frame(finBit|opClose, "\x03\xed"), "close"},
		"a long control": {frame(finBit|opPong, strings.Repeat("x", 126)), "len > 125"},
	} {
		t.Run(what, func(t *testing.T) {
			var closes atomic.Int64
			srv := script(t, nil, func(conn net.Conn, req *http.Request, n int) {
				if n > 1 {
					return
				}
				switchProtocols(conn, req, row.frames)
				in := bufio.NewReader(conn)
				for {
					head, err := in.Peek(6)
					if err != nil {
						return
					}
					if head[0]&opBits == opClose {
						closes.Add(1)
						conn.Close()
					}
					in.Discard(6 + int(head[1]&^maskBit))
				}
			})
			cfg := config(t, srv.url)
			cfg.Message = func([]byte, bool) {}
			lost := make(chan error, 1)
			cfg.Down = func(err error) { lost <- err }
			s := open(t, context.Background(), cfg)
			await(t, s, "the loss", func() bool { return len(lost) > 0 })
			if err := <-lost; !errors.Is(err, syscall.EPROTO) || !strings.Contains(err.Error(), "breaks RFC 6455") || !strings.Contains(err.Error(), row.words) {
				t.Error(err)
			}
			if n := closes.Load(); n > 1 {
				t.Errorf("%d close frames", n)
			}
		})
	}
}

func TestALinkIsForgottenAtItsEnd(t *testing.T) {
	url := serve(t, func(ws *websocket.Conn) { _, _, _ = ws.ReadMessage() })
	s := dial(t, context.Background(), url)
	ears.mu.Lock()
	during := len(ears.links)
	ears.mu.Unlock()
	s.Close()
	ears.mu.Lock()
	defer ears.mu.Unlock()
	if after := len(ears.links); after != during-1 {
		t.Fatalf("%d links were heard before the end, %d after", during, after)
	}
}
