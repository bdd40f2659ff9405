// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"strconv"
	"syscall"
)

// perStream is the resident memory of each stream beyond the first, in KiB,
// without the n KiB of ring that are the program's own.
func perStream(streams float64) metric {
	return func(f figures) float64 {
		return (f["rss_kib"]-f["rss_one_kib"])/(streams-1) - f["ring_kib"]
	}
}

// cpuPerMessage is in µs. All send the same number of messages a second, so it
// grows as CPU a stream does, and is right also where a busy machine kept some
// from being sent.
func cpuPerMessage(f figures) float64 { return f["cpu_s"] / f["messages"] * 1e6 }

func (b *bench) many() []group {
	seconds := "5"
	if b.quick {
		seconds = "3"
	}
	work := []string{"URL", "paced", "1000", "2560", "80", seconds}
	thousand := group{
		title: "1000 streams at 32 kB/s each", quick: true,
		entries: []entry{
			{name: ours, argv: append([]string{"ours"}, work...)},
			{name: lws, argv: append([]string{"lws"}, work...)},
		},
		rows: func(r results) []row {
			rows := []row{
				r.beside("1000 streams, client CPU a message", "µs", ours, lws, cpuPerMessage),
				r.alone("1000 streams, resident a stream, without its ring", "KiB", ours, perStream(1000)),
			}
			if b.quick {
				return rows
			}
			return append(rows,
				r.alone("1000 streams, pieces refused by a full ring", "", ours, named("refused")),
				r.alone("1000 streams, threads", "", ours, named("threads")),
				r.ratio("1000 streams, resident a stream, without its ring", "KiB", ours, perStream(1000), lws, lws, perStream(1000)),
				r.alone("1000 streams, resident in all", "KiB", ours, named("rss_kib")))
		},
	}
	blocked := group{
		title: "1000 streams, each blocked in data_ready", rounds: 1,
		entries: []entry{
			{name: ours, argv: []string{"ours", "URL", "blocked", "1000"}},
			{name: "refused", argv: []string{"ours", "null://", "refused", "200"}},
		},
		rows: func(r results) []row {
			return []row{
				r.alone("blocked, threads", "", ours, named("threads")),
				r.alone("blocked, resident in all", "KiB", ours, named("rss_kib")),
				r.alone("blocked, a piece each delivered and all stopped", "s", ours, named("stop_s")),
				r.alone("where 200 threads are allowed, sessions started", "", "refused", named("started")),
				r.alone("and what record_start then says", "", "refused", named("result")),
			}
		},
	}
	idle := group{
		title: "10000 idle streams over one connection (mux)", rounds: 1,
		entries: []entry{{name: ours, argv: []string{"ours", "URL", "idle", "10000", "wire", "mux"}}},
		rows: func(r results) []row {
			const title = "10000 idle streams, resident in all"
			if r[ours][0]["missing"] != 0 {
				return remark(title, "not in this build")
			}
			return []row{
				r.alone(title, "MiB", ours, func(f figures) float64 { return f["rss_kib"] / kib }),
				r.alone("10000 idle streams, connections", "", ours, named("connections")),
				r.alone("10000 idle streams, all started in", "s", ours, named("start_s")),
				r.alone("10000 idle streams, CPU", "% of a core", ours, func(f figures) float64 { return 100 * f["cpu_s"] / f["wall_s"] }),
			}
		},
	}
	return []group{thousand, blocked, b.growth(), idle}
}

// growth has each stream send 2,560 B each 320 ms, so that 10,000 of them do
// not fill two cores with what the kernel does for them. Each number is
// compared with the cheapest of the smaller ones.
func (b *bench) growth() group {
	counts := []int{1, 10, 100, 1000, 10000}
	var limit syscall.Rlimit
	_ = syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit)
	refused := limit.Max < 10200
	if refused {
		counts = counts[:4]
	}
	g := group{title: "Growth, 2560 B each 320 ms a stream", rounds: min(b.rounds, 3)}
	for _, n := range counts {
		g.entries = append(g.entries, entry{
			name: strconv.Itoa(n),
			argv: []string{"ours", "URL", "paced", strconv.Itoa(n), "2560", "320", "5"},
		})
	}
	g.rows = func(r results) []row {
		var rows []row
		cheapest := ""
		for _, n := range counts {
			name := strconv.Itoa(n)
			title := fmt.Sprintf("%d streams, client CPU a message", n)
			if cheapest == "" {
				rows = append(rows, r.alone("1 stream, client CPU a message", "µs", name, cpuPerMessage))
			} else {
				rows = append(rows, r.ratio(title, "µs", name, cpuPerMessage, "fewer", cheapest, cpuPerMessage))
			}
			if cheapest == "" || median(r.each(name, cpuPerMessage)) < median(r.each(cheapest, cpuPerMessage)) {
				cheapest = name
			}
		}
		if refused {
			rows = append(rows, remark("10000 streams", fmt.Sprintf("ulimit -n allows only %d files", limit.Max))...)
		}
		return rows
	}
	return g
}
