// SPDX-License-Identifier: MIT

// Package pcm says what samples are, and reads and writes the headers of WAV
// files.
package pcm

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"msprecord/internal/near"
)

// Format says what the samples of a stream are. The wire carries none of
// this, so it comes from the flags and from the query of the URL.
type Format struct {
	Rate     int  // sample rate in Hz
	Channels int  // samples of one moment lie side by side
	Bits     int  // of one sample; 8 are unsigned, more are signed
	Float    bool // IEEE numbers of 32 bits, full scale at 1
}

// Check returns an error that begins with the name of the parameter at fault.
func (f Format) Check() error {
	if f.Rate < 1 || f.Rate > 768000 {
		return fmt.Errorf("rate %d: must be 1 to 768000 Hz", f.Rate)
	}
	if f.Channels < 1 || f.Channels > 256 {
		return fmt.Errorf("channels %d: must be 1 to 256", f.Channels)
	}
	if f.Float && f.Bits != 32 {
		return fmt.Errorf("bits %d: floating point has 32", f.Bits)
	}
	switch f.Bits {
	case 8, 16, 24, 32:
		return nil
	}
	return fmt.Errorf("bits %d: must be 8, 16, 24 or 32", f.Bits)
}

// Kind is the short name of a sample's type.
func (f Format) Kind() string {
	switch {
	case f.Float:
		return "f32"
	case f.Bits == 8:
		return "u8"
	}
	return fmt.Sprintf("s%d", f.Bits)
}

// withKind returns f with samples of that kind.
func (f Format) withKind(kind string) (Format, error) {
	switch kind {
	case "u8", "s16", "s24", "s32":
		f.Float = false
		f.Bits, _ = strconv.Atoi(kind[1:])
	case "f32":
		f.Float, f.Bits = true, 32
	default:
		return f, fmt.Errorf("kind %q: must be u8, s16, s24, s32 or f32", kind)
	}
	return f, nil
}

// wireFormat is a Format as the page and the notes beside recordings have it.
type wireFormat struct {
	Rate     int    `json:"rate"`
	Channels int    `json:"channels"`
	Kind     string `json:"kind"`
}

// MarshalJSON writes the kind by its name.
func (f Format) MarshalJSON() ([]byte, error) {
	return json.Marshal(wireFormat{f.Rate, f.Channels, f.Kind()})
}

// UnmarshalJSON takes only formats that Check takes.
func (f *Format) UnmarshalJSON(p []byte) error {
	var w wireFormat
	if err := json.Unmarshal(p, &w); err != nil {
		return err
	}
	g, err := Format{Rate: w.Rate, Channels: w.Channels}.withKind(w.Kind)
	if err == nil {
		err = g.Check()
	}
	if err == nil {
		*f = g
	}
	return err
}

// WithQuery returns f with what the query of a URL says otherwise. Keys that
// are not ours are left alone, however they are written: senders put tokens
// of their own there.
func (f Format) WithQuery(query string) (Format, error) {
	seen := map[string]bool{}
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		key, value, _ := strings.Cut(pair, "=")
		key, err := url.QueryUnescape(key)
		if err != nil {
			continue
		}
		var field *int
		switch key {
		case "rate":
			field = &f.Rate
		case "channels":
			field = &f.Channels
		case "bits":
			field = &f.Bits
		default:
			continue
		}
		if seen[key] {
			return f, fmt.Errorf("%s: given twice", key)
		}
		seen[key] = true
		value, err = url.QueryUnescape(value)
		if err != nil {
			return f, fmt.Errorf("%s: %w", key, err)
		}
		if key == "bits" {
			if f.Float = value == "f32"; f.Float {
				f.Bits = 32
				continue
			}
		}
		n, err := strconv.ParseUint(value, 10, 31)
		if err != nil {
			return f, fmt.Errorf("%s %q: not a decimal number in range", key, value)
		}
		*field = int(n)
	}
	return f, f.Check()
}

// QueryHint tells of the first key of a query that WithQuery leaves alone and
// that is near one of ours, "" where there is none. A peer's words in it are
// quoted and short.
func QueryHint(query string) string {
	known := []string{"rate", "channels", "bits"}
	for pair := range strings.SplitSeq(query, "&") {
		key, _, _ := strings.Cut(pair, "=")
		key, err := url.QueryUnescape(key)
		if err != nil || slices.Contains(known, key) {
			continue
		}
		if meant := near.Name(key, known); meant != "" {
			return fmt.Sprintf("%.20q in the URL is not used: did you mean %s?", key, meant)
		}
	}
	return ""
}

// Frame is the size of one sample of every channel.
func (f Format) Frame() int64 { return int64(f.Channels * f.Bits / 8) }

// Whole is size without the part of a frame at its end.
func (f Format) Whole(size int64) int64 { return size - size%f.Frame() }

// ByteRate is how many bytes a second of sound has.
func (f Format) ByteRate() int64 { return int64(f.Rate) * f.Frame() }
