// SPDX-License-Identifier: MIT

package core

import (
	"context"
	"fmt"
	"io"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"time"

	"msprecord/internal/doorbell"
)

// A Source gives bytes to one goroutine.
type Source interface {
	// Peek hands out up to max of the bytes that are there, as two spans valid
	// until Advance or Leave, one of which must follow bytes. No bytes and no
	// error: none are there now. io.EOF: none will come.
	Peek(max int) (a, b []byte, err error)
	Advance()
	Leave()
	// SetEnd makes what is there now the last of it. Any goroutine.
	SetEnd()
	// Park prepares to sleep until the waker is rung; false when there are more
	// bytes than the caller knows of. Unpark takes it back.
	Park(have int) bool
	Unpark()
	// Remaining is how many bytes are there and not taken. Once the pump has
	// ended, any goroutine.
	Remaining() int64
	Close() error
}

// A Sink takes bytes from one goroutine.
type Sink interface {
	// Reserve waits until a chunk of up to max bytes fits, and tells how many
	// bytes fit in chunks of that size, or, less than max, what is left. 0
	// without an error: nothing ever will.
	Reserve(max int) (int, error)
	// Put takes a chunk that Reserve made room for: a, then b.
	Put(a, b []byte) error
	// Flush sees to it that what was put is on its way, or kept until it can be.
	Flush() error
	// Finish delivers the tail, and returns when it is delivered.
	Finish() error
	// Sent is how many bytes are on their way or there. Any goroutine.
	Sent() int64
	// Delivered is how many of them are known to be there. Any goroutine.
	Delivered() int64
	Close() error
}

// A Waiter runs data_ready on a thread of its own.
type Waiter interface {
	Call()      // begins a call; the waker is rung when it has returned
	Busy() bool // a call has begun and not returned. Any goroutine.
	Interrupt() // makes its msp_* waits return, now and from now on. Any goroutine.
	Close()     // ends the thread, once idle, without waiting for it
}

// The pause after a data_ready that returned with nothing there, so that one
// that never blocks costs no busy loop: from the first to the longest.
const (
	firstPause   = time.Millisecond
	longestPause = 40 * time.Millisecond
)

// A pump moves chunks from a source to a sink, on a goroutine of its own.
type pump struct {
	source Source
	sink   Sink
	waiter Waiter // nil without a data_ready callback
	waker  *doorbell.Waker
	ctx    context.Context // its end breaks off everything, with a cause
	chunk  int
	looked func() // called after each look at the source
	read   atomic.Int64
	moves  atomic.Int64 // odd while bytes are taken and not yet in read
	texts  texts

	live     bool          // the source is a ring: more may come
	minChunk int           // bytes that are worth a message,
	minWait  time.Duration // and how long fewer wait for more; 0: until the end
	have     int           // bytes that are there and wait for more
	short    time.Time     // since when
	noMore   atomic.Bool   // SetEnd was called: nothing is waited for any more

	abandoned atomic.Bool // stop has returned without it: the source is not touched

	called bool          // data_ready was called since bytes last came
	pause  time.Duration // the last one since bytes last came
}

// run moves everything there is, and returns when the end is delivered.
func (p *pump) run() (err error) {
	// A ring whose memory is gone is an error, not the end of the program.
	debug.SetPanicOnFault(true)
	defer p.source.Leave()
	defer func() {
		if r := recover(); r != nil {
			err = ours(r)
		}
	}()
	for p.ctx.Err() == nil {
		n, err := p.step()
		switch {
		case err == io.EOF:
			return p.sink.Finish()
		case err != nil:
			return err
		case n > 0:
			p.called, p.pause = false, 0
			continue
		}
		if err := p.sink.Flush(); err != nil {
			return err
		}
		p.wait()
	}
	return context.Cause(p.ctx)
}

// step moves the chunks that are there and fit, and tells how many bytes that
// was.
func (p *pump) step() (int, error) {
	room, err := p.sink.Reserve(p.chunk)
	if err != nil {
		return 0, err
	}
	most, err := p.putTexts(max(room, 1), false)
	if err != nil {
		return 0, err
	}
	a, b, err := p.source.Peek(most)
	p.looked()
	n := len(a) + len(b)
	if err == nil && n > 0 && p.minChunk > 0 && !p.noMore.Load() {
		if worth := p.worth(n, most < room); worth < n {
			p.source.Leave()
			if n = worth; n == 0 {
				return 0, nil
			}
			a, b, err = p.source.Peek(n)
		}
	}
	switch {
	case err == io.EOF:
		if _, err := p.putTexts(0, true); err != nil {
			return 0, err
		}
		return 0, io.EOF
	case err != nil:
		return 0, err
	case n == 0:
		p.have = 0
		return 0, nil
	case room == 0:
		return 0, fmt.Errorf("the destination is full: give it more room: %w", syscall.ENOSPC)
	}
	for len(a)+len(b) > 0 {
		var head, tail []byte
		head, a = cut(a, p.chunk)
		tail, b = cut(b, p.chunk-len(head))
		if err := p.sink.Put(head, tail); err != nil {
			return 0, err
		}
	}
	if p.abandoned.Load() {
		return 0, context.Cause(p.ctx)
	}
	p.moves.Add(1)
	p.source.Advance()
	p.read.Add(int64(n))
	p.moves.Add(1)
	p.have = 0
	return n, nil
}

// worth is how many of n bytes that are there are sent now, where min_chunk has
// a word: no message is shorter, unless its bytes have waited for minWait. What
// lies before a text is sent as it is.
func (p *pump) worth(n int, beforeText bool) int {
	rest := n % p.chunk
	if !p.live || beforeText || rest == 0 || rest >= p.minChunk {
		return n
	}
	if n > rest {
		return n - rest
	}
	now := time.Now()
	if p.have == 0 {
		p.short = now
	}
	if p.have = n; p.minWait > 0 && now.Sub(p.short) >= p.minWait {
		return n
	}
	return 0
}

// cut cuts the first n bytes off p, or what there is.
func cut(p []byte, n int) (first, rest []byte) {
	n = min(n, len(p))
	return p[:n], p[n:]
}

// wait sleeps until there may be something to do: bytes, the end, or news of
// the sink. It may also return for nothing.
func (p *pump) wait() {
	switch {
	case p.noMore.Load():
	case p.have > 0 && p.minWait > 0:
		timer := time.NewTimer(p.minWait - time.Since(p.short))
		p.park(timer.C)
		timer.Stop()
	case p.waiter == nil:
		p.park(nil)
	case p.waiter.Busy():
		p.sleep(nil)
	case !p.called:
		p.called = true
		p.waiter.Call()
		p.sleep(nil)
	default: // data_ready has returned, and brought nothing
		p.called = false
		p.pause = min(max(2*p.pause, firstPause), longestPause)
		timer := time.NewTimer(p.pause)
		p.park(timer.C)
		timer.Stop()
	}
}

// park sleeps until more bytes come.
func (p *pump) park(over <-chan time.Time) {
	if p.source.Park(p.have) {
		p.sleep(over)
		p.source.Unpark()
	}
}

func (p *pump) sleep(over <-chan time.Time) {
	select {
	case <-p.waker.C:
	case <-p.ctx.Done():
	case <-over:
	}
}
