// SPDX-License-Identifier: MIT

package stream

import (
	"context"
	"fmt"
	"net/url"
	"path"
	"strings"
	"syscall"
	"time"

	"msprecord/internal/doorbell"
)

// A lane is a stream's part of a trunk.
type lane struct {
	ackState
	trunk *trunk
	ctx   context.Context // of the stream
	waker *doorbell.Waker
	name  string // NAME of the mux wire
	names int    // how many were handed out
	heard func(data []byte, text bool)

	headers func(context.Context) []string // as of Config
	joined  int                            // the lane's number on its trunk

	connection int        // of the trunk's, the one that this lane is on
	pieces     [][]byte   // under trunk.mu: the frames that wait for their turn
	asking     bool       // with them, a ping that asks
	offset     int64      // about this,
	laneSeq    uint32     // as the lane's own ping of this number
	done       chan error // its turn is over
	gone       bool       // under trunks.mu: it has left
}

// takeLane joins the trunk of a URL, made where there is none, and waits until
// that is connected, for ConnectTimeout at most, or not at all with Later.
func takeLane(ctx context.Context, cfg Config, w *doorbell.Waker) (*lane, error) {
	if sp := &cfg.Speech; sp.OpenText != "" || sp.IdleText != "" || sp.CloseText != nil || sp.CloseBinary != nil {
		return nil, fmt.Errorf("open_text, idle_text, close_text and close_binary go with wire=raw: a mux connection is shared: %w", syscall.EINVAL)
	}
	l := &lane{ctx: ctx, waker: w, heard: cfg.Message, headers: cfg.Headers, done: make(chan error, 1)}
	l.shared = true
	var shared *url.URL
	shared, l.name = split(cfg.URL)
	if err := l.join(shared, cfg); err != nil {
		return nil, err
	}
	if cfg.Later {
		return l, nil
	}
	timer := time.NewTimer(cfg.ConnectTimeout)
	defer timer.Stop()
	for !l.board() {
		r := l.trunk.redialling()
		var err error
		select {
		case <-r.done:
			err = r.err
		case <-timer.C:
			if err = r.lastError(); err == nil {
				err = fault(syscall.ETIMEDOUT, "connecting to %s: no answer within %v: check address and port, or raise connect_timeout", ShowURL(shared.String()), cfg.ConnectTimeout)
			}
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		if err != nil {
			l.leave(ctx)
			return nil, err
		}
	}
	return l, nil
}

// split is the URL that sessions share, which agree up to the last slash of
// their paths, and the NAME of this one.
func split(u *url.URL) (shared *url.URL, name string) {
	p := u.EscapedPath()
	prefix, name := p[:strings.LastIndexByte(p, '/')+1], p[strings.LastIndexByte(p, '/')+1:]
	if name == "" {
		name = "default.pcm"
	}
	shared = new(url.URL)
	*shared = *u
	shared.Path, shared.RawPath = prefix, ""
	return shared, name
}

// rename is what the messages begin with from now on. A server of this wire
// empties a file when a connection first names it, so each connection has a
// name of its own: NAME, then NAME with _r1, _r2 and so on before its
// extension.
func (l *lane) rename() []byte {
	name := l.name
	if l.names > 0 {
		ext := path.Ext(name)
		if ext == name {
			ext = "" // a name that begins with its only dot
		}
		name = fmt.Sprintf("%s_r%d%s", strings.TrimSuffix(name, ext), l.names, ext)
	}
	l.names++
	return append([]byte(name), 0)
}

// board puts the lane on the trunk's present connection, if there is one.
func (l *lane) board() bool {
	t := l.trunk
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.link == nil {
		return false
	}
	l.connection = t.connection
	l.asking = false // what the last one would have asked
	l.begin()
	return true
}

func (l *lane) attend() error {
	t := l.trunk
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.link != nil && l.connection == t.connection {
		return nil
	}
	return t.lost
}

// pingArrived is about the connection's oldest ping: a server that has answered
// none of the connection's pings does not answer this stream's.
func (l *lane) pingArrived() bool {
	t := l.trunk
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.link != nil && t.link.acked.Load() < 0 && t.link.pingArrived()
}

func (l *lane) ping(offset, texts, now int64) {
	l.asking, l.offset, l.laneSeq = true, offset, l.pend(offset, texts, now)
}

// queue is not reached: takeLane refuses what would need it.
func (l *lane) queue(byte, []byte) {}

func (l *lane) queued() bool                                  { return l.asking }
func (l *lane) silent(int64, time.Duration) bool              { return false }
func (l *lane) silenceDue(int64, time.Duration) time.Duration { return never }
func (l *lane) reason(err error) error                        { return err }
func (l *lane) close(bool)                                    {}

// write waits for the lane's turn to be over, or the stream's end. After that
// the trunk may write the frames all the same; nobody else does.
func (l *lane) write(pieces [][]byte, _ bool) error {
	if err := l.trunk.enqueue(l, pieces); err != nil {
		return err
	}
	select {
	case err := <-l.done:
		return err
	case <-l.ctx.Done():
		return context.Cause(l.ctx)
	}
}

// finishLane delivers the tail, and leaves. A server that answers no pings
// confirms it where it answers the close, which the last lane to leave sends.
func (s *Stream) finishLane() error {
	for {
		if err := s.Flush(); err != nil {
			return err
		}
		if s.link != nil && s.window.waiting == 0 {
			now := clock()
			if l := s.link.acks(); l.pinged < s.window.next {
				s.link.ping(s.window.next, 0, now)
				if err := s.flush(false); err != nil {
					return err
				}
				continue
			}
			if s.complete() || s.ignoresPings(now) {
				break
			}
			if s.expectAck() {
				continue
			}
			s.wakeAfter(now, ignoreAfter/4)
		}
		select {
		case <-s.waker.C:
		case <-s.ctx.Done():
			return s.broken()
		}
	}
	if s.lane.leave(s.ctx) {
		s.confirm(s.window.next, 0)
	}
	return nil
}
