// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// A panel is one half of the chart: a bar for each program and message size.
type panel struct {
	title   string
	measure string // rows whose case is SIZE, measure / PEER
	ratio   bool   // to batched TCP
	log     bool
}

// chart draws throughput and CPU of one stream, all programs side by side.
func chart(rows []row) string {
	const (
		left, barHeight, gap, width = 150, 11, 14, 340
		panelWidth                  = left + width + 70
	)
	panels := []panel{
		{"Throughput, as a ratio to " + batched, "throughput", true, false},
		{"Client CPU, seconds a GiB (logarithmic)", "client CPU", false, true},
	}
	var body strings.Builder
	bottom := 0
	for i, p := range panels {
		x, y := i*panelWidth, 40
		fmt.Fprintf(&body, `<text class="title" x="%d" y="20">%s</text>`+"\n", x+left, html.EscapeString(p.title))
		bars := p.bars(rows)
		least, most := math.Inf(1), 0.0
		for _, b := range bars {
			if b.value > 0 {
				least, most = min(least, b.value), max(most, b.value)
			}
		}
		scale := func(v float64) float64 {
			if p.log {
				return width * (math.Log(v) - math.Log(least/1.5)) / (math.Log(most) - math.Log(least/1.5))
			}
			return width * v / most
		}
		for j, b := range bars {
			if j > 0 && b.size != bars[j-1].size {
				y += gap
			}
			if j == 0 || b.size != bars[j-1].size {
				fmt.Fprintf(&body, `<text class="size" x="%d" y="%d">%s a message</text>`+"\n", x+left, y+9, b.size)
				y += 15
			}
			class := "peer"
			if b.name == ours {
				class = "ours"
			}
			fmt.Fprintf(&body, `<text class="name" x="%d" y="%d">%s</text><rect class="%s" x="%d" y="%d" width="%.1f" height="%d"/><text x="%.1f" y="%d">%s</text>`+"\n",
				x+left-6, y+9, html.EscapeString(b.name), class, x+left, y, max(scale(b.value), 1), barHeight-2,
				float64(x+left)+max(scale(b.value), 1)+4, y+9, digits(b.value))
			y += barHeight + 1
		}
		bottom = max(bottom, y)
	}
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" font-family="sans-serif" font-size="10">
<style>
text { fill: #333 } .title { font-size: 13px; font-weight: bold } .size { font-weight: bold } .name { text-anchor: end }
.ours { fill: #d9632a } .peer { fill: #9aa7b4 }
@media (prefers-color-scheme: dark) { text { fill: #ddd } .peer { fill: #66727f } }
</style>
%s</svg>
`, 2*panelWidth, bottom+10, body.String())
}

type bar struct {
	size, name string
	value      float64
}

func (p panel) bars(rows []row) []bar {
	var bars []bar
	for _, size := range sizes {
		name := sizeName(size)
		reference, first := 1.0, len(bars)
		for _, r := range rows {
			if r.Peer == "" || r.Case != fmt.Sprintf("%s, %s / %s", name, p.measure, r.Peer) {
				continue
			}
			if len(bars) == first {
				bars = append(bars, bar{name, ours, r.Ours})
			}
			if p.ratio && r.Peer == batched {
				// As the table has it: the median of the ratios.
				reference, bars[first].value = r.Theirs, r.Value*r.Theirs
			}
			bars = append(bars, bar{name, r.Peer, r.Theirs})
		}
		for i := first; i < len(bars); i++ {
			bars[i].value /= reference
		}
	}
	return bars
}
