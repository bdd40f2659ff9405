// SPDX-License-Identifier: MIT

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"msprecord/cmd/record-server/archive"
)

const (
	ledgerDir  = ".streams" // hidden, so that no name of a stream leads there
	ledgerLife = 7 * 24 * time.Hour
	// A peer may have missed the answer to its close, and comes back to hear
	// once more that all is stored. So a complete stream is known for a while.
	completeLife = 10 * time.Minute
)

// ledger is what must be known of a stream to go on with it after this
// process has ended, however it did. How much is stored is not in it: the
// length of the file says that, and can't contradict itself.
type ledger struct {
	Asked      string        `json:"asked"`
	Name       string        `json:"name"`             // the file, the last if there are several
	Part       int           `json:"part,omitempty"`   // how many came before it
	Before     int64         `json:"before,omitempty"` // payload in those
	Header     bool          `json:"header"`           // the file begins with a WAV header of ours
	Rate       int           `json:"rate"`
	Channels   int           `json:"channels"`
	Bits       int           `json:"bits"`
	Float      bool          `json:"float,omitempty"`
	Epoch      int64         `json:"epoch"` // the highest seen
	Reconnects int64         `json:"reconnects"`
	Gaps       []archive.Gap `json:"gaps,omitempty"`
	Complete   bool          `json:"complete,omitempty"`
	Stored     int64         `json:"stored,omitempty"` // once complete: payload, without a pad

	id    string
	store *store
}

// note adds a gap, or makes the last one longer where nothing lies between.
func (l *ledger) note(g archive.Gap) {
	if n := len(l.Gaps); n > 0 && l.Gaps[n-1].Offset+l.Gaps[n-1].Length == g.Offset {
		l.Gaps = slices.Clone(l.Gaps) // a status line may be reading the old ones
		l.Gaps[n-1].Length += g.Length
		return
	}
	l.Gaps = append(slices.Clip(l.Gaps), g)
}

// missing is the length of all gaps.
func (l *ledger) missing() (n int64) {
	for _, g := range l.Gaps {
		n += g.Length
	}
	return n
}

// save replaces the file of the ledger in one step. It is not forced to the
// disk, as the recordings are not: a kill loses neither.
func (l *ledger) save() error {
	p, err := json.Marshal(l)
	if err != nil {
		return err
	}
	root, name := l.store.root, path.Join(ledgerDir, l.id)
	err = root.WriteFile(name+".new", p, 0o644)
	if errors.Is(err, fs.ErrNotExist) {
		if err = root.Mkdir(ledgerDir, 0o755); err == nil || errors.Is(err, fs.ErrExist) {
			err = root.WriteFile(name+".new", p, 0o644)
		}
	}
	if err == nil {
		err = root.Rename(name+".new", name)
	}
	if err != nil {
		return fmt.Errorf("cannot note the state of %s: %w", l.Name, cause(err))
	}
	return nil
}

func (l *ledger) remove() { l.store.root.Remove(path.Join(ledgerDir, l.id)) }

// ledger returns what is known of a stream, nil if that is nothing. A file
// that is no ledger, as after a power cut, counts as nothing too: the stream
// then begins anew and its sender's offset tells what is missing.
func (s *store) ledger(id string) (*ledger, error) {
	p, err := s.root.ReadFile(path.Join(ledgerDir, id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the state of stream %s: %w", id, cause(err))
	}
	l := &ledger{id: id, store: s}
	if json.Unmarshal(p, l) != nil || archive.CheckName(l.Name) != nil || l.format().Check() != nil {
		return nil, nil
	}
	return l, nil
}

func (l *ledger) format() format {
	return format{Rate: l.Rate, Channels: l.Channels, Bits: l.Bits, Float: l.Float}
}

// sweep removes the ledgers that no one will ask for. Call it before there are
// connections.
func (s *store) sweep(now time.Time) {
	entries, _ := fs.ReadDir(s.root.FS(), ledgerDir)
	for _, e := range entries {
		name := path.Join(ledgerDir, e.Name())
		info, err := e.Info()
		if err != nil {
			continue
		}
		last, life := info.ModTime(), ledgerLife
		if strings.HasSuffix(name, ".new") {
			life = 0 // a kill came before its rename
		} else if l, _ := s.ledger(e.Name()); l != nil {
			// One connection may last for weeks, and writes only its file.
			if file, err := s.root.Stat(l.Name); err == nil && file.ModTime().After(last) {
				last = file.ModTime()
			}
			if l.Complete {
				life = completeLife
			}
		}
		if now.Sub(last) >= life {
			s.root.Remove(name)
		}
	}
}
