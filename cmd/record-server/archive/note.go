// SPDX-License-Identifier: MIT

package archive

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"time"
	"unicode/utf8"

	"msprecord/cmd/record-server/pcm"
)

// noteSuffix makes the name of a note from that of its recording.
const noteSuffix = ".rec.json"

// Gap is a part of a stream that its sender could not keep.
type Gap struct {
	Offset int64 `json:"offset"` // in the stream, other gaps counted in
	Length int64 `json:"length"`
}

// Resume is a place where a sender that came back went on: what it had sent
// from there on before, and was not stored, it sent again.
type Resume struct {
	Offset int64     `json:"offset"` // in the stream, gaps counted in
	Time   time.Time `json:"time"`
}

// Note is what is known of a recording besides its samples.
type Note struct {
	Name    string     `json:"name"`            // of the file
	Asked   string     `json:"asked,omitempty"` // of the stream, where that is another
	Part    int        `json:"part,omitempty"`  // of a stream that was cut into files
	Peer    string     `json:"peer"`
	Format  pcm.Format `json:"format"`
	Started time.Time  `json:"started"`
	Ended   *time.Time `json:"ended,omitempty"` // absent while a sender is there, or after a kill
	How     string     `json:"how,omitempty"`   // it ended
	Header  bool       `json:"header"`          // the file begins with a WAV header of the receiver's
	Bytes   int64      `json:"bytes"`           // without that header
	Gaps    []Gap      `json:"gaps,omitempty"`
	Resumed []Resume   `json:"resumed,omitempty"`
	// Of Bytes. It is taken as they come, so not known of what was resumed
	// after the receiver itself had ended.
	SHA256 string `json:"sha256,omitempty"`
}

// NoteName is the name of the note beside a recording.
func NoteName(name string) string {
	dir, base := path.Split(name)
	if len(base)+len(noteSuffix) > MaxComponent {
		sum := sha256.Sum256([]byte(base))
		tail := "~" + hex.EncodeToString(sum[:8])
		for len(base)+len(tail)+len(noteSuffix) > MaxComponent {
			_, size := utf8.DecodeLastRuneInString(base)
			base = base[:len(base)-size]
		}
		base += tail
	}
	return dir + base + noteSuffix
}

// ReadNote returns the note of a recording, or an error if there is none.
func ReadNote(root *os.Root, name string) (*Note, error) {
	p, err := root.ReadFile(NoteName(name))
	if err != nil {
		return nil, err
	}
	n := &Note{}
	if err := json.Unmarshal(p, n); err != nil {
		return nil, fmt.Errorf("the note is damaged: %w", err)
	}
	// The directory may have been moved since.
	if path.Base(n.Name) != path.Base(name) {
		return nil, fmt.Errorf("the note is that of %q", n.Name)
	}
	n.Name = name
	return n, nil
}

// Write puts the note beside its recording, in one step.
func (n *Note) Write(root *os.Root) error {
	p, err := json.MarshalIndent(n, "", "  ")
	if err != nil {
		return err
	}
	name := NoteName(n.Name)
	// A hidden name, so that it can't be one of a stream.
	dir, base := path.Split(name)
	sum := sha256.Sum256([]byte(base))
	temp := dir + "." + hex.EncodeToString(sum[:8]) + noteSuffix
	if err := root.WriteFile(temp, append(p, '\n'), 0o644); err != nil {
		return err
	}
	if err := root.Rename(temp, name); err != nil {
		root.Remove(temp)
		return err
	}
	return nil
}
