// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"slices"
)

// A row is one line of the table. Where there is a peer, Value is the ratio to
// it, made in each round by itself; the median of those is told, with the
// least and the most. Where there is none, Value is ours, or the peer's in a row
// that tells only of the peer.
type row struct {
	Group  string  `json:"group"`
	Case   string  `json:"case"` // names its floor, too
	Unit   string  `json:"unit"`
	Ours   float64 `json:"ours"`
	Peer   string  `json:"peer,omitempty"`
	Theirs float64 `json:"theirs,omitempty"`
	Peers  bool    `json:"peers,omitempty"` // there is no such figure of ours
	Value  float64 `json:"value"`
	Least  float64 `json:"least"`
	Most   float64 `json:"most"`
	Note   string  `json:"note,omitempty"` // in place of figures
	Floor  string  `json:"floor,omitempty"`
	Below  bool    `json:"below,omitempty"`
}

// A metric makes one figure of those of a round.
type metric func(figures) float64

func named(name string) metric { return func(f figures) float64 { return f[name] } }

const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30
)

// rate is MiB of payload a second, as the sink saw them come.
func rate(f figures) float64 { return f["bytes"] / mib / f["span_s"] }

// cpuPerGiB is the client's CPU time.
func cpuPerGiB(f figures) float64 { return f["cpu_s"] / f["bytes"] * gib }

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	if len(v) == 0 {
		return 0
	}
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

func (r results) each(name string, m metric) []float64 {
	var v []float64
	for _, f := range r[name] {
		v = append(v, m(f))
	}
	return v
}

// alone makes a row of one entry's figure.
func (r results) alone(title, unit, name string, m metric) row {
	v := r.each(name, m)
	return row{Case: title, Unit: unit, Ours: median(v), Value: median(v), Least: slices.Min(v), Most: slices.Max(v)}
}

// peers makes a row of a figure that only the peer has.
func (r results) peers(title, unit, name string, m metric) row {
	v := r.each(name, m)
	return row{
		Case: title + " of " + name, Unit: unit, Peer: name, Theirs: median(v), Peers: true,
		Value: median(v), Least: slices.Min(v), Most: slices.Max(v),
	}
}

// beside makes a row of two entries' figures and their ratio.
func (r results) beside(title, unit, ours, theirs string, m metric) row {
	return r.ratio(title, unit, ours, m, theirs, theirs, m)
}

// ratio is beside for two figures that have different names.
func (r results) ratio(title, unit, ours string, m metric, peer, theirs string, n metric) row {
	a, b := r.each(ours, m), r.each(theirs, n)
	var ratios []float64
	for i := range min(len(a), len(b)) {
		ratios = append(ratios, a[i]/b[i])
	}
	return row{
		Case: title + " / " + peer, Unit: unit, Ours: median(a), Peer: peer, Theirs: median(b),
		Value: median(ratios), Least: slices.Min(ratios), Most: slices.Max(ratios),
	}
}

// remark is a row that has no figures, and says why.
func remark(title, note string) []row { return []row{{Case: title, Note: note}} }

// digits formats a figure with three digits that count.
func digits(v float64) string {
	switch a := max(v, -v); {
	case v == 0:
		return "0"
	case a >= 100:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	case a >= 1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3f", v)
}
