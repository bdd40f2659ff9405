// SPDX-License-Identifier: MIT

package stream

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/gorilla/websocket"

	"msprecord/internal/doorbell"
)

// batchSize is how many bytes of frames leave in one write at most, unless a
// single chunk is larger. Past it a write gains nothing more on loopback.
const batchSize = 64 << 10

// A Conn is one connection as a session's destination. One goroutine, the
// session's, does all the writing; another reads, and leaves what needs an
// answer for the first.
type Conn struct {
	ctx    context.Context
	unhook func() bool
	ws     *websocket.Conn
	net    net.Conn
	url    *url.URL
	mask   masker
	waker  *doorbell.Waker

	batch   []byte // whole frames that wait for Flush
	pending int    // payload bytes in batch
	sent    atomic.Int64

	mu        sync.Mutex // what the reader left for the writer
	pong      []byte     // payload of the last ping, nil when answered
	peerClose *websocket.CloseError
	news      atomic.Bool // there is something under mu

	finished bool          // the closing handshake is done
	readDone chan struct{} // closed when the reader ends, after readErr
	readErr  error
}

func newConn(ctx context.Context, ws *websocket.Conn, u *url.URL, mask masker, w *doorbell.Waker) *Conn {
	c := &Conn{ctx: ctx, ws: ws, net: ws.NetConn(), url: u, mask: mask, waker: w, readDone: make(chan struct{})}
	// Ends a blocked read or write at once, even where TLS has a say.
	c.unhook = context.AfterFunc(ctx, func() { c.tcp().Close() })
	ws.SetPingHandler(func(payload string) error {
		c.tell(func() { c.pong = append([]byte{}, payload...) }) // only the last counts (section 5.5.3)
		return nil
	})
	ws.SetCloseHandler(func(code int, text string) error {
		c.tell(func() { c.peerClose = &websocket.CloseError{Code: code, Text: text} })
		return nil
	})
	go c.read()
	return c
}

// tcp is the connection below TLS, if there is any.
func (c *Conn) tcp() net.Conn {
	if t, ok := c.net.(*tls.Conn); ok {
		return t.NetConn()
	}
	return c.net
}

// tell leaves something for the writing goroutine and wakes it.
func (c *Conn) tell(leave func()) {
	c.mu.Lock()
	leave()
	c.mu.Unlock()
	c.news.Store(true)
	c.waker.Wake()
}

// read takes what the server says, to its end. What is not a control frame
// means nothing to a recording and is dropped.
func (c *Conn) read() {
	defer close(c.readDone)
	defer c.waker.Wake()
	defer func() {
		if r := recover(); r != nil {
			c.readErr = fmt.Errorf("reading from the server: %v: %w", r, syscall.EIO)
		}
	}()
	for {
		_, message, err := c.ws.NextReader()
		if err == nil {
			_, err = io.Copy(io.Discard, message)
		}
		if err != nil {
			c.readErr = err
			return
		}
	}
}

// Reserve makes room for a chunk of up to max bytes.
func (c *Conn) Reserve(max int) (int, error) {
	if err := c.check(); err != nil {
		return 0, err
	}
	need := maxHeader + max
	if len(c.batch) > 0 && len(c.batch)+need > batchSize {
		if err := c.Flush(); err != nil {
			return 0, err
		}
	}
	if len(c.batch)+need > cap(c.batch) {
		grown := make([]byte, len(c.batch), len(c.batch)+need+min(len(c.batch), batchSize-len(c.batch)))
		copy(grown, c.batch)
		c.batch = grown
	}
	return max, nil
}

// Put takes a chunk as one binary message; Reserve has made the room.
func (c *Conn) Put(a, b []byte) error {
	c.batch = appendFrame(c.batch, opBinary, c.mask.key(), a, b)
	c.pending += len(a) + len(b)
	return nil
}

// Flush sends everything that was put, in one write.
func (c *Conn) Flush() error {
	if len(c.batch) == 0 {
		return nil
	}
	if _, err := c.net.Write(c.batch); err != nil {
		return c.lost(err)
	}
	c.sent.Add(int64(c.pending))
	c.batch, c.pending = c.batch[:0], 0
	return nil
}

// check acts on what the server said: answers a ping, and reports an end.
func (c *Conn) check() error {
	select {
	case <-c.readDone:
		return c.lost(c.readErr)
	default:
	}
	if !c.news.Swap(false) {
		return nil
	}
	c.mu.Lock()
	pong, closed := c.pong, c.peerClose
	c.pong = nil
	c.mu.Unlock()
	if closed != nil {
		return c.lost(closed)
	}
	if pong != nil {
		c.control(opPong, pong)
	}
	return nil
}

// control puts a control frame behind what waits.
func (c *Conn) control(opcode byte, payload []byte) {
	if need := maxHeader + len(payload); len(c.batch)+need > cap(c.batch) {
		c.batch = append(make([]byte, 0, len(c.batch)+need), c.batch...)
	}
	c.batch = appendFrame(c.batch, opcode, c.mask.key(), payload, nil)
}

// Finish delivers the tail: everything out, then a close with 1000, and the
// server's answer to it, which it gives when it has read what came before.
func (c *Conn) Finish() error {
	if err := c.check(); err != nil {
		return err
	}
	var normal [2]byte
	binary.BigEndian.PutUint16(normal[:], websocket.CloseNormalClosure)
	c.control(opClose, normal[:])
	if err := c.Flush(); err != nil {
		return err
	}
	select {
	case <-c.readDone:
	case <-c.ctx.Done():
		return fmt.Errorf("%s has not confirmed the end: %w", c.url.Redacted(), context.Cause(c.ctx))
	}
	var closed *websocket.CloseError
	if !errors.As(c.readErr, &closed) {
		return c.lost(c.readErr)
	}
	switch closed.Code {
	case websocket.CloseNormalClosure, websocket.CloseNoStatusReceived, websocket.CloseGoingAway,
		// No close frame but an orderly end of the TCP stream: a server that
		// left bytes unread would have reset it.
		websocket.CloseAbnormalClosure:
		c.finished = true
		return nil
	}
	return c.lost(closed)
}

// lost says how the connection ended, with the errno it stands for.
func (c *Conn) lost(err error) error {
	if c.ctx.Err() != nil {
		return fmt.Errorf("sending to %s: %w", c.url.Redacted(), context.Cause(c.ctx))
	}
	var closed *websocket.CloseError
	var errno syscall.Errno
	switch {
	case errors.As(err, &closed) && closed.Code == websocket.CloseAbnormalClosure, errors.Is(err, io.EOF):
		err = fmt.Errorf("the server ended the connection: %w", syscall.EPIPE)
	case errors.As(err, &closed):
		err = fmt.Errorf("the server closed with %d %q: %w", closed.Code, closed.Text, syscall.EPIPE)
	case errors.As(err, &errno):
	default:
		err = fmt.Errorf("%w: %w", err, syscall.EPIPE)
	}
	return fmt.Errorf("the connection to %s is lost: %w", c.url.Redacted(), err)
}

// Sent is how many payload bytes were handed to the connection. Any goroutine.
func (c *Conn) Sent() int64 { return c.sent.Load() }

// Close ends the connection and the reader. Finish comes first where the end
// is an orderly one.
func (c *Conn) Close() error {
	c.unhook()
	if c.finished {
		_ = c.net.Close() // TLS says goodbye here; there is nothing left to lose
	}
	_ = c.tcp().Close()
	<-c.readDone
	return nil
}
