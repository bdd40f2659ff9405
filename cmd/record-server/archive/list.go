// SPDX-License-Identifier: MIT

package archive

import (
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"msprecord/cmd/record-server/pcm"
)

// Entry is a recording as a list has it.
type Entry struct {
	Name     string     `json:"name"`
	Format   pcm.Format `json:"format"`
	Bytes    int64      `json:"bytes"`
	Seconds  float64    `json:"seconds"`
	Started  time.Time  `json:"started"`
	Modified time.Time  `json:"modified"`
	Peer     string     `json:"peer,omitempty"`
	How      string     `json:"how,omitempty"`
	Open     bool       `json:"open"` // its end is not written yet
	Gaps     []Gap      `json:"gaps,omitempty"`
	Resumed  []Resume   `json:"resumed,omitempty"`
	SHA256   string     `json:"sha256,omitempty"`
	Fixed    bool       `json:"fixed"` // the format is the sender's own and can't be changed
}

// Entry is what a list says of the recording.
func (r *Recording) Entry() Entry {
	e := Entry{
		Name: r.Name, Format: r.Format, Bytes: r.Size, Seconds: r.Seconds(),
		Started: r.Modified.Add(-time.Duration(r.Seconds() * float64(time.Second))), Modified: r.Modified,
		Fixed: r.Start > 0 && !r.Ours,
	}
	if n := r.Note; n != nil {
		e.Started, e.Peer, e.How, e.Gaps, e.Resumed, e.SHA256 = n.Started, n.Peer, n.How, n.Gaps, n.Resumed, n.SHA256
		e.Open = n.Ended == nil
	}
	return e
}

// List returns the recordings, the newest first, and how many there are; if
// those are more than limit, only so many of them. A limit of 0 is none.
func List(root *os.Root, assumed pcm.Format, limit int) ([]Entry, int) {
	type file struct {
		name     string
		modified time.Time
	}
	var files []file
	walk(root, func(name string, info fs.FileInfo) {
		files = append(files, file{name, info.ModTime()})
	})
	slices.SortFunc(files, func(a, b file) int {
		if c := b.modified.Compare(a.modified); c != 0 {
			return c
		}
		return strings.Compare(a.name, b.name)
	})
	total := len(files)
	if limit > 0 {
		files = files[:min(limit, total)]
	}
	entries := []Entry{}
	for _, f := range files {
		r, err := Open(root, f.name, assumed)
		if err != nil {
			continue // gone meanwhile, or not ours to read
		}
		entries = append(entries, r.Entry())
		r.Close()
	}
	return entries, total
}

// walk calls each for every file that may be a recording. What can't be read
// is left out.
func walk(root *os.Root, each func(name string, info fs.FileInfo)) {
	fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case name == ".":
			return nil
		case err != nil || CheckName(name) != nil:
			if d != nil && d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.Type().IsRegular():
			if info, err := d.Info(); err == nil {
				each(name, info)
			}
		}
		return nil
	})
}

// Size is how much the recordings take.
func Size(root *os.Root) (n int64) {
	walk(root, func(_ string, info fs.FileInfo) { n += info.Size() })
	return n
}
