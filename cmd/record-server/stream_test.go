package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"msprecord/cmd/record-server/pcm"
)

// memFile is a file in memory on a disk with limited room. It checks with
// every write what a kill at that point would leave.
type memFile struct {
	mu     sync.Mutex
	data   []byte
	limit  int // 0: none
	writes int
	closed bool
	check  func(file []byte)
}

func (m *memFile) WriteAt(p []byte, off int64) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.writes++
	end := int(off) + len(p)
	var err error
	if m.limit > 0 && end > m.limit {
		p, err = p[:max(m.limit-int(off), 0)], syscall.ENOSPC
		end = int(off) + len(p)
	}
	if end > len(m.data) {
		m.data = append(m.data, make([]byte, end-len(m.data))...)
	}
	copy(m.data[off:], p)
	if m.check != nil {
		m.check(m.data)
	}
	return len(p), err
}

func (m *memFile) Truncate(size int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.data = m.data[:size]
	return nil
}

func (m *memFile) Close() error {
	m.closed = true
	return nil
}

func (m *memFile) content() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.data)
}

func testStream(t testing.TB, m *memFile, name string, f format, raw bool) *stream {
	t.Helper()
	s, err := newStream(m, name, name, "peer", f, raw, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// samples is n bytes that no shift of them equals.
func samples(n int) []byte {
	p := make([]byte, n)
	x := uint32(1)
	for i := range p {
		x = x*1664525 + 1013904223
		p[i] = byte(x >> 24)
	}
	return p
}

func TestWAVIsValidAfterEveryWrite(t *testing.T) {
	sound := samples(300_000)
	for _, chunk := range []int{1, 7, 4096, 40_000, maxLag, 200_000} {
		t.Run(fmt.Sprint(chunk), func(t *testing.T) {
			m := &memFile{}
			m.check = func(file []byte) {
				w, err := parseWAV(file)
				if err != nil {
					t.Fatalf("a kill now leaves no WAV: %v", err)
				}
				stored := len(file) - pcm.HeaderSize
				if lag := stored - len(w.data); lag > max(maxLag, chunk)+1 {
					t.Fatalf("the header covers %d bytes less than are stored", lag)
				}
				if !bytes.HasPrefix(sound, w.data) {
					t.Fatal("the header covers something else than was sent")
				}
			}
			s := testStream(t, m, "mic.wav", mono16, false)
			n := min(len(sound), chunk*2000)
			for c := range slices.Chunk(sound[:n], chunk) {
				if err := s.append(c); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.finish(); err != nil || !m.closed {
				t.Fatalf("finish: %v, closed: %v", err, m.closed)
			}
			w, err := parseWAV(m.data)
			if err != nil || !bytes.Equal(w.data, sound[:n]) || s.bytes.Load() != int64(n) {
				t.Errorf("%v, %d of %d bytes, counted %d", err, len(w.data), n, s.bytes.Load())
			}
		})
	}
}

func TestHeaderCatchesUpInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memFile{}
		s := testStream(t, m, "mic.wav", mono16, false)
		size := func() int {
			w, err := parseWAV(m.content())
			if err != nil {
				t.Fatal(err)
			}
			return len(w.data)
		}
		for round := 1; round <= 3; round++ {
			s.append(samples(100))
			time.Sleep(maxLagDelay / 2)
			s.append(samples(100))
			time.Sleep(maxLagDelay/2 + time.Millisecond)
			if got, want := size(), round*200; got != want {
				t.Errorf("%v after the first chunk of a round the header covers %d bytes, want %d", maxLagDelay, got, want)
			}
		}
		writes := m.writes
		time.Sleep(time.Hour)
		if m.writes != writes {
			t.Error("a quiet stream writes")
		}
		s.finish()
	})
}

func TestStreamThatBringsAHeaderIsStoredAsItComes(t *testing.T) {
	var h [pcm.HeaderSize]byte
	of(8000, 2, 8).Header(&h, 1000)
	whole := append(h[:], samples(1001)...)
	for first := 1; first <= 6; first++ {
		for second := 1; second <= 4; second++ {
			m := &memFile{}
			s := testStream(t, m, "mic.wav", mono16, false)
			for _, p := range [][]byte{whole[:first], whole[first : first+second], nil, whole[first+second:]} {
				if err := s.append(p); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.finish(); err != nil || !bytes.Equal(m.data, whole) || s.bytes.Load() != int64(len(whole)) {
				t.Errorf("split at %d and %d: %v, %d bytes stored, %d counted, want %d", first, first+second, err, len(m.data), s.bytes.Load(), len(whole))
			}
		}
	}
}

func TestSamplesThatOnlyBeginLikeAHeader(t *testing.T) {
	for _, sound := range []string{"", "R", "RI", "RIF", "RIFX", "RIxx", "xRIFF", "IFFRIFF"} {
		for size := 1; size <= 4; size++ {
			m := &memFile{}
			s := testStream(t, m, "mic.wav", of(8000, 1, 8), false)
			for c := range slices.Chunk([]byte(sound), size) {
				s.append(c)
			}
			s.finish()
			w, err := parseWAV(m.data)
			if err != nil || string(w.data) != sound {
				t.Errorf("%q in pieces of %d: %q, %v", sound, size, w.data, err)
			}
			if len(m.data)%2 != 0 {
				t.Errorf("%q in pieces of %d: the odd chunk has no pad", sound, size)
			}
		}
	}
}

func TestOnlyWAVNamesGetAHeader(t *testing.T) {
	for _, c := range []struct {
		name string
		raw  bool
		want int
	}{
		{"mic.wav", false, pcm.HeaderSize + 3},
		{"MIC.WAV", false, pcm.HeaderSize + 3},
		{"mic.wav", true, 3},
		{"mic.pcm", false, 3},
		{"wav", false, 3},
	} {
		m := &memFile{}
		s := testStream(t, m, c.name, mono16, c.raw)
		s.append([]byte("abc"))
		s.finish()
		if len(m.data) != c.want {
			t.Errorf("%s, raw %v: %d bytes, want %d", c.name, c.raw, len(m.data), c.want)
		}
	}
}

func TestFullDiskLeavesWhatFits(t *testing.T) {
	m := &memFile{limit: pcm.HeaderSize + 101}
	s := testStream(t, m, "mic.wav", mono16, false)
	if err := s.append(samples(100)); err != nil {
		t.Fatal(err)
	}
	err := s.append(samples(100))
	if err == nil || err.Error() != "cannot write mic.wav: no space left on device" {
		t.Errorf("append: %v", err)
	}
	if again := s.append(samples(1)); again != err {
		t.Errorf("append after it: %v", again)
	}
	if end := s.finish(); end != err || !m.closed {
		t.Errorf("finish: %v, closed %v", end, m.closed)
	}
	if w, err := parseWAV(m.data); err != nil || len(w.data) != 100 || s.bytes.Load() != 101 {
		t.Errorf("%v, %d bytes covered, %d counted", err, len(w.data), s.bytes.Load())
	}
	if _, err := newStream(&memFile{limit: 10}, "mic.wav", "mic.wav", "", mono16, false, time.Now()); err == nil || !strings.Contains(err.Error(), "no space") {
		t.Errorf("no room for a header: %v", err)
	}
}

// nullFile keeps nothing.
type nullFile struct{ memFile }

func (*nullFile) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }

func TestAppendDoesNotAllocate(t *testing.T) {
	s, err := newStream(&nullFile{}, "mic.wav", "mic.wav", "", mono16, false, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	defer s.finish()
	p := samples(4096)
	if n := testing.AllocsPerRun(1000, func() { s.append(p) }); n > 0 {
		t.Errorf("%v allocations per append", n)
	}
}
