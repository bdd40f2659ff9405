// SPDX-License-Identifier: MIT

package endpoint

// #include "file_io.h"
import "C"

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"syscall"
	"time"

	"msprecord/internal/worker"
)

// fileBatch is how many bytes are read or written at once.
const fileBatch = 256 << 10

// File is a path in a URI, taken as it stands: no escapes.
type File struct{ path string }

// NewFile names a file.
func NewFile(path string) (File, error) {
	if path == "" {
		return File{}, fmt.Errorf("the path is missing: %w", syscall.EINVAL)
	}
	return File{path}, nil
}

// stat describes the file, within statWait.
func (f File) stat() fileResult {
	if err := worker.Prepare(); err != nil {
		return fileResult{err: err}
	}
	ctx, cancel := context.WithTimeout(context.Background(), statWait)
	defer cancel()
	return fileCall{op: C.FILE_STAT, path: f.path}.wait(ctx)
}

// Readable tells whether the file can be a source.
func (f File) Readable() error {
	r := f.stat()
	if r.err == nil {
		r.err = f.regular(r)
	}
	return r.err
}

func (f File) regular(r fileResult) error {
	if !r.regular {
		return fmt.Errorf("%s is not a regular file: %w", f.path, syscall.EINVAL)
	}
	return nil
}

// Same tells whether two paths lead to one file.
func (f File) Same(other File) bool {
	a, b := f.stat(), other.stat()
	return a.err == nil && b.err == nil && a.identity == b.identity
}

// open opens the file within timeout, or until ctx ends.
func (f File) open(ctx context.Context, timeout time.Duration, write bool) fileResult {
	if err := worker.Prepare(); err != nil {
		return fileResult{err: err}
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var unread error // a FIFO, or a device that is not there
	for {
		r := fileCall{op: C.FILE_OPEN, path: f.path, write: write}.wait(ctx)
		if errors.Is(r.err, syscall.ENXIO) {
			unread = r.err
			select {
			case <-time.After(10 * time.Millisecond):
				continue
			case <-ctx.Done():
				r.err = cause(ctx)
			}
		}
		if r.err != nil && unread != nil && ctx.Err() == context.DeadlineExceeded {
			r.err = fmt.Errorf("nobody has opened it to read within %v (start the reader of a FIFO first, or raise connect_timeout): %w", timeout, unread)
		}
		return r
	}
}

// Source opens the file within timeout; chunk is the most that a Peek will ask
// for. The end of ctx ends a wait for the file system.
func (f File) Source(ctx context.Context, timeout time.Duration, chunk int) (*FileSource, error) {
	r := f.open(ctx, timeout, false)
	if r.err != nil {
		return nil, r.err
	}
	if err := f.regular(r); err != nil {
		_ = closeFile(r.fd, f.path)
		return nil, err
	}
	s := &FileSource{ctx: ctx, path: f.path, fd: r.fd, identity: r.identity, buf: make([]byte, max(int64(chunk), min(r.size+1, fileBatch)))}
	s.size.Store(r.size)
	s.end.Store(-1)
	return s, nil
}

// FileSource is a file being read to its end, which may move until SetEnd.
type FileSource struct {
	ctx      context.Context
	path     string
	fd       int
	identity fileIdentity
	buf      []byte
	have     []byte       // read and not yet taken
	last     int          // length of the last Peek
	pos      int64        // bytes read
	taken    atomic.Int64 // bytes
	size     atomic.Int64 // of the file when it was last asked
	end      atomic.Int64 // -1: not set
}

// Peek hands out up to max bytes, io.EOF at the end.
func (s *FileSource) Peek(max int) (a, b []byte, err error) {
	if len(s.have) == 0 {
		n := int64(len(s.buf))
		if end := s.end.Load(); end >= 0 {
			n = min(n, end-min(end, s.pos))
		}
		if n == 0 {
			return nil, nil, io.EOF
		}
		r := fileCall{op: C.FILE_READ, path: s.path, fd: s.fd, buf: s.buf[:n], at: s.pos}.wait(s.ctx)
		if r.done == 0 {
			if r.err == nil {
				r.err = io.EOF
			}
			return nil, nil, r.err
		}
		s.pos += r.done
		s.have = s.buf[:r.done]
	}
	s.last = min(max, len(s.have))
	return s.have[:s.last], nil, nil
}

// Advance takes what Peek handed out.
func (s *FileSource) Advance() {
	s.have = s.have[s.last:]
	s.taken.Add(int64(s.last))
}

// Leave leaves it there.
func (s *FileSource) Leave() {}

// SetEnd makes the file's size now the end; where the file system does not
// answer, as soon as it does. Any goroutine.
func (s *FileSource) SetEnd() {
	set := make(chan struct{})
	go func() {
		defer close(set)
		defer func() { _ = recover() }() // then there is no end but the file's own
		s.ask()
		s.end.CompareAndSwap(-1, s.size.Load())
	}()
	timer := time.NewTimer(shortWait)
	defer timer.Stop()
	select {
	case <-set:
	case <-timer.C:
	}
}

// ask asks for the file's size now.
func (s *FileSource) ask() {
	if r := <-(fileCall{op: C.FILE_SIZE, path: s.path, fd: s.fd}.start(s.ctx.Done())); r.err == nil {
		s.size.Store(r.size)
	}
}

// Park is never reached: a file is there or at its end.
func (s *FileSource) Park(int) bool { return false }

// Unpark has nothing to take back.
func (s *FileSource) Unpark() {}

// Remaining is how many bytes are between what was taken and the end, or the
// size that the file was last seen to have. Any goroutine.
func (s *FileSource) Remaining() int64 {
	size := s.size.Load()
	if end := s.end.Load(); end >= 0 {
		size = end
	}
	return max(0, size-s.taken.Load())
}

// Close closes the file, which is not waited for where it hangs.
func (s *FileSource) Close() error { return closeFile(s.fd, s.path) }
