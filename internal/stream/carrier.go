// SPDX-License-Identifier: MIT

package stream

import "time"

// A carrier takes a stream's frames to the server: a link of its own, or a
// lane of one that is shared. The stream's goroutine uses it.
type carrier interface {
	// acks is what is known of acknowledgement.
	acks() *ackState
	// attend acts on what happened meanwhile, and tells of an end.
	attend() error
	// ping has the server asked, behind what is written next, to confirm
	// everything up to an offset, and so many texts; queue has another control frame, or text,
	// sent there. queued tells whether anything is to be written.
	ping(offset, texts, now int64)
	queue(opcode byte, payload []byte)
	queued() bool
	// write sends pieces of frames, and what is queued behind them. Where more
	// is to follow at once, the last of it may stay behind, as queued tells.
	write(pieces [][]byte, more bool) error
	// pingArrived tells whether the other side's TCP has acknowledged the oldest
	// ping that no pong has settled.
	pingArrived() bool
	// silent tells whether the server is taken for dead.
	silent(now int64, timeout time.Duration) bool
	// silenceDue is when to ask that again.
	silenceDue(now int64, timeout time.Duration) time.Duration
	// reason is why the carrier is over, where err is what was noticed of it.
	reason(err error) error
	close(orderly bool)
}
