// SPDX-License-Identifier: MIT

package stream

import "time"

// toReplay tells whether what is next to be written was, or may have been,
// written to a connection before.
func (s *Stream) toReplay() bool {
	w := &s.window
	if w.unsent == len(w.messages) {
		return false
	}
	m := &w.messages[w.unsent]
	return m.offset < s.again || m.isText() && m.offset == s.again
}

// replay writes a piece of what is to be sent again, in frames made anew: the
// server may hold half of a message, and no key is used twice. In pieces that
// are asked about one by one: were the whole window behind one ping, a
// connection that breaks before its end would never get anywhere.
func (s *Stream) replay(now int64) error {
	w := &s.window
	piece := s.paceSize(min(s.most, w.limit/4))
	start, first := w.messages[w.unsent].offset, w.unsent
	s.batch = s.batch[:0]
	end := s.againFrom
	for s.toReplay() && (w.unsent == first || len(s.batch) < piece) {
		m := &w.messages[w.unsent]
		s.scratch = grown(s.scratch[:0], int(m.size))
		p := w.chunk(m, s.againFrom, s.scratch)
		s.batch = grown(s.batch, s.wire.room(len(p)))
		if m.isText() {
			s.batch = s.wire.appendText(s.batch, p)
		} else {
			s.batch = s.wire.appendMessage(s.batch, p, nil)
			if m.offset < s.reached {
				s.resent.Add(int64(len(p)))
			}
		}
		end = max(end, m.end())
		w.wrote(1)
	}
	s.ask(end, now, false)
	s.writing(start, end)
	s.pieces = append(s.pieces[:0], s.batch)
	if err := s.write(s.pieces, false); err != nil {
		return err
	}
	s.pace(now, end-start)
	if !s.toReplay() {
		s.scratch, s.batch = nil, nil
	}
	return nil
}

// grown is p with room for n bytes more.
func grown(p []byte, n int) []byte {
	if cap(p)-len(p) >= n {
		return p
	}
	return append(make([]byte, 0, max(len(p)+n, 2*cap(p))), p...)
}

// paceSize is how many bytes may leave at once, of so many.
func (s *Stream) paceSize(most int) int {
	if s.pacing {
		return min(most, max(s.cfg.ReplayRate/20, 1))
	}
	return most
}

// pace notes bytes of what was kept that have left.
func (s *Stream) pace(now, n int64) {
	if s.pacing {
		s.paceAt = max(s.paceAt, now) + n*int64(time.Second)/int64(s.cfg.ReplayRate)
	}
}

// paceDue is how long replay_rate holds back what is kept from now on.
func (s *Stream) paceDue(now int64) time.Duration {
	if s.pacing && s.window.waiting == 0 {
		s.pacing = false
	}
	if !s.pacing {
		return 0
	}
	return time.Duration(s.paceAt - now)
}
