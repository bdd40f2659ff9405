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

// perSecond is what a program counted, by the time it took.
func perSecond(name string) metric {
	return func(f figures) float64 { return f[name] / f["wall_s"] }
}

// thousand compares with libwebsockets in five forms, for none of them is the
// one that everybody would write: what they cost, how late a message is, and
// how often the loop asks for events and does not wait for one.
func (b *bench) thousand() group {
	seconds := "5"
	if b.quick {
		seconds = "3"
	}
	run := func(name, program string, more ...string) entry {
		argv := append([]string{program, "URL", "paced", "1000", "2560", "80", seconds}, more...)
		return entry{name: name, argv: argv, stamps: true}
	}
	const (
		timer = lws + ", 1 ms timer"
		uv    = lws + ", 1 ms timer on libuv"
		tick  = lws + ", 10 ms tick"
		rings = lws + ", 10 ms tick, from rings"
		wake  = lws + ", woken by each piece, on libuv"
	)
	// The timer in libwebsockets' own loop takes what the machine has left,
	// so CI does not watch it.
	g := group{
		title: "1000 streams at 32 kB/s each", quick: true,
		entries: []entry{
			run(ours, "ours"),
			run(uv, "lws_uv"), run(tick, "lws", "tick", "10"), run(wake, "lws_uv", "wake"),
		},
	}
	peers := []string{uv, tick, wake}
	if !b.quick {
		g.entries = append(g.entries, run(timer, "lws"), run(rings, "lws", "tick", "10", "rings"))
		peers = []string{timer, uv, tick, rings, wake}
	}
	g.rows = func(r results) []row {
		var rows []row
		for _, peer := range peers {
			rows = append(rows, r.beside("1000 streams, client CPU a message", "µs", ours, peer, cpuPerMessage))
		}
		memory := r.alone("1000 streams, resident a stream, without its ring", "KiB", ours, perStream(1000))
		if b.quick {
			return append(rows, memory)
		}
		for _, peer := range peers {
			rows = append(rows, r.beside("1000 streams, latency p50", "µs", ours, peer, named("p50_us")))
		}
		for _, peer := range peers {
			rows = append(rows,
				r.peers("1000 streams, polls", "a second", peer, perSecond("polls")),
				r.peers("1000 streams, polls without a wait", "a second", peer, perSecond("polls_without_wait")))
		}
		return append(rows,
			r.alone("1000 streams, pieces refused by a full ring", "", ours, named("refused")),
			r.alone("1000 streams, threads", "", ours, named("threads")),
			r.ratio("1000 streams, resident a stream, without its ring", "KiB", ours, perStream(1000), lws, tick, perStream(1000)),
			memory,
			r.alone("1000 streams, resident in all", "KiB", ours, named("rss_kib")))
	}
	return g
}

func (b *bench) many() []group {
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
	return []group{b.thousand(), blocked, b.growth(), idle}
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
