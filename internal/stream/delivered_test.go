// SPDX-License-Identifier: MIT

package stream

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// What a server does when it has read so many bytes of a stream that ends.
type ending struct {
	name     string
	pongs    bool // it answers the pings of what it has read
	close    []byte
	answers  bool // it reads everything, and answers the close
	complete bool // everything counts as delivered
}

func TestOnlyWhatCoversAByteAcknowledgesIt(t *testing.T) {
	code := func(n int) []byte { return websocket.FormatCloseMessage(n, "") }
	for _, row := range []ending{
		{"pongs, then a close with 1000", true, code(1000), false, false},
		{"pongs, then a close with 1001", true, code(1001), false, false},
		{"pongs, then a close without a code", true, []byte{}, false, false},
		{"pongs, then an end of the TCP stream", true, nil, false, false},
		{"pongs to the end", true, nil, true, true},
		{"no pongs, a close with 1000 of its own", false, code(1000), false, false},
		{"no pongs, a close with 1001 of its own", false, code(1001), false, false},
		{"no pongs, an end of the TCP stream", false, nil, false, false},
		{"no pongs, an answer to the close", false, nil, true, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			const total, read = 1 << 20, 300_000
			var has atomic.Int64
			stopping := make(chan struct{})
			var accepted atomic.Int32
			url := serve(t, func(ws *websocket.Conn) {
				if accepted.Add(1) > 1 {
					return // it does not come back in good order
				}
				if !row.pongs {
					ws.SetPingHandler(func(string) error { return nil })
				}
				for row.answers || has.Load() < read {
					_, p, err := ws.ReadMessage() // which answers a close
					if err != nil {
						return
					}
					has.Add(int64(len(p)))
				}
				<-stopping
				if row.close != nil {
					_ = ws.WriteControl(websocket.CloseMessage, row.close, time.Now().Add(time.Second))
				}
				if row.close == nil { // an end in good order, whatever is unread: not a reset
					_ = ws.NetConn().(*net.TCPConn).CloseWrite()
					time.Sleep(50 * time.Millisecond)
				}
			})
			ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
			defer cancel()
			cfg := config(t, url)
			cfg.ReplayBytes = 4 << 20
			s := open(t, ctx, cfg)
			for range total / 4096 {
				put(t, s, make([]byte, 4096))
			}
			// Not Flush: the server reads only part of it, and a write may wait.
			turn(t, s, "the server has read its part", func() bool { return has.Load() >= read })
			time.AfterFunc(100*time.Millisecond, func() { close(stopping) }) // while the end waits
			err := s.Finish()
			s.Close()
			switch n := s.Delivered(); {
			case n > has.Load():
				t.Errorf("%d bytes count as delivered, the server read %d (%v)", n, has.Load(), err)
			case row.complete && (err != nil || n != total):
				t.Errorf("%d bytes of %d count as delivered: %v", n, total, err)
			case !row.complete && err == nil:
				t.Errorf("the end is a success with %d bytes of %d read", has.Load(), total)
			case !row.complete && !row.pongs && n != 0:
				t.Errorf("%d bytes count as delivered at a server that said nothing of them", n)
			}
		})
	}
}

// Bytes that were let go of without an acknowledgement, on a connection that
// was lost, never count as delivered.
func TestWhatWasSentToASilentServerIsNotAcknowledgedByTheNext(t *testing.T) {
	var connections atomic.Int32
	first := make(chan *websocket.Conn, 1)
	url := serve(t, func(ws *websocket.Conn) {
		if connections.Add(1) == 1 {
			ws.SetPingHandler(func(string) error { return nil })
			first <- ws
		}
		for {
			if _, _, err := ws.ReadMessage(); err != nil {
				return
			}
		}
	})
	cfg := faultyConfig(t, url)
	var told []hole
	cfg.Gap = func(offset, length int64, sent bool) {
		if sent {
			told = append(told, hole{offset, offset + length})
		}
	}
	s := open(t, context.Background(), cfg)
	const chunk, total = 4096, 512 << 10
	for range total / chunk { // eight windows
		put(t, s, make([]byte, chunk))
	}
	turn(t, s, "everything left", func() bool { return s.window.waiting == 0 })
	lost := s.window.base()
	(<-first).Close()
	turn(t, s, "a new connection", func() bool { return s.Figures().Reconnects == 1 && s.link != nil })
	if err := s.Finish(); err != nil {
		t.Fatal(err)
	}
	s.Close()
	want := fmt.Sprint([]hole{{0, lost}})
	if n := s.Delivered(); lost == 0 || n != total-lost || s.Figures().GivenUp != lost || fmt.Sprint(told) != want {
		t.Errorf("%d of %d bytes count as delivered, %d were let go of; told %v; %+v", n, total, lost, told, s.Figures())
	}
}

// A server may take its time for pongs, and answer a close at once.
func TestTheCloseWaitsForTheTailsPong(t *testing.T) {
	var connections atomic.Int32
	url := serve(t, func(ws *websocket.Conn) {
		connections.Add(1)
		var mu sync.Mutex // gorilla wants one writer at a time
		ws.SetPingHandler(func(p string) error {
			time.AfterFunc(300*time.Millisecond, func() {
				mu.Lock()
				defer mu.Unlock()
				_ = ws.WriteControl(websocket.PongMessage, []byte(p), time.Now().Add(time.Second))
			})
			return nil
		})
		ws.SetCloseHandler(func(code int, _ string) error {
			mu.Lock()
			defer mu.Unlock()
			return ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, ""), time.Now().Add(time.Second))
		})
		for {
			if _, _, err := ws.ReadMessage(); err != nil {
				return
			}
		}
	})
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	s := dial(t, ctx, url)
	put(t, s, make([]byte, 8192))
	turn(t, s, "the first pong", func() bool { return s.Figures().Answers })
	put(t, s, make([]byte, 8192))
	if err := s.Finish(); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if s.Delivered() != 16384 || connections.Load() != 1 {
		t.Errorf("%d bytes delivered, over %d connections", s.Delivered(), connections.Load())
	}
}

// A service that is told that the audio is over gives its result and closes, and
// then answers nothing more.
func TestAServiceThatClosesAtTheLastWordHasEverything(t *testing.T) {
	var connections atomic.Int32
	url := serve(t, func(ws *websocket.Conn) {
		connections.Add(1)
		for {
			kind, _, err := ws.ReadMessage()
			if err != nil || kind == websocket.TextMessage {
				break
			}
		}
		_ = ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""), time.Now().Add(time.Second))
		_, _ = io.Copy(io.Discard, ws.NetConn())
	})
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	cfg := config(t, url)
	word := "done"
	cfg.Speech.CloseText, cfg.Speech.Linger = &word, 5*time.Second
	s := open(t, ctx, cfg)
	put(t, s, make([]byte, 3000))
	if err := s.Finish(); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if s.Delivered() != 3000 || connections.Load() != 1 {
		t.Errorf("%d bytes delivered, over %d connections", s.Delivered(), connections.Load())
	}
}
