// SPDX-License-Identifier: MIT

package stream

import (
	"time"

	"golang.org/x/sys/unix"
)

// pingArrived tells whether the other side's TCP has the oldest ping that no
// pong has settled.
func (l *link) pingArrived() bool {
	ping, pending := l.oldestPing()
	return pending && ping.end > 0 && l.arrived() >= ping.end
}

// arrived is how many bytes the other side's TCP has acknowledged. What TLS adds
// to them is not known: there it is less until everything has been.
func (l *link) arrived() int64 { return l.written.Load() - int64(l.unsent()) }

// A progress is what is seen of a silent server's TCP while the ping that it
// owes an answer to is on its way.
type progress struct {
	watched bool
	arrived int64 // bytes
	at      int64 // when that was last seen to move
}

// silent tells whether the server has said nothing for too long after a ping.
// The ping may still be on a slow way: then bytes that arrive are a sign of life.
func (l *link) silent(now int64, timeout time.Duration) bool {
	ping, pending := l.oldestPing()
	p := &l.progress
	quiet := now - max(ping.at, l.heard.Load(), p.at)
	if !pending || quiet < int64(timeout/2) {
		p.watched = false
		return false
	}
	if arrived := l.arrived(); ping.end == 0 || arrived < ping.end {
		if p.watched && arrived != p.arrived {
			p.at, quiet = now, 0
		}
		p.watched, p.arrived = true, arrived
	}
	return quiet >= int64(timeout)
}

// silenceDue is how long to wait before silent has something new to say.
func (l *link) silenceDue(now int64, timeout time.Duration) time.Duration {
	ping, pending := l.oldestPing()
	if !pending {
		return never
	}
	quiet := time.Duration(now - max(ping.at, l.heard.Load(), l.progress.at))
	if quiet < timeout/2 {
		return timeout/2 - quiet
	}
	return max(timeout-quiet, timeout/16, time.Millisecond)
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
