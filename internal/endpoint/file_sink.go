// SPDX-License-Identifier: MIT

package endpoint

// #include "file_io.h"
import "C"

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"msprecord/internal/doorbell"
)

// Sink creates or empties the file, within timeout. source is what will be
// written there, nil where that is no file. w is woken when there is room, and
// the end of ctx ends a wait for it.
func (f File) Sink(ctx context.Context, timeout time.Duration, w *doorbell.Waker, source *FileSource) (*FileSink, error) {
	r := f.open(ctx, timeout, true)
	if r.err != nil {
		return nil, r.err
	}
	if source != nil && source.identity == r.identity {
		_ = closeFile(r.fd, f.path)
		return nil, fmt.Errorf("from %s and to %s are the same file: %w", source.path, f.path, syscall.EINVAL)
	}
	if r.regular && r.size > 0 {
		empty, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		if err := (fileCall{op: C.FILE_TRUNCATE, path: f.path, fd: r.fd}).wait(empty).err; err != nil {
			_ = closeFile(r.fd, f.path)
			return nil, err
		}
	}
	s := &FileSink{ctx: ctx, path: f.path, waker: w, fd: r.fd}
	if r.pollable {
		s.polled = os.NewFile(uintptr(r.fd), f.path)
	}
	return s, nil
}

// FileSink is a file being written. What was put waits in a buffer of the
// sink's own until a goroutine has written what was put before: a file that
// takes nothing holds up its session, and no stop. A FIFO or a terminal is
// waited for in the netpoller, any other file by a worker.
type FileSink struct {
	ctx    context.Context
	path   string
	waker  *doorbell.Waker
	fd     int
	polled *os.File // nil: fd is written by a worker
	sent   atomic.Int64

	mu      sync.Mutex    // guards the rest; not held while anything is written
	buf     []byte        // put and not yet being written
	spare   []byte        // the other buffer
	writing chan struct{} // closed when the goroutine that writes ends; nil: there is none
	awaited bool          // the pump waits for it
	closed  bool
	err     error
}

// Reserve waits until a chunk of up to max bytes fits.
func (s *FileSink) Reserve(max int) (int, error) {
	err := s.await(func() bool { return len(s.buf) == 0 || len(s.buf)+max <= fileBatch })
	return max, err
}

// await waits until a condition holds that mu guards, while everything that was
// put is being written.
func (s *FileSink) await(holds func() bool) error {
	for {
		s.mu.Lock()
		if s.err != nil || holds() {
			defer s.mu.Unlock()
			return s.err
		}
		s.awaited = true
		s.write()
		s.mu.Unlock()
		select {
		case <-s.waker.C:
		case <-s.ctx.Done():
			return fmt.Errorf("%s takes no more for now: %w", s.path, context.Cause(s.ctx))
		}
	}
}

// Put takes a chunk.
func (s *FileSink) Put(a, b []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.buf = append(append(s.buf, a...), b...)
	return s.err
}

// Flush has everything that was put written, and does not wait for it.
func (s *FileSink) Flush() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.write()
	return s.err
}

// write starts the goroutine that writes, where there is something to write and
// none yet. The caller holds mu.
func (s *FileSink) write() {
	if len(s.buf) == 0 || s.writing != nil || s.err != nil || s.closed {
		return
	}
	s.writing = make(chan struct{})
	go s.writeAll(s.writing)
}

// writeAll writes until there is nothing more to write.
func (s *FileSink) writeAll(ended chan struct{}) {
	defer close(ended)
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.buf) > 0 && s.err == nil && !s.closed {
		p := s.buf
		s.buf, s.spare = s.spare[:0], nil
		s.mu.Unlock()
		err := s.writeOut(p)
		s.mu.Lock()
		s.spare, s.err = p, err
		if s.awaited {
			s.awaited = false
			s.waker.Wake()
		}
	}
	s.writing = nil
	if s.closed && s.polled == nil {
		fileCall{op: C.FILE_CLOSE, path: s.path, fd: s.fd}.start(nil)
	}
}

func (s *FileSink) writeOut(p []byte) (err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("a fault of the library, please report it: %v: %w", fault, syscall.EIO)
		}
	}()
	if s.polled != nil {
		n, err := s.polled.Write(p)
		s.sent.Add(int64(n))
		return err
	}
	r := <-fileCall{op: fileWrite, path: s.path, fd: s.fd, buf: p}.start(s.ctx.Done())
	s.sent.Add(r.done)
	return r.err
}

// Finish waits until everything is written, and closes the file, which is when
// some file systems tell of an error.
func (s *FileSink) Finish() error {
	if err := s.await(func() bool { return len(s.buf) == 0 && s.writing == nil }); err != nil {
		return err
	}
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	if s.polled != nil {
		return s.polled.Close()
	}
	return fileCall{op: C.FILE_CLOSE, path: s.path, fd: s.fd}.wait(s.ctx).err
}

// Sent is how many bytes the file has. Any goroutine.
func (s *FileSink) Sent() int64 { return s.sent.Load() }

// Delivered is the same. Any goroutine.
func (s *FileSink) Delivered() int64 { return s.Sent() }

// Close closes the file where Finish has not. A write that hangs is left
// behind, and closes the file when it returns.
func (s *FileSink) Close() error {
	s.mu.Lock()
	done, writing := s.closed, s.writing
	s.closed = true
	s.mu.Unlock()
	var err error
	switch {
	case done:
		return nil
	case s.polled != nil:
		err = s.polled.Close() // ends a write
		if errors.Is(err, os.ErrClosed) {
			err = nil
		}
	case writing == nil:
		return closeFile(s.fd, s.path)
	}
	if writing != nil {
		select {
		case <-writing:
		case <-time.After(shortWait):
		}
	}
	return err
}
