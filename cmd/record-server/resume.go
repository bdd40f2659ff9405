// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"msprecord/cmd/record-server/archive"
	"msprecord/cmd/record-server/live"
)

// Resuming. A sender that names its stream may lose the connection, or this
// server its life, and go on where the file ends: the answer to its handshake
// says where that is.
const (
	streamHeader = "Record-Stream" // identity of the stream, the same in each dial
	offsetHeader = "Record-Offset" // of it: the first byte the sender still has; of us: where to go on
	epochHeader  = "Record-Epoch"  // goes up with each dial
)

// awayTime is how long the line of a stream waits for its sender to come back.
// The sender may come later too, and gets a new line then.
const awayTime = 5 * time.Minute

// claim is what a handshake says of its stream.
type claim struct {
	id     string
	offset int64
	epoch  int64
}

// refusal is an answer other than 101.
type refusal struct {
	status int
	reason string
}

func (r *refusal) Error() string { return r.reason }

func badHeader(name, value, mend string) error {
	return &refusal{http.StatusBadRequest, fmt.Sprintf("%s %.50q: %s", name, value, mend)}
}

// claimed returns nil for a sender that does not resume.
func claimed(h http.Header) (*claim, error) {
	ids := h.Values(streamHeader)
	if len(ids) == 0 {
		return nil, nil
	}
	var c claim
	c.id = strings.ToLower(ids[0])
	if len(ids) > 1 || len(c.id) != 32 || strings.Trim(c.id, "0123456789abcdef") != "" {
		return nil, badHeader(streamHeader, strings.Join(ids, ", "), "send 32 hex digits, the same with each connection of the stream")
	}
	for _, n := range []struct {
		name string
		to   *int64
		mend string
	}{
		{offsetHeader, &c.offset, "send the offset of the first byte of the stream that can still be sent, in decimal"},
		{epochHeader, &c.epoch, "send the number of this connection of the stream in decimal, higher than the one before"},
	} {
		v := h.Values(n.name)
		if len(v) == 0 {
			return nil, &refusal{http.StatusBadRequest, fmt.Sprintf("%s is missing beside %s: %s", n.name, streamHeader, n.mend)}
		}
		// 62 bits, so that no sum of offsets overflows.
		u, err := strconv.ParseUint(v[0], 10, 62)
		if len(v) > 1 || err != nil {
			return nil, badHeader(n.name, strings.Join(v, ", "), n.mend)
		}
		*n.to = int64(u)
	}
	return &c, nil
}

// line is a stream that can be resumed, from its first connection until there
// is nothing more to say of it. Guarded by server.ids.
type line struct {
	id    string
	conn  *conn   // nil while the sender is away
	st    *stream // of the last connection
	shown *stream // the one that status has, nil before the first handshake is through
	fresh bool    // st made its file
	how   string  // the last connection ended
	timer *time.Timer
}

var errTakenOver = errors.New("a newer connection of this stream took over")

// attach makes c the one connection that appends to the stream of cl, and
// returns where the sender is to go on.
func (s *server) attach(c *conn, cl *claim, asked string) (offset int64, err error) {
	s.ids.Lock()
	defer s.ids.Unlock()
	l, err := s.store.ledger(cl.id)
	if err != nil {
		return 0, err
	}
	e := s.lines[cl.id]
	if err := s.gate.admit(c.peer, e != nil && e.conn != nil); err != nil {
		return 0, err
	}
	c.admitted++
	if l != nil && cl.epoch <= l.Epoch {
		return 0, &refusal{http.StatusConflict, fmt.Sprintf("%s %d: connection %d of this stream was here already; count up with each one", epochHeader, cl.epoch, l.Epoch)}
	}
	if e != nil {
		// From here on the older connection stores nothing. So what is counted
		// below stays right, and what it had read but not stored comes again.
		s.takeOver(e)
		if l, err = s.store.ledger(cl.id); err != nil {
			return 0, err
		}
	}

	st, fresh, err := s.openAgain(c, l, asked)
	if err != nil {
		return 0, err
	}
	if fresh {
		if e != nil && e.shown != nil {
			s.end(e, "lost: the file is gone", false)
			e = nil
		}
		f := c.format
		l = &ledger{Asked: asked, Name: st.name, Header: st.wav, Rate: f.Rate, Channels: f.Channels, Bits: f.Bits, Float: f.Float, id: cl.id, store: s.store}
	} else {
		l.Reconnects++
	}
	l.Epoch, l.Complete, l.Stored = cl.epoch, false, 0
	offset = st.bytes.Load() + l.missing()
	lost := max(cl.offset-offset, 0)
	if lost > 0 {
		l.note(archive.Gap{Offset: offset, Length: lost})
		offset = cl.offset
	}
	if offset != st.bytes.Load() {
		st.got = len(st.first) // what comes next is not the stream's beginning
	}
	st.ledger, st.gaps, st.reconnects = l, l.Gaps, l.Reconnects
	st.from = offset
	if !fresh {
		var before *stream
		if e != nil {
			before = e.st
		}
		st.goOn(s.store.root, before, offset)
	}
	if err := l.save(); err != nil {
		st.finish()
		if fresh {
			s.store.remove(st.name)
		}
		return 0, err
	}
	if lost > 0 {
		s.status.gap(lost)
	}
	if e == nil {
		e = &line{id: cl.id}
		s.lines[cl.id] = e
	}
	if e.shown != nil {
		st.start, st.base = e.shown.start, e.shown.base
	}
	if e.timer != nil {
		e.timer.Stop()
	}
	e.conn, e.st, e.fresh = c, st, fresh
	c.cur, c.line = st, e
	return offset, nil
}

// openAgain opens the file that l tells of, or makes one if l is nil or its
// file has gone.
func (s *server) openAgain(c *conn, l *ledger, asked string) (st *stream, fresh bool, err error) {
	if l != nil {
		f, err := s.store.reopen(l.Name)
		if err == nil {
			st, err = resumeStream(f, l, c.peer, s.status.now())
			if err != nil {
				f.Close()
			} else {
				st.rotate = s.rotation()
			}
			return st, false, err
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, false, fmt.Errorf("cannot open %s again: %w", l.Name, cause(err))
		}
	}
	st, err = s.open(asked, c.peer, c.format)
	return st, true, err
}

// reopen opens a file to append to, or fails with fs.ErrNotExist.
func (s *store) reopen(name string) (*os.File, error) {
	info, err := s.root.Stat(name)
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist // something else has its place
	}
	if err != nil {
		return nil, err
	}
	return s.root.OpenFile(name, os.O_RDWR, 0)
}

// takeOver ends the connection that e has, if any.
func (s *server) takeOver(e *line) {
	e.st.seize(errTakenOver)
	old := e.conn
	if old == nil {
		return
	}
	s.mu.Lock()
	old.evicted = true
	if _, up := s.conns[old]; up {
		old.evict()
	}
	s.mu.Unlock()
	s.leave(e, "lost: "+errTakenOver.Error(), true)
}

// evict makes the receiving goroutine return; it may have waited for a peer
// that is long gone.
func (c *conn) evict() { c.ws.NetConn().SetReadDeadline(time.Now()) }

// joined is called when the answer of the handshake is out.
func (s *server) joined(c *conn) {
	s.ids.Lock()
	defer s.ids.Unlock()
	e := c.line
	if e.conn != c {
		return // a newer one was quick
	}
	if e.shown == nil {
		s.started(e.st)
	} else {
		s.resumed(e.shown, e.st)
	}
	e.shown = e.st
	past := live.Past{Reconnects: e.st.reconnects, Gaps: len(e.st.gaps)}
	for _, g := range e.st.gaps {
		past.Missing += g.Length
	}
	if past.Reconnects > 0 {
		past.Resumed = e.st.from
	}
	e.st.live.Back(e.st.peer, past)
}

// unanswered undoes what it can of a handshake that went wrong after attach.
func (s *server) unanswered(c *conn) {
	s.ids.Lock()
	defer s.ids.Unlock()
	e := c.line
	if e.conn != c {
		return
	}
	e.st.finish()
	switch {
	case e.fresh:
		// No offset of it was told to anyone.
		s.store.remove(e.st.name)
		e.st.ledger.remove()
		delete(s.lines, e.id)
	case e.shown == nil:
		delete(s.lines, e.id)
	default:
		s.leave(e, "lost: a handshake failed", false)
	}
}

// detach is called when c has ended, its file being closed already.
func (s *server) detach(c *conn, how string, ok bool) {
	s.ids.Lock()
	defer s.ids.Unlock()
	e := c.line
	if e.conn != c {
		return // the line goes on with another connection
	}
	s.mu.Lock()
	stopping := s.stopping
	s.mu.Unlock()
	switch {
	case c.whole:
		s.end(e, how, ok)
		time.AfterFunc(completeLife, func() { s.forget(e.id) })
	case c.fault != nil, stopping:
		s.end(e, how, ok)
	default:
		s.leave(e, how, false)
	}
}

// leave keeps a line for its sender to come back, as it has if it is replaced.
func (s *server) leave(e *line, how string, replaced bool) {
	e.conn, e.how = nil, how
	if e.shown != nil {
		s.status.away(e.shown, how, replaced)
		e.shown.live.Away(how)
		e.st.ended(how)
	}
	if e.timer == nil {
		e.timer = time.AfterFunc(s.awayTime, func() {
			s.ids.Lock()
			defer s.ids.Unlock()
			if e.conn == nil && s.lines[e.id] == e {
				s.end(e, e.how, false)
			}
		})
	} else {
		e.timer.Reset(s.awayTime)
	}
}

// end writes the line. The ledger stays, for a sender that comes later.
func (s *server) end(e *line, how string, ok bool) {
	delete(s.lines, e.id)
	if e.timer != nil {
		e.timer.Stop()
	}
	if e.shown != nil {
		s.over(e.shown, how, ok)
		e.st.ended(how)
	}
}

// resumed goes on showing old as st.
func (s *server) resumed(old, st *stream) {
	s.status.resumed(old, st)
	st.live = old.live
	if st.now != old.now {
		st.live.Rename(st.now)
	}
	s.mu.Lock()
	delete(s.files, old.now)
	s.files[st.now] = st
	s.mu.Unlock()
}

// endAll writes the lines of streams whose senders are away.
func (s *server) endAll() {
	s.ids.Lock()
	defer s.ids.Unlock()
	for _, e := range s.lines {
		s.end(e, e.how, false)
	}
}

// forget removes the ledger of a complete stream.
func (s *server) forget(id string) {
	s.ids.Lock()
	defer s.ids.Unlock()
	if s.lines[id] != nil {
		return
	}
	if l, _ := s.store.ledger(id); l != nil && l.Complete {
		l.remove()
	}
}
