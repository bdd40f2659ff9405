// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"

	"msprecord/cmd/record-server/archive"
)

// conn is one WebSocket. All but goAway runs on its handler's goroutine.
type conn struct {
	srv    *server
	ws     *websocket.Conn
	peer   string
	format format
	hint   string // about the URL, for the streams of this connection
	mux    bool

	streams  []*stream
	byName   map[string]*stream // mux: by the name in its messages
	cur      *stream            // the one that buf is for
	buf      []byte
	from     int // buf[from:to] is not in a file yet
	to       int
	head     [archive.MaxName + 1]byte
	texts    int64
	line     *line // of a raw stream that can be resumed
	admitted int   // streams that the gate counts
	whole    bool  // closed with 1000, all being stored
	evicted  bool  // under server.mu: a newer connection has its stream

	fault *fault
	away  sync.Once
	mu    sync.Mutex
	ended string // set by goAway: how the streams of this connection end
}

// fault is why this server closes a connection.
type fault struct {
	code   int
	reason string
}

func (f *fault) Error() string { return f.reason }

// fail keeps the first fault and returns it.
func (c *conn) fail(code int, format string, args ...any) error {
	if c.fault == nil {
		c.fault = &fault{code, fmt.Sprintf(format, args...)}
	}
	return c.fault
}

// run receives until the connection ends.
func (c *conn) run() {
	sock := c.ws.NetConn().(*socket)
	defer sock.Close()
	sock.beforeRead = c.flush
	c.ws.SetReadLimit(c.srv.gate.limits.message)
	c.ws.SetPingHandler(c.ping)
	c.ws.SetCloseHandler(c.closed)

	err := c.receive()
	if errors.Is(err, websocket.ErrReadLimit) {
		c.fail(websocket.CloseMessageTooBig, "a message is longer than %d bytes", c.srv.gate.limits.message)
	}
	c.finish(false)
	how, ok := c.outcome(err)
	if c.line != nil {
		c.srv.detach(c, how, ok)
	} else {
		for _, st := range c.streams {
			c.srv.over(st, how, ok)
		}
	}
	c.srv.gate.leave(c.peer, c.admitted)
	c.admitted = 0
	if len(c.streams) == 0 && !ok {
		c.srv.status.say("%s  %s", c.peer, how)
	}

	if c.fault != nil {
		// Fails where a close was sent already, which is as good.
		c.ws.WriteControl(websocket.CloseMessage, closeFrame(c.fault.code, c.fault.reason), time.Now().Add(answerTime))
	}
	c.srv.mu.Lock()
	delete(c.srv.conns, c)
	c.srv.mu.Unlock()
	// Closing a socket that has unread bytes resets it, and a reset may
	// overtake the close frame. So say that no more comes, and read on; not
	// from a peer that is known to be gone.
	sock.beforeRead = nil
	var gone net.Error
	if !errors.As(err, &gone) && sock.CloseWrite() == nil {
		sock.SetReadDeadline(time.Now().Add(drainTime))
		io.Copy(io.Discard, io.LimitReader(sock, maxDrain))
	}
}

// receive returns the error that ended the connection, never nil.
func (c *conn) receive() error {
	for {
		kind, r, err := c.ws.NextReader()
		if err != nil {
			return err
		}
		if kind != websocket.BinaryMessage {
			c.texts++ // not audio
			continue
		}
		if c.mux {
			err = c.readName(r)
		}
		if err == nil {
			err = c.readChunk(r)
		}
		if err != nil && err != io.EOF {
			return err
		}
	}
}

// readChunk moves a message, or what is left of it, into the buffer.
func (c *conn) readChunk(r io.Reader) error {
	for {
		if err := c.room(1); err != nil {
			return err
		}
		// This may flush before it returns, which moves from but not to.
		n, err := r.Read(c.buf[c.to:])
		c.to += n
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// readName reads a mux message up to its zero byte and makes that stream the
// current one. It returns io.EOF for an empty message.
func (c *conn) readName(r io.Reader) error {
	for n := 0; ; {
		m, err := r.Read(c.head[n:])
		if i := bytes.IndexByte(c.head[n:n+m], 0); i >= 0 {
			if err := c.use(c.head[:n+i]); err != nil {
				return err
			}
			return c.put(c.head[n+i+1 : n+m])
		}
		n += m
		switch {
		case err == io.EOF && n == 0:
			return io.EOF
		case err == io.EOF:
			return c.fail(websocket.ClosePolicyViolation, "a message has no zero byte after its name")
		case err != nil:
			return err
		case n == len(c.head):
			return c.fail(websocket.ClosePolicyViolation, "a message has no zero byte in its first %d", n)
		}
	}
}

// use makes the stream of that name the one that the buffer is for.
func (c *conn) use(name []byte) error {
	st := c.byName[string(name)] // does not allocate
	if st == nil {
		if len(c.streams) == maxStreams {
			return c.fail(websocket.ClosePolicyViolation, "more than %d streams on one connection", maxStreams)
		}
		asked := string(name)
		err := c.srv.gate.admit(c.peer, false)
		if err != nil {
			return c.fail(websocket.CloseTryAgainLater, "%s", err)
		}
		c.admitted++
		if st, err = c.srv.open(asked, c.peer, c.format); err != nil {
			code := websocket.CloseInternalServerErr
			if httpStatus(err) == http.StatusBadRequest {
				code = websocket.ClosePolicyViolation
			}
			return c.fail(code, "%s", err)
		}
		st.hint = c.hint
		c.byName[asked] = st
		c.streams = append(c.streams, st)
		c.srv.started(st)
	}
	if st != c.cur {
		if err := c.flush(); err != nil {
			return err
		}
		c.cur = st
	}
	return nil
}

// put adds p, which is shorter than the buffer.
func (c *conn) put(p []byte) error {
	if err := c.room(len(p)); err != nil {
		return err
	}
	c.to += copy(c.buf[c.to:], p)
	return nil
}

// room makes sure that n bytes fit behind what is in the buffer.
func (c *conn) room(n int) error {
	if len(c.buf)-c.to < n {
		if err := c.flush(); err != nil {
			return err
		}
	}
	if c.from == c.to {
		c.from, c.to = 0, 0
	}
	return nil
}

// flush writes what is in the buffer to the file of the current stream. It
// leaves to where it is, since a read may be under way to that place.
func (c *conn) flush() error {
	if c.from == c.to {
		return nil
	}
	p := c.buf[c.from:c.to]
	c.from = c.to
	if err := c.cur.append(p); err != nil {
		return c.failStored(err)
	}
	return nil
}

// failStored is fail for what a stream returned.
func (c *conn) failStored(err error) error {
	if errors.Is(err, errTakenOver) {
		return c.fail(websocket.ClosePolicyViolation, "%s", err)
	}
	return c.fail(websocket.CloseInternalServerErr, "%s", err)
}

// finish completes the files; whole says that their sender has no more.
func (c *conn) finish(whole bool) error {
	err := c.flush()
	for _, st := range c.streams {
		if whole && err == nil {
			st.complete()
		}
		if e := st.finish(); e != nil && err == nil {
			err = c.failStored(e)
		}
	}
	return err
}

// ping answers when all that came before is in the files: senders take the
// pong for the word that it is.
func (c *conn) ping(data string) error {
	if err := c.flush(); err != nil {
		return err
	}
	err := c.ws.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(answerTime))
	if errors.Is(err, websocket.ErrCloseSent) {
		return nil
	}
	return err
}

// closed answers a close with the same code, when the files are complete.
func (c *conn) closed(code int, _ string) error {
	c.mu.Lock()
	// A peer that goes because we do may have more for us later.
	whole := code == websocket.CloseNormalClosure && c.ended == ""
	c.mu.Unlock()
	if err := c.finish(whole); err != nil {
		return err // run tells the peer 1011 instead
	}
	c.whole = whole
	c.ws.WriteControl(websocket.CloseMessage, closeFrame(code, ""), time.Now().Add(answerTime))
	return nil
}

// goAway asks the peer to close. What it had sent until then is still read.
func (c *conn) goAway() {
	c.away.Do(func() {
		c.mu.Lock()
		c.ended = "stopped"
		c.mu.Unlock()
		c.ws.NetConn().SetReadDeadline(time.Now().Add(closeGrace))
		c.ws.WriteControl(websocket.CloseMessage, closeFrame(websocket.CloseGoingAway, "the server is stopping"), time.Now().Add(closeGrace))
	})
}

// outcome says how the connection ended, and whether by a close handshake.
func (c *conn) outcome(err error) (how string, ok bool) {
	c.mu.Lock()
	how = c.ended
	c.mu.Unlock()
	var (
		closed *websocket.CloseError
		netErr net.Error
	)
	isClose := errors.As(err, &closed)
	switch {
	case c.fault != nil:
		how = "failed: " + c.fault.reason
	case isClose && closed.Code != websocket.CloseAbnormalClosure:
		if ok = true; how == "" || c.whole {
			how = "closed" // also where we stopped after that
		}
		switch closed.Code {
		case websocket.CloseNormalClosure, websocket.CloseGoingAway, websocket.CloseNoStatusReceived:
		default:
			how += fmt.Sprintf(" with %d", closed.Code)
		}
		if closed.Text != "" {
			how += ", " + printable(closed.Text)
		}
	case how != "":
		how += ", the peer did not answer"
	case isClose, errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		how = "lost: the peer went away without a close"
	case errors.As(err, &netErr):
		how = "lost: " + cause(err).Error()
	default:
		how = "failed: " + printable(strings.TrimPrefix(err.Error(), "websocket: "))
	}
	if c.texts > 0 {
		how += fmt.Sprintf(", %s ignored", count(c.texts, "text message"))
	}
	return how, ok
}

// closeFrame is the payload of a close, its reason cut to what fits.
func closeFrame(code int, reason string) []byte {
	const room = 125 - 2
	for len(reason) > room {
		_, size := utf8.DecodeLastRuneInString(reason)
		reason = reason[:len(reason)-size]
	}
	return websocket.FormatCloseMessage(code, reason)
}
