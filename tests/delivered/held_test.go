package delivered

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// A run is a part of a stream that lies in one piece.
type run struct{ start, end int64 }

// A reader tells from what came of a stream which parts of it that is. It is
// fed what came in one piece, in any portions.
type reader struct {
	stream   int
	runs     []run
	placed   bool   // the next byte is that at the end of the last run
	unplaced []byte // what came since it was not
	strange  int64  // bytes that are nowhere in the stream, all but the last few
}

// mix is that of testdata/streams.c, and unmix takes it back.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func unmix(x uint64) uint64 {
	x = (x ^ x>>31 ^ x>>62) * 0x319642b2d24d8ec3
	x = (x ^ x>>27 ^ x>>54) * 0x96de1b173f119089
	return x ^ x>>30 ^ x>>60
}

func (r *reader) byteAt(offset int64) byte {
	return byte(mix(uint64(r.stream+1)<<40|uint64(offset/8)) >> (offset % 8 * 8))
}

// feed takes what came next.
func (r *reader) feed(p []byte) {
	for len(p) > 0 {
		if !r.placed {
			r.unplaced = append(r.unplaced, p...)
			p = r.place()
			continue
		}
		last := &r.runs[len(r.runs)-1]
		n := 0
		for ; n < len(p); n++ {
			if p[n] != r.byteAt(last.end) {
				r.placed = false
				break
			}
			last.end++
		}
		p = p[n:]
	}
}

// place looks for where the unplaced bytes begin. Pieces and messages are of
// 16 bytes or multiples of it, so that eight bytes in their place are among
// those of each. It returns what is to be fed again.
func (r *reader) place() []byte {
	p := r.unplaced
	for skip := 0; skip+15 <= len(p); skip++ {
		for shift := range 8 {
			word := unmix(binary.LittleEndian.Uint64(p[skip+shift:]))
			offset := int64(word&(1<<40-1))*8 - int64(shift)
			if word>>40 != uint64(r.stream+1) || offset < 0 {
				continue
			}
			r.strange += int64(skip)
			r.runs = append(r.runs, run{offset, offset})
			r.placed, r.unplaced = true, nil
			return p[skip:]
		}
	}
	return nil
}

// left tells how many bytes at the end could not be placed.
func (r *reader) left() int64 { return int64(len(r.unplaced)) }

// union merges runs to those that do not touch each other, in their order.
func union(runs []run) (all []run) {
	runs = slices.Clone(runs)
	slices.SortFunc(runs, func(a, b run) int { return int(min(max(a.start-b.start, -1), 1)) })
	for _, r := range runs {
		if n := len(all); n > 0 && r.start <= all[n-1].end {
			all[n-1].end = max(all[n-1].end, r.end)
		} else if r.end > r.start {
			all = append(all, r)
		}
	}
	return all
}

// prefix is how much of a stream is there without a gap from its beginning on.
func prefix(all []run) int64 {
	if len(all) == 0 || all[0].start > 0 {
		return 0
	}
	return all[0].end
}

func total(all []run) (n int64) {
	for _, r := range all {
		n += r.end - r.start
	}
	return n
}

// looksLike tells whether two gaps leave the same bytes: where the first bytes of
// a gap are those behind it, what is there does not tell which of them is missing.
// Eight bytes tell their place, so that fewer may be alike.
func (r run) looksLike(other run) bool {
	shift := r.start - other.start
	return r.end-r.start == other.end-other.start && -8 < shift && shift < 8
}

// once checks that a file has each byte once and in order, and that what is
// missing between is noted.
func once(r *reader, gaps []run) error {
	at := int64(0)
	for _, piece := range r.runs {
		missing := run{at, piece.start}
		switch {
		case piece.start < at:
			return fmt.Errorf("bytes %d to %d come again behind byte %d", piece.start, piece.end, at)
		case piece.start > at && !slices.ContainsFunc(gaps, missing.looksLike):
			return fmt.Errorf("bytes %d to %d are missing, and the gaps noted are %v", at, piece.start, gaps)
		}
		at = piece.end
	}
	if r.strange > 0 || r.left() > 15 {
		return fmt.Errorf("%d bytes are not of the stream", r.strange+r.left())
	}
	return nil
}
