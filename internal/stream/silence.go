// SPDX-License-Identifier: MIT

package stream

import (
	"time"

	"golang.org/x/sys/unix"
)

// pingArrived tells whether the other side's TCP has the first ping. What TLS
// adds to the bytes is not counted: there, everything written must have arrived.
func (l *link) pingArrived() bool {
	first := l.firstPing.Load()
	if l.plain {
		return first > 0 && l.written.Load()-int64(l.unsent()) >= first
	}
	return first > 0 && l.unsent() == 0
}

// A progress is what is seen of the other side's TCP while its server is silent.
type progress struct {
	watched bool   // acked was read since the server was last heard
	acked   uint64 // bytes that its TCP had acknowledged then
	at      int64  // when that was last seen to move
}

// silent tells whether the server has said nothing for too long after a ping.
// An answer may be late because the way is slow: bytes that the other side's
// TCP still acknowledges are a sign of life.
func (l *link) silent(now int64, timeout time.Duration) bool {
	at, pending := l.oldestPing()
	p := &l.progress
	quiet := now - max(at, l.heard.Load(), p.at)
	if !pending || quiet < int64(timeout/2) {
		p.watched = false
		return false
	}
	if acked := l.tcpAcked(); !p.watched || acked != p.acked {
		if p.watched {
			p.at, quiet = now, 0
		}
		p.watched, p.acked = true, acked
	}
	return quiet >= int64(timeout)
}

// silenceDue is how long to wait before silent has something new to say.
func (l *link) silenceDue(now int64, timeout time.Duration) time.Duration {
	at, pending := l.oldestPing()
	if !pending {
		return never
	}
	quiet := time.Duration(now - max(at, l.heard.Load(), l.progress.at))
	if quiet < timeout/2 {
		return timeout/2 - quiet
	}
	return max(timeout-quiet, timeout/16, time.Millisecond)
}

// tcpAcked is how many bytes the other side's TCP has acknowledged.
func (l *link) tcpAcked() (n uint64) {
	if l.raw != nil {
		_ = l.raw.Control(func(fd uintptr) {
			if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
				n = info.Bytes_acked
			}
		})
	}
	return n
}

// unsent is how many bytes the peer's TCP has not acknowledged.
func (l *link) unsent() (n int) {
	if l.raw != nil {
		_ = l.raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
	}
	return n
}

// limitSilence has the kernel end a connection whose bytes the peer's TCP has
// not acknowledged for so long: the one sign of a pulled cable that does not
// need an answer from the server.
func (l *link) limitSilence(d time.Duration) {
	if l.raw != nil {
		_ = l.raw.Control(func(fd uintptr) {
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.Milliseconds()))
		})
	}
}
