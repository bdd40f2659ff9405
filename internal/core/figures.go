// SPDX-License-Identifier: MIT

package core

import "msprecord/internal/stream"

// Stats are a session's figures since its last start.
type Stats struct {
	State                     State
	Read, Sent, Delivered     int64
	Left                      int64 // read, and neither delivered nor given up
	InRing                    int64 // at the end: not read from the ring
	stream.Figures                  // zero where there is no connection
	Dropped                   uint64
	RingLength, RingHighWater int
	MessagesDropped           int64
}

// Stats reads the figures.
func (s *Session) Stats() Stats {
	s.mu.Lock()
	state, r := s.state, s.run
	s.mu.Unlock()
	stats := Stats{State: state}
	if r != nil {
		r.fill(&stats)
	}
	return stats
}

// leave notes what the ends say last; from here on nobody asks them. What a
// file or memory still has is left as well; what a ring has is still there.
func (r *run) leave() error {
	r.ends.Lock()
	defer r.ends.Unlock()
	if r.closed {
		return nil
	}
	r.closed = true
	if !r.ready.Load() {
		return nil
	}
	return guarded(func() error {
		r.ask(&r.last)
		if n := r.source.Remaining(); r.gauge != nil {
			r.last.InRing = n
		} else {
			r.last.Left += n
		}
		return nil
	})
}

// fill tells the figures of now, or the last ones.
func (r *run) fill(s *Stats) {
	if !r.ready.Load() {
		return
	}
	r.ends.RLock()
	defer r.ends.RUnlock()
	state := s.State
	if r.closed {
		*s = r.last
	} else {
		r.ask(s)
	}
	s.State, s.MessagesDropped = state, r.missed.messages.Load()
}

// ask asks the ends for their figures. What was read is looked at last, so that
// it is no less than what became of it. The caller holds ends, or has them for
// itself.
func (r *run) ask(s *Stats) {
	s.Sent, s.Delivered = r.sink.Sent(), r.sink.Delivered()
	if r.network != nil {
		s.Figures = r.network.Figures()
	}
	// The pump counts what it read once the sink has it, which may be ahead.
	s.Read = max(r.read.Load(), s.Sent, s.Delivered+s.GivenUp)
	s.Left = s.Read - s.Delivered - s.GivenUp
	if r.gauge != nil {
		s.RingLength, s.RingHighWater, s.Dropped = r.gauge.Ring()
	}
}
