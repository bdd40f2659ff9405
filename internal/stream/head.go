// SPDX-License-Identifier: MIT

package stream

import (
	"io"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// A headConn is a connection on which an HTTP answer is read and not a byte of
// what follows: each Read ends at an empty line at the latest. What comes
// behind the answer to a handshake stays in the socket, for who reads next.
type headConn struct {
	*net.TCPConn
	raw  syscall.RawConn
	line int // 0: within a line, 1: at its start, 2: a CR came there
}

func newHeadConn(tcp *net.TCPConn) (*headConn, error) {
	raw, err := tcp.SyscallConn()
	return &headConn{TCPConn: tcp, raw: raw}, err
}

func (c *headConn) Read(p []byte) (n int, err error) {
	look := func(fd uintptr) bool {
		if n, _, err = unix.Recvfrom(int(fd), p, unix.MSG_PEEK); err == nil {
			n, err = unix.Read(int(fd), p[:c.head(p[:n])])
		}
		return err != unix.EAGAIN && err != unix.EINTR
	}
	if err := c.raw.Read(look); err != nil {
		return 0, err
	}
	switch {
	case err != nil:
		return 0, os.NewSyscallError("read", err)
	case n == 0 && len(p) > 0:
		return 0, io.EOF
	}
	return n, nil
}

// head is how many bytes of p there are to the end of an empty line, or all. A
// lone LF ends a line as well (RFC 9112 section 2.2).
func (c *headConn) head(p []byte) int {
	for i, b := range p {
		switch {
		case b == '\n' && c.line > 0:
			c.line = 0
			return i + 1
		case b == '\n':
			c.line = 1
		case b == '\r' && c.line == 1:
			c.line = 2
		default:
			c.line = 0
		}
	}
	return len(p)
}
