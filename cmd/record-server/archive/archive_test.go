// SPDX-License-Identifier: MIT

package archive

import (
	"encoding/binary"
	"io"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"msprecord/cmd/record-server/pcm"
)

var mono16 = pcm.Format{Rate: 16000, Channels: 1, Bits: 16}

func testRoot(t *testing.T) *os.Root {
	t.Helper()
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root
}

func TestNamesOfNotesFit(t *testing.T) {
	long := strings.Repeat("é", 127)
	seen := map[string]bool{}
	for _, name := range []string{"a", "d/mic.wav", long, long[:250], "d/" + long, strings.Repeat("n", 255), strings.Repeat("n", 254)} {
		note := NoteName(name)
		base := note[strings.LastIndexByte(note, '/')+1:]
		if len(base) > MaxComponent || !strings.HasSuffix(note, noteSuffix) || seen[note] || strings.Count(note, "/") != strings.Count(name, "/") {
			t.Errorf("%q: %q", name, note)
		}
		if CheckName(note) == nil {
			t.Errorf("a stream may have the name %q", note)
		}
		seen[note] = true
	}
}

// tone stores so many frames of a tone.
func tone(t *testing.T, root *os.Root, name string, frequency float64, frames int) *Recording {
	t.Helper()
	var h [pcm.HeaderSize]byte
	mono16.Header(&h, int64(2*frames))
	b := h[:]
	for i := range frames {
		b = binary.LittleEndian.AppendUint16(b, uint16(int16(16384*math.Sin(2*math.Pi*frequency*float64(i)/16000))))
	}
	if err := root.WriteFile(name, b, 0o644); err != nil {
		t.Fatal(err)
	}
	r, err := Open(root, name, pcm.Format{Rate: 8000, Channels: 2, Bits: 8})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func TestAViewShowsWhatIsThere(t *testing.T) {
	r := tone(t, testRoot(t), "tone.wav", 2000, 300_000)
	for _, c := range []struct {
		from, count int64
		columns     int
	}{{0, 300_000, 100}, {0, 300_000, 2}, {100, 10_000, 1000}, {299_000, 100_000, 50}} {
		v, err := r.View(c.from, c.count, c.columns, true)
		if err != nil || len(v.Levels) != c.columns || len(v.Spectra) != c.columns*v.Rows {
			t.Fatalf("%+v: %v", c, err)
		}
		for i, l := range v.Levels {
			at := c.from + c.count*int64(i)/int64(c.columns)
			switch wide := c.count/int64(c.columns) >= 8; {
			case at >= r.Frames() && (l.Max != 0 || l.Min != 0):
				t.Errorf("%+v: column %d, behind the end, is %+v", c, i, l)
			case at < r.Frames() && wide && (l.Max < 16300 || l.Min > -16300 || math.Abs(float64(l.RMS)-11585) > 600):
				t.Errorf("%+v: column %d is %+v", c, i, l)
			}
		}
		top := 0
		for row := range v.Rows {
			if v.Spectra[row] > v.Spectra[top] {
				top = row
			}
		}
		if top != 64 {
			t.Errorf("%+v: the tone is in row %d", c, top)
		}
	}
}

func TestAWAVIsReadInPieces(t *testing.T) {
	root := testRoot(t)
	root.WriteFile("raw.pcm", []byte("abcde"), 0o644)
	r, err := Open(root, "raw.pcm", pcm.Format{Rate: 8000, Channels: 1, Bits: 8})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	whole, err := io.ReadAll(r.WAV())
	if err != nil || len(whole) != pcm.HeaderSize+6 || string(whole[pcm.HeaderSize:]) != "abcde\x00" {
		t.Fatalf("%d bytes, %v: %q", len(whole), err, whole[pcm.HeaderSize:])
	}
	for size := 1; size < len(whole); size++ {
		w := r.WAV()
		var got []byte
		for p := make([]byte, size); ; {
			n, err := w.Read(p)
			got = append(got, p[:n]...)
			if err == io.EOF {
				break
			}
		}
		if string(got) != string(whole) {
			t.Errorf("pieces of %d: %q", size, got)
		}
	}
}

func TestANoteSaysWhatRawSamplesAre(t *testing.T) {
	root := testRoot(t)
	root.WriteFile("raw.pcm", make([]byte, 1200), 0o644)
	f := pcm.Format{Rate: 48000, Channels: 3, Bits: 32, Float: true}
	if err := SetFormat(root, "raw.pcm", f, mono16); err != nil {
		t.Fatal(err)
	}
	list, total := List(root, mono16, 0)
	if total != 1 || list[0].Format != f || list[0].Seconds != 100.0/48000 {
		t.Errorf("%d: %+v", total, list)
	}
	// A note of another file, or none, is not believed.
	root.WriteFile(NoteName("raw.pcm"), []byte("{"), 0o644)
	if list, _ = List(root, mono16, 0); len(list) != 1 || list[0].Format != mono16 {
		t.Errorf("%+v", list)
	}
	n := Note{Name: "raw.pcm", Format: f, Started: time.Now()}
	if err := n.Write(root); err != nil {
		t.Fatal(err)
	}
	root.Rename(NoteName("raw.pcm"), NoteName("other.pcm"))
	if _, err := ReadNote(root, "other.pcm"); err == nil {
		t.Error("the note of another file was believed")
	}
}
