// SPDX-License-Identifier: MIT

package archive

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"msprecord/cmd/record-server/pcm"
)

// headRoom is how much of a file is read to find a WAV's samples.
const headRoom = 4096

// Recording is a file of the directory, open for reading. It may be one that
// grows.
type Recording struct {
	Name     string
	Format   pcm.Format
	Start    int64 // where the samples begin in the file
	Size     int64 // of the samples in bytes
	Modified time.Time
	Note     *Note // nil if there is none
	// Ours tells that the header, which is Start long, is the receiver's own.
	Ours bool

	file   *os.File
	length int64 // of the file
}

// Open opens a recording. Names that can't be those of one are refused, and
// neither they nor links lead out of root. assumed is the format of a file
// that says nothing of its own.
func Open(root *os.Root, name string, assumed pcm.Format) (*Recording, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	info, err := root.Stat(name)
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist // a device or pipe would block
	}
	if err != nil {
		return nil, err
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	r := &Recording{Name: name, Format: assumed, Size: info.Size(), Modified: info.ModTime(), file: f, length: info.Size()}
	if err := r.look(root); err != nil {
		f.Close()
		return nil, err
	}
	return r, nil
}

// look finds out what the samples are.
func (r *Recording) look(root *os.Root) error {
	head := make([]byte, headRoom)
	n, err := r.file.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return err
	}
	w, ok := pcm.Parse(head[:n])
	if ok {
		r.Format, r.Start = w.Format, w.Start
		r.Size = max(r.length-r.Start, 0)
		if w.Size >= 0 {
			r.Size = min(r.Size, w.Size)
		}
		r.Ours = w.Start == pcm.HeaderSize && (string(head[12:16]) == "JUNK" || string(head[12:16]) == "ds64")
	}
	note, err := ReadNote(root, r.Name)
	if err != nil {
		return nil // it has none, or none that is of use
	}
	r.Note = note
	r.Ours = r.Ours && note.Header
	if ok && !note.Header {
		return nil // the sender's own header knows best
	}
	if !ok && note.Header {
		return nil // not what the note is about
	}
	r.Format = note.Format
	switch rest := max(r.length-r.Start, 0); {
	case note.Ended == nil:
		r.Size = rest // the header trails what is stored
	case note.Bytes <= rest:
		r.Size = note.Bytes
	}
	return nil
}

// Close closes the file.
func (r *Recording) Close() error { return r.file.Close() }

// Frames is how many whole frames there are.
func (r *Recording) Frames() int64 { return r.Size / r.Format.Frame() }

// Seconds is how long the recording plays.
func (r *Recording) Seconds() float64 { return float64(r.Frames()) / float64(r.Format.Rate) }

// Samples appends frames from a place on to dst, as many as there are.
func (r *Recording) Samples(dst []float32, from, count int64) ([]float32, error) {
	from = min(max(from, 0), r.Frames())
	count = min(max(count, 0), r.Frames()-from)
	p := make([]byte, count*r.Format.Frame())
	n, err := r.file.ReadAt(p, r.Start+from*r.Format.Frame())
	if err == io.EOF {
		err = nil // it became shorter just now
	}
	return r.Format.Decode(dst, p[:r.Format.Whole(int64(n))]), err
}

// Raw is what was sent, with the header of the sender's own if it has one.
func (r *Recording) Raw() *io.SectionReader {
	if r.Start > 0 && !r.Ours {
		return io.NewSectionReader(r.file, 0, r.Start+r.Size)
	}
	return io.NewSectionReader(r.file, r.Start, r.Size)
}

// WAV is the recording as a WAV in its format, whole frames only.
func (r *Recording) WAV() io.ReadSeeker {
	var h [pcm.HeaderSize]byte
	r.Format.Header(&h, r.Size)
	size := r.Format.Whole(r.Size)
	return io.NewSectionReader(&wavReader{h, r.file, r.Start, size}, 0, pcm.HeaderSize+size+size&1)
}

type wavReader struct {
	header [pcm.HeaderSize]byte
	file   io.ReaderAt
	start  int64
	size   int64
}

func (w *wavReader) ReadAt(p []byte, off int64) (n int, err error) {
	if off < pcm.HeaderSize {
		n = copy(p, w.header[off:])
	}
	at := off + int64(n) - pcm.HeaderSize
	if room := w.size - at; n < len(p) && room > 0 {
		m, err := w.file.ReadAt(p[n:min(int64(len(p)), int64(n)+room)], w.start+at)
		n += m
		if err != nil && err != io.EOF {
			return n, err
		}
		at += int64(m)
	}
	if n < len(p) && at == w.size && w.size&1 == 1 {
		p[n] = 0 // chunks are padded to even sizes
		n++
	}
	if n < len(p) {
		err = io.EOF
	}
	return n, err
}

// WAVName is the name that a recording has as a WAV, without directories.
func WAVName(name string) string {
	base := path.Base(name)
	if strings.EqualFold(path.Ext(base), ".wav") {
		return base
	}
	return strings.TrimSuffix(base, path.Ext(base)) + ".wav"
}

// SetFormat says what the samples of a recording really are: in its header,
// if that is the receiver's, and in its note.
func SetFormat(root *os.Root, name string, f, assumed pcm.Format) error {
	if err := f.Check(); err != nil {
		return err
	}
	r, err := Open(root, name, assumed)
	if err != nil {
		return err
	}
	defer r.Close()
	if r.Start > 0 && !r.Ours {
		return errors.New("the sender's own header says what the samples are")
	}
	if r.Start > 0 {
		if err := writeHeader(root, name, f, r.Size); err != nil {
			return err
		}
	}
	n := r.Note
	if n == nil {
		n = &Note{Name: name, Header: r.Ours, Bytes: r.Size, Started: r.Modified, Ended: &r.Modified}
	}
	n.Format = f
	return n.Write(root)
}

func writeHeader(root *os.Root, name string, f pcm.Format, size int64) error {
	file, err := root.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	var h [pcm.HeaderSize]byte
	f.Header(&h, size)
	_, err = file.WriteAt(h[:], 0)
	if e := file.Close(); err == nil {
		err = e
	}
	if err != nil {
		return fmt.Errorf("cannot write the header: %w", err)
	}
	return nil
}
