package main

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"testing"

	"msprecord/cmd/record-server/pcm"
)

// of makes a format of integer samples.
func of(rate, channels, bits int) format {
	return format{Rate: rate, Channels: channels, Bits: bits}
}

var mono16 = of(16000, 1, 16)

// wavInfo is what parseWAV found.
type wavInfo struct {
	format
	size uint32 // of the data chunk
	data []byte // what the file has of it
}

// parseWAV reads a WAV as a player would, chunk by chunk, and complains about
// everything that one might.
func parseWAV(file []byte) (w wavInfo, err error) {
	le := binary.LittleEndian
	if len(file) < 12 || string(file[:4]) != "RIFF" && string(file[:4]) != "RF64" || string(file[8:12]) != "WAVE" {
		return w, fmt.Errorf("no RIFF WAVE in %d bytes", len(file))
	}
	riff := int64(le.Uint32(file[4:]))
	for at := int64(12); ; {
		if at+8 > int64(len(file)) {
			return w, fmt.Errorf("no data chunk before %d", at)
		}
		id, size := string(file[at:at+4]), le.Uint32(file[at+4:])
		body := file[at+8:]
		at += 8 + int64(size) + int64(size&1)
		if id == "fmt " && len(body) >= 16 {
			w.Channels, w.Rate, w.Bits = int(le.Uint16(body[2:])), int(le.Uint32(body[4:])), int(le.Uint16(body[14:]))
			w.Float = le.Uint16(body) == 3
			if tag := le.Uint16(body); tag != 1 && tag != 3 {
				return w, fmt.Errorf("format tag %d", tag)
			}
			if b := le.Uint16(body[12:]); int(b) != w.Channels*w.Bits/8 {
				return w, fmt.Errorf("block of %d bytes", b)
			}
			if r := le.Uint32(body[8:]); int(r) != w.Rate*w.Channels*w.Bits/8 {
				return w, fmt.Errorf("%d bytes per second", r)
			}
		}
		if id == "data" {
			w.size, w.data = size, body[:min(int64(size), int64(len(body)))]
			if size != math.MaxUint32 && riff != at-8 {
				return w, fmt.Errorf("RIFF says %d, its chunks %d", riff, at-8)
			}
			return w, w.Check()
		}
	}
}

func TestHeaderSizes(t *testing.T) {
	for _, c := range []struct {
		f          format
		stored     int64
		data, riff uint32
	}{
		{mono16, 0, 0, 72},
		{mono16, 1, 0, 72},
		{mono16, 2, 2, 74},
		{mono16, 32001, 32000, 32072},
		{of(48000, 2, 24), 13, 12, 84},
		{of(8000, 1, 8), 3, 3, 76},
		{mono16, math.MaxUint32 - 73, math.MaxUint32 - 73, math.MaxUint32 - 1},
		{mono16, math.MaxUint32 - 71, math.MaxUint32, math.MaxUint32},
		{mono16, 1 << 33, math.MaxUint32, math.MaxUint32},
	} {
		var h [pcm.HeaderSize]byte
		c.f.Header(&h, c.stored)
		w, err := parseWAV(h[:])
		if err != nil {
			t.Errorf("%v with %d bytes: %v", c.f, c.stored, err)
		}
		riff := binary.LittleEndian.Uint32(h[4:])
		if w.format != c.f || w.size != c.data || riff != c.riff {
			t.Errorf("%v with %d bytes: %v, data %d, RIFF %d, want data %d, RIFF %d", c.f, c.stored, w.format, w.size, riff, c.data, c.riff)
		}
	}
}

var queries = []struct {
	query string
	want  format
	bad   string // the parameter that the error begins with
}{
	{"", mono16, ""},
	{"rate=8000", of(8000, 1, 16), ""},
	{"rate=44100&channels=2&bits=24", of(44100, 2, 24), ""},
	{"token=a;b&x=%zz&rate=8000", of(8000, 1, 16), ""},
	{"RATE=1", mono16, ""},
	{"rat%65=8000", of(8000, 1, 16), ""},
	{"rate=", mono16, "rate"},
	{"rate", mono16, "rate"},
	{"rate=0", mono16, "rate"},
	{"rate=-1", mono16, "rate"},
	{"rate=1e4", mono16, "rate"},
	{"rate=768001", mono16, "rate"},
	{"rate=99999999999999999999", mono16, "rate"},
	{"rate=8000&rate=16000", mono16, "rate"},
	{"rate=%zz", mono16, "rate"},
	{"channels=0", mono16, "channels"},
	{"channels=257", mono16, "channels"},
	{"channels=two", mono16, "channels"},
	{"bits=f32", format{Rate: 16000, Channels: 1, Bits: 32, Float: true}, ""},
	{"bits=f64", mono16, "bits"},
	{"bits=12", mono16, "bits"},
	{"bits=16%00", mono16, "bits"},
}

func TestQuerySaysWhatTheSamplesAre(t *testing.T) {
	for _, c := range queries {
		got, err := mono16.WithQuery(c.query)
		switch {
		case c.bad == "" && (err != nil || got != c.want):
			t.Errorf("%q: %v, %v, want %v", c.query, got, err, c.want)
		case c.bad != "" && (err == nil || !strings.HasPrefix(err.Error(), c.bad)):
			t.Errorf("%q: error %v, want one that names %s", c.query, err, c.bad)
		}
	}
}

func FuzzQuery(f *testing.F) {
	for _, c := range queries {
		f.Add(c.query, int64(len(c.query)))
	}
	f.Fuzz(func(t *testing.T, query string, stored int64) {
		got, err := mono16.WithQuery(query)
		if err != nil {
			return
		}
		// Whatever is accepted has to survive the trip through a header.
		var h [pcm.HeaderSize]byte
		got.Header(&h, stored&math.MaxInt32)
		w, err := parseWAV(h[:])
		if err != nil || w.format != got {
			t.Errorf("%q is %v, its header %v: %v", query, got, w.format, err)
		}
	})
}
