// SPDX-License-Identifier: MIT

package archive

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"msprecord/cmd/record-server/pcm"
)

// Verdict is what Verify has found out about a recording.
type Verdict struct {
	Name   string `json:"name"`
	State  string `json:"state"` // one of those below
	Bytes  int64  `json:"bytes"`
	Mended string `json:"mended,omitempty"` // what was put right
	Detail string `json:"detail,omitempty"`
}

const (
	Whole   = "whole"   // each byte that was sent is there, unchanged
	Cut     = "cut"     // each byte that came is there; the sender had more, or a part of it never came
	Running = "running" // it is being recorded
	Unknown = "unknown" // there is no note to compare it with
	Damaged = "damaged" // it is not what came
	Missing = "missing" // there is only a note
)

const endedByKill = "the receiver ended while it recorded"

// Verify compares the recordings with their notes. With mend it completes
// what a kill has left: headers and notes. That must not be while a receiver
// stores there.
func Verify(root *os.Root, assumed pcm.Format, mend bool) []Verdict {
	var verdicts []Verdict
	walk(root, func(name string, _ fs.FileInfo) {
		verdicts = append(verdicts, verify(root, name, assumed, mend))
	})
	fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		of, isNote := strings.CutSuffix(name, noteSuffix)
		if err != nil || !isNote || !d.Type().IsRegular() || CheckName(of) != nil {
			return nil
		}
		if _, err := root.Stat(of); errors.Is(err, fs.ErrNotExist) {
			if n, err := ReadNote(root, of); err == nil {
				verdicts = append(verdicts, Verdict{Name: n.Name, State: Missing, Bytes: n.Bytes, Detail: "there is only its note"})
			}
		}
		return nil
	})
	return verdicts
}

func verify(root *os.Root, name string, assumed pcm.Format, mend bool) Verdict {
	v := Verdict{Name: name}
	r, err := Open(root, name, assumed)
	if err != nil {
		v.State, v.Detail = Damaged, "cannot be read: "+err.Error()
		return v
	}
	defer r.Close()
	v.Bytes = r.Size
	n := r.Note
	switch {
	case n == nil:
		v.State, v.Detail = Unknown, "it has no note"
	case n.Ended == nil && !mend:
		v.State = Running
		return v
	case n.Header && !r.Ours:
		v.State, v.Detail = Damaged, "its header is gone"
	default:
		v.judge(r, n)
	}
	if mend && v.State != Damaged {
		v.mend(root, r)
	}
	return v
}

// judge compares a recording with its note, which it completes.
func (v *Verdict) judge(r *Recording, n *Note) {
	killed := n.Ended == nil
	if killed {
		n.Ended, n.How, n.Bytes, n.SHA256 = &r.Modified, endedByKill, r.stored(), ""
		v.Mended = "its note"
	}
	v.Bytes = n.Bytes
	if have := r.stored(); have < n.Bytes {
		v.State, v.Detail = Damaged, fmt.Sprintf("%d of %d bytes are there", have, n.Bytes)
		return
	} else if have > n.Bytes+1 { // one may be a pad
		v.State, v.Detail = Damaged, fmt.Sprintf("it has %d bytes more than came", have-n.Bytes)
		return
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(r.file, r.length-r.stored(), n.Bytes)); err != nil {
		v.State, v.Detail = Damaged, "cannot be read: "+err.Error()
		return
	}
	got := hex.EncodeToString(sum.Sum(nil))
	switch {
	case n.SHA256 == "":
		n.SHA256, v.Mended = got, "its note"
	case n.SHA256 != got:
		v.State, v.Detail = Damaged, "its bytes have changed: the SHA-256 is another"
		return
	}
	var missing int64
	for _, g := range n.Gaps {
		missing += g.Length
	}
	v.State = Whole
	if missing > 0 {
		v.State, v.Detail = Cut, fmt.Sprintf("%d bytes never came; ", missing)
	}
	if n.How != "closed" {
		v.State, v.Detail = Cut, v.Detail+n.How
	}
	v.Detail = strings.TrimSuffix(v.Detail, "; ")
}

// stored is the size of what came, with a pad perhaps.
func (r *Recording) stored() int64 {
	if r.Ours {
		return max(r.length-r.Start, 0)
	}
	return r.length
}

// mend writes the header and the note as they should be.
func (v *Verdict) mend(root *os.Root, r *Recording) {
	var err error
	if r.Ours {
		var have, want [pcm.HeaderSize]byte
		r.file.ReadAt(have[:], 0)
		r.Format.Header(&want, v.Bytes)
		if !bytes.Equal(have[:], want[:]) {
			if err = writeHeader(root, r.Name, r.Format, v.Bytes); err == nil {
				v.Mended = strings.TrimPrefix(v.Mended+" and its header", " and ")
			}
		}
	}
	if err == nil && strings.HasPrefix(v.Mended, "its note") {
		err = r.Note.Write(root)
	}
	if err != nil {
		v.Mended, v.Detail = "", "cannot be mended: "+err.Error()
	}
}
