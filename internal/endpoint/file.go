// SPDX-License-Identifier: MIT

package endpoint

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"syscall"

	"msprecord/internal/host"
)

// File is a path in a URI, taken as it stands: no escapes.
type File struct{ path string }

// NewFile names a file.
func NewFile(path string) (File, error) {
	if path == "" {
		return File{}, fmt.Errorf("the path is missing: %w", syscall.EINVAL)
	}
	return File{path}, nil
}

// Readable tells whether the file can be a source.
func (f File) Readable() error {
	info, err := os.Stat(f.path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file: %w", f.path, syscall.EINVAL)
	}
	return nil
}

// Same tells whether two paths lead to one file.
func (f File) Same(other File) bool {
	a, errA := os.Stat(f.path)
	b, errB := os.Stat(other.path)
	return errA == nil && errB == nil && os.SameFile(a, b)
}

// Source opens the file; chunk is the most that a Peek will ask for.
func (f File) Source(chunk int) (*FileSource, error) {
	if err := f.Readable(); err != nil {
		return nil, err
	}
	if err := host.BeginBlocking(); err != nil {
		return nil, err
	}
	file, err := os.Open(f.path)
	if err != nil {
		host.EndBlocking()
		return nil, err
	}
	s := &FileSource{file: file, buf: make([]byte, chunk)}
	s.end.Store(-1)
	return s, nil
}

// FileSource is a file being read to its end, which may move until SetEnd.
type FileSource struct {
	file *os.File
	buf  []byte
	have []byte // read and not yet taken
	last int    // length of the last Peek
	pos  int64  // bytes read
	end  atomic.Int64
}

// Peek hands out up to max bytes, io.EOF at the end.
func (s *FileSource) Peek(max int) (a, b []byte, err error) {
	if len(s.have) == 0 {
		n, err := s.file.ReadAt(s.buf[:s.upTo(max)], s.pos)
		if n == 0 {
			if err == nil {
				err = io.EOF
			}
			return nil, nil, err
		}
		if err != nil && err != io.EOF {
			return nil, nil, err
		}
		s.pos += int64(n)
		s.have = s.buf[:n]
	}
	s.last = min(max, len(s.have))
	return s.have[:s.last], nil, nil
}

func (s *FileSource) upTo(max int) int {
	max = min(max, len(s.buf))
	if end := s.end.Load(); end >= 0 {
		max = int(min(int64(max), end-min(end, s.pos)))
	}
	return max
}

func (s *FileSource) Advance() { s.have = s.have[s.last:] }
func (s *FileSource) Leave()   {}

// SetEnd makes the file's size now the end. Any goroutine.
func (s *FileSource) SetEnd() {
	if info, err := s.file.Stat(); err == nil {
		s.end.CompareAndSwap(-1, info.Size())
	}
}

// Park is never reached: a file is there or at its end.
func (s *FileSource) Park() bool { return false }
func (s *FileSource) Unpark()    {}

// Remaining is how many bytes are between what was taken and the end.
func (s *FileSource) Remaining() int64 {
	info, err := s.file.Stat()
	if err != nil {
		return 0
	}
	return max(0, info.Size()-s.pos+int64(len(s.have)))
}

func (s *FileSource) Close() error {
	defer host.EndBlocking()
	return s.file.Close()
}

// Sink creates or empties the file, unless it is the one that source reads.
// source is nil where the source is no file.
func (f File) Sink(source *FileSource) (*FileSink, error) {
	if err := host.BeginBlocking(); err != nil {
		return nil, err
	}
	file, err := create(f.path, source)
	if err != nil {
		host.EndBlocking()
		return nil, err
	}
	return &FileSink{file: file, buf: make([]byte, 0, fileBatch)}, nil
}

const fileBatch = 64 << 10

// FileSink is a file being written. What was put reaches the file in batches,
// and at Flush.
type FileSink struct {
	file *os.File
	buf  []byte
	sent atomic.Int64
}

// Reserve always has room.
func (s *FileSink) Reserve(max int) (int, error) { return max, nil }

// Put takes a chunk.
func (s *FileSink) Put(a, b []byte) error {
	if len(s.buf)+len(a)+len(b) > cap(s.buf) {
		if err := s.Flush(); err != nil {
			return err
		}
	}
	s.buf = append(append(s.buf, a...), b...)
	return nil
}

// Flush hands the file everything that was put.
func (s *FileSink) Flush() error {
	if len(s.buf) == 0 {
		return nil
	}
	n, err := s.file.Write(s.buf)
	s.sent.Add(int64(n))
	s.buf = append(s.buf[:0], s.buf[n:]...)
	return err
}

// Finish closes the file, which is when some file systems tell of an error.
func (s *FileSink) Finish() error {
	if err := s.Flush(); err != nil {
		return err
	}
	return s.file.Close()
}

// Sent is how many bytes the file has. Any goroutine.
func (s *FileSink) Sent() int64 { return s.sent.Load() }

// Delivered is the same. Any goroutine.
func (s *FileSink) Delivered() int64 { return s.Sent() }

// Close closes the file where Finish has not.
func (s *FileSink) Close() error {
	defer host.EndBlocking()
	if err := s.file.Close(); !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}
