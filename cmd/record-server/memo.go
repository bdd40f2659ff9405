// SPDX-License-Identifier: MIT

package main

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"os"
	"time"

	"msprecord/cmd/record-server/archive"
)

const maxResumed = 200 // places that a note has, the last ones

// memo keeps the note beside the file of a stream. Guarded by stream.mu. That
// it can't be written is no reason to stop a recording, whose file would be
// the next to fail; so errors are of no interest.
type memo struct {
	root *os.Root // nil where no note is kept
	note *archive.Note
	sum  hash.Hash // of what is stored; nil where that is not known
}

// begin writes the note of a new file.
func (s *stream) begin(root *os.Root) {
	s.memo = memo{root: root, sum: sha256.New(), note: &archive.Note{
		Name: s.now, Part: s.part, Peer: s.peer, Format: s.format, Started: time.Now(), Header: s.wav,
	}}
	if s.asked != s.now {
		s.memo.note.Asked = s.asked
	}
	s.memo.note.Write(root)
}

// goOn continues the note of a file that s appends to from now on. before is
// the stream that did so in this process, nil if there was none.
func (s *stream) goOn(root *os.Root, before *stream, offset int64) {
	if before != nil {
		before.mu.Lock()
		if before.now == s.now && before.bytes.Load() == s.base {
			s.memo = before.memo
		}
		before.memo = memo{}
		before.mu.Unlock()
	}
	if s.memo.note == nil {
		note, err := archive.ReadNote(root, s.now)
		if err != nil {
			note = &archive.Note{Name: s.now, Started: s.start}
		}
		s.memo = memo{root: root, note: note}
	}
	n := s.memo.note
	n.Peer, n.Format, n.Header, n.Gaps = s.peer, s.format, s.wav, s.gaps
	n.Ended, n.How, n.SHA256 = nil, "", ""
	if len(n.Resumed) == maxResumed {
		n.Resumed = append(n.Resumed[:0], n.Resumed[1:]...)
	}
	n.Resumed = append(n.Resumed, archive.Resume{Offset: offset, Time: time.Now()})
	n.Write(root)
}

func (m *memo) took(p []byte) {
	if m.sum != nil {
		m.sum.Write(p)
	}
}

// finished writes how much s has stored.
func (m *memo) finished(s *stream, now time.Time) {
	if m.root == nil {
		return
	}
	n := m.note
	n.Bytes, n.Header, n.Ended, n.How = s.bytes.Load()-s.before, s.wav, &now, "closed"
	if m.sum != nil {
		n.SHA256 = hex.EncodeToString(m.sum.Sum(nil))
	}
	if s.err != nil {
		n.How = "failed: " + s.err.Error()
	}
	n.Write(m.root)
}

// ended writes how a finished stream ended, where that was not by a close.
func (s *stream) ended(how string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := &s.memo; m.root != nil && m.note.Ended != nil && m.note.How != how {
		m.note.How = how
		m.note.Write(m.root)
	}
}
