// SPDX-License-Identifier: MIT

package stream

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/sys/unix"

	"msprecord/internal/doorbell"
	"msprecord/internal/host"
)

// A link is one connection, from its handshake to its loss. The session's
// goroutine does all the writing; another reads, and leaves here what the
// first has to act on: the poller, or, with TLS or where somebody listens for
// messages, one of the link's own.
type link struct {
	net    net.Conn
	raw    syscall.RawConn // of the TCP connection
	mask   masker
	waker  *doorbell.Waker
	unhook func() bool
	secret uint64 // in the pings

	ackState
	control []byte                // control frames that go out with the next write
	parts   [][]byte              // what one write consists of,
	vector  net.Buffers           // and what of it is still to be written
	sendNow func(fd uintptr) bool // send, made once
	msg     unix.Msghdr
	iov     []unix.Iovec
	sendErr error
	plain   bool // frames are written to the TCP connection as they are
	measure func(fd uintptr)
	mss     int      // bytes of a TCP segment
	rest    *segment // what waits for one to be filled; nil: nothing does

	heard  atomic.Int64 // when the server last said anything
	news   atomic.Bool  // the reader left something, or has ended
	mu     sync.Mutex
	pong   []byte // payload of the last ping of the server, nil when answered
	closed *websocket.CloseError

	written  atomic.Int64 // bytes that left for the socket
	pinging  bool         // what is written next has a ping
	progress progress     // of the other side's TCP, while the server is silent

	inbox    inbox         // of the poller
	ear      int32         // what it calls the link; 0: it does not hear it
	readDone chan struct{} // closed when the reader ends, after readErr
	readErr  error
}

var clockStart = time.Now()

// clock is the monotonic time in ns.
func clock() int64 { return int64(time.Since(clockStart)) }

// newLink is the link of a connection whose handshake is done. message hears
// what the server says, where it is not nil.
func newLink(ctx context.Context, ws *websocket.Conn, mask masker, w *doorbell.Waker, message func([]byte, bool)) (*link, error) {
	l := &link{net: ws.NetConn(), mask: mask, waker: w, readDone: make(chan struct{})}
	l.begin()
	l.heard.Store(l.since)
	l.secret = uint64(mask.key())<<32 | uint64(mask.key())
	if head, ok := l.net.(*headConn); ok {
		l.net = head.Conn
	}
	if tcp, ok := l.tcp().(*net.TCPConn); ok {
		l.raw, _ = tcp.SyscallConn()
	}
	_, l.plain = l.net.(*net.TCPConn)
	polled := l.plain && message == nil
	if l.plain {
		l.sendNow = l.send
		l.measure = func(fd uintptr) { // it changes, with the other side's window first of all
			l.mss, _ = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG)
		}
	}
	if polled {
		if err := ears.add(l); err != nil {
			_ = l.net.Close()
			return nil, err
		}
	} else {
		go l.read(ws, message)
	}
	// Ends a blocked read or write at once, even where TLS has a say.
	l.unhook = context.AfterFunc(ctx, l.hangUp)
	return l, nil
}

// hangUp ends the connection, and with it the reader. A child that was forked
// may hold the socket open: closing alone would neither take it out of the
// epoll instance, which would then report it for ever, nor end the connection.
func (l *link) hangUp() {
	defer host.Guard("ending a connection")
	if l.ear != 0 {
		ears.drop(l)
	}
	if l.raw != nil {
		_ = l.raw.Control(func(fd uintptr) { _ = unix.Shutdown(int(fd), unix.SHUT_RDWR) })
	}
	_ = l.tcp().Close()
}

func (l *link) tcp() net.Conn { return tcpOf(l.net) }

// tcpOf is the connection below TLS, if there is any: TLS has its say at a
// close, which may take time.
func tcpOf(conn net.Conn) net.Conn {
	if t, ok := conn.(*tls.Conn); ok {
		return t.NetConn()
	}
	return conn
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

// act acts on a control frame, for the reader. A close is its end.
func (l *link) act(opcode byte, payload []byte) error {
	switch opcode {
	case opPing:
		l.tell(func() { l.pong = append([]byte{}, payload...) }) // only the last counts (section 5.5.3)
	case opPong:
		now := clock()
		l.heard.Store(now)
		if seq, offset, ok := l.readPing(payload); ok && l.settle(seq, offset, now) {
			l.waker.Wake()
		}
	case opClose:
		closed, err := parseClose(payload)
		if err != nil {
			return err
		}
		// A server that says goodbye may read no more: no write blocks on it.
		_ = l.net.SetWriteDeadline(time.Now().Add(goodbye))
		l.tell(func() { l.closed = closed })
		return closed
	}
	return nil
}

// readEnds notes that the reader has ended.
func (l *link) readEnds(err error) {
	l.readErr = err
	close(l.readDone)
	l.news.Store(true)
	l.waker.Wake()
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

// ping asks the server to confirm everything up to an offset. The payload is
// the offset, a check, and the ping's sequence number: bytes that are damaged on
// their way, or a pong that answers no ping of ours, must not pass for an
// acknowledgement, and a pong tells which ping it answers.
func (l *link) ping(offset, texts, now int64) {
	var payload [16]byte
	seq := l.pend(offset, texts, now)
	binary.BigEndian.PutUint64(payload[:], uint64(offset))
	binary.BigEndian.PutUint32(payload[8:], l.check(seq, offset))
	binary.BigEndian.PutUint32(payload[12:], seq)
	l.queue(opPing, payload[:])
	l.pinging = true
}

func (l *link) check(seq uint32, offset int64) uint32 {
	return uint32((uint64(offset) ^ uint64(seq)<<32 ^ l.secret) * 0x9E3779B97F4A7C15 >> 32)
}

// readPing reads a ping's payload back, of a pong.
func (l *link) readPing(payload []byte) (seq uint32, offset int64, ok bool) {
	if len(payload) != 16 {
		return 0, 0, false
	}
	offset = int64(binary.BigEndian.Uint64(payload))
	seq = binary.BigEndian.Uint32(payload[12:])
	return seq, offset, binary.BigEndian.Uint32(payload[8:]) == l.check(seq, offset)
}

func (l *link) queued() bool { return len(l.control) > 0 || l.rest != nil }

// goodbye bounds what is done for a connection that is over.
const goodbye = 200 * time.Millisecond

// reason is why the connection is over, where err is what was noticed of it.
// A server's close frame says it best, even where a write failed before it was
// read, and is answered (section 5.5.1); a breach of the protocol is told with
// a close as well (section 7.1.7).
func (l *link) reason(err error) error {
	var code int
	select {
	case <-l.readDone:
		if errors.Is(l.readErr, syscall.EPROTO) {
			code, err = websocket.CloseProtocolError, l.readErr
		}
	case <-time.After(goodbye):
	}
	l.mu.Lock()
	if l.closed != nil {
		code, err = l.closed.Code, l.closed
	}
	l.mu.Unlock()
	if code == 0 {
		return err
	}
	_ = l.net.SetWriteDeadline(time.Now().Add(goodbye))
	l.control = l.control[:0]
	l.queue(opClose, websocket.FormatCloseMessage(code, ""))
	_ = l.write(nil, false)
	return err
}

// close ends the connection and its reader; orderly says that the closing
// handshake is done, and TLS may say its goodbye.
func (l *link) close(orderly bool) {
	l.unhook()
	if orderly {
		_ = l.net.Close()
	}
	l.hangUp()
	<-l.readDone
	if l.rest != nil {
		l.rest.give(true)
	}
}
