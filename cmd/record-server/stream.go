// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"msprecord/cmd/record-server/archive"
	"msprecord/cmd/record-server/live"
	"msprecord/cmd/record-server/pcm"
)

// format says what the samples of a stream are.
type format = pcm.Format

// A WAV is valid at every moment: it starts as a header that says 0 bytes,
// samples are written behind what the header covers, and only then does the
// header cover them. The sizes may trail what is stored, by less than either
// of these, so that small chunks do not cost a second system call each.
const (
	maxLag      = 64 << 10               // bytes
	maxLagDelay = 100 * time.Millisecond // after which a quiet stream catches up
)

// stream is one file being stored.
type stream struct {
	name  string // the file; of a stream in several, the one that it began with here
	asked string // the name in the URL or message
	peer  string
	start time.Time
	bytes atomic.Int64 // payload stored; may be read at any time
	base  int64        // what of bytes was there at start
	part  int          // how many files came before the first of these
	hint  string       // about the URL, for its sender; set before others see it

	live *live.Stream // what the page shows of it; nil before the handshake is through

	// Of a stream that can be resumed; set before others see it.
	gaps       []archive.Gap
	reconnects int64
	from       int64 // where the connection went on, gaps counted in

	mu     sync.Mutex // the fields below: the timer runs on its own goroutine
	file   storage    // nil once finished
	now    string     // the name of file
	before int64      // payload in the files before it
	rotate *rotation  // nil if it goes on in one file
	off    int64      // where the next byte goes
	err    error      // the first failure; nothing is written after it
	wav    bool       // the file has a header of ours
	format format
	sized  int64   // the off that the header covers
	first  [4]byte // the first bytes, to know a stream that brings a header
	got    int     // how many of first have come
	own    bool    // it brings a WAV header of its own
	hdr    [pcm.HeaderSize]byte
	timer  *time.Timer // fires maxLagDelay after the header began to trail
	ledger *ledger     // nil for a stream that can't be resumed
	memo   memo
}

// newStream takes over file, which is empty. With raw no header is written.
func newStream(file storage, name, asked, peer string, f format, raw bool, now time.Time) (*stream, error) {
	s := &stream{name: name, now: name, asked: asked, peer: peer, start: now, file: file, format: f}
	s.wav = !raw && isWAV(asked)
	if !s.wav {
		return s, nil
	}
	if err := s.writeFirst(); err != nil {
		return nil, err
	}
	s.timer = time.AfterFunc(time.Hour, s.catchUp)
	s.timer.Stop()
	return s, nil
}

// writeFirst writes the header of a file that is empty.
func (s *stream) writeFirst() error {
	s.format.Header(&s.hdr, 0)
	if _, err := s.file.WriteAt(s.hdr[:], 0); err != nil {
		return s.failed(err)
	}
	s.off, s.sized = pcm.HeaderSize, pcm.HeaderSize
	return nil
}

func isWAV(name string) bool { return strings.EqualFold(path.Ext(name), ".wav") }

// resumeStream goes on with a file at its end, and mends what a kill has left
// of its header. It corrects l where a kill came before that was saved.
func resumeStream(file *os.File, l *ledger, peer string, now time.Time) (*stream, error) {
	s := &stream{
		name: l.Name, now: l.Name, asked: l.Asked, peer: peer, start: now, file: file, format: l.format(),
		part: l.Part, before: l.Before,
	}
	info, err := file.Stat()
	if err != nil {
		return nil, s.failed(err)
	}
	s.off = info.Size()
	if l.Header && s.off == 4 {
		l.Header = false // append had just cut our header away
	}
	if l.Header {
		// An older version wrote a shorter header, which can't be mended.
		var id [4]byte
		if n, _ := file.ReadAt(id[:], 12); n == 4 && string(id[:]) != "JUNK" && string(id[:]) != "ds64" {
			return nil, s.failed(errors.New("its header is of an older version"))
		}
		if l.Complete && s.off == pcm.HeaderSize+l.Stored-l.Before+1 {
			s.off-- // the pad is not payload
			if err := file.Truncate(s.off); err != nil {
				return nil, s.failed(err)
			}
		}
		s.wav, s.off = true, max(s.off, pcm.HeaderSize)
		if s.got, err = file.ReadAt(s.first[:], pcm.HeaderSize); err != nil && err != io.EOF {
			return nil, s.failed(err)
		}
		if err := s.writeSizes(); err != nil {
			return nil, s.failed(err)
		}
		s.timer = time.AfterFunc(time.Hour, s.catchUp)
		s.timer.Stop()
		s.base = s.off - pcm.HeaderSize
	} else {
		n, _ := file.ReadAt(s.first[:], 0)
		s.own = string(s.first[:n]) == "RIFF" && isWAV(l.Asked)
		s.base = s.off
	}
	if s.base += s.before; s.before > 0 {
		s.got = len(s.first) // the stream began in another file
	}
	s.bytes.Store(s.base)
	return s, nil
}

// append stores p at the end. When it has returned nil, p is in the file as
// far as the system is concerned: killing this process loses none of it.
func (s *stream) append(p []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil || s.file == nil {
		return s.err
	}
	if s.wav && s.got < len(s.first) {
		n := copy(s.first[s.got:], p)
		s.got += n
		if string(s.first[:s.got]) == "RIFF" {
			// It brings its own header, and both begin with these four bytes:
			// cutting ours after them leaves the stream as it came.
			if err := s.file.Truncate(4); err != nil {
				return s.failed(err)
			}
			s.wav, s.own, s.off = false, true, 4
			s.timer.Stop()
			s.took(p[:n])
			p = p[n:]
			if s.ledger != nil {
				s.ledger.Header = false
				if err := s.ledger.save(); err != nil {
					return s.failed(err)
				}
			}
		}
	}
	if n := s.turn(len(p)); n >= 0 {
		if err := s.put(p[:n]); err != nil {
			return err
		}
		if err := s.next(); err != nil {
			return err
		}
		p = p[n:]
	}
	return s.put(p)
}

// put writes p behind what is in the file.
func (s *stream) put(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	if err := s.rotate.room(len(p)); err != nil {
		return s.failed(err)
	}
	if s.wav {
		switch {
		case s.off == s.sized:
			s.timer.Reset(maxLagDelay)
		case s.off-s.sized+int64(len(p)) > maxLag:
			// Before the write, not after: so the bound holds in between too.
			if err := s.writeSizes(); err != nil {
				return s.failed(err)
			}
		}
	}
	n, err := s.file.WriteAt(p, s.off)
	s.off += int64(n)
	s.took(p[:n])
	if err != nil {
		return s.failed(err)
	}
	return nil
}

// took counts what is in the file now.
func (s *stream) took(p []byte) {
	s.bytes.Add(int64(len(p)))
	s.memo.took(p)
	s.live.Write(p)
}

// catchUp brings the header up to date when no chunk has done so.
func (s *stream) catchUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil || s.file == nil || !s.wav {
		return
	}
	if err := s.writeSizes(); err != nil {
		s.failed(err) // kept: the next append returns it
	}
}

// writeSizes writes the whole header in one call, so no reader and no kill
// meets one size without the other.
func (s *stream) writeSizes() error {
	if s.off == s.sized {
		return nil
	}
	s.format.Header(&s.hdr, s.off-pcm.HeaderSize)
	if _, err := s.file.WriteAt(s.hdr[:], 0); err != nil {
		return err
	}
	s.sized = s.off
	return nil
}

// complete notes that the sender has nothing more; finish follows.
func (s *stream) complete() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.ledger; l != nil && s.file != nil && s.err == nil {
		l.Complete, l.Stored = true, s.bytes.Load()
		// All is stored, which is what counts. A ledger that does not know it
		// is only kept for longer.
		if l.save() != nil {
			l.Complete = false
		}
	}
}

// seize ends the stream without finishing it, for another to go on with its
// file: when it has returned, no byte is written any more.
func (s *stream) seize(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.timer != nil {
		s.timer.Stop()
	}
	if s.file != nil {
		s.file.Close()
		s.file = nil
	}
	s.err = why
}

// finish completes the file and closes it; again, it returns what it returned
// before. A file that failed is finished as far as it got.
func (s *stream) finish() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		return s.err
	}
	// Where more may follow, a pad would stand in its way.
	s.shut(s.ledger == nil || s.ledger.Complete)
	return s.err
}

// shut completes the file and closes it; last tells that no byte follows.
func (s *stream) shut(last bool) {
	if s.wav {
		s.timer.Stop()
		data := s.off - pcm.HeaderSize
		err := s.writeSizes()
		if err == nil && last && data&1 == 1 && s.format.Whole(data) == data {
			_, err = s.file.WriteAt([]byte{0}, s.off) // the pad of an odd chunk
		}
		if err != nil {
			s.failed(err)
		}
	}
	if err := s.file.Close(); err != nil {
		s.failed(err)
	}
	s.file = nil
	s.memo.finished(s, time.Now())
}

// failed keeps the first failure as a sentence for the peer and the terminal.
func (s *stream) failed(err error) error {
	if s.err == nil {
		s.err = fmt.Errorf("cannot write %s: %w", s.now, cause(err))
	}
	return s.err
}
