// SPDX-License-Identifier: MIT

package core

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"unicode/utf8"
)

// maxTextBytes is how many bytes of texts may wait for their place.
const maxTextBytes = 256 << 10

// A textSink is a sink that takes text messages between the chunks.
type textSink interface {
	PutText(text []byte) error
}

// A textMessage is a message of the program, with its place in the stream.
type textMessage struct {
	at   int64 // behind so many bytes
	body []byte
}

// texts are those that wait for their place, in order.
type texts struct {
	waiting atomic.Int32 // how many; the pump looks no further at none

	mu    sync.Mutex // guards the rest
	queue []textMessage
	bytes int
}

// add queues a text, and reports false where too much waits.
func (q *texts) add(t textMessage) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.bytes+len(t.body) > maxTextBytes {
		return false
	}
	q.bytes += len(t.body)
	q.queue = append(q.queue, t)
	q.waiting.Add(1)
	return true
}

// next is the oldest text.
func (q *texts) next() (t textMessage, found bool) {
	if q.waiting.Load() == 0 {
		return textMessage{}, false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.queue) == 0 {
		return textMessage{}, false
	}
	return q.queue[0], true
}

// remove takes the oldest text out.
func (q *texts) remove() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.bytes -= len(q.queue[0].body)
	q.queue = q.queue[1:]
	q.waiting.Add(-1)
}

// putTexts puts the texts whose place is reached, and tells how far the next
// one is, or max. At the end of the source every text's place is reached.
func (p *pump) putTexts(max int, ended bool) (room int, err error) {
	for {
		t, found := p.texts.next()
		away := t.at - p.read.Load()
		if !found || away > 0 && !ended {
			if found && away < int64(max) {
				max = int(away)
			}
			return max, nil
		}
		if err := p.sink.(textSink).PutText(t.body); err != nil {
			return 0, err
		}
		p.texts.remove()
	}
}

// SendText sends a text message behind everything that is in the source now.
func (s *Session) SendText(body string) error {
	if !utf8.ValidString(body) {
		return fmt.Errorf("text is not UTF-8, as RFC 6455 section 5.6 wants it: %w", syscall.EINVAL)
	}
	s.mu.Lock()
	r, running := s.run, s.state == StateRunning
	s.mu.Unlock()
	if !running {
		return fmt.Errorf("the session does not run: call record_start first: %w", syscall.ENOTCONN)
	}
	return r.sendText([]byte(body))
}

func (r *run) sendText(body []byte) error {
	r.ends.RLock()
	defer r.ends.RUnlock()
	_, ok := r.sink.(textSink)
	switch {
	case r.closed || r.noMore.Load():
		return fmt.Errorf("the session is being stopped: %w", syscall.ENOTCONN)
	case !ok || r.options.Mux:
		return fmt.Errorf("a text message goes to a WebSocket server with wire=raw: %w", syscall.ENOTSUP)
	case !r.texts.add(textMessage{at: r.position(), body: body}):
		return fmt.Errorf("%d bytes of texts wait for their place, the most there may be: %w", maxTextBytes, syscall.EAGAIN)
	}
	r.waker.Wake()
	return nil
}

// position is the place behind everything that is in the source now.
func (p *pump) position() int64 {
	for {
		before := p.moves.Load()
		at := p.read.Load()
		if p.live {
			at += p.source.Remaining()
		}
		if before%2 == 0 && p.moves.Load() == before {
			return at
		}
		runtime.Gosched() // the pump moves bytes from the one count to the other
	}
}
