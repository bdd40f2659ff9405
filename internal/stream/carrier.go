// SPDX-License-Identifier: MIT

package stream

import (
	"sync/atomic"
	"time"
)

// A carrier takes a stream's frames to the server: a link of its own, or a
// lane of one that is shared. The stream's goroutine uses it.
type carrier interface {
	// known is what is known of acknowledgement.
	known() *account
	// attend acts on what happened meanwhile, and tells of an end.
	attend() error
	// ping has the server asked, behind what is written next, to confirm
	// everything up to an offset; queue has another control frame, or text,
	// sent there. queued tells whether anything is to be written.
	ping(offset, now int64)
	queue(opcode byte, payload []byte)
	queued() bool
	// write sends pieces of frames, and what is queued behind them. Where more
	// is to follow at once, the last of it may stay behind, as queued tells.
	write(pieces [][]byte, more bool) error
	// drained tells whether the other side's TCP has acknowledged all that was
	// written.
	drained() bool
	// silent tells whether the server is taken for dead.
	silent(now int64, timeout time.Duration) bool
	// reason is why the carrier is over, where err is what was noticed of it.
	reason(err error) error
	close(orderly bool)
}

// An account is what a carrier knows of acknowledgement. Times are of clock().
type account struct {
	since   int64 // when the connection was made, or joined
	shared  bool  // others see to it that a dead server is noticed
	deaf    bool  // the server is taken for one that answers no pings
	resumes bool  // it answered Record-Offset
	kept    int64 // what the request had said
	held    int64 // what it answered

	pinged int64        // offset that the last ping asked about
	asked  int64        // when the first ping was sent that no pong has followed
	pingAt atomic.Int64 // when the last ping was sent

	eager  atomic.Bool  // the stream waits for acked: wake it
	acked  atomic.Int64 // offset that a pong confirmed, -1 before the first
	pongAt atomic.Int64 // when the last pong came
	rtt    atomic.Int64 // from the last answered ping to its pong, in ns
}

func (a *account) known() *account { return a }

// begin is for a new connection.
func (a *account) begin() {
	a.since = clock()
	a.deaf = false
	a.pinged = 0
	a.acked.Store(-1)
	a.eager.Store(true)
	a.pingAt.Store(a.since)
	a.pongAt.Store(a.since)
}

// ask notes a ping.
func (a *account) ask(offset, now int64) {
	if !a.unanswered() {
		a.asked = now
	}
	a.pingAt.Store(now)
	a.pinged = offset
}

// answer notes its pong, which confirms everything up to an offset, and tells
// whether the stream is to be woken. Any goroutine, one at a time.
func (a *account) answer(offset, now int64) bool {
	a.pongAt.Store(now)
	a.rtt.Store(now - a.pingAt.Load())
	a.acked.Store(max(a.acked.Load(), offset))
	return a.eager.Load()
}

// unanswered tells whether a ping is out that no pong has followed.
func (a *account) unanswered() bool { return a.pongAt.Load() < a.pingAt.Load() }
