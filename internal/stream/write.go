// SPDX-License-Identifier: MIT

package stream

import (
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxIov is how many pieces a system call takes (UIO_MAXIOV of Linux).
const maxIov = 1024

// write sends pieces of frames, and the control frames that wait, in one system
// call. Where more follows, what does not fill a TCP segment waits for it: the
// segment would cost as much as a full one.
func (l *link) write(pieces [][]byte, more bool) error {
	l.parts = append(l.parts[:0], pieces...)
	return l.writeParts(more)
}

// writeParts is write for the frames in l.parts.
func (l *link) writeParts(more bool) (err error) {
	first := l.rest
	if l.rest = nil; first != nil {
		l.parts = slices.Insert(l.parts, 0, first.buf)
	}
	if len(l.control) > 0 {
		l.parts = append(l.parts, l.control)
	}
	all := l.parts
	if more && l.plain {
		_ = l.raw.Control(l.measure)
		l.hold()
	}
	size := sizeOfAll(l.parts)
	l.vector = l.parts // which the write empties
	if l.plain {
		if err = l.raw.Write(l.sendNow); err == nil {
			err = l.sendErr
		}
	} else {
		_, err = l.vector.WriteTo(l.net)
	}
	if err == nil {
		l.countWritten(size)
	}
	clear(all) // of a link that falls silent, nothing keeps segments alive
	clear(l.iov)
	l.control = l.control[:0]
	if first != nil {
		first.give(true)
	}
	return err
}

// countWritten counts the bytes of a write, and notes where its pings end.
func (l *link) countWritten(n int) {
	total := l.written.Add(int64(n))
	if l.pinging {
		if l.rest != nil {
			total += int64(len(l.rest.buf))
		}
		l.leave(total)
		l.pinging = false
	}
}

func sizeOfAll(parts [][]byte) (n int) {
	for _, p := range parts {
		n += len(p)
	}
	return n
}

// hold moves what does not fill a TCP segment from the end of l.parts to l.rest.
func (l *link) hold() {
	total := sizeOfAll(l.parts)
	n := total % max(l.mss, 1)
	if n == 0 || n == total {
		return
	}
	l.rest = takeSegment(n, true)
	l.rest.buf = l.rest.buf[:n]
	for n > 0 {
		end := len(l.parts) - 1
		last := l.parts[end]
		cut := max(len(last)-n, 0)
		n -= copy(l.rest.buf[n-(len(last)-cut):], last[cut:])
		if l.parts[end] = last[:cut]; cut == 0 {
			l.parts = l.parts[:end]
		}
	}
}

// send writes what it can of l.vector without waiting, and tells whether that
// was all, or is over with an error. Such a call is short: Go's scheduler is
// not told of it, which would wake a thread that looks after long ones.
func (l *link) send(fd uintptr) bool {
	for {
		l.iov = l.iov[:0]
		for _, p := range l.vector[:min(len(l.vector), maxIov)] {
			l.iov = append(l.iov, unix.Iovec{Base: unsafe.SliceData(p)})
			l.iov[len(l.iov)-1].SetLen(len(p))
		}
		l.msg.Iov = unsafe.SliceData(l.iov)
		l.msg.SetIovlen(len(l.iov))
		r, _, errno := unix.RawSyscall(unix.SYS_SENDMSG, fd, uintptr(unsafe.Pointer(&l.msg)), unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
		switch errno {
		case 0:
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return false
		default:
			l.sendErr = errno
			return true
		}
		n := int(r)
		for len(l.vector) > 0 && n >= len(l.vector[0]) {
			n -= len(l.vector[0])
			l.vector = l.vector[1:]
		}
		if len(l.vector) == 0 {
			return true
		}
		l.vector[0] = l.vector[0][n:]
	}
}
