// SPDX-License-Identifier: MIT

package stream

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

func TestASegmentWastesASixteenthAtMost(t *testing.T) {
	sizes := map[int]int{}
	for n := 1; n <= 1<<25; n += 1 + n/1000 {
		size, index := sizeOf(n)
		if size < n || n > leastSegment && size > n+n/steps+1 {
			t.Fatalf("%d bytes for %d", size, n)
		}
		if index >= len(segments) {
			t.Fatalf("%d bytes would come from pool %d of %d", size, index, len(segments))
		}
		if before, ok := sizes[index]; ok && before != size {
			t.Fatalf("pool %d is for %d bytes and for %d", index, before, size)
		}
		sizes[index] = size
	}
}

// Messages of all sizes are put, written, acknowledged and given up at random:
// what is written is what was put, in order, and no memory stays behind.
func TestAWindowWritesWhatWasPut(t *testing.T) {
	mask, err := newMasker()
	if err != nil {
		t.Fatal(err)
	}
	before := windowMemory.Load()
	dice := rand.New(rand.NewPCG(1, 2))
	form := wire{mask: mask}
	w := window{limit: 200 << 10}
	content := func(from int64, n int) []byte {
		p := make([]byte, n)
		for i := range p {
			p[i] = byte((from + int64(i)) * 7 / 3)
		}
		return p
	}
	var written int64
	for range 20000 {
		switch dice.IntN(4) {
		case 0, 1:
			n := 1 + dice.IntN(1<<(1+dice.IntN(14)))
			if size := form.room(n); !w.full(size) && w.place(size) {
				p := content(w.next, n)
				w.put(&form, p[:n/3], p[n/3:])
			}
		case 2:
			pieces, n, start, end := w.span(nil, 60<<10)
			if n == 0 {
				w.tidy()
				break
			}
			if start != written {
				t.Fatalf("written up to %d, and now from %d on", written, start)
			}
			var payload []byte
			for _, p := range pieces {
				payload = appendPayload(payload, p)
			}
			if !bytes.Equal(payload, content(start, int(end-start))) {
				t.Fatalf("other bytes from %d to %d", start, end)
			}
			w.wrote(n)
			written = end
		case 3:
			w.drop(w.base()+int64(dice.IntN(40<<10)), 0)
			if w.base() > written { // given up before it was written
				written = w.base()
			}
		}
		if w.held > w.limit+form.room(1<<14) || w.waiting > w.held || w.held < 0 {
			t.Fatalf("%d bytes held, %d of them waiting", w.held, w.waiting)
		}
	}
	w.release()
	if w.held != 0 || windowMemory.Load() != before {
		t.Fatalf("%d bytes held after the release, %d in segments", w.held, windowMemory.Load()-before)
	}
}

// Where more is to follow, whole TCP segments leave, and the rest goes first
// the next time.
func TestOnlyWholeSegmentsLeaveWhereMoreFollows(t *testing.T) {
	dice := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		l := &link{mss: 1 + dice.IntN(300)}
		var all []byte
		for range 1 + dice.IntN(5) {
			p := make([]byte, 1+dice.IntN(500))
			for i := range p {
				p[i] = byte(dice.Uint32())
			}
			all = append(all, p...)
			l.parts = append(l.parts, p)
		}
		l.hold()
		leaves := bytes.Join(l.parts, nil)
		var rest []byte
		if l.rest != nil {
			rest = l.rest.buf
			l.rest.give(true)
		}
		if !bytes.Equal(append(leaves, rest...), all) {
			t.Fatalf("%d bytes leave and %d wait, which are not the %d that were given", len(leaves), len(rest), len(all))
		}
		if len(all) > l.mss && len(leaves)%l.mss != 0 || len(leaves) == 0 {
			t.Fatalf("%d of %d bytes leave, where segments have %d", len(leaves), len(all), l.mss)
		}
	}
}
