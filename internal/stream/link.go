// SPDX-License-Identifier: MIT

package stream

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/sys/unix"

	"msprecord/internal/doorbell"
)

// A link is one connection, from its handshake to its loss. The session's
// goroutine does all the writing; another reads, and leaves here what the
// first has to act on.
type link struct {
	ws     *websocket.Conn
	net    net.Conn
	mask   masker
	waker  *doorbell.Waker
	unhook func() bool
	secret uint64 // in the pings

	account
	control []byte      // control frames that go out with the next write
	vector  net.Buffers // what one write consists of
	parts   [][]byte

	heard  atomic.Int64 // when the server last said anything
	news   atomic.Bool  // the reader left something, or has ended
	mu     sync.Mutex
	pong   []byte // payload of the last ping of the server, nil when answered
	closed *websocket.CloseError

	lastUnsent int

	readDone chan struct{} // closed when the reader ends, after readErr
	readErr  error
}

var clockStart = time.Now()

// clock is the monotonic time in ns.
func clock() int64 { return int64(time.Since(clockStart)) }

func newLink(ctx context.Context, ws *websocket.Conn, mask masker, w *doorbell.Waker, message func([]byte, bool)) *link {
	l := &link{ws: ws, net: ws.NetConn(), mask: mask, waker: w, readDone: make(chan struct{})}
	l.begin()
	l.heard.Store(l.since)
	l.secret = uint64(mask.key())<<32 | uint64(mask.key())
	// Ends a blocked read or write at once, even where TLS has a say.
	l.unhook = context.AfterFunc(ctx, func() { l.tcp().Close() })
	ws.SetPingHandler(func(payload string) error {
		l.tell(func() { l.pong = append([]byte{}, payload...) }) // only the last counts (section 5.5.3)
		return nil
	})
	ws.SetPongHandler(func(payload string) error {
		now := clock()
		l.heard.Store(now)
		if offset, ok := l.readPing(payload); ok && l.answer(offset, now) {
			l.waker.Wake()
		}
		return nil
	})
	ws.SetCloseHandler(func(code int, text string) error {
		// A server that says goodbye may read no more: no write blocks on it.
		_ = l.net.SetWriteDeadline(time.Now().Add(goodbye))
		l.tell(func() { l.closed = &websocket.CloseError{Code: code, Text: text} })
		return nil
	})
	go l.read(message)
	return l
}

// tcp is the connection below TLS, if there is any.
func (l *link) tcp() net.Conn {
	if t, ok := l.net.(*tls.Conn); ok {
		return t.NetConn()
	}
	return l.net
}

// tell leaves something for the writing goroutine and wakes it.
func (l *link) tell(leave func()) {
	l.mu.Lock()
	leave()
	l.mu.Unlock()
	l.news.Store(true)
	l.heard.Store(clock())
	l.waker.Wake()
}

// maxMessage is the largest message of a server that is handed on, in bytes.
const maxMessage = 1 << 20

// read takes what the server says, to its end, and hands it to message, where
// that is not nil.
func (l *link) read(message func(data []byte, text bool)) {
	defer l.waker.Wake()
	defer l.news.Store(true)
	defer close(l.readDone)
	defer func() {
		if r := recover(); r != nil {
			l.readErr = fmt.Errorf("reading from the server: %v: %w", r, syscall.EIO)
		}
	}()
	for {
		kind, body, err := l.ws.NextReader()
		if err == nil && message != nil {
			var data []byte
			data, err = io.ReadAll(io.LimitReader(body, maxMessage))
			if err == nil {
				l.heard.Store(clock())
				message(data, kind == websocket.TextMessage)
			}
		}
		if err == nil {
			_, err = io.Copy(io.Discard, body)
			l.heard.Store(clock())
		}
		if err != nil {
			l.readErr = err
			return
		}
	}
}

// attend acts on what the reader left: an end, or a ping to answer.
func (l *link) attend() error {
	if !l.news.Load() {
		return nil
	}
	select {
	case <-l.readDone: // news stays
		return l.readErr
	default:
	}
	l.news.Store(false) // before the look
	l.mu.Lock()
	pong, closed := l.pong, l.closed
	l.pong = nil
	l.mu.Unlock()
	if closed != nil {
		return closed
	}
	if pong != nil {
		l.queue(opPong, pong)
	}
	return nil
}

// queue puts a control frame behind what is written next.
func (l *link) queue(opcode byte, payload []byte) {
	if need := len(l.control) + maxHeader + len(payload); need > cap(l.control) {
		l.control = append(make([]byte, 0, 2*need), l.control...)
	}
	l.control = appendFrame(l.control, finBit|opcode, l.mask.key(), payload)
}

// ping asks the server to confirm everything up to an offset. That is the
// payload, with a check behind it: bytes that are damaged on their way, or a
// pong that answers no ping of ours, must not pass for an acknowledgement.
func (l *link) ping(offset, now int64) {
	var payload [12]byte
	binary.BigEndian.PutUint64(payload[:], uint64(offset))
	binary.BigEndian.PutUint32(payload[8:], l.check(offset))
	l.queue(opPing, payload[:])
	l.ask(offset, now)
}

func (l *link) check(offset int64) uint32 {
	return uint32((uint64(offset) ^ l.secret) * 0x9E3779B97F4A7C15 >> 32)
}

// readPing reads the offset back, of a pong's payload.
func (l *link) readPing(payload string) (offset int64, ok bool) {
	if len(payload) != 12 {
		return 0, false
	}
	offset = int64(binary.BigEndian.Uint64([]byte(payload)))
	return offset, binary.BigEndian.Uint32([]byte(payload[8:])) == l.check(offset)
}

func (l *link) queued() bool { return len(l.control) > 0 }

// silent tells whether the server has said nothing for too long after a ping.
// An answer may be late because the way is slow: bytes that still leave the
// socket's queue are a sign of life.
func (l *link) silent(now int64, timeout time.Duration) bool {
	if !l.unanswered() || now-max(l.asked, l.heard.Load()) < int64(timeout) {
		return false
	}
	unsent := l.unsent()
	moved := unsent != l.lastUnsent && unsent != 0
	l.lastUnsent = unsent
	return !moved
}

func (l *link) drained() bool { return l.unsent() == 0 }

// unsent is how many bytes the peer's TCP has not acknowledged.
func (l *link) unsent() (n int) {
	if tcp, ok := l.tcp().(*net.TCPConn); ok {
		if raw, err := tcp.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
		}
	}
	return n
}

// limitSilence has the kernel end a connection whose bytes the peer's TCP has
// not acknowledged for so long: the one sign of a pulled cable that does not
// need an answer from the server.
func (l *link) limitSilence(d time.Duration) {
	if tcp, ok := l.tcp().(*net.TCPConn); ok {
		if raw, err := tcp.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) {
				_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.Milliseconds()))
			})
		}
	}
}

// write sends pieces of frames, and the control frames that wait, in one system
// call.
func (l *link) write(pieces [][]byte) error {
	l.parts = append(l.parts[:0], pieces...)
	return l.writeParts()
}

// writeParts is write for the frames in l.parts.
func (l *link) writeParts() error {
	if len(l.control) > 0 {
		l.parts = append(l.parts, l.control)
	}
	l.vector = l.parts // which the write empties
	_, err := l.vector.WriteTo(l.net)
	clear(l.parts)
	l.control = l.control[:0]
	return err
}

// goodbye bounds what is done for a connection that is over.
const goodbye = 200 * time.Millisecond

// reason is why the connection is over, where err is what was noticed of it.
// A server's close frame says it best, even where a write failed before it was
// read, and is answered (section 5.5.1).
func (l *link) reason(err error) error {
	select {
	case <-l.readDone:
	case <-time.After(goodbye):
	}
	l.mu.Lock()
	closed := l.closed
	l.mu.Unlock()
	if closed == nil {
		return err
	}
	var code []byte
	if closed.Code != websocket.CloseNoStatusReceived {
		code = []byte{byte(closed.Code >> 8), byte(closed.Code)}
	}
	_ = l.net.SetWriteDeadline(time.Now().Add(goodbye))
	l.control = l.control[:0]
	l.queue(opClose, code)
	_ = l.write(nil)
	return closed
}

// close ends the connection and its reader; orderly says that the closing
// handshake is done, and TLS may say its goodbye.
func (l *link) close(orderly bool) {
	l.unhook()
	if orderly {
		_ = l.net.Close()
	}
	_ = l.tcp().Close()
	<-l.readDone
}
