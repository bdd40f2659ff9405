// SPDX-License-Identifier: MIT

package core

import (
	"bufio"
	"encoding/binary"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"msprecord/internal/ringbuffer/ringtest"
)

// newCounter is a server that counts payload bytes and answers pings, and
// allocates nothing once a connection stands: what a test counts with it is
// the library's.
func newCounter(t *testing.T) (url string, got *atomic.Int64) {
	t.Helper()
	got = new(atomic.Int64)
	var upgrader websocket.Upgrader
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer ws.Close()
		conn := ws.NetConn()
		in := bufio.NewReaderSize(conn, 64<<10)
		answer := make([]byte, 0, 2+125)
		for {
			head, err := in.Peek(2)
			if err != nil {
				return
			}
			opcode, size, wide := head[0]&15, int(head[1]&0x7f), 0
			if size == 126 {
				wide = 2
			}
			if head, err = in.Peek(2 + wide + 4); err != nil {
				return
			}
			if wide > 0 {
				size = int(binary.BigEndian.Uint16(head[2:]))
			}
			key := [4]byte(head[2+wide:])
			_, _ = in.Discard(len(head))
			switch opcode {
			case websocket.PingMessage:
				answer = append(answer[:0], 0x80|websocket.PongMessage, byte(size))
				for i := range size {
					b, _ := in.ReadByte()
					answer = append(answer, b^key[i%4])
				}
				_, err = conn.Write(answer)
			case websocket.CloseMessage:
				_, _ = conn.Write([]byte{0x80 | websocket.CloseMessage, 0})
				_, _ = io.Copy(io.Discard, in)
				return
			default:
				_, err = in.Discard(size)
				got.Add(int64(size))
			}
			if err != nil {
				return
			}
		}
	}))
	t.Cleanup(server.Close)
	return "ws" + strings.TrimPrefix(server.URL, "http"), got
}

func TestSteadyStreamAllocatesNothingPerChunk(t *testing.T) {
	const (
		chunk  = 2560
		warmUp = 2000
		chunks = 20000
	)
	url, got := newCounter(t)
	ring := ringtest.New(t, 64*chunk+1)
	s := register(t, ringURI(ring), url)
	if err := s.SetChunk(chunk); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(Caller{}); err != nil {
		t.Fatal(err)
	}
	piece := make([]byte, chunk)
	stream := func(n int) {
		all := got.Load() + int64(n)*chunk
		for ; n > 0; n-- {
			for ring.Room() < chunk {
				time.Sleep(20 * time.Microsecond)
			}
			ring.Write(piece)
		}
		for deadline := time.Now().Add(time.Minute); got.Load() < all; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d bytes have not arrived", all-got.Load())
			}
		}
	}
	stream(warmUp)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	stream(chunks)
	runtime.ReadMemStats(&after)
	perChunk := float64(after.Mallocs-before.Mallocs) / chunks
	t.Logf("%.4f allocations and %.1f bytes a chunk, %d collections", perChunk,
		float64(after.TotalAlloc-before.TotalAlloc)/chunks, after.NumGC-before.NumGC)
	// The payload of each pong is a string, for which 64 KiB or more were sent.
	if perChunk > 0.1 {
		t.Errorf("%.3f allocations a chunk, want none", perChunk)
	}
}
