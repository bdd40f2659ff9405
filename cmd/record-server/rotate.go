// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"sync/atomic"
	"time"

	"msprecord/cmd/record-server/archive"
)

// rotation is how a stream goes on in another file, and how much the
// directory takes. A nil rotation is for one file and no limit.
type rotation struct {
	store *store
	size  int64         // payload of a file; 0 is no limit
	time  time.Duration // that a file lasts; 0 is no limit
	began time.Time     // the file
	// moved is called with the stream locked when it has gone on.
	moved func(s *stream, from, to string)
}

// turn says after how many of the next n bytes another file begins, -1 if
// after none. Files have whole frames. A stream that brings a header of its
// own stays in one, since the others would have none.
func (s *stream) turn(n int) int {
	r := s.rotate
	if r == nil || s.own {
		return -1
	}
	have := s.bytes.Load() - s.before
	full := r.size > 0 && have+int64(n) > r.size || r.time > 0 && time.Since(r.began) >= r.time
	if !full || have == 0 {
		return -1
	}
	rest := int((s.format.Frame() - have%s.format.Frame()) % s.format.Frame())
	if rest > n {
		return -1
	}
	return rest
}

// next goes on in another file.
func (s *stream) next() error {
	r := s.rotate
	file, name, err := r.store.open(s.asked)
	if err != nil {
		return s.failed(err)
	}
	s.shut(true)
	if s.err != nil {
		file.Close()
		r.store.remove(name)
		return s.err
	}
	from := s.now
	s.file, s.now, s.before, s.off = file, name, s.bytes.Load(), 0
	s.part++
	s.got = len(s.first) // this is not the stream's beginning
	if s.wav {
		if err := s.writeFirst(); err != nil {
			return err
		}
	}
	if l := s.ledger; l != nil {
		l.Name, l.Part, l.Before = name, s.part, s.before
		if err := l.save(); err != nil {
			return s.failed(err)
		}
	}
	s.begin(r.store.root)
	r.began = time.Now()
	r.moved(s, from, name)
	return nil
}

var errDirFull = errors.New("the directory is full: it has as much as -max-dir allows")

const countEvery = 10 * time.Second // a full directory is looked at again

// room reserves n bytes of the directory.
func (r *rotation) room(n int) error {
	if r == nil {
		return nil
	}
	return r.store.take(int64(n))
}

// usage is how much the directory has, where that is limited.
type usage struct {
	limit   int64
	used    atomic.Int64
	counted atomic.Int64 // when, in nanoseconds since 1970
}

// take counts n bytes. Where they are too many it looks whether someone has
// made room meanwhile.
func (s *store) take(n int64) error {
	u := &s.usage
	if u.limit == 0 || u.used.Add(n) <= u.limit {
		return nil
	}
	last := u.counted.Load()
	if now := time.Now().UnixNano(); now-last > int64(countEvery) && u.counted.CompareAndSwap(last, now) {
		if used := archive.Size(s.root) + n; used <= u.limit {
			u.used.Store(used)
			return nil
		}
	}
	u.used.Add(-n)
	return errDirFull
}
