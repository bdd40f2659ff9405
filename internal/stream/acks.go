// SPDX-License-Identifier: MIT

package stream

import (
	"sync"
	"sync/atomic"
)

// maxPendingPings bounds the queue of pings that no pong has settled. A server
// may answer the newest ping alone (RFC 6455 section 5.5.3), or none.
const maxPendingPings = 64

// A pendingPing is a ping that no pong has settled.
type pendingPing struct {
	seq    uint32
	offset int64 // everything before it was written before the ping,
	texts  int64 // and so many of the texts
	at     int64 // when, by clock()
	end    int64 // bytes that left for the socket, up to its last; 0: it has not left
}

// An ackState is what a carrier knows of acknowledgement. One goroutine pings,
// another settles. Times are of clock().
type ackState struct {
	since   int64 // when the connection was made, or joined
	shared  bool  // others see to it that a dead server is noticed
	resumes bool  // the server answered Record-Offset
	kept    int64 // what the request had said
	held    int64 // what the server answered

	pinged      int64 // offset that the newest ping asked about,
	pingedTexts int64 // how many texts were written before it,
	pingAt      int64 // and when it was sent

	wakeOnAck  atomic.Bool  // the stream waits for acked: wake it
	acked      atomic.Int64 // offset that a pong confirmed, -1 before the first
	ackedTexts atomic.Int64 // how many texts
	rtt        atomic.Int64 // from the ping that was answered last to its pong, in ns

	mu    sync.Mutex    // guards what follows
	pings []pendingPing // the oldest first
	seq   uint32        // of the newest
}

func (a *ackState) acks() *ackState { return a }

// begin is for a new connection.
func (a *ackState) begin() {
	a.since = clock()
	a.pinged, a.pingedTexts = 0, 0
	a.pingAt = a.since
	a.acked.Store(-1)
	a.ackedTexts.Store(0)
	a.wakeOnAck.Store(true)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pings = a.pings[:0]
}

// pend notes a ping about an offset and a number of texts, and returns its
// sequence number.
func (a *ackState) pend(offset, texts, now int64) uint32 {
	a.pinged, a.pingedTexts, a.pingAt = offset, texts, now
	a.mu.Lock()
	defer a.mu.Unlock()
	a.seq++
	if n := len(a.pings); n == maxPendingPings {
		a.pings = a.pings[:n-1] // the oldest tells how long the server has been silent
	}
	a.pings = append(a.pings, pendingPing{a.seq, offset, texts, now, 0})
	return a.seq
}

// settle notes the pong of a ping, which confirms everything before it, and
// so settles all older ones. It tells whether the stream is to be woken.
func (a *ackState) settle(seq uint32, offset, now int64) (wake bool) {
	a.mu.Lock()
	n := 0
	for ; n < len(a.pings) && int32(a.pings[n].seq-seq) <= 0; n++ {
		a.ackedTexts.Store(a.pings[n].texts)
		if a.pings[n].seq == seq {
			a.rtt.Store(now - a.pings[n].at)
		}
	}
	a.pings = a.pings[:copy(a.pings, a.pings[n:])]
	a.mu.Unlock()
	a.acked.Store(max(a.acked.Load(), offset))
	return a.wakeOnAck.Load()
}

// oldestPing is the oldest ping that no pong has settled.
func (a *ackState) oldestPing() (p pendingPing, pending bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.pings) == 0 {
		return pendingPing{}, false
	}
	return a.pings[0], true
}

// leave notes that all pings have left, with what was written up to there.
func (a *ackState) leave(written int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := len(a.pings) - 1; i >= 0 && a.pings[i].end == 0; i-- {
		a.pings[i].end = written
	}
}
