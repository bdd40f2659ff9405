// SPDX-License-Identifier: MIT

package main

import (
	"msprecord/cmd/record-server/archive"
)

// setFormat changes what the samples of a recording are said to be, whether
// it is finished or still comes in. Its bytes stay as they are.
func (s *server) setFormat(name string, f format) error {
	s.mu.Lock()
	st := s.files[name]
	s.mu.Unlock()
	if st != nil && st.reformat(f) {
		return nil
	}
	return archive.SetFormat(s.store.root, name, f, s.format)
}

// reformat reports false where the file is closed, for others to change.
func (s *stream) reformat(f format) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == errTakenOver {
		return false // its ledger is that of another now
	}
	s.format = f
	s.live.SetFormat(f)
	if s.memo.note != nil {
		s.memo.note.Format = f
	}
	if l := s.ledger; l != nil {
		// What can't be saved is forgotten with this process, not before.
		l.Rate, l.Channels, l.Bits, l.Float = f.Rate, f.Channels, f.Bits, f.Float
		l.save()
	}
	if s.file == nil {
		return false
	}
	if s.wav {
		s.sized = -1 // the header says something else now
		if err := s.writeSizes(); err != nil {
			s.failed(err)
		}
	}
	if s.memo.note != nil {
		s.memo.note.Write(s.memo.root)
	}
	return true
}
