// SPDX-License-Identifier: MIT

package stream

import (
	"syscall"
	"time"
)

// carry writes what the lanes have, until the connection is lost, or, without
// an error, until the last lane has left.
func (t *trunk) carry(l *link) error {
	alarm := time.NewTimer(never)
	defer alarm.Stop()
	answers := false
	for {
		err := l.attend()
		if acked := l.acked.Load(); acked >= 0 {
			answers = true
			t.answered(acked, clock())
		}
		now := clock()
		if err == nil && answers && l.silent(now, t.dialer.cfg.PongTimeout) {
			err = fault(syscall.ETIMEDOUT, "no pong within %v", t.dialer.cfg.PongTimeout)
		}
		if err != nil {
			return l.reason(err)
		}
		due := t.load(l, now)
		if len(l.parts) > 0 || l.queued() {
			if err := l.writeParts(false); err != nil {
				return l.reason(err)
			}
			for _, lane := range t.turn {
				lane.over(nil)
			}
			t.turn = t.turn[:0]
			continue
		}
		if t.ending() {
			t.part(l)
			return nil
		}
		alarm.Reset(due)
		select {
		case <-t.waker.C:
		case <-alarm.C:
		case <-t.ctx.Done():
			return nil
		}
	}
}

// load takes the lanes whose turn it is: puts their frames into l.parts, and a
// ping behind them where one asks, or where none was sent for so long that the
// server's life is in doubt. It returns when that will be next.
func (t *trunk) load(l *link, now int64) time.Duration {
	t.mu.Lock()
	n, size := 0, 0
	for n < len(t.waiting) && size < turnSize {
		for _, p := range t.waiting[n].pieces {
			size += len(p)
		}
		n++
	}
	t.turn = append(t.turn[:0], t.waiting[:n]...)
	t.waiting = t.waiting[:copy(t.waiting, t.waiting[n:])]
	t.mu.Unlock()

	l.parts = l.parts[:0]
	asked := false
	for _, lane := range t.turn {
		l.parts = append(l.parts, lane.pieces...)
		lane.pieces = nil
		if lane.asking {
			lane.asking, asked = false, true
			t.asks = append(t.asks, ask{t.seq + 1, lane, lane.laneSeq, lane.offset})
		}
	}
	cfg := &t.dialer.cfg
	since := time.Duration(now - l.pingAt)
	if asked || since >= cfg.PingInterval {
		t.seq++
		l.ping(t.seq, 0, now)
		since = 0
	}
	return max(min(cfg.PingInterval-since, l.silenceDue(now, cfg.PongTimeout)), time.Millisecond)
}

// answered tells the lanes what a pong confirms: all that was written before
// its ping.
func (t *trunk) answered(seq, at int64) {
	n := 0
	if len(t.asks) > 0 && t.asks[0].seq <= seq {
		t.dialer.resetBackoff()
	}
	for ; n < len(t.asks) && t.asks[n].seq <= seq; n++ {
		a := &t.asks[n]
		if a.lane.settle(a.laneSeq, a.offset, at) {
			a.lane.waker.Wake()
		}
		a.lane = nil
	}
	t.asks = t.asks[:copy(t.asks, t.asks[n:])]
}

func (t *trunk) ending() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.closing
}

// part ends the connection with a close, and waits for the server's.
func (t *trunk) part(l *link) {
	if l.attend() != nil {
		return // the server ended it first
	}
	l.queue(opClose, closeNormal)
	if l.write(nil, false) != nil {
		return
	}
	select {
	case <-l.readDone:
	case <-t.ctx.Done():
		return
	}
	t.parted = l.closeAnswered()
}
