// SPDX-License-Identifier: MIT

package endpoint

import (
	"io"
	"sync/atomic"
)

// NullSource gives nothing, for ever, until SetEnd.
type NullSource struct{ ended atomic.Bool }

func (s *NullSource) Peek(int) (a, b []byte, err error) {
	if s.ended.Load() {
		err = io.EOF
	}
	return nil, nil, err
}

func (s *NullSource) Advance()         {}
func (s *NullSource) Leave()           {}
func (s *NullSource) SetEnd()          { s.ended.Store(true) }
func (s *NullSource) Park(int) bool    { return true }
func (s *NullSource) Unpark()          {}
func (s *NullSource) Remaining() int64 { return 0 }
func (s *NullSource) Close() error     { return nil }

// NullSink discards what it gets.
type NullSink struct{ sent atomic.Int64 }

func (s *NullSink) Reserve(max int) (int, error) { return max, nil }

func (s *NullSink) Put(a, b []byte) error {
	s.sent.Add(int64(len(a) + len(b)))
	return nil
}

func (s *NullSink) Flush() error  { return nil }
func (s *NullSink) Finish() error { return nil }
func (s *NullSink) Sent() int64   { return s.sent.Load() }

// Delivered is the same. Any goroutine.
func (s *NullSink) Delivered() int64 { return s.Sent() }

func (s *NullSink) Close() error { return nil }
