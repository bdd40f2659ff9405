// SPDX-License-Identifier: MIT

package stream

import (
	"bytes"
	"io"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxHead bounds the status line and the headers that a handshake is answered
// with, those of answers that come before the final one included.
const maxHead = 64 << 10

// A headConn is a connection on which an HTTP answer is read first. Its head
// is taken whole and of bounded size before a byte of it is handed out, and
// informational answers before it are skipped (RFC 9110 section 15.2). Behind
// the head, Read is that of the connection.
//
// Of a TCP connection not a byte behind the head is read with it: it stays in
// the socket, for who reads next.
type headConn struct {
	net.Conn
	raw   syscall.RawConn // of a TCP connection, else nil
	head  []byte          // what was read and is still to be handed out
	whole bool            // the head was read
}

func newHeadConn(conn net.Conn) (*headConn, error) {
	c := &headConn{Conn: conn}
	var err error
	if tcp, ok := conn.(*net.TCPConn); ok {
		c.raw, err = tcp.SyscallConn()
	}
	return c, err
}

func (c *headConn) Read(p []byte) (int, error) {
	if !c.whole {
		if err := c.readHead(); err != nil {
			return 0, err
		}
		c.whole = true
	}
	if len(c.head) == 0 {
		c.head = nil
		return c.Conn.Read(p)
	}
	n := copy(p, c.head)
	c.head = c.head[n:]
	return n, nil
}

// Write writes a request. What gorilla says later is not written: the frames
// are our own, and one of its in the middle would break them.
func (c *headConn) Write(p []byte) (int, error) {
	if c.whole {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

// readHead reads up to the end of the head of an answer that is not
// informational. One that breaks off is left for the HTTP parser to judge.
func (c *headConn) readHead() error {
	for total := 0; ; {
		from := len(c.head)
		piece := min(4<<10, maxHead-total)
		if piece == 0 {
			return tooLong(c.head)
		}
		c.head = grown(c.head, piece)
		n, err := c.readPiece(c.head[from : from+piece])
		c.head = c.head[:from+n]
		total += n
		switch {
		case err == io.EOF && len(c.head) > 0:
			return nil
		case err != nil:
			return err
		}
		const http = "HTTP/"
		if start := c.head[:min(len(c.head), len(http))]; !bytes.HasPrefix([]byte(http), start) {
			return fault(syscall.EPROTO, "what it says is no HTTP: is it a WebSocket server, and ws or wss what it expects?")
		}
		for {
			end := headEnd(c.head, from)
			if end == 0 {
				break
			}
			if !informational(c.head) {
				return nil
			}
			c.head = c.head[:copy(c.head, c.head[end:])]
			from = 0
		}
	}
}

// tooLong is the error about a head without an end.
func tooLong(head []byte) error {
	what := "status line"
	if bytes.IndexByte(head, '\n') >= 0 {
		what = "header"
	}
	return fault(syscall.EPROTO, "the %s of its answer has no end within 64 KiB: is it a WebSocket server?", what)
}

// readPiece reads what is there, and of a TCP connection nothing behind an
// empty line.
func (c *headConn) readPiece(p []byte) (n int, err error) {
	if c.raw == nil {
		return c.Conn.Read(p)
	}
	before := len(c.head)
	look := func(fd uintptr) bool {
		if n, _, err = unix.Recvfrom(int(fd), p, unix.MSG_PEEK); err == nil && n > 0 {
			if end := headEnd(c.head[:before+n], before); end > 0 {
				n = end - before
			}
			n, err = unix.Read(int(fd), p[:n])
		}
		return err != unix.EAGAIN && err != unix.EINTR
	}
	if err := c.raw.Read(look); err != nil {
		return 0, err
	}
	switch {
	case err != nil:
		return 0, os.NewSyscallError("read", err)
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// headEnd is where the first empty line of p ends, or 0; before from there is
// none. A lone LF ends a line as well (RFC 9112 section 2.2).
func headEnd(p []byte, from int) int {
	for i := max(from, 1); i < len(p); i++ {
		if p[i] == '\n' && (p[i-1] == '\n' || i > 1 && p[i-1] == '\r' && p[i-2] == '\n') {
			return i + 1
		}
	}
	return 0
}

// informational tells whether an answer has a status below 200 and switches no
// protocols.
func informational(head []byte) bool {
	_, status, _ := bytes.Cut(head, []byte(" "))
	return len(status) >= 3 && status[0] == '1' && !bytes.HasPrefix(status, []byte("101"))
}
